package optimize_test

import (
	"errors"
	"maps"
	"testing"

	"github.com/leash-gateway/leash/author/optimize"
	"github.com/leash-gateway/leash/manifest/wasmfile"
	"github.com/leash-gateway/leash/manifest/wasmfile/code"
)

// named is a module with a name for one of its functions.
func named(wasm []byte, number byte, name string) []byte {
	list := code.Bytes([]byte{1, number}, []byte(name)) // one function
	return wasmfile.AppendCustom(wasm, "name", code.Bytes([]byte{1}, list))
}

func TestConditionsGoAsInTheProfile(t *testing.T) {
	wasm := named(stacked(), 1, "caller")
	plain, err := optimize.WithProfile(wasm, nil)
	if err != nil {
		t.Fatal(err)
	}
	counts := []optimize.Counts{ // of its eight conditions, and none of the other functions'
		{Yes: 100},    // it has been called, not resumed
		{No: 100}, {}, // the stack is large enough
		{No: 100}, {}, // there is no nil
		{Yes: 60, No: 40}, // the panic is not so unlikely here
		{No: 40}, {},      // the call has returned
	}
	p, err := optimize.NewProfile(plain, counts)
	if want := (optimize.Profile{"caller": "yn.n.bn."}); err != nil || !maps.Equal(p, want) {
		t.Fatalf("got %q, %v, want %q", p, err, want)
	}
	again, err := optimize.ParseProfile(p.Text())
	if err != nil || !maps.Equal(p, again) {
		t.Fatalf("got %q, %v from %s", again, err, p.Text())
	}
	fast, err := optimize.WithProfile(wasm, p)
	if err != nil {
		t.Fatal(err)
	}
	if got := hintsOf(t, fast); string(got) != "\x01\x00\x00\x00\x00\x00\x00" {
		t.Errorf("got hints % x, want that it is likely to have been called, and nothing of the condition that goes both ways", got)
	}
	other, err := optimize.WithProfile(wasm, optimize.Profile{"caller": "yn"})
	if err != nil || string(other) != string(plain) {
		t.Errorf("a profile of other code changes something, %v", err)
	}
}

// hintsOf are the hints of a module with one function that has some: 0 unlikely, 1 likely.
func hintsOf(t *testing.T, wasm []byte) (goes []byte) {
	t.Helper()
	f, err := wasmfile.Parse(wasm)
	if err != nil {
		t.Fatal(err)
	}
	content, _ := f.CustomSection("metadata.code.branch_hint")
	hints := code.Reader{Data: content}
	hints.U32()
	hints.U32()
	for n := hints.U32(); n > 0; n-- {
		hints.U32()
		hints.Byte()
		goes = append(goes, hints.Byte())
	}
	return goes
}

func TestProfilesOfOtherModulesAreRefused(t *testing.T) {
	if _, err := optimize.NewProfile(stacked(), make([]optimize.Counts, 3)); !errors.Is(err, code.ErrMalformed) {
		t.Errorf("got %v, want ErrMalformed", err)
	}
	for _, text := range []string{"f x", "f 0n", "f 99999999999n", "f n2"} {
		if p, err := optimize.ParseProfile([]byte(text)); err == nil {
			t.Errorf("%s: got %q, want an error", text, p)
		}
	}
}
