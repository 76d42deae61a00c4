package abi_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/host/internal/asm"
)

// answering makes calls and answers them at once.
type answering struct{}

func (answering) HTTPCall(_ context.Context, _ *abi.HTTPCall, done func(*abi.HTTPAnswer)) error {
	done(&abi.HTTPAnswer{Headers: abi.NewHeaders(":status", "200")})
	return nil
}

func (answering) GRPCCall(_ context.Context, _ *abi.GRPCCall, events abi.GRPCEvents) (abi.GRPCStream, error) {
	events.InitialMetadata(abi.NewHeaders("a", "b"))
	events.Message([]byte("message"))
	events.TrailingMetadata(abi.NewHeaders("c", "d"))
	events.Close(0, "")
	return silent{}, nil
}

type silent struct{}

func (silent) Send([]byte, bool) {}
func (silent) CloseSend()        {}

// asks is what a module does so that every callback of a plugin comes: ticks, calls, a queue.
var asks = []asm.Step{
	asm.Drop("proxy_set_tick_period_milliseconds", asm.Word(1)),
	asm.Drop("proxy_register_shared_queue", asm.Text("q"), asm.OutQuiet(1)), asm.Drop("proxy_enqueue_shared_queue", asm.Slot(1), asm.Text("item")),
	asm.Drop("proxy_http_call", asm.Text("any"), asm.Pairs(":method", "GET", ":path", "/", ":authority", "a"), asm.Text(""), asm.Pairs(), asm.Word(1000), asm.OutQuiet(2)),
	asm.Drop("proxy_grpc_stream", asm.Text("any"), asm.Text("s"), asm.Text("m"), asm.Pairs(), asm.OutQuiet(3)),
}

// live takes a VM through all its callbacks, in their order, and returns the first error.
func live(t *testing.T, program *abi.Program, host abi.Host) (err error) {
	t.Helper()
	var w abi.Worker
	host.HTTP, host.GRPC = answering{}, answering{}
	var vm *abi.VM
	step := func(f func() error) {
		if err == nil {
			w.Do(func() { err = f() })
		}
	}
	var p *abi.Plugin
	var s *abi.Stream
	step(func() (err error) {
		vm, err = program.NewVM(context.Background(), &w, abi.VMConfig{Host: host})
		return err
	})
	if vm == nil {
		return err
	}
	defer w.Do(func() { _ = vm.Close(context.Background()) })
	step(func() (err error) { p, err = vm.NewPlugin(abi.PluginConfig{}); return err })
	step(func() error { _, err := p.Validate([]byte("new")); return err })
	step(func() error { _, err := p.CallForeign(1, []byte("x")); return err })
	step(func() (err error) { s, err = p.NewStream(&exchange{}); return err })
	h, body := abi.NewHeaders(":path", "/"), abi.NewBuffer([]byte("body"))
	step(func() error { _, err := s.OnRequestHeaders(h, false); return err })
	for deadline := time.Now().Add(time.Minute); err == nil && time.Now().Before(deadline); {
		waiting := true
		step(func() error {
			waiting = host.Metrics.(*abi.MetricSet).Value(abi.Counter, "ticks") == 0
			return vm.Err()
		})
		if !waiting {
			break
		}
		<-time.After(time.Millisecond)
	}
	for _, phase := range []func() (abi.Action, error){
		func() (abi.Action, error) { return s.OnRequestBody(body, false) }, func() (abi.Action, error) { return abi.Continue, s.OnRequestMetadata(1) },
		func() (abi.Action, error) { return s.OnRequestTrailers(h) }, func() (abi.Action, error) { return s.OnResponseHeaders(h, false) },
		func() (abi.Action, error) { return abi.Continue, s.OnResponseMetadata(1) }, func() (abi.Action, error) { return s.OnResponseBody(body, false) },
		func() (abi.Action, error) { return s.OnResponseTrailers(h) }, func() (abi.Action, error) { return abi.Continue, s.Close(h, h, h) },
	} {
		step(func() error { _, err := phase(); return err })
	}
	var c *abi.Conn
	step(func() (err error) { c, err = p.NewConn(&exchange{}); return err })
	for _, phase := range []func() (abi.Action, error){
		func() (abi.Action, error) { return c.OnNewConnection() }, func() (abi.Action, error) { return c.OnDownstreamData(body, false) },
		func() (abi.Action, error) { return c.OnUpstreamData(body, true) }, func() (abi.Action, error) { return abi.Continue, c.OnDownstreamClose(abi.Remote) },
	} {
		step(func() error { _, err := phase(); return err })
	}
	step(func() error { _, err := p.Close(); return err })
	return err
}

