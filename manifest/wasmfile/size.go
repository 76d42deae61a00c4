package wasmfile

import (
	"cmp"
	"slices"
	"strings"
)

// A Share is how many bytes of a .wasm something takes.
type Share struct {
	Name  string
	Bytes int
}

// Shares tells what takes the space: each section, and below the code the packages whose functions it is made of, the
// largest first. The packages are known only where the .wasm still holds its name section.
func (f *File) Shares() (sections, packages []Share) {
	named := map[string]int{}
	for _, s := range f.Sections {
		name := s.Name
		if s.ID == Custom {
			name = "custom: " + name
		}
		sections = append(sections, Share{name, s.End - s.Start})
		if s.ID == codeSection {
			f.functions(s, named)
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
func (f *File) functions(s Section, by map[string]int) {
	defer func() { _ = recover() }() // names are for information: a .wasm with broken ones has none
	names := f.functionNames()
	if len(names) == 0 {
		return
	}
	first := uint64(len(f.Imports))
	r := &reader{data: f.data[:s.End], at: s.Body}
	for i := range r.count() {
		by[packageOf(names[first+uint64(i)])] += len(r.bytes()) //nolint:gosec // an index
	}
}

// functionNames reads the subsection of function names.
// https://webassembly.github.io/spec/core/appendix/custom.html#name-section
func (f *File) functionNames() map[uint64]string {
	section, found := f.CustomSection("name")
	if !found {
		return nil
	}
	const functions = 1
	names := map[uint64]string{}
	for r := (&reader{data: section}); r.at < len(section); {
		id := r.byte()
		sub := &reader{data: r.bytes()}
		if id != functions {
			continue
		}
		for range sub.count() {
			index := sub.number()
			names[index] = sub.name()
		}
	}
	return names
}

// packageOf is the Go package of a function: the linker writes github.com/a/b.(*T).M as github.com_a_b.__T_.M, with
// slashes and dots of the path kept by newer ones, so the name is cut at the first dot behind the last slash.
func packageOf(function string) string {
	if function == "" {
		return "(without a name)"
	}
	slash := strings.LastIndexByte(function, '/')
	if bracket := strings.IndexAny(function, "[("); bracket >= 0 && bracket < slash { // a type argument's path
		slash = strings.LastIndexByte(function[:bracket], '/')
	}
	dot := strings.IndexByte(function[slash+1:], '.')
	if dot < 0 {
		return "(runtime)"
	}
	return function[:slash+1+dot]
}
