package abi_test

import (
	"context"
	"errors"
	"testing"

	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/host/internal/asm"
)

// compiled is a module of asm.
func compiled(tb testing.TB, e *abi.Engine, m asm.Module) *abi.Program {
	tb.Helper()
	program, err := e.Compile(context.Background(), m.Build())
	if err != nil {
		tb.Fatal(err)
	}
	return program
}

// says is a module that logs a line in each request.
func says(line string) asm.Module {
	return asm.Module{"proxy_on_request_headers": {Do: []asm.Step{asm.Log(line)}}}
}

var (
	trap = asm.Raw(0x00)                                  // unreachable
	spin = asm.Raw(0x03, 0x40, 0x0c, 0x00, 0x0b)          // loop br 0 end
	bomb = asm.Raw(0x41, 0x80, 0x80, 0x04, 0x40, 0, 0x1a) // i32.const 65536; memory.grow; drop
)

// request runs the headers of a request through a plugin.
func request(p *abi.Plugin) (err error) {
	p.VM().Worker().Do(func() {
		var s *abi.Stream
		if s, err = p.NewStream(&exchange{}); err != nil {
			return
		}
		h := abi.NewHeaders(":path", "/")
		_, err = s.OnRequestHeaders(h, true)
		_ = s.Close(h, nil, nil)
	})
	return err
}

func TestOtherExchangesOfAVMThatFailsAreTold(t *testing.T) {
	program := compiled(t, newEngine(t, abi.Options{}), asm.Module{"proxy_on_request_headers": {Do: []asm.Step{trap}}})
	var w abi.Worker
	p := newPlugin(t, program, &w, abi.VMConfig{}, abi.PluginConfig{})
	other := &exchange{}
	w.Do(func() {
		if _, err := p.NewStream(other); err != nil {
			t.Fatal(err)
		}
	})
	var failure *abi.TrapError
	if err := request(p); !errors.As(err, &failure) || failure.Callback != "proxy_on_request_headers" {
		t.Errorf("got %v, want a TrapError of proxy_on_request_headers", err)
	}
	if !errors.As(other.failure, &failure) {
		t.Errorf("the other exchange was told %v", other.failure)
	}
}

// A host that loads and unloads modules under ever other names would else keep what each of them has stored.
func TestWhatIsSharedGoesWithTheLastVMOfItsName(t *testing.T) {
	var lines logs
	program := compiled(t, newEngine(t, abi.Options{}), asm.Module{"proxy_on_request_headers": {Do: []asm.Step{
		asm.Call("proxy_get_shared_data", asm.Text("k"), asm.OutBytes(), asm.OutQuiet(0)),
		asm.Call("proxy_resolve_shared_queue", asm.Text("vm"), asm.Text("q"), asm.OutQuiet(0)),
		asm.Drop("proxy_set_shared_data", asm.Text("k"), asm.Text("v"), asm.Word(0)),
		asm.Drop("proxy_register_shared_queue", asm.Text("q"), asm.OutQuiet(0)),
	}}})
	config := abi.VMConfig{ID: "vm", Host: abi.Host{Logger: &lines, Shared: abi.NewShared()}}
	begin := func() *abi.VM {
		p := newPlugin(t, program, &abi.Worker{}, config, abi.PluginConfig{})
		if err := request(p); err != nil {
			t.Fatal(err)
		}
		return p.VM()
	}
	end := func(vm *abi.VM) {
		vm.Worker().Do(func() {
			for range 2 { // it may be closed several times
				if err := vm.Close(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	const nothing = "info: proxy_get_shared_data = 00000001\ninfo: proxy_resolve_shared_queue = 00000001\n"
	const both = "info: proxy_get_shared_data = 00000000\ninfo: > v\ninfo: proxy_resolve_shared_queue = 00000000\n"
	first := begin()
	second := begin()
	end(first)
	third := begin()
	end(second)
	end(third)
	end(begin())
	if got, want := lines.String(), nothing+both+both+nothing; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestSharedDataIsOneAcrossWorkers(t *testing.T) {
	var lines logs
	program := compiled(t, newEngine(t, abi.Options{}), asm.Module{"proxy_on_request_headers": {Do: []asm.Step{
		asm.Call("proxy_get_shared_data", asm.Text("k"), asm.OutBytes(), asm.OutQuiet(0)),
		asm.Call("proxy_set_shared_data", asm.Text("k"), asm.Text("v"), asm.Word(0)),
	}}})
	vm := abi.VMConfig{Host: abi.Host{Logger: &lines, Shared: abi.NewShared()}}
	for range 2 {
		if err := request(newPlugin(t, program, &abi.Worker{}, vm, abi.PluginConfig{})); err != nil {
			t.Fatal(err)
		}
	}
	want := "info: proxy_get_shared_data = 00000001\ninfo: proxy_set_shared_data = 00000000\n" +
		"info: proxy_get_shared_data = 00000000\ninfo: > v\ninfo: proxy_set_shared_data = 00000000\n"
	if got := lines.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
