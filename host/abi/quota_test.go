package abi_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/host/internal/asm"
)

// forever makes a host call again and again, until the deadline.
func forever(step asm.Step) []asm.Step {
	return []asm.Step{asm.Raw(0x03, 0x40), step, asm.Raw(0x0c, 0x00, 0x0b)} // loop … br 0 end
}

func TestALoopOfHostCallsDoesNotFillTheHost(t *testing.T) {
	const megabyte = 1 << 20
	big := asm.Word(megabyte)
	from := asm.Word(64 << 10) // whatever is there
	tests := map[string]asm.Step{
		"headers":            asm.Drop("proxy_add_header_map_value", asm.Word(0), asm.Text("x"), from, big),
		"new names":          asm.Drop("proxy_add_header_map_value", asm.Word(0), from, asm.Word(64), from, asm.Word(64)),
		"a body":             asm.Drop("proxy_set_buffer_bytes", asm.Word(0), asm.Word(0), asm.Word(0), from, big),
		"a queue":            asm.Drop("proxy_enqueue_shared_queue", asm.Slot(1), from, big),
		"notices of a queue": asm.Drop("proxy_enqueue_shared_queue", asm.Slot(1), asm.Text("x")),
		"local responses":    asm.Drop("proxy_send_local_response", asm.Word(200), asm.Text(""), from, big, asm.Pairs(), asm.Word(0)),
		"continuing":         asm.Drop("proxy_continue_stream", asm.Word(0)),
		"ticks":              asm.Drop("proxy_set_tick_period_milliseconds", asm.Word(1000)),
		"metrics":            asm.Drop("proxy_define_metric", asm.Word(0), asm.Text("m"), asm.OutQuiet(2)),
		"calls":              asm.Drop("proxy_http_call", asm.Text("never"), asm.Pairs(":method", "GET", ":path", "/", ":authority", "a"), asm.Text("body"), asm.Pairs(), asm.Word(0), asm.OutQuiet(2)),
	}
	for name, step := range tests {
		t.Run(name, func(t *testing.T) {
			steps := append([]asm.Step{asm.Drop("proxy_register_shared_queue", asm.Text("q"), asm.OutQuiet(1))}, forever(step)...)
			module := asm.Module{"proxy_on_request_body": {Do: steps}, "proxy_on_request_headers": {Return: 1}, "proxy_on_queue_ready": {}}
			var w abi.Worker
			p := newPlugin(t, compiled(t, newEngine(t, abi.Options{Deadline: 300 * time.Millisecond}), module), &w,
				abi.VMConfig{Host: abi.Host{HTTP: never{}}}, abi.PluginConfig{AllowOnHeadersStopIteration: true})
			before := heap()
			w.Do(func() {
				s, err := p.NewStream(&exchange{})
				if err != nil {
					t.Fatal(err)
				}
				_, _ = s.OnRequestHeaders(abi.NewHeaders(":path", "/"), false)
				if _, err = s.OnRequestBody(abi.NewBuffer([]byte("body")), true); err == nil || !strings.Contains(err.Error(), "deadline") {
					t.Errorf("it ended: %v", err)
				}
				if grown := heap() - before; grown > 320*megabyte {
					t.Errorf("the host keeps %d MiB", grown/megabyte)
				}
			})
		})
	}
}

// never answers calls.
type never struct{}

func (never) HTTPCall(context.Context, *abi.HTTPCall, func(*abi.HTTPAnswer)) error { return nil }

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // far below
}

func TestSharedDataIsBounded(t *testing.T) {
	shared := abi.NewShared()
	value := make([]byte, 32<<20)
	status, stored := abi.OK, 0
	for stored < 100 && status == abi.OK {
		if status = shared.Set("vm", strings.Repeat("k", stored+1), value, 0); status == abi.OK {
			stored++
		}
	}
	if status != abi.InternalFailure || stored != 7 {
		t.Errorf("stored %d values of 32 MiB, and then %v", stored, status)
	}
	if status := shared.Set("vm", "k", []byte("smaller"), 0); status != abi.OK {
		t.Errorf("what takes less room was refused: %v", status)
	}
	if status := shared.Set("vm", "again", value, 0); status != abi.OK {
		t.Errorf("the room was not given back: %v", status)
	}
	if status := shared.Set("another", "k", value, 0); status != abi.OK {
		t.Errorf("another vm_id has no room: %v", status)
	}
}
