package abi

import (
	"bytes"
	"compress/zlib"
	"io"
)

// ForeignFunctions are the functions of Envoy that this host has too: compress and uncompress (zlib), and clear_route_cache,
// which does nothing here because an embedder chooses the route after the request's headers have passed.
var ForeignFunctions = map[string]ForeignFunction{
	"compress":          compress,
	"uncompress":        uncompress,
	"clear_route_cache": func(Caller, []byte) ([]byte, Status) { return nil, OK },
}

// maxUncompressed bounds what a few bytes can be blown up to.
const maxUncompressed = 64 << 20

func compress(_ Caller, data []byte) ([]byte, Status) {
	var to bytes.Buffer
	w := zlib.NewWriter(&to)
	if _, err := w.Write(data); err != nil {
		return nil, SerializationFailure
	}
	if err := w.Close(); err != nil {
		return nil, SerializationFailure
	}
	return to.Bytes(), OK
}

func uncompress(_ Caller, data []byte) ([]byte, Status) {
	r, err := zlib.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, SerializationFailure
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxUncompressed+1))
	if err != nil || len(plain) > maxUncompressed {
		return nil, SerializationFailure
	}
	return plain, OK
}
