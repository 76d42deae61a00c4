// Package meter rewrites a WebAssembly module so that it cannot run for ever, nor deeper than allowed, without asking.
//
// Each function that calls others counts down what is left of its fuel, and how much deeper it may go; memory and table
// instructions that work on many bytes count those; jumps back to the head of a loop count in a local variable of the function, and every so
// many of them count as fuel. When it runs out, an imported function is called, which returns, and so lets the module go on
// for another Step, or panics, which ends it. The same where calls are nested too deep.
//
// Fuel and depth are one global variable of 64 bits, so that a call costs one load, one store and one test: the upper half is how
// much deeper it may go, the lower half the fuel, and the highest bit of each tells that it has run out.
//
// Why not wazero's own WithCloseOnContextDone: it leaves native code at every loop, also the short ones that compiled Go consists of,
// which makes our modules twice as slow; and a goroutine and a timer per call. Counting costs a tenth of that
// (BenchmarkOurPipeline in package abi). It also gives Go's scheduler and collector a moment to stop the thread, which native code
// without calls does not.
//
// On the way bounds.Function makes functions faster in wazero.
package meter

import (
	"bytes"

	"github.com/leash-gateway/leash/manifest/wasmfile/code"
)

// The functions that a rewritten module imports.
const (
	Module = "leash"
	// Function has one parameter, one of the reasons, and no result.
	Function = "ask"
	// ConditionFunction is imported where conditions are counted. Its parameters are a condition and its number, its result is the condition.
	ConditionFunction = "condition"
)

// Reasons to ask.
const (
	OutOfFuel = iota
	TooDeep
)

// Step is how many units of fuel a module has until it asks: loop rounds, calls, 64 bytes of a memory.copy. It takes some
// milliseconds.
const Step = 1 << 20

// Sections of a module. https://webassembly.github.io/spec/core/binary/modules.html#sections
const (
	customSection = iota
	typeSection
	importSection
	functionSection
	tableSection
	memorySection
	globalSection
	exportSection
	startSection
	elementSection
	codeSection
	dataSection
	dataCountSection
)

// order is the place of a section in a module, by its id: the data count comes before the code.
var order = [...]int{customSection: 0, typeSection: 1, importSection: 2, functionSection: 3, tableSection: 4, memorySection: 5, globalSection: 6, exportSection: 7, startSection: 8, elementSection: 9, dataCountSection: 10, codeSection: 11, dataSection: 12}

var magic = []byte("\x00asm\x01\x00\x00\x00")

// Options are how a module is rewritten.
type Options struct {
	// MaxDepth is how deep calls may be nested.
	MaxDepth int32
	// Conditions says that the module tells of the conditions of its ifs and br_ifs, which are numbered as they stand in the file. Functions are left as slow as
	// they are, so that it is these.
	Conditions bool
}

// Rewrite returns the module with counting in it.
func Rewrite(wasm []byte, o Options) ([]byte, error) {
	m := &module{Options: o, added: 1}
	if o.Conditions {
		m.added++
	}
	if err := m.read(wasm); err != nil {
		return nil, err
	}
	return m.write()
}

// module is a module on its way through the rewriting.
type module struct {
	Options
	sections []section

	added      uint32 // imports
	conditions int32  // that have been met

	types           [][]byte // as they stand in the type section
	functionTypes   []uint32 // of the functions that are defined, not imported
	importedFuncs   uint32
	importedGlobals uint32
	globals         uint32

	askType, chargeType, settleType, conditionType uint32

	left   uint32 // index of the global: depth and fuel
	charge uint32 // index of the function that counts bytes; settle's is the next
}

type section struct {
	id   byte
	body []byte
}

func (m *module) section(id byte) *section {
	for i := range m.sections {
		if m.sections[i].id == id {
			return &m.sections[i]
		}
	}
	return nil
}

// ensure makes a section if there is none.
func (m *module) ensure(id byte) {
	if m.section(id) != nil {
		return
	}
	at := 0
	for i, s := range m.sections {
		if s.id != customSection && order[s.id] < order[id] {
			at = i + 1
		}
	}
	m.sections = append(m.sections[:at], append([]section{{id, []byte{0}}}, m.sections[at:]...)...)
}

func (m *module) read(wasm []byte) error {
	if !bytes.HasPrefix(wasm, magic) {
		return code.ErrMalformed
	}
	r := code.Reader{Data: wasm[len(magic):]}
	for !r.Empty() {
		id := r.Byte()
		if int(id) >= len(order) {
			return code.ErrMalformed
		}
		m.sections = append(m.sections, section{id, r.Take(r.U32())})
	}
	if r.Bad || !m.readTypes() || !m.readImports() {
		return code.ErrMalformed
	}
	if s := m.section(functionSection); s != nil {
		r := code.Reader{Data: s.body}
		for n := r.Count(); n > 0 && !r.Empty(); n-- {
			m.functionTypes = append(m.functionTypes, r.U32())
		}
	}
	if s := m.section(globalSection); s != nil {
		r := code.Reader{Data: s.body}
		m.globals = r.Count()
	}
	return nil
}

func (m *module) readTypes() bool {
	s := m.section(typeSection)
	if s == nil {
		return true
	}
	r := code.Reader{Data: s.body}
	for n := r.Count(); n > 0 && !r.Empty(); n-- {
		before := r.Data
		r.Byte()
		r.Take(r.U32())
		r.Take(r.U32())
		m.types = append(m.types, r.Since(before))
	}
	return !r.Bad
}

// readImports counts functions and globals, and refuses modules that import the function that is ours to give.
func (m *module) readImports() bool {
	s := m.section(importSection)
	if s == nil {
		return true
	}
	r := code.Reader{Data: s.body}
	for n := r.Count(); n > 0 && !r.Empty(); n-- {
		from := string(r.Take(r.U32()))
		r.Take(r.U32())
		switch r.Byte() {
		case 0:
			r.U32()
			m.importedFuncs++
			if from == Module {
				return false
			}
		case 1:
			r.Byte()
			skipLimits(&r)
		case 2:
			skipLimits(&r)
		case 3:
			r.Byte()
			r.Byte()
			m.importedGlobals++
		default:
			return false
		}
	}
	return !r.Bad
}

func skipLimits(r *code.Reader) {
	flags := r.Byte()
	r.SkipLEB()
	if flags&1 != 0 {
		r.SkipLEB()
	}
}

// typeIndex is the index of a function type, which is added if the module has none such.
func (m *module) typeIndex(of string) uint32 {
	for i, t := range m.types {
		if string(t) == of {
			return uint32(i) //nolint:gosec // a module has not that many
		}
	}
	m.types = append(m.types, []byte(of))
	return uint32(len(m.types) - 1) //nolint:gosec // likewise
}

func (m *module) write() ([]byte, error) {
	m.askType = m.typeIndex("\x60\x01\x7f\x00")        // (i32) -> ()
	m.chargeType = m.typeIndex("\x60\x01\x7f\x01\x7f") // (i32) -> (i32)
	m.settleType = m.typeIndex("\x60\x00\x00")         // () -> ()
	if m.Conditions {
		m.conditionType = m.typeIndex("\x60\x02\x7f\x7f\x01\x7f") // (i32, i32) -> (i32)
	}
	m.left = m.importedGlobals + m.globals
	m.charge = m.importedFuncs + m.added + uint32(len(m.functionTypes)) //nolint:gosec // a module has not that many
	m.ensure(typeSection)
	m.ensure(importSection)
	m.ensure(functionSection)
	m.ensure(globalSection)
	m.ensure(codeSection)
	// The code first, because it may need more types.
	for _, change := range []struct {
		id byte
		do func(*code.Reader) []byte
	}{
		{codeSection, m.code}, {typeSection, m.typesSection}, {importSection, m.imports}, {functionSection, m.functions},
		{globalSection, m.globalsSection}, {exportSection, m.exports}, {startSection, m.start}, {elementSection, m.elements},
		{tableSection, unchanged}, {dataSection, unchanged}, {dataCountSection, number},
	} {
		s := m.section(change.id)
		if s == nil {
			continue
		}
		r := &code.Reader{Data: s.body}
		body := change.do(r)
		if r.Bad {
			return nil, code.ErrMalformed
		}
		s.body = body
	}
	out := append([]byte(nil), magic...)
	for _, s := range m.sections {
		if s.id == customSection && !m.custom(&s) {
			continue
		}
		out = append(code.U32(append(out, s.id), uint32(len(s.body))), s.body...) //nolint:gosec // a module has not that many
	}
	return out, nil
}

// shifted is the index of a function after more have been imported.
func (m *module) shifted(f uint32) uint32 {
	if f >= m.importedFuncs {
		return f + m.added
	}
	return f
}

