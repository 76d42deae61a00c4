// Package asm makes small proxy-wasm modules for tests: each makes the host calls that a test names, in the callbacks that it
// names, and logs what they answered. They need no compiler, so a test holds its module as a table.
//
//	asm.Module{
//		"proxy_on_request_headers": {Do: []asm.Step{
//			asm.Call("proxy_get_header_map_value", asm.Word(0), asm.Text(":path"), asm.OutBytes()),
//		}},
//	}.Build()
//
// logs "proxy_get_header_map_value = 00000000" (the status) and "> /the/path" (the result).
package asm

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/leash-gateway/leash/manifest/wasmfile/code"
)

// Module is what a module does, by the name of the callback. One named malloc replaces the allocator that modules here have.
type Module map[string]Callback

// Callback is what a module does in a callback: Do, and then return Return if the callback has a result.
type Callback struct {
	Do     []Step
	Return int32
	// Params logs the parameters, without the first, which is the context.
	Params bool
}

// A Step is something that a callback does.
type Step func(*function)

// An Arg is one parameter of a host call in the specification's sense: bytes are one, though two in Wasm.
type Arg func(*function)

// Where a module keeps what: words for Save and OutWord, results, text, and from heap on what the host allocates.
const (
	slots = 64
	outs  = 1024
	line  = 2048
	text  = 4096
	heap  = 64 << 10
)

// OutOfMemory is an address that no module has.
const OutOfMemory = 0xfffffff0

// signatures of the callbacks: number of parameters, and whether there is a result. "3r" has both.
var callbacks = map[string]string{
	"_initialize": "0", "leash_kit": "0", "malloc": "1r", "proxy_on_context_create": "2", "proxy_on_vm_start": "2r", "proxy_on_configure": "2r", "proxy_on_tick": "1",
	"proxy_on_done": "1r", "proxy_on_log": "1", "proxy_on_delete": "1", "proxy_on_request_headers": "3r", "proxy_on_request_body": "3r",
	"proxy_on_request_trailers": "2r", "proxy_on_response_headers": "3r", "proxy_on_response_body": "3r", "proxy_on_response_trailers": "2r",
	"proxy_on_new_connection": "1r", "proxy_on_downstream_data": "3r", "proxy_on_upstream_data": "3r",
	"proxy_on_downstream_connection_close": "2", "proxy_on_upstream_connection_close": "2", "proxy_on_http_call_response": "5",
	"proxy_on_grpc_receive": "3", "proxy_on_grpc_close": "3", "proxy_on_grpc_receive_initial_metadata": "3",
	"proxy_on_grpc_receive_trailing_metadata": "3", "proxy_on_queue_ready": "2", "proxy_on_foreign_function": "3",
	"proxy_validate_configuration": "2r", "proxy_on_request_metadata": "2r", "proxy_on_response_metadata": "2r",
}

// Call calls the host and logs "name = status" in hexadecimal, and what the out arguments got.
func Call(name string, args ...Arg) Step {
	return func(f *function) {
		f.after = nil
		f.types = nil
		for _, arg := range args {
			arg(f)
		}
		f.call(name, string(f.types), "i")
		f.set(f.status)
		f.logHex(name+" = ", func() { f.get(f.status) })
		after := f.after
		for _, log := range after {
			// Results mean something only if the status is OK.
			f.get(f.status)
			f.op(0x45, 0x04, 0x40) // i32.eqz; if
			log()
			f.op(0x0b)
		}
	}
}

// Drop calls the host and does nothing with the status.
func Drop(name string, args ...Arg) Step {
	return func(f *function) {
		f.types = nil
		for _, arg := range args {
			arg(f)
		}
		f.call(name, string(f.types), "i")
		f.op(0x1a)
	}
}

// CallVoid calls a function without a result, and logs nothing.
func CallVoid(name string, args ...Arg) Step {
	return func(f *function) {
		f.types = nil
		for _, arg := range args {
			arg(f)
		}
		f.call(name, string(f.types), "")
	}
}

// Log logs a line at level info.
func Log(message string) Step {
	return func(f *function) { f.log(message) }
}

// Save remembers an argument in a slot for later callbacks.
func Save(slot int, arg Arg) Step {
	return func(f *function) {
		f.i32(slots + 4*int32(slot)) //nolint:gosec // a test's
		arg(f)
		f.op(0x36, 2, 0) // i32.store
	}
}

// Store writes the two numbers of a Text to memory: where it is and how long.
func Store(at int32, text Arg) Step {
	return func(f *function) {
		text(f)
		f.set(f.digit) // the length
		f.set(f.status)
		f.i32(at)
		f.get(f.status)
		f.op(0x36, 2, 0)
		f.i32(at + 4)
		f.get(f.digit)
		f.op(0x36, 2, 0)
	}
}

