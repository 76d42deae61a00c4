//go:build wasip1

package proxywasm

import (
	"unsafe"

	"github.com/leash-gateway/leash/module"
)

// The functions that the host calls. Every one contains panics, because a panic that reaches the host kills the VM and with
// it every exchange of a worker. Those that a module of its own .wasm does not need are left out by build tags, so that the
// host does not call for nothing (`make modules`, docs/decisions/025-guest-abi.md).

// compiled says which of the callbacks that may be left out are there.
var compiled struct{ requestBody, response, responseBody bool }

// The VM's plugins and exchanges by their ids. A VM may hold several plugins, of which a new one replaces an old one when
// the configuration is changed in a running Envoy.
var (
	plugins   = map[uint32]*plugin{}
	exchanges = map[uint32]*exchange{}
)

// clock is the time of the callback that is running, asked of the host once.
var clock struct {
	now   int64 // nanoseconds since 1970
	known bool
}

// now asks for one clock: time.Now asks for two, each of which is a call of the host.
func now() int64 {
	if !clock.known {
		clock.known = hostClock(realTime, 1, unsafe.Pointer(&clock.now)) == ok
	}
	return clock.now
}

// begun is called at the start of every callback in which time matters.
func begun() { clock.known = false }

// exchangeOf finds an exchange. One that is not known must not pass, so the VM ends and the host does what it does then.
func exchangeOf(id uint32) *exchange {
	x := exchanges[id]
	if x == nil {
		panic("leash: the host calls for an exchange that it has not begun")
	}
	return x
}

// Actions as the host numbers them.
const (
	actionContinue int32 = 0
	actionPause    int32 = 1
)

func actionOf(a module.Action) int32 {
	if a == module.Pause {
		return actionPause
	}
	return actionContinue
}

//go:wasmexport proxy_abi_version_0_2_1
func abiVersion() {}

// kit tells hosts that the body is held back here while headers are: allow_on_headers_stop_iteration then lets nothing by.
//
//go:wasmexport leash_kit
func kit() {}

//go:wasmexport proxy_on_vm_start
func onVMStart(_, _ uint32) bool { return true }

//go:wasmexport proxy_on_context_create
func onContextCreate(id, parent uint32) {
	defer contain()
	if parent == 0 {
		plugins[id] = &plugin{id: id}
	} else if p := plugins[parent]; p != nil {
		exchanges[id] = newExchange(id, p)
	}
}

//go:wasmexport proxy_on_configure
func onConfigure(id, size uint32) (started bool) {
	defer contain()
	begun()
	p := plugins[id]
	return p != nil && p.start(size)
}

//go:wasmexport proxy_on_tick
func onTick(id uint32) {
	defer contain()
	begun()
	if p := plugins[id]; p != nil {
		p.tick()
	}
}

//go:wasmexport proxy_on_request_headers
func onRequestHeaders(id, _ uint32, end bool) (action int32) {
	x := exchangeOf(id)
	defer x.decide(&action)
	begun()
	action = actionOf(x.flow.OnRequestHeaders(end))
	if !compiled.requestBody && x.flow.Waits() {
		// Nobody would hold the body back, and in Envoy a body that goes on takes the headers with it.
		panic("leash: a module waits, but this .wasm was built with the tag leash_no_request_body")
	}
	return action
}

//go:wasmexport proxy_on_http_call_response
func onCallResponse(id, call, _, bodySize, _ uint32) {
	defer contain()
	begun()
	if p := plugins[id]; p != nil {
		p.answered(call, bodySize)
	}
}

//go:wasmexport proxy_on_log
func onLog(id uint32) {
	x := exchanges[id]
	if x == nil {
		return // a plugin's own
	}
	defer contain()
	begun()
	x.done = true
	x.plugin.later.forget(x)
	x.flow.OnDone()
	garbage.ended()
}

// There is no proxy_on_done: nothing here has to be waited for, and the host would call it for each exchange.
//
//go:wasmexport proxy_on_delete
func onDelete(id uint32) {
	defer contain()
	if p := plugins[id]; p != nil {
		p.flush()
		delete(plugins, id)
		return
	}
	delete(exchanges, id)
}