// lives is a module that has every callback, so that each comes, with other steps in one of them.
func lives(in string, steps ...asm.Step) asm.Module {
	m := asm.Module{}
	for _, name := range abi.ModuleCallbacks() {
		one := asm.Callback{Do: []asm.Step{asm.Log(name)}}
		switch name {
		case "proxy_on_request_headers":
			one.Do = append(one.Do, asks...)
		case "proxy_on_tick":
			one.Do = append(one.Do, asm.Drop("proxy_define_metric", asm.Word(0), asm.Text("ticks"), asm.OutQuiet(9)), asm.Drop("proxy_increment_metric", asm.Slot(9), asm.Long(1)))
		case "proxy_on_vm_start", "proxy_on_configure", "proxy_on_done", "proxy_validate_configuration":
			one.Return = 1
		}
		if name == in {
			one.Do = append(steps, one.Do...)
		}
		m[name] = one
	}
	return m
}

func TestEveryCallbackComes(t *testing.T) {
	var lines logs
	program := compiled(t, newEngine(t, abi.Options{}), lives(""))
	if err := live(t, program, abi.Host{Logger: &lines, Metrics: abi.NewMetricSet()}); err != nil {
		t.Fatal(err)
	}
	came := map[string]bool{}
	for line := range strings.Lines(lines.String()) {
		came[strings.TrimSpace(strings.TrimPrefix(line, "info: "))] = true
	}
	if got, want := slices.Sorted(maps.Keys(came)), abi.ModuleCallbacks(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAFailureInAnyCallbackEndsTheVMAndNothingElse(t *testing.T) {
	patient, hasty := newEngine(t, abi.Options{}), newEngine(t, abi.Options{Deadline: 20 * time.Millisecond, StartDeadline: 20 * time.Millisecond})
	fails := map[string]struct {
		step asm.Step
		want error // nil: any
	}{
		"a trap": {trap, nil}, "an endless loop": {spin, abi.ErrDeadline},
		// the module fails while it allocates what the host wants to give it
		"a wild result": {asm.Call("proxy_get_property", asm.Text("plugin_name"), asm.Word(asm.OutOfMemory), asm.Word(0)), nil},
	}
	for _, name := range abi.ModuleCallbacks() {
		for what, f := range fails {
			t.Run(name+"/"+what, func(t *testing.T) {
				var failure *abi.TrapError
				try := func(e *abi.Engine) error {
					return live(t, compiled(t, e, lives(name, f.step)), abi.Host{Metrics: abi.NewMetricSet()})
				}
				e := patient
				if f.want != nil {
					e = hasty
				}
				err := try(e)
				if f.want != nil && errors.As(err, &failure) && failure.Callback != name { // a machine that is busy needs longer for another one
					const more = 5 * time.Second
					err = try(newEngine(t, abi.Options{Deadline: more, StartDeadline: more}))
				}
				if what == "a wild result" {
					if err != nil {
						t.Errorf("got %v: a bad pointer is answered, not punished", err)
					}
				} else if !errors.As(err, &failure) || failure.Callback != name || f.want != nil && !errors.Is(err, f.want) {
					t.Errorf("got %v, want a TrapError of %s", err, name)
				}
			})
		}
	}
}

func TestAllocatorsThatMisbehave(t *testing.T) {
	asked := asm.Call("proxy_get_header_map_value", asm.Word(0), asm.Text(":path"), asm.OutBytes())
	tests := map[string]struct {
		malloc asm.Callback
		want   error  // of the callback; nil and no logged: any
		logged string // what the call answered
	}{
		"that have nothing":         {asm.Callback{Return: 0}, nil, "proxy_get_header_map_value = 00000006"},
		"that point to nowhere":     {asm.Callback{Return: -16}, nil, "proxy_get_header_map_value = 00000006"},
		"that point to the end":     {asm.Callback{Return: 32 << 16}, nil, "proxy_get_header_map_value = 00000006"},
		"that trap":                 {asm.Callback{Do: []asm.Step{trap}}, nil, ""},
		"that never return":         {asm.Callback{Do: []asm.Step{spin}}, abi.ErrDeadline, ""},
		"that call the host again":  {asm.Callback{Do: []asm.Step{asked}}, abi.ErrRestricted, ""},
		"that call themselves":      {asm.Callback{Do: []asm.Step{asm.Itself()}}, abi.ErrTooDeep, ""},
		"that log, which they may":  {asm.Callback{Do: []asm.Step{asm.Log("allocating")}, Return: 50000}, nil, "allocating"},
		"that give what is in use":  {asm.Callback{Return: 64}, nil, "proxy_get_header_map_value = 00000000"},
		"that grow without an end":  {asm.Callback{Do: []asm.Step{bomb, bomb, bomb}, Return: 50000}, nil, "proxy_get_header_map_value = 00000000"},
		"that give the code's text": {asm.Callback{Return: 4096}, nil, "proxy_get_header_map_value = 00000000"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var lines logs
			var w abi.Worker
			o := abi.Options{MaxMemory: 8 << 20}
			if errors.Is(tc.want, abi.ErrDeadline) {
				o.Deadline = 50 * time.Millisecond
			}
			e := newEngine(t, o)
			p := newPlugin(t, compiled(t, e, asm.Module{"malloc": tc.malloc, "proxy_on_request_headers": {Do: []asm.Step{asked}}}), &w, abi.VMConfig{Host: abi.Host{Logger: &lines}}, abi.PluginConfig{})
			w.Do(func() {
				s, err := p.NewStream(&exchange{})
				if err != nil {
					t.Fatal(err)
				}
				_, err = s.OnRequestHeaders(abi.NewHeaders(":path", "/"), true)
				if failed := err != nil; failed != (tc.logged == "") || tc.want != nil && !errors.Is(err, tc.want) {
					t.Errorf("got %v, want %v", err, tc.want)
				}
			})
			if !strings.Contains(lines.String(), tc.logged) {
				t.Errorf("got %q, want %q", lines.String(), tc.logged)
			}
		})
	}
}

func TestAPluginThatIsNotDoneStaysUntilItSaysSo(t *testing.T) {
	var lines logs
	var w abi.Worker
	p := newPlugin(t, compiled(t, newEngine(t, abi.Options{}), asm.Module{
		"proxy_on_done":             {Do: []asm.Step{asm.Log("asked")}, Return: 0},
		"proxy_on_foreign_function": {Do: []asm.Step{asm.Call("proxy_done"), asm.Call("proxy_done")}},
		"proxy_on_delete":           {Do: []asm.Step{asm.Log("deleted")}},
	}), &w, abi.VMConfig{Host: abi.Host{Logger: &lines}}, abi.PluginConfig{})
	w.Do(func() {
		if closed, err := p.Close(); closed || err != nil {
			t.Errorf("got %v, %v", closed, err)
		}
		if _, err := p.CallForeign(1, nil); err != nil {
			t.Error(err)
		}
	})
	want := "info: asked\ninfo: proxy_done = 00000000\ninfo: proxy_done = 00000001\ninfo: deleted\n"
	if got := lines.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