// Raw is any instructions, as bytes.
func Raw(code ...byte) Step { return func(f *function) { f.op(code...) } }

// Trap ends the VM.
func Trap() Step { return Raw(0x00) }

// Pause is what a callback returns that holds its part.
const Pause = 1

// PauseUntilEnd returns from a callback for a body: Pause until its last piece has come.
func PauseUntilEnd() Step {
	const localGet, endOfStream, eqz, ret = 0x20, 2, 0x45, 0x0f
	return Raw(localGet, endOfStream, eqz, ret)
}

// IfEnd begins what a callback for a body does only with its last piece, up to EndIf.
func IfEnd() Step {
	const localGet, endOfStream, ifOp, noResult = 0x20, 2, 0x04, 0x40
	return Raw(localGet, endOfStream, ifOp, noResult)
}

// EndIf ends what IfEnd began.
func EndIf() Step { return Raw(0x0b) }

// Itself calls the callback again, with its own parameters, for ever.
func Itself() Step {
	return func(f *function) {
		for i := range f.params {
			f.get(byte(i)) //nolint:gosec // at most 5
		}
		// All callbacks come after all imports, but how many there are is known only at the end.
		f.op(0x10)
		f.itself = append(f.itself, len(f.code))
		f.op(0x80, 0x80, 0x80, 0x80, 0x00)
		f.op(0x1a)
	}
}

// Word is a number.
func Word(n uint32) Arg {
	return func(f *function) { f.types = append(f.types, 'i'); f.i32(int32(n)) } //nolint:gosec // bits
}

// Long is a 64-bit number.
func Long(n int64) Arg {
	return func(f *function) {
		f.types = append(f.types, 'I')
		f.op(0x42)
		f.code = code.Signed(f.code, n)
	}
}

// Param is a parameter of the callback; 0 is the context.
func Param(i byte) Arg {
	return func(f *function) { f.types = append(f.types, 'i'); f.get(i) }
}

// Slot is what Save or OutWord has put there.
func Slot(slot int) Arg {
	return func(f *function) {
		f.types = append(f.types, 'i')
		f.i32(slots + 4*int32(slot)) //nolint:gosec // a test's
		f.op(0x28, 2, 0)             // i32.load
	}
}

// Text is bytes.
func Text(s string) Arg {
	return func(f *function) {
		f.types = append(f.types, "ii"...)
		f.i32(f.m.text(s))
		f.i32(int32(len(s))) //nolint:gosec // a test's
	}
}

// Pairs is a list of names and values in turn.
func Pairs(namesAndValues ...string) Arg {
	head := binary.LittleEndian.AppendUint32(nil, uint32(len(namesAndValues)/2)) //nolint:gosec // a test's
	for _, s := range namesAndValues {
		head = binary.LittleEndian.AppendUint32(head, uint32(len(s))) //nolint:gosec // likewise
	}
	return Text(string(head) + strings.Join(namesAndValues, "\x00") + "\x00")
}

// OutBytes is where bytes are to be written. They are logged as a line of their own: "> bytes".
func OutBytes() Arg {
	return func(f *function) {
		f.types = append(f.types, "ii"...)
		at := f.out()
		f.i32(at)
		f.i32(at + 4)
		f.after = append(f.after, func() {
			// "> " and then the bytes, copied behind it.
			f.i32(line)
			f.i32(0x203e)
			f.op(0x3b, 1, 0) // i32.store16
			f.i32(line + 2)
			f.load(at)
			f.load(at + 4)
			f.op(0xfc, 10, 0, 0) // memory.copy
			f.i32(infoLevel)
			f.i32(line)
			f.load(at + 4)
			f.i32(2)
			f.op(0x6a)
			f.call("proxy_log", "iii", "i")
			f.op(0x1a)
		})
	}
}

// OutWord is where 32 bits are to be written; they are logged in hexadecimal, and stay in the slot.
func OutWord(slot int) Arg {
	return func(f *function) {
		f.types = append(f.types, 'i')
		at := slots + 4*int32(slot) //nolint:gosec // a test's
		f.i32(at)
		f.after = append(f.after, func() { f.logHex("> ", func() { f.load(at) }) })
	}
}

// OutQuiet is OutWord without a log line, for what differs from host to host.
func OutQuiet(slot int) Arg {
	return func(f *function) {
		f.types = append(f.types, 'i')
		f.i32(slots + 4*int32(slot)) //nolint:gosec // a test's
	}
}