func (m *module) typesSection(r *code.Reader) []byte {
	r.Data = nil
	out := code.U32(nil, uint32(len(m.types))) //nolint:gosec // a module has not that many
	for _, t := range m.types {
		out = append(out, t...)
	}
	return out
}

func (m *module) imports(r *code.Reader) []byte {
	out := append(code.U32(nil, r.Count()+m.added), r.Data...)
	out = imported(out, Function, m.askType)
	if m.Conditions {
		out = imported(out, ConditionFunction, m.conditionType)
	}
	return out
}

// imported appends a function that is imported.
func imported(out []byte, name string, typ uint32) []byte {
	out = append(append(out, byte(len(Module))), Module...)
	out = append(code.U32(out, uint32(len(name))), name...) //nolint:gosec // one of two
	return code.U32(append(out, 0), typ)
}

func (m *module) functions(r *code.Reader) []byte {
	return code.U32(code.U32(append(code.U32(nil, r.Count()+2), r.Data...), m.chargeType), m.settleType)
}

func (m *module) globalsSection(r *code.Reader) []byte {
	n := r.Count()
	out := code.U32(nil, n+1)
	for ; n > 0 && !r.Empty(); n-- {
		out = append(out, r.Take(2)...)
		out = m.expression(out, r)
	}
	const variable = 1
	return append(i64Const(append(out, i64, variable), int64(m.MaxDepth)*oneDeeper+Step), code.End)
}

func (m *module) exports(r *code.Reader) []byte {
	n := r.Count()
	out := code.U32(nil, n)
	for ; n > 0 && !r.Empty(); n-- {
		name := r.Take(r.U32())
		kind, index := r.Byte(), r.U32()
		if kind == 0 {
			index = m.shifted(index)
		}
		out = append(code.U32(out, uint32(len(name))), name...) //nolint:gosec // part of the module
		out = code.U32(append(out, kind), index)
	}
	return out
}

func (m *module) start(r *code.Reader) []byte { return code.U32(nil, m.shifted(r.U32())) }

// elements are lists of functions, in the eight forms of
// https://webassembly.github.io/spec/core/binary/modules.html#element-section
func (m *module) elements(r *code.Reader) []byte {
	const (
		passiveOrDeclared = 1 << iota
		explicit
		expressions
	)
	n := r.Count()
	out := code.U32(nil, n)
	for ; n > 0 && !r.Empty(); n-- {
		flags := r.U32()
		out = code.U32(out, flags)
		if flags > passiveOrDeclared|explicit|expressions {
			r.Bad = true
			return nil
		}
		if flags&passiveOrDeclared == 0 {
			if flags&explicit != 0 {
				out = code.U32(out, r.U32())
			}
			out = m.expression(out, r)
		}
		if flags&(passiveOrDeclared|explicit) != 0 {
			out = append(out, r.Byte())
		}
		count := r.Count()
		out = code.U32(out, count)
		for ; count > 0 && !r.Empty(); count-- {
			if flags&expressions != 0 {
				out = m.expression(out, r)
			} else {
				out = code.U32(out, m.shifted(r.U32()))
			}
		}
	}
	return out
}

// unchanged is a section that stays as it is, if it can have as much in it as it says.
func unchanged(r *code.Reader) []byte {
	whole := r.Data
	r.Count()
	return whole
}

// number is a section that is one number. wazero takes the half of one at the end of a module, behind which more would then stand.
func number(r *code.Reader) []byte {
	whole := r.Data
	r.U32()
	return whole
}

// custom keeps a custom section, with the functions' names at their new indices, or drops one that it cannot read.
func (m *module) custom(s *section) bool {
	r := code.Reader{Data: s.body}
	if string(r.Take(r.U32())) != "name" {
		return true
	}
	out := append([]byte{4}, "name"...)
	for !r.Empty() {
		const functionNames = 1
		id, names := r.Byte(), code.Reader{}
		names.Data = r.Take(r.U32())
		if id != functionNames {
			continue
		}
		n := names.Count()
		list := code.U32(nil, n)
		for ; n > 0 && !names.Empty(); n-- {
			list = code.U32(list, m.shifted(names.U32()))
			name := names.Take(names.U32())
			list = append(code.U32(list, uint32(len(name))), name...) //nolint:gosec // part of the module
		}
		if names.Bad {
			return false
		}
		out = append(code.U32(append(out, id), uint32(len(list))), list...) //nolint:gosec // part of the module
	}
	s.body = out
	return !r.Bad
}
