package abi

import (
	"context"
	"errors"
	"time"
)

// ErrUnknownCluster is what an HTTPCaller or GRPCCaller answers for a cluster that it does not know.
var ErrUnknownCluster = errors.New("unknown cluster")

// Kinds of callouts, in the two lowest bits of their ids, as in Envoy.
const (
	httpCallout uint32 = iota
	grpcCallout
	grpcStreamCallout
	calloutStep = 4
)

// callouts are the open calls of a VM.
type callouts[T interface{ owner() (*Plugin, func()) }] struct {
	open map[uint32]T
	next uint32
}

func (c *callouts[T]) add(kind uint32, call T) uint32 {
	if c.open == nil {
		c.open = map[uint32]T{}
	}
	for {
		id := c.next | kind
		c.next += calloutStep
		if _, taken := c.open[id]; !taken && id != 0 {
			c.open[id] = call
			return id
		}
	}
}

func (c *callouts[T]) cancelAll() { c.cancelOf(nil) }

// cancelOf cancels the calls of a plugin; nil: of all.
func (c *callouts[T]) cancelOf(p *Plugin) {
	for id, call := range c.open {
		if owner, cancel := call.owner(); p == nil || owner == p {
			cancel()
			delete(c.open, id)
		}
	}
}

type httpCall struct {
	plugin *Plugin
	cancel context.CancelFunc
}

func (c *httpCall) owner() (*Plugin, func()) { return c.plugin, c.cancel }

type grpcCall struct {
	plugin      *Plugin
	cancel      context.CancelFunc
	stream      GRPCStream
	unary       bool
	localClosed bool
	closed      bool // by the other side
}

func (c *grpcCall) owner() (*Plugin, func()) { return c.plugin, c.cancel }

func proxyHTTPCall(vm *VM, p args) Status {
	cluster, ok1 := vm.string(p.word(0), p.word(1))
	headers, ok2 := vm.bytes(p.word(2), p.word(3))
	body, ok3 := vm.bytes(p.word(4), p.word(5))
	trailers, ok4 := vm.bytes(p.word(6), p.word(7))
	if !ok1 || !ok2 || !ok3 || !ok4 || !vm.setWord(p.word(9), 0) {
		return InvalidMemoryAccess
	}
	call := &HTTPCall{
		Cluster: cluster, Headers: fromPairs(parsePairs(headers)), Body: append([]byte(nil), body...),
		Trailers: fromPairs(parsePairs(trailers)),
		Timeout:  time.Duration(int32(p.word(8))) * time.Millisecond, //nolint:gosec // signed in Envoy
	}
	if call.Timeout < 0 || vm.config.Host.HTTP == nil {
		return BadArgument
	}
	for _, needed := range []string{":path", ":method", ":authority"} {
		if _, there := call.Headers.Get(needed); !there {
			return BadArgument
		}
	}
	if len(vm.http.open) >= maxCallouts {
		return InternalFailure
	}
	plugin := vm.plugin()
	ctx, cancel := context.WithCancel(vm.ctx.Context)
	id := vm.http.add(httpCallout, &httpCall{plugin, cancel})
	err := vm.config.Host.HTTP.HTTPCall(ctx, call, func(answer *HTTPAnswer) {
		vm.worker.Post(func() { vm.httpAnswered(id, answer) })
	})
	if err != nil {
		cancel()
		delete(vm.http.open, id)
		return calloutStatus(err)
	}
	vm.setWord(p.word(9), id)
	return OK
}

func (vm *VM) httpAnswered(id uint32, answer *HTTPAnswer) {
	call := vm.http.open[id]
	if call == nil || vm.failure != nil {
		return
	}
	delete(vm.http.open, id)
	call.cancel()
	c, plugin := vm.calls.httpCallResponse, call.plugin
	if c.function == nil {
		return
	}
	a := &vm.arguments
	a[0], a[1], a[2], a[3], a[4] = uint64(plugin.id), uint64(id), 0, 0, 0
	plugin.answer = answer
	if answer != nil {
		a[2], a[3], a[4] = uint64(answer.Headers.Len()), uint64(len(answer.Body)), uint64(answer.Trailers.Len()) //nolint:gosec // never negative
	} else {
		plugin.status, plugin.statusMessage = BrokenConnection, "reset"
	}
	vm.after = append(vm.after, func() { plugin.answer, plugin.statusMessage = nil, "" })
	_ = vm.callAndSettle(plugin, c) // a trap fails the VM, which tells everyone
}

func calloutStatus(err error) Status {
	if errors.Is(err, ErrUnknownCluster) {
		return BadArgument
	}
	return InternalFailure
}

func proxyGRPCCall(vm *VM, p args) Status {
	message, ok := vm.bytes(p.word(8), p.word(9))
	if !ok {
		return InvalidMemoryAccess
	}
	message = append([]byte(nil), message...)
	call, id, status := vm.openGRPC(p, time.Duration(p.word(10))*time.Millisecond, true)
	if status != OK {
		return status
	}
	call.stream.Send(message, true)
	return written(vm.setWord(p.word(11), id))
}

func proxyGRPCStream(vm *VM, p args) Status {
	_, id, status := vm.openGRPC(p, 0, false)
	if status != OK {
		return status
	}
	return written(vm.setWord(p.word(8), id))
}