// OutLong is where 64 bits are to be written; the lower half is logged in hexadecimal.
func OutLong() Arg {
	return func(f *function) {
		f.types = append(f.types, 'i')
		at := f.out()
		f.i32(at)
		f.after = append(f.after, func() { f.logHex("> ", func() { f.load(at) }) })
	}
}

// OutNumber is where a number is to be written as bytes, as that of a property; its lower half is logged in hexadecimal.
func OutNumber() Arg {
	return func(f *function) {
		f.types = append(f.types, "ii"...)
		at := f.out()
		f.i32(at)
		f.i32(at + 4)
		f.after = append(f.after, func() { f.logHex("> ", func() { f.load(at); f.op(0x28, 2, 0) }) }) // i32.load of what it points to
	}
}

// OutUnseen is where bytes are to be written, which are not logged.
func OutUnseen() Arg {
	return func(f *function) {
		f.types = append(f.types, "ii"...)
		at := f.out()
		f.i32(at)
		f.i32(at + 4)
	}
}

const infoLevel = 2

// Build is the module for ABI 0.2.1.
func (m Module) Build() []byte { return m.BuildFor("0_2_1") }

// BuildFor is the module for another version of the ABI: "0_1_0", "0_2_0".
func (m Module) BuildFor(version string) []byte {
	b := &builder{strings: map[string]int32{}}
	names := slices.Sorted(maps.Keys(m))
	for _, name := range names {
		b.callback(name, m[name], version)
	}
	return b.module(version)
}

type builder struct {
	imports   []imported
	types     []string // "iii>i"
	functions []*function
	strings   map[string]int32
	data      []byte
}

type imported struct{ name, typ string }

type function struct {
	m      *builder
	name   string
	typ    string
	code   []byte
	params int
	status byte // the local that holds the status of the last call
	digit  byte // a local of logHex
	types  []byte
	after  []func()
	used   int32
	itself []int // where in the code its own index belongs, in five bytes
}

func (b *builder) callback(name string, c Callback, version string) {
	signature, known := callbacks[name]
	if !known {
		panic("asm: no callback " + name)
	}
	params := int(signature[0] - '0')
	if version == "0_1_0" && strings.HasSuffix(name, "_headers") {
		params--
	}
	typ := strings.Repeat("i", params) + ">"
	if strings.HasSuffix(signature, "r") {
		typ += "i"
	}
	f := &function{m: b, name: name, typ: typ, params: params, status: byte(params), digit: byte(params + 1)} //nolint:gosec // at most 5
	if c.Params {
		for i := 1; i < params; i++ {
			f.logHex(fmt.Sprintf("%s %d = ", name, i), func() { f.get(byte(i)) }) //nolint:gosec // at most 5
		}
	}
	for _, step := range c.Do {
		f.used = 0
		step(f)
	}
	if strings.HasSuffix(typ, "i") && strings.HasSuffix(signature, "r") {
		f.i32(c.Return)
	}
	b.functions = append(b.functions, f)
}

func (f *function) op(code ...byte) { f.code = append(f.code, code...) }
func (f *function) get(local byte)  { f.op(0x20, local) }
func (f *function) set(local byte)  { f.op(0x21, local) }
func (f *function) i32(n int32)     { f.op(0x41); f.code = code.Signed(f.code, int64(n)) }
func (f *function) load(at int32)   { f.i32(at); f.op(0x28, 2, 0) }

// out is a place for results of 64 bits.
func (f *function) out() int32 {
	const long = 8
	at := outs + f.used
	f.used += long
	return at
}

// call calls an import.
func (f *function) call(name, params, results string) {
	typ := params + ">" + results
	at := slices.IndexFunc(f.m.imports, func(i imported) bool { return i.name == name })
	if at < 0 {
		at = len(f.m.imports)
		f.m.imports = append(f.m.imports, imported{name, typ})
	}
	f.op(0x10)
	f.code = uleb(f.code, at)
}

func (f *function) log(message string) {
	f.i32(infoLevel)
	f.i32(f.m.text(message))
	f.i32(int32(len(message))) //nolint:gosec // a test's
	f.call("proxy_log", "iii", "i")
	f.op(0x1a) // drop
}

