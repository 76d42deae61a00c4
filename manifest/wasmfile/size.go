package wasmfile

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
)

// A Share is how many bytes of a .wasm something takes.
type Share struct {
	Name  string
	Bytes int
}

// Shares tells what takes the space: each section, and of the code the Go packages whose functions it is made of, the
// largest first. The packages are known only where the .wasm still holds its name section; known are the import paths
// that may be among them.
func (f *File) Shares(known ...string) (sections, packages []Share) {
	named, paths := map[string]int{}, map[string]string{}
	for _, path := range known {
		paths[mangled.ReplaceAllString(path, "_")] = path
	}
	for _, s := range f.Sections {
		name := s.Name
		if s.ID == Custom {
			name = "custom: " + name
		}
		sections = append(sections, Share{name, s.End - s.Start})
		if s.ID == Code {
			f.functions(s, paths, named)
		}
	}
	for name, size := range named {
		packages = append(packages, Share{name, size})
	}
	for _, shares := range [][]Share{sections, packages} {
		slices.SortFunc(shares, func(a, b Share) int { return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Name, b.Name)) })
	}
	return sections, packages
}

// functions adds up the code section's functions by package.
func (f *File) functions(s Section, paths map[string]string, by map[string]int) {
	defer func() { _ = recover() }() // sizes are for information: a .wasm with broken functions has none, or those ahead of them
	names := f.FunctionNames()
	if len(names) == 0 {
		return
	}
	first := f.ImportedFunctions
	r := &reader{data: f.data[:s.End], at: s.Body}
	for i := range r.count() {
		by[packageOf(names[first+uint32(i)], paths)] += len(r.bytes()) //nolint:gosec // an index
	}
}

// FunctionNames are the names of functions by their numbers, of which the imported ones are the first. They are for information: a .wasm with broken ones has none.
// https://webassembly.github.io/spec/core/appendix/custom.html#name-section
func (f *File) FunctionNames() (names map[uint32]string) {
	defer func() {
		if recover() != nil {
			names = nil
		}
	}()
	section, found := f.CustomSection("name")
	if !found {
		return nil
	}
	const functions = 1
	names = map[uint32]string{}
	for r := (&reader{data: section}); r.at < len(section); {
		id := r.byte()
		sub := &reader{data: r.bytes()}
		if id != functions {
			continue
		}
		for range sub.count() {
			index := sub.number()
			names[uint32(index)] = sub.name() //nolint:gosec // a module has not that many
		}
	}
	return names
}

// mangled is what the linker does not let stand in a function's name.
// https://github.com/golang/go/blob/master/src/cmd/link/internal/wasm/asm.go
var mangled = regexp.MustCompile(`[^\w.]`)

// packageOf is the Go package of a function.
func packageOf(function string, paths map[string]string) string {
	for dot := strings.IndexByte(function, '.'); dot >= 0; {
		if path, found := paths[function[:dot]]; found {
			return path
		}
		next := strings.IndexByte(function[dot+1:], '.')
		if next < 0 {
			break
		}
		dot += 1 + next
	}
	return "(generated)"
}
