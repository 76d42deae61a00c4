package chain_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/host/abi/chain"
	"github.com/leash-gateway/leash/host/internal/asm"
)

// recorder is a Sink that writes down what comes.
type recorder struct{ lines []string }

func (r *recorder) Headers(h *abi.Headers, end bool) {
	var names []string
	for name, value := range h.All() {
		if strings.HasPrefix(name, "x-") || name == ":status" {
			names = append(names, name+"="+value)
		}
	}
	r.lines = append(r.lines, fmt.Sprintf("headers %v %v", names, end))
}

func (r *recorder) Data(data []byte, end bool) {
	r.lines = append(r.lines, fmt.Sprintf("data %q %v", data, end))
}

func (r *recorder) Trailers(h *abi.Headers) {
	r.lines = append(r.lines, fmt.Sprintf("trailers %d", h.Len()))
}

func (r *recorder) String() string { return strings.Join(r.lines, "; ") }

func add(which uint32, name, value string) asm.Step {
	return asm.Call("proxy_add_header_map_value", asm.Word(which), asm.Text(name), asm.Text(value))
}

// marks adds a header to request and response, so that the order shows.
func marks(value string) asm.Module {
	return asm.Module{
		"proxy_on_request_headers":  {Do: []asm.Step{add(0, "x-way", value)}},
		"proxy_on_response_headers": {Do: []asm.Step{add(2, "x-back", value)}},
	}
}

const pause = 1

func TestExchangesPassTheModulesInOrder(t *testing.T) {
	holds := asm.Module{"proxy_on_request_headers": {Return: pause}, "proxy_on_request_body": {Return: pause}}
	refuses := asm.Module{"proxy_on_request_headers": {Return: pause, Do: []asm.Step{
		asm.Call("proxy_send_local_response", asm.Word(403), asm.Text(""), asm.Text("no"), asm.Pairs(), asm.Word(0xffffffff)),
	}}}
	fails := asm.Module{"proxy_on_request_headers": {Do: []asm.Step{asm.Raw(0x00)}}}
	failsLater := asm.Module{"proxy_on_response_body": {Do: []asm.Step{asm.Raw(0x00)}}}
	resumes := asm.Module{"proxy_on_request_trailers": {Return: pause, Do: []asm.Step{asm.Call("proxy_continue_stream", asm.Word(0))}}, "proxy_on_request_body": {Return: pause}}
	tests := map[string]struct {
		modules     []asm.Module
		failOpen    []bool
		up, down    string
		trailersToo bool
		maxBuffer   int
	}{
		"no module": {
			up: `headers [] false; data "0123" false; data "4567" true`, down: "headers [:status=200] false; data \"answer\" true",
		},
		"requests from first to last, responses back": {
			modules: []asm.Module{marks("1"), marks("2")},
			up:      `headers [x-way=1 x-way=2] false; data "0123" false; data "4567" true`, down: "headers [:status=200 x-back=2 x-back=1] false; data \"answer\" true",
		},
		"what one holds does not reach the next": {
			modules: []asm.Module{holds, marks("2")}, up: "", down: "",
		},
		"an answer of the second passes the first": {
			modules: []asm.Module{marks("1"), refuses}, up: "", down: `headers [:status=403 x-back=1] false; data "no" true`,
		},
		"a policy that fails answers 503": {
			modules: []asm.Module{marks("1"), fails}, up: "", down: "headers [:status=503 x-back=1] true",
		},
		"an inspector that fails is passed by": {
			modules: []asm.Module{fails, marks("2")}, failOpen: []bool{true},
			up: `headers [x-way=2] false; data "0123" false; data "4567" true`, down: "headers [:status=200 x-back=2] false; data \"answer\" true",
		},
		"an inspector that fails in the answer is passed by": {
			modules: []asm.Module{failsLater}, failOpen: []bool{true},
			up: `headers [] false; data "0123" false; data "4567" true`, down: "headers [:status=200] false; data \"answer\" true",
		},
		"a body longer than may be held": {
			modules: []asm.Module{holds}, maxBuffer: 6, up: "", down: `headers [:status=413] false; data "Payload Too Large" true`,
		},
		"trailers let go what was held": {
			modules: []asm.Module{resumes}, trailersToo: true,
			up: `headers [] false; data "01234567" false; trailers 1`, down: "headers [:status=200] false; data \"answer\" true",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var up, down recorder
			x := start(t, tc.modules, chain.Config{Upstream: &up, Downstream: &down, FailOpen: tc.failOpen, MaxBuffer: tc.maxBuffer}, nil)
			x.OnRequestHeaders(abi.NewHeaders(":path", "/", ":method", "POST"), false)
			x.OnRequestData([]byte("0123"), false)
			x.OnRequestData([]byte("4567"), !tc.trailersToo)
			if tc.trailersToo {
				x.OnRequestTrailers(abi.NewHeaders("a", "b"))
			}
			if len(up.lines) > 0 {
				x.OnResponseHeaders(abi.NewHeaders(":status", "200"), false)
				x.OnResponseData([]byte("answer"), true)
			}
			x.Close()
			if got := up.String(); got != tc.up {
				t.Errorf("the server got %s, want %s", got, tc.up)
			}
			if got := down.String(); got != tc.down {
				t.Errorf("the client got %s, want %s", got, tc.down)
			}
		})
	}
}