// openGRPC reads the eight parameters that unary calls and streams begin with, and opens the call.
func (vm *VM) openGRPC(p args, timeout time.Duration, unary bool) (*grpcCall, uint32, Status) {
	service, ok1 := vm.string(p.word(0), p.word(1))
	name, ok2 := vm.string(p.word(2), p.word(3))
	method, ok3 := vm.string(p.word(4), p.word(5))
	metadata, ok4 := vm.bytes(p.word(6), p.word(7))
	switch {
	case !ok1 || !ok2 || !ok3 || !ok4:
		return nil, 0, InvalidMemoryAccess
	case vm.config.Host.GRPC == nil:
		return nil, 0, ParseFailure
	case len(vm.grpc.open) >= maxCallouts:
		return nil, 0, InternalFailure
	}
	ctx, cancel := context.WithCancel(vm.ctx.Context)
	call := &grpcCall{plugin: vm.plugin(), cancel: cancel, unary: unary}
	kind := grpcStreamCallout
	if unary {
		kind = grpcCallout
	}
	id := vm.grpc.add(kind, call)
	stream, err := vm.config.Host.GRPC.GRPCCall(ctx, &GRPCCall{
		Service: service, Method: "/" + name + "/" + method, Metadata: fromPairs(parsePairs(metadata)), Timeout: timeout,
	}, vm.grpcEvents(id))
	if err != nil {
		cancel()
		delete(vm.grpc.open, id)
		if errors.Is(err, ErrUnknownCluster) {
			return nil, 0, ParseFailure // what Envoy answers for a cluster name that it takes for a malformed GrpcService
		}
		return nil, 0, InternalFailure
	}
	call.stream = stream
	return call, id, OK
}

// grpcEvents bring what the other side does to the worker. A unary call has but one: its message, or that it failed.
func (vm *VM) grpcEvents(id uint32) GRPCEvents {
	post := func(f func(*grpcCall)) {
		vm.worker.Post(func() {
			if call := vm.grpc.open[id]; call != nil && vm.failure == nil {
				f(call)
			}
		})
	}
	metadata := func(which int, c *callback) func(*Headers) {
		return func(h *Headers) {
			post(func(call *grpcCall) {
				if !call.unary {
					call.plugin.grpcMetadata[which] = h
					vm.grpcCallback(call, *c, id, uint64(h.Len())) //nolint:gosec // never negative
					call.plugin.grpcMetadata[which] = nil
				}
			})
		}
	}
	return GRPCEvents{
		InitialMetadata:  metadata(0, &vm.calls.grpcInitialMetadata),
		TrailingMetadata: metadata(1, &vm.calls.grpcTrailingMetadata),
		Message: func(message []byte) {
			post(func(call *grpcCall) {
				if call.unary {
					delete(vm.grpc.open, id)
					call.cancel()
				}
				call.plugin.grpcMessage = NewBuffer(message)
				vm.grpcCallback(call, vm.calls.grpcReceive, id, uint64(len(message)))
				call.plugin.grpcMessage = nil
			})
		},
		Close: func(status uint32, message string) {
			post(func(call *grpcCall) { vm.grpcClosed(call, id, status, message) })
		},
	}
}

func (vm *VM) grpcClosed(call *grpcCall, id, status uint32, message string) {
	if call.unary || call.localClosed {
		delete(vm.grpc.open, id)
		call.cancel()
	}
	call.closed = true
	call.plugin.status, call.plugin.statusMessage = Status(status), message
	vm.grpcCallback(call, vm.calls.grpcClose, id, uint64(status))
	call.plugin.statusMessage = ""
}

func (vm *VM) grpcCallback(call *grpcCall, c callback, id uint32, size uint64) {
	if c.function == nil {
		return
	}
	vm.arguments[0], vm.arguments[1], vm.arguments[2] = uint64(call.plugin.id), uint64(id), size
	_ = vm.callAndSettle(call.plugin, c) // a trap fails the VM, which tells everyone
}

// openCall is the call that a module means, and the answer if there is none.
func (vm *VM) openCall(id uint32) (*grpcCall, Status) {
	if kind := id & 3; kind != grpcCallout && kind != grpcStreamCallout {
		return nil, BadArgument
	}
	call := vm.grpc.open[id]
	if call == nil || call.plugin != vm.plugin() {
		return nil, NotFound
	}
	return call, OK
}

func proxyGRPCSend(vm *VM, p args) Status {
	message, ok := vm.bytes(p.word(1), p.word(2))
	if !ok {
		return InvalidMemoryAccess
	}
	if p.word(0)&3 != grpcStreamCallout {
		return BadArgument
	}
	call, status := vm.openCall(p.word(0))
	if status == OK && !call.closed && !call.localClosed {
		call.localClosed = p.word(3) != 0
		call.stream.Send(append([]byte(nil), message...), p.word(3) != 0)
	}
	return status
}

// proxyGRPCClose says that the module sends no more; a unary call is cancelled.
func proxyGRPCClose(vm *VM, p args) Status {
	call, status := vm.openCall(p.word(0))
	switch {
	case status != OK:
		return status
	case call.unary:
		return proxyGRPCCancel(vm, p)
	case !call.localClosed && !call.closed:
		call.stream.CloseSend()
	}
	call.localClosed = true
	if call.closed {
		call.cancel()
		delete(vm.grpc.open, p.word(0))
	}
	return OK
}

func proxyGRPCCancel(vm *VM, p args) Status {
	call, status := vm.openCall(p.word(0))
	if status == OK {
		call.cancel()
		delete(vm.grpc.open, p.word(0))
	}
	return status
}
