package abi_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/host/internal/asm"
)

// inHeaders runs steps in a request's headers and returns what was logged and the error.
func inHeaders(t *testing.T, o abi.Options, steps ...asm.Step) (logged string, err error) {
	t.Helper()
	var lines logs
	var w abi.Worker
	program := compiled(t, newEngine(t, o), asm.Module{"proxy_on_request_headers": {Do: steps}})
	p := newPlugin(t, program, &w, abi.VMConfig{Host: abi.Host{Logger: &lines}}, abi.PluginConfig{})
	w.Do(func() {
		var s *abi.Stream
		if s, err = p.NewStream(&exchange{}); err != nil {
			return
		}
		_, err = s.OnRequestHeaders(abi.NewHeaders(":path", "/"), true)
		_ = s.Close(nil, nil, nil)
	})
	return lines.String(), err
}

func TestHostileModulesAreStopped(t *testing.T) {
	memoryFill := []byte{
		0x03, 0x40, // loop
		0x41, 0x00, 0x41, 0x00, 0x41, 0x80, 0x80, 0xc0, 0x00, 0xfc, 0x0b, 0x00, // memory.fill(0, 0, 1 MiB)
		0x0c, 0x00, 0x0b, // br 0, end
	}
	tests := map[string]struct {
		step asm.Step
		want error // nil: any
	}{
		"an endless loop":               {spin, abi.ErrDeadline},
		"a loop that fills memory":      {asm.Raw(memoryFill...), abi.ErrDeadline},
		"a loop that goes on if":        {asm.Raw(0x03, 0x40, 0x41, 1, 0x0d, 0, 0x0b), abi.ErrDeadline},
		"a loop that goes on by table":  {asm.Raw(0x03, 0x40, 0x02, 0x40, 0x41, 0, 0x0e, 1, 1, 0, 0x0b, 0x0b), abi.ErrDeadline},
		"a loop out of a loop":          {asm.Raw(0x03, 0x40, 0x03, 0x40, 0x0c, 1, 0x0b, 0x0b), abi.ErrDeadline},
		"a dispatch that goes back":     {dispatch(0x0b, 0x0b, 0x41, 0, 0x21, 0, 0x0c, 0), abi.ErrDeadline},
		"a dispatch into the inner end": {dispatch(0x0b, 0x41, 0, 0x21, 0, 0x0c, 1, 0x0b), abi.ErrDeadline},
		"a dispatch to a number below":  {dispatch(0x0b, 0x0b, 0x02, 0x40, 0x41, 0x7f, 0x21, 0, 0x0c, 1, 0x0b), abi.ErrDeadline},
		"a dispatch to its own head":    {dispatch(0x0b, 0x41, 3, 0x21, 0, 0x0c, 1, 0x0b), abi.ErrDeadline},
		"a dispatch of another number":  {dispatch(0x0b, 0x41, 1, 0x21, 1, 0x0c, 1, 0x0b), abi.ErrDeadline},
		"unreachable":                   {trap, nil},
		"a call of itself without end":  {asm.Itself(), abi.ErrTooDeep},
		"a load from outside of memory": {asm.Raw(0x41, 0x7c, 0x28, 2, 0, 0x1a), nil},
		"a division by zero":            {asm.Raw(0x41, 1, 0x41, 0, 0x6d, 0x1a), nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var o abi.Options
			if errors.Is(tc.want, abi.ErrDeadline) {
				o.Deadline = 50 * time.Millisecond
			}
			_, err := inHeaders(t, o, tc.step)
			var trapped *abi.TrapError
			if !errors.As(err, &trapped) || tc.want != nil && !errors.Is(err, tc.want) {
				t.Errorf("got %v, want a TrapError of %v", err, tc.want)
			}
		})
	}
}

// dispatch is a loop as Go compiles it: local 0 says where it goes on, at the end of the inner (0) or outer block (1), behind both
// for 2, and at its head for all others. code is what follows the table, and closes the blocks; the module begins with 0.
func dispatch(code ...byte) asm.Step {
	out := []byte{
		0x41, 0, 0x21, 0, // local.set 0
		0x03, 0x40, 0x02, 0x40, 0x02, 0x40, // loop, block, block
		0x20, 0, 0x0e, 3, 0, 1, 1, 2, // br_table on local 0: 0, 1, 1, and the head for others
	}
	return asm.Raw(append(append(out, code...), 0x0b)...)
}

func TestLoopsThatOnlyGoForwardComeToTheirEnd(t *testing.T) {
	toOuter := dispatch(0x0b, 0x41, 1, 0x21, 0, 0x0c, 1, 0x0b)
	logged, err := inHeaders(t, abi.Options{}, toOuter, asm.Log("through"))
	if err != nil || !strings.Contains(logged, "through") {
		t.Errorf("got %q and %v, want it to go through", logged, err)
	}
}

func TestMemoryIsLimited(t *testing.T) {
	const limit = 4 << 20
	_, err := inHeaders(t, abi.Options{MaxMemory: limit}, bomb)
	if err != nil {
		t.Errorf("memory.grow beyond the limit must fail, not trap: %v", err)
	}
}

