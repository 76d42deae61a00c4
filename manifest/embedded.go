package manifest

import (
	"fmt"

	"github.com/leash-gateway/leash/manifest/wasmfile"
)

// Section is the custom section of a .wasm that holds its module.yaml, as it was written.
const Section = "leash.module"

// Of reads the manifest inside of a .wasm; name stands for it in errors. Where there is none, the error is [ErrNone].
func Of(name string, wasm []byte) (*Manifest, error) {
	f, err := wasmfile.Parse(wasm)
	if err != nil {
		return nil, err
	}
	text, found := f.CustomSection(Section)
	if !found {
		return nil, fmt.Errorf("%s: %w", name, ErrNone)
	}
	return Parse(name+"("+FileName+")", text)
}

// Put puts the text of a module.yaml into a .wasm, in the place of one that is there.
func Put(wasm, text []byte) ([]byte, error) {
	f, err := wasmfile.Parse(wasm)
	if err != nil {
		return nil, err
	}
	return wasmfile.AppendCustom(f.Without(func(name string) bool { return name == Section }), Section, text), nil
}