// logHex logs a prefix and what push pushes, as eight digits behind the prefix in its text.
func (f *function) logHex(prefix string, push func()) {
	message := prefix + "--------"
	at := f.m.text(message) + int32(len(prefix)) //nolint:gosec // a test's
	push()
	f.set(f.digit)
	const digits = 8
	for i := range int32(digits) {
		f.i32(at + i)
		nibble := func() {
			f.get(f.digit)
			f.i32(28 - 4*i)
			f.op(0x76) // i32.shr_u
			f.i32(15)
			f.op(0x71) // i32.and
		}
		// '0' + nibble + 39 if it is above 9
		nibble()
		f.i32('0')
		f.op(0x6a) // i32.add
		nibble()
		f.i32(9)
		f.op(0x4b) // i32.gt_u
		f.i32('a' - '0' - 10)
		f.op(0x6c, 0x6a) // i32.mul, i32.add
		f.op(0x3a, 0, 0) // i32.store8
	}
	f.log(message)
}

// text is the address of a string in the module's memory.
func (b *builder) text(s string) int32 {
	if at, known := b.strings[s]; known {
		return at
	}
	at := int32(text + len(b.data)) //nolint:gosec // a test's
	b.strings[s] = at
	b.data = append(b.data, s...)
	return at
}

func (b *builder) typeOf(typ string) int {
	if i := slices.Index(b.types, typ); i >= 0 {
		return i
	}
	b.types = append(b.types, typ)
	return len(b.types) - 1
}

// module puts the sections together.
func (b *builder) module(version string) []byte {
	const mallocType, voidType = "i>i", ">"
	var imports, functions, exports, bodies []byte
	imports = uleb(imports, len(b.imports))
	for _, i := range b.imports {
		from := "env"
		if !strings.HasPrefix(i.name, "proxy_") && i.name != "pthread_equal" && i.name != "emscripten_notify_memory_growth" {
			from = "wasi_snapshot_preview1"
		}
		imports = uleb(append(str(str(imports, from), i.name), 0), b.typeOf(i.typ))
	}
	add := func(name, typ string, locals byte, body []byte, exported bool) {
		index := len(b.imports) + len(functions) // each is one byte
		functions = uleb(functions, b.typeOf(typ))
		if exported {
			exports = uleb(append(str(exports, name), 0), index)
		}
		full := []byte{0}
		if locals > 0 {
			full = []byte{1, locals, 0x7f}
		}
		full = append(append(full, body...), 0x0b)
		bodies = append(uleb(bodies, len(full)), full...)
	}
	n := 0
	for _, f := range b.functions {
		for _, at := range f.itself {
			index := len(b.imports) + n
			copy(f.code[at:], []byte{byte(index) | 0x80, byte(index>>7) | 0x80, 0x80, 0x80, 0x00}) //nolint:gosec // bits of a LEB128 number
		}
		add(f.name, f.typ, 2, f.code, true)
		n++
	}
	// malloc moves a pointer: (local.get 0; heap += ...; return old)
	malloc := []byte{0x23, 0, 0x23, 0, 0x20, 0, 0x6a, 0x41, 7, 0x6a, 0x41, 0x78, 0x71, 0x24, 0} // global.get; (heap+n+7)&-8; global.set
	if !slices.ContainsFunc(b.functions, func(f *function) bool { return f.name == "malloc" }) {
		add("malloc", mallocType, 0, malloc, true)
		n++
	}
	add("proxy_abi_version_"+version, voidType, 0, nil, true)
	n++
	exports = append(str(exports, "memory"), 2, 0)
	out := []byte("\x00asm\x01\x00\x00\x00")
	section := func(id byte, body []byte) { out = append(uleb(append(out, id), len(body)), body...) }
	section(1, b.typeSection())
	section(2, imports)
	section(3, append(uleb(nil, n), functions...))
	const pages = 32
	section(5, []byte{1, 0, pages})
	section(6, append(code.Signed([]byte{1, 0x7f, 1, 0x41}, heap), 0x0b))
	section(7, append(uleb(nil, n+1), exports...))
	section(10, append(uleb(nil, n), bodies...))
	data := append(code.Signed([]byte{1, 0, 0x41}, text), 0x0b)
	section(11, append(uleb(data, len(b.data)), b.data...))
	return out
}

func (b *builder) typeSection() []byte {
	out := uleb(nil, len(b.types))
	for _, typ := range b.types {
		params, results, _ := strings.Cut(typ, ">")
		out = append(out, 0x60)
		for _, list := range []string{params, results} {
			out = uleb(out, len(list))
			for _, t := range list {
				if t == 'I' {
					out = append(out, 0x7e)
				} else {
					out = append(out, 0x7f)
				}
			}
		}
	}
	return out
}

func str(to []byte, s string) []byte { return append(uleb(to, len(s)), s...) }

func uleb(to []byte, n int) []byte { return binary.AppendUvarint(to, uint64(n)) } //nolint:gosec // never negative