func TestInitializersMayNotCallTheHost(t *testing.T) {
	program := compiled(t, newEngine(t, abi.Options{}), asm.Module{"_initialize": {Do: []asm.Step{
		asm.Call("proxy_get_property", asm.Text("plugin_name"), asm.OutBytes()),
	}}})
	var w abi.Worker
	if _, err := program.NewVM(t.Context(), &w, abi.VMConfig{}); !errors.Is(err, abi.ErrRestricted) {
		t.Errorf("got %v, want ErrRestricted", err)
	}
}

func TestModulesThatEnvoyRefusesAreRefused(t *testing.T) {
	e := newEngine(t, abi.Options{})
	good := says("x").Build()
	tests := map[string][]byte{
		"nothing":               {},
		"no module":             []byte("not a module at all"),
		"a truncated module":    good[:len(good)/2],
		"no version of the ABI": []byte(strings.Replace(string(good), "proxy_abi_version_0_2_1", "proxy_abi_version_9_9_9", 1)),
		"no allocator":          []byte(strings.Replace(string(good), "malloc", "mallox", 1)),
		"an unknown import":     []byte(strings.Replace(string(good), "proxy_log", "proxy_lox", 1)),
		"a newer function":      asm.Module{"proxy_on_request_headers": {Do: []asm.Step{asm.Call("proxy_get_log_level", asm.OutWord(0))}}}.BuildFor("0_2_0"),
		"an import of the host": []byte(strings.Replace(string(good), "\x03env", "\x03enw", 1)),
	}
	for name, wasm := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := e.Compile(t.Context(), wasm); err == nil {
				t.Error("it was accepted")
			}
		})
	}
}

// FuzzHostCalls calls every host function with any numbers as pointers, sizes, types and ids: nothing but a trap of the module may come of it.
func FuzzHostCalls(f *testing.F) {
	for _, seed := range [][]byte{{0}, {2, 0xff, 0xff, 0xff, 0xff}, {16, 0, 0, 0, 0, 0xf0, 0xff, 0xff, 0xff}} {
		f.Add(seed)
	}
	e := newEngine(f, abi.Options{Deadline: time.Second})
	functions := abi.HostFunctions()
	f.Fuzz(func(t *testing.T, data []byte) {
		next := func() byte {
			if len(data) == 0 {
				return 0
			}
			b := data[0]
			data = data[1:]
			return b
		}
		var steps []asm.Step
		for len(data) > 0 && len(steps) < 16 {
			function := functions[int(next())%len(functions)]
			params, result := abi.SignatureOf(function)
			args := make([]asm.Arg, 0, len(params))
			for _, is64 := range params {
				number := uint32(next()) | uint32(next())<<8 | uint32(next())<<16 | uint32(next())<<24
				if shape := next(); shape < 128 {
					number = uint32(shape) * 512 // often something that is there
				} else if shape == 255 {
					number = math.MaxUint32
				}
				if is64 {
					args = append(args, asm.Long(int64(number)<<16|int64(next())))
				} else {
					args = append(args, asm.Word(number))
				}
			}
			if result {
				steps = append(steps, asm.Call(function.Name, args...))
			} else {
				steps = append(steps, asm.CallVoid(function.Name, args...))
			}
		}
		module := asm.Module{}
		for _, name := range []string{
			"proxy_on_request_headers", "proxy_on_request_trailers", "proxy_on_response_body", "proxy_on_log", "proxy_on_foreign_function", "proxy_on_downstream_data",
			"proxy_on_http_call_response", "proxy_on_grpc_receive", "proxy_on_grpc_close", "proxy_on_queue_ready",
		} {
			module[name] = asm.Callback{Do: steps}
		}
		program, err := e.Compile(t.Context(), module.Build())
		if err != nil {
			return // a function of another version of the ABI
		}
		defer program.Close(t.Context())
		var w abi.Worker
		w.Do(func() {
			vm, err := program.NewVM(t.Context(), &w, abi.VMConfig{Host: abi.Host{HTTP: answering{}, GRPC: answering{}}})
			if err != nil {
				t.Fatal(err)
			}
			defer vm.Close(t.Context())
			p, err := vm.NewPlugin(abi.PluginConfig{})
			if err != nil {
				t.Fatal(err)
			}
			s, err := p.NewStream(&exchange{})
			if err != nil {
				t.Fatal(err)
			}
			h := abi.NewHeaders(":path", "/", "a", "b")
			_, _ = s.OnRequestHeaders(h, false)
			_, _ = s.OnRequestTrailers(h)
			_, _ = p.CallForeign(1, []byte("x"))
			_, _ = s.OnResponseBody(abi.NewBuffer([]byte("body")), true)
			_ = s.Close(h, h, nil)
			if c, err := p.NewConn(&exchange{}); err == nil {
				_, _ = c.OnDownstreamData(abi.NewBuffer([]byte("data")), true)
				_ = c.OnDownstreamClose(abi.Remote)
			}
		})
	})
}
