package wasmfile_test

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/manifest/wasmfile"
)

// built is a module that `make modules` has built.
func built(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile("../../build/modules/hello.wasm")
	if err != nil {
		t.Fatalf("%v (make modules builds it)", err)
	}
	return data
}

func parse(t *testing.T, data []byte) *wasmfile.File {
	t.Helper()
	f, err := wasmfile.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestWhatAModuleWantsAndGivesIsRead(t *testing.T) {
	f := parse(t, built(t))
	if !slices.Contains(f.Imports, wasmfile.Import{Module: "env", Name: "proxy_log"}) {
		t.Errorf("got imports %v, want proxy_log among them", f.Imports)
	}
	if !slices.Contains(f.Exports, "proxy_on_request_headers") || f.ABI() != "0.2.1" {
		t.Errorf("got ABI %q and exports %v", f.ABI(), f.Exports)
	}
	if f.Memory == nil || f.Memory.Min == 0 || f.Memory.Bounded {
		t.Errorf("got memory %+v, want one without a bound", f.Memory)
	}
}

func TestCustomSectionsAreAddedReadAndTakenOut(t *testing.T) {
	with := wasmfile.AppendCustom(built(t), "leash.test", []byte("content"))
	f := parse(t, with)
	if got, found := f.CustomSection("leash.test"); !found || string(got) != "content" {
		t.Errorf("got %q, %v", got, found)
	}
	if without := f.Without(func(name string) bool { return name == "leash.test" }); !bytes.Equal(without, built(t)) {
		t.Error("taking it out does not give the file that it was")
	}
	if _, found := parse(t, built(t)).CustomSection("leash.test"); found {
		t.Error("found a section that is not there")
	}
}

func TestMemoryIsBounded(t *testing.T) {
	f := parse(t, built(t))
	bounded, err := f.BoundMemory(f.Memory.Min + 10)
	if err != nil {
		t.Fatal(err)
	}
	got := parse(t, bounded)
	if !got.Memory.Bounded || got.Memory.Max != f.Memory.Min+10 || got.Memory.Min != f.Memory.Min {
		t.Errorf("got %+v", got.Memory)
	}
	if len(got.Sections) != len(f.Sections) {
		t.Errorf("got %d sections, want %d", len(got.Sections), len(f.Sections))
	}
	if wider, err := got.BoundMemory(f.Memory.Min + 20); err != nil || !bytes.Equal(wider, bounded) {
		t.Error("a tighter bound does not stay")
	}
	if _, err := f.BoundMemory(f.Memory.Min - 1); err == nil {
		t.Error("a bound below what the module begins with is taken")
	}
}

func TestSharesAddUpToTheFile(t *testing.T) {
	data := built(t)
	sections, _ := parse(t, data).Shares()
	sum := len("\x00asm\x01\x00\x00\x00")
	for _, s := range sections {
		sum += s.Bytes
	}
	if sum != len(data) {
		t.Errorf("got %d bytes in all, want %d", sum, len(data))
	}
}

func TestBrokenFunctionsHaveNoShares(t *testing.T) {
	names := wasmfile.AppendCustom([]byte("\x00asm\x01\x00\x00\x00"), "name", []byte{1, 4, 1, 0, 1, 'f'})
	for name, code := range map[string][]byte{
		"more functions than there are bytes": {9, 1, 0}, "a function that is cut off": {1, 100, 0}, "nothing": {},
	} {
		f := parse(t, wasmfile.AppendSection(names, wasmfile.Code, code))
		if sections, packages := f.Shares(); len(sections) != 2 || len(packages) != 0 {
			t.Errorf("%s: got %v and %v, want two sections", name, sections, packages)
		}
	}
}

func TestWhatIsNoWasmIsRefused(t *testing.T) {
	whole := built(t)
	for name, tc := range map[string]struct {
		data []byte
		want string
	}{
		"nothing":                 {nil, "does not begin as one"},
		"a text":                  {[]byte("<html>not found</html>"), "does not begin as one"},
		"a component":             {[]byte("\x00asm\x0d\x00\x01\x00"), "does not begin as one"},
		"one that is cut":         {whole[:len(whole)/2], "it ends in the middle"},
		"one that is cut early":   {whole[:9], "it ends at byte 9"},
		"an unknown section":      {append(slices.Clone(whole[:8]), 99, 0), "no section 99"},
		"an import of no kind":    {append(slices.Clone(whole[:8]), 2, 6, 1, 1, 'a', 1, 'b', 9), "no kind of import 9"},
		"a length of 2^64":        {append(slices.Clone(whole[:8]), 2, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1), "it ends in the middle"},
		"a number beyond 64 bits": {append(slices.Clone(whole[:8]), 2, 255, 255, 255, 255, 255, 255, 255, 255, 255, 3), "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := wasmfile.Parse(tc.data)
			if !errors.Is(err, wasmfile.ErrNotWasm) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(wasmfile.AppendCustom([]byte("\x00asm\x01\x00\x00\x00"), "name", []byte{1, 3, 1, 0, 0}))
	f.Add([]byte("\x00asm\x01\x00\x00\x00\x02\x07\x01\x01a\x01b\x00\x00\x05\x03\x01\x00\x01\x0a\x04\x01\x02\x00\x0b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := wasmfile.Parse(data)
		if err != nil {
			return
		}
		file.Shares()
		if same := file.Without(func(string) bool { return false }); !bytes.Equal(same, data) {
			t.Errorf("leaving everything in gives %x", same)
		}
		if file.Memory != nil {
			_, _ = file.BoundMemory(file.Memory.Min)
		}
	})
}