func TestPropertiesThatOneModuleSetsAreSeenByTheNext(t *testing.T) {
	sets := asm.Module{"proxy_on_request_headers": {Do: []asm.Step{asm.Call("proxy_set_property", asm.Text("caller"), asm.Text("tenant"))}}}
	reads := asm.Module{"proxy_on_request_headers": {Do: []asm.Step{
		asm.Call("proxy_get_property", asm.Text("caller"), asm.OutBytes()), asm.Call("proxy_get_property", asm.Text("nobody"), asm.OutBytes()),
	}}}
	var up, down recorder
	var logged traces
	x := start(t, []asm.Module{sets, reads}, chain.Config{Upstream: &up, Downstream: &down}, &logged)
	x.OnRequestHeaders(abi.NewHeaders(":path", "/", ":method", "GET"), true)
	x.Close()
	want := "proxy_set_property caller tenant: ok; proxy_get_property caller: ok tenant; proxy_get_property nobody: not found"
	if got := strings.Join(logged.lines, "; "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// traces is a Tracer that writes down the calls about properties.
type traces struct{ lines []string }

func (l *traces) HostCall(c abi.HostCall) {
	if !strings.HasSuffix(c.Name, "_property") {
		return
	}
	line := c.Name
	for _, argument := range c.In {
		line += fmt.Sprintf(" %v", argument.Value)
	}
	line += ": " + c.Status.String()
	for _, result := range c.Out {
		line += fmt.Sprintf(" %v", result.Value)
	}
	l.lines = append(l.lines, line)
}

// start begins an exchange through modules, each in a VM of its own; tracer may be nil.
func start(t *testing.T, modules []asm.Module, config chain.Config, tracer abi.Tracer) *chain.Exchange {
	t.Helper()
	ctx := context.Background()
	engine, err := abi.New(ctx, abi.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close(ctx) })
	var w abi.Worker
	var plugins []*abi.Plugin
	for _, m := range modules {
		program, err := engine.Compile(ctx, m.Build())
		if err != nil {
			t.Fatal(err)
		}
		vm, err := program.NewVM(ctx, &w, abi.VMConfig{Host: abi.Host{Tracer: tracer}})
		if err != nil {
			t.Fatal(err)
		}
		plugin, err := vm.NewPlugin(abi.PluginConfig{AllowOnHeadersStopIteration: true})
		if err != nil {
			t.Fatal(err)
		}
		plugins = append(plugins, plugin)
	}
	return chain.New(plugins, config)
}
