package distribution_test

import (
	"encoding/binary"
	"testing"

	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/manifest/wasmfile/code"
)

// A behavior is what a module of these tests does besides adding the header x-version to requests and answers.
type behavior string

const (
	good behavior = ""
	// It says that it is made with the kit.
	ofTheKit behavior = "of the kit"
	// The VM does not start, the module traps on its configuration, refuses it, or never comes back from it.
	trapsAtStart      behavior = "traps at start"
	trapsOnConfigure  behavior = "traps on configure"
	refusesConfigure  behavior = "refuses configure"
	hangsOnConfigure  behavior = "hangs on configure"
	failsRequests     behavior = "answers 500"
	refusesRequests   behavior = "answers 403"
	crashesOnRequests behavior = "traps on requests"
)

// greeter is a real module in a few hundred bytes, so that Envoy loads it in milliseconds.
func greeter(t testing.TB, version, kind string, does behavior) []byte {
	t.Helper()
	const name = "x-version"
	memory := append([]byte(name), version...)
	var a assembly
	a.imports = append(a.imports, a.imported("env", "proxy_add_header_map_value", 5), a.imported("env", "proxy_send_local_response", 8))
	constant := func(n int) []byte { return code.Signed([]byte{code.I32Const}, int64(n)) }
	call := func(function int, args ...int) (code []byte) {
		for _, n := range args {
			code = append(code, constant(n)...)
		}
		return append(code, 0x10, byte(function), 0x1a)
	}
	reply := func(status int) []byte { return call(1, status, 0, 0, 0, 0, 0, 0, -1) }
	const requestHeaders, responseHeaders = 0, 2
	add := func(headers int) []byte { return call(0, headers, 0, len(name), len(name), len(version)) }
	trap, hang := []byte{0x00}, []byte{0x03, 0x40, 0x0c, 0x00, 0x0b}
	start, configure, configured, request := []byte(nil), []byte(nil), 1, add(requestHeaders)
	paused := 0
	switch does {
	case trapsAtStart:
		start = trap
	case trapsOnConfigure:
		configure = trap
	case hangsOnConfigure:
		configure = hang
	case refusesConfigure:
		configured = 0
	case failsRequests:
		request, paused = reply(500), 1
	case refusesRequests:
		request, paused = reply(403), 1
	case crashesOnRequests:
		request = trap
	case ofTheKit:
		a.function("leash_kit", 0, nil, nil)
	case good:
	}
	a.function("proxy_abi_version_0_2_1", 0, nil, nil)
	a.function("_initialize", 0, start, nil)
	a.function("proxy_on_memory_allocate", 1, nil, constant(1024))
	a.function("proxy_on_context_create", 2, nil, nil)
	a.function("proxy_on_vm_start", 2, nil, constant(1))
	a.function("proxy_on_configure", 2, configure, constant(configured))
	a.function("proxy_on_request_headers", 3, request, constant(paused))
	a.function("proxy_on_response_headers", 3, add(responseHeaders), constant(0))
	wasm, err := manifest.Put(a.wasm(memory), []byte("name: greeter\nversion: "+version+"\nkind: "+kind+
		"\ndescription: A module of a test.\nlicense: Apache-2.0\nphases: [request, response]\nconfig: {type: object, properties: {greeting: {type: string}}, additionalProperties: false}\n"))
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// assembly puts a .wasm together. https://webassembly.github.io/spec/core/binary/modules.html
type assembly struct {
	types, imports, functions, exports, bodies [][]byte
}

func (a *assembly) kind(params int, result bool) byte {
	kind := append([]byte{0x60}, leb(params)...)
	for range params {
		kind = append(kind, 0x7f)
	}
	if result {
		kind = append(kind, 1, 0x7f)
	} else {
		kind = append(kind, 0)
	}
	a.types = append(a.types, kind)
	return byte(len(a.types) - 1)
}

func (a *assembly) imported(module, name string, params int) []byte {
	return append(append(text(module), text(name)...), 0, a.kind(params, true))
}

// function is one that is exported. It runs code, and has a result if there is code for that.
func (a *assembly) function(name string, params int, code, result []byte) {
	a.exports = append(a.exports, append(text(name), append([]byte{0}, leb(len(a.imports)+len(a.functions))...)...))
	a.functions = append(a.functions, []byte{a.kind(params, result != nil)})
	body := append(append(append([]byte{0}, code...), result...), 0x0b)
	a.bodies = append(a.bodies, append(leb(len(body)), body...))
}

func (a *assembly) wasm(memory []byte) []byte {
	out := []byte("\x00asm\x01\x00\x00\x00")
	section := func(id byte, entries [][]byte) {
		content := leb(len(entries))
		for _, e := range entries {
			content = append(content, e...)
		}
		out = append(append(append(out, id), leb(len(content))...), content...)
	}
	section(1, a.types)
	section(2, a.imports)
	section(3, a.functions)
	section(5, [][]byte{{0, 1}})
	section(7, append(a.exports, append(text("memory"), 2, 0)))
	section(10, a.bodies)
	section(11, [][]byte{append([]byte{0, 0x41, 0, 0x0b}, text(string(memory))...)})
	return out
}

func text(s string) []byte { return append(leb(len(s)), s...) }

func leb(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }
