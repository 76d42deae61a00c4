package abi

import (
	"bytes"
	"compress/zlib"
	"io"
)

// ForeignFunctions are the functions of Envoy that this host has too: compress and uncompress (zlib), sign and verify_signature,
// declare_property, set_envoy_filter_state (which knows no kind of state, as Envoy without such extensions), and clear_route_cache,
// which does nothing here because an embedder chooses the route after the request's headers have passed. Envoy's expr_create and
// its like, for CEL expressions, are not here: docs/decisions/036-no-cel-in-the-host.md.
var ForeignFunctions = map[string]ForeignFunction{
	"compress":               compress,
	"uncompress":             uncompress,
	"sign":                   sign,
	"verify_signature":       verifySignature,
	"declare_property":       declareProperty,
	"set_envoy_filter_state": func(Caller, []byte) ([]byte, Status) { return nil, NotFound },
	"clear_route_cache":      func(Caller, []byte) ([]byte, Status) { return nil, OK },
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

// declareProperty says how a property is that the plugin will set: only whether it may be set once is of consequence. As in Envoy only what
// the root context declares counts for setting.
func declareProperty(caller Caller, arguments []byte) ([]byte, Status) {
	m, ok := parseMessage(arguments)
	if !ok {
		return nil, BadArgument
	}
	name := string(m.bytes[1])
	declared := &caller.Plugin.declared
	if caller.Stream != nil {
		declared = &caller.Stream.declared
	}
	if _, known := (*declared)[name]; known {
		return nil, BadArgument
	}
	if len(*declared) >= maxDeclared {
		return nil, InternalFailure
	}
	if *declared == nil {
		*declared = map[string]bool{}
	}
	(*declared)[name] = m.numbers[2] != 0
	return nil, OK
}
