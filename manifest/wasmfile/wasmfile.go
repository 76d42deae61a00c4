// Package wasmfile reads the outside of a .wasm: its sections, imports, exports and memory. It compiles and runs nothing,
// so it takes milliseconds and may be pointed at anybody's file.
//
// Format: https://webassembly.github.io/spec/core/binary/modules.html
package wasmfile

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// MaxSize bounds how large a .wasm may be that is read, in bytes.
const MaxSize = 256 << 20

// A File is what stands in a .wasm.
type File struct {
	// Imports are the functions, and whatever else, that it wants of its host, in its own order.
	Imports []Import
	// ImportedFunctions is how many of them are functions, which is the number of the first function of its own.
	ImportedFunctions uint32
	// Exports are the names that it gives to its host, in its own order.
	Exports []string
	// Memory is the first memory that it has; nil if it has none.
	Memory *Memory
	// Sections are its parts, in their order.
	Sections []Section

	data []byte
}

// An Import is something that a .wasm wants of its host.
type Import struct{ Module, Name string }

// A Memory is the size of a memory in pages of 64 KiB.
type Memory struct {
	Min, Max uint64
	// Bounded says that there is a Max.
	Bounded bool
}

// PageSize is the size of a page of memory in bytes.
const PageSize = 64 << 10

// A Section is a part of the file.
type Section struct {
	ID byte
	// Name is that of a custom section, else the specification's word.
	Name string
	// Start and End are the section's place in the file, its head included.
	Start, End int
	// Body is the place of the content: for custom sections what follows the name.
	Body int
}

// Sections with a meaning here.
const (
	Custom        = 0
	Types         = 1
	Functions     = 3
	Code          = 10
	importSection = 2
	memorySection = 5
	exportSection = 7
)

var sectionNames = []string{"custom", "type", "import", "function", "table", "memory", "global", "export", "start", "element", "code", "data", "data count", "tag"}

// ErrNotWasm says that a file is no WebAssembly module, or one that was cut off.
var ErrNotWasm = errors.New("not a WebAssembly module")

var magic = []byte("\x00asm\x01\x00\x00\x00")

// Parse reads a file. The File keeps data, which must not change.
func Parse(data []byte) (f *File, err error) {
	if !bytes.HasPrefix(data, magic) {
		return nil, fmt.Errorf("read .wasm: %w: it does not begin as one", ErrNotWasm)
	}
	defer func() { // the reader panics with a broken where it runs out of bytes
		if cause := recover(); cause != nil {
			b, ok := cause.(broken)
			if !ok {
				panic(cause)
			}
			f, err = nil, fmt.Errorf("read .wasm: %w: %s", ErrNotWasm, string(b))
		}
	}()
	f = &File{data: data}
	for r := (&reader{data: data, at: len(magic)}); r.at < len(data); {
		f.section(r)
	}
	return f, nil
}

func (f *File) section(r *reader) {
	s := Section{Start: r.at}
	s.ID = r.byte()
	size := r.length()
	s.Body, s.End = r.at, r.at+size
	body := &reader{data: f.data[:s.End], at: r.at}
	r.at = s.End
	switch {
	case s.ID == Custom:
		s.Name = body.name()
		s.Body = body.at
	case int(s.ID) < len(sectionNames):
		s.Name = sectionNames[s.ID]
	default:
		panic(broken(fmt.Sprintf("there is no section %d", s.ID)))
	}
	f.Sections = append(f.Sections, s)
	switch s.ID {
	case importSection:
		for range body.count() {
			f.Imports = append(f.Imports, Import{body.name(), body.name()})
			body.importType(f)
		}
	case memorySection:
		for range body.count() {
			f.addMemory(body.limits())
		}
	case exportSection:
		for range body.count() {
			f.Exports = append(f.Exports, body.name())
			body.byte()
			body.number()
		}
	}
}

func (f *File) addMemory(m Memory) {
	if f.Memory == nil {
		f.Memory = &m
	}
}

// CustomSection is the content of the last custom section of that name, and whether there is one.
func (f *File) CustomSection(name string) ([]byte, bool) {
	for _, s := range slices.Backward(f.Sections) {
		if s.ID == Custom && s.Name == name {
			return f.Body(s), true
		}
	}
	return nil, false
}

// ABI is the proxy-wasm version that the exports tell, as "0.2.1": the first that is found, as in Envoy. "" is none.
func (f *File) ABI() string {
	for _, version := range []string{"0_1_0", "0_2_0", "0_2_1"} {
		if slices.Contains(f.Exports, "proxy_abi_version_"+version) {
			return strings.ReplaceAll(version, "_", ".")
		}
	}
	return ""
}

// Kit says that the .wasm is made with Leash's kit, as its export leash_kit tells. Such a module holds the body back itself while it
// holds headers back, so it can be loaded with allow_on_headers_stop_iteration, and must be to see the body before the headers leave. Other
// modules must not: their SDKs let the body pass, and in Envoy a body that passes takes the held headers with it.
func (f *File) Kit() bool { return slices.Contains(f.Exports, "leash_kit") }

// Without is the file without the custom sections that drop picks.
func (f *File) Without(drop func(name string) bool) []byte {
	return f.Rewrite(func(to []byte, s Section) []byte {
		if s.ID == Custom && drop(s.Name) {
			return to
		}
		return append(to, f.Whole(s)...)
	})
}

// Body is what stands in a section.
func (f *File) Body(s Section) []byte { return f.data[s.Body:s.End] }

// Whole is a section with its head.
func (f *File) Whole(s Section) []byte { return f.data[s.Start:s.End] }

// Rewrite is the file with what instead appends for each of its sections, in their order.
func (f *File) Rewrite(instead func(to []byte, s Section) []byte) []byte {
	out := append(make([]byte, 0, len(f.data)), magic...)
	for _, s := range f.Sections {
		out = instead(out, s)
	}
	return out
}

// AppendSection appends a section.
func AppendSection(to []byte, id byte, body []byte) []byte {
	return append(appendNumber(append(to, id), uint64(len(body))), body...)
}

// AppendCustom appends a custom section to a .wasm.
func AppendCustom(wasm []byte, name string, content []byte) []byte {
	body := append(appendNumber(nil, uint64(len(name))), name...)
	return AppendSection(wasm, Custom, append(body, content...))
}

// BoundMemory is the file with a bound on how many pages its memory can grow to: every host keeps to it, because it is
// part of the memory's type. A bound that is tighter already stays.
func (f *File) BoundMemory(pages uint64) ([]byte, error) {
	switch {
	case f.Memory == nil:
		return nil, errors.New("bound memory: the .wasm has no memory of its own")
	case f.Memory.Min > pages:
		return nil, fmt.Errorf("bound memory: the .wasm begins with %d KiB, more than the bound of %d KiB", f.Memory.Min*PageSize>>10, pages*PageSize>>10)
	case f.Memory.Bounded && f.Memory.Max <= pages:
		return f.data, nil
	}
	found := false
	bounded := f.Rewrite(func(to []byte, s Section) []byte {
		if s.ID != memorySection {
			return append(to, f.Whole(s)...)
		}
		found = true
		return AppendSection(to, s.ID, append(appendNumber([]byte{1, 1}, f.Memory.Min), appendNumber(nil, pages)...))
	})
	if found {
		return bounded, nil
	}
	return nil, errors.New("bound memory: the .wasm imports its memory")
}

func appendNumber(dst []byte, n uint64) []byte {
	for n >= 0x80 {
		dst = append(dst, byte(n)|0x80)
		n >>= 7
	}
	return append(dst, byte(n))
}
