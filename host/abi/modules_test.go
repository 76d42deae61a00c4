package abi_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/leash-gateway/leash/host/abi"
)

// modulesDir is what `make modules` builds. A missing build fails the test: it is never skipped.
const modulesDir = "../../build/modules"

const pipeline = `{"modules":[
{"name":"costtracker"},
{"name":"logger"},
{"name":"auth","config":{"keys":[{"sha256":"dab3d8f1dd8779081d1d3d277bce527d52ab534b88700d61f3d3ed54fb16e8b3","tenant":"demo","name":"bench"}]}},
{"name":"ratelimit","config":{"limits":[{"requests":100000000,"tokens":1000000000,"window":"1m"}]}},
{"name":"contentfilter","config":{"rules":[{"name":"words","keywords":["bluebird","nightingale","osprey"],"action":"block"},
 {"name":"card","builtins":["card"],"action":"redact"},{"name":"email","builtins":["email"],"action":"flag"}]}},
{"name":"route","config":{"routes":[{"name":"r0","model":"gpt-*","provider":"openai"}]}}]}`

var chat = `{"model":"gpt-4o-mini","messages":[{"role":"system","content":"You are a helpful assistant that answers briefly."},` +
	`{"role":"user","content":"` + strings.Repeat("The quick brown fox jumps over the lazy dog. ", 9) + `"}],"temperature":0.2,"max_tokens":64}`

const completion = `{"id":"chatcmpl-1","object":"chat.completion","created":1795467185,"model":"gpt-4o-mini",` +
	`"choices":[{"index":0,"message":{"role":"assistant","content":"The fox jumps over the dog, nine times over, and it does so quickly."},` +
	`"finish_reason":"stop"}],"usage":{"prompt_tokens":93,"completion_tokens":15,"total_tokens":108}}`

// exchange is the StreamHost of the tests: it remembers what the module asked for.
type exchange struct {
	continued []abi.StreamType
	closed    []abi.StreamType
	response  *abi.LocalResponse
	failure   error
	state     map[string]string
	onLocal   func(*abi.LocalResponse)
}

func (x *exchange) Property(path string) ([]byte, abi.Status) {
	if value, found := x.state[path]; found {
		return []byte(value), abi.OK
	}
	return nil, abi.NotFound
}

func (x *exchange) SetProperty(path string, value []byte) abi.Status {
	if x.state == nil {
		x.state = map[string]string{}
	}
	x.state[path] = string(value)
	return abi.OK
}

func (x *exchange) Continue(s abi.StreamType)    { x.continued = append(x.continued, s) }
func (x *exchange) CloseStream(s abi.StreamType) { x.closed = append(x.closed, s) }
func (x *exchange) Failed(err error)             { x.failure = err }
func (x *exchange) LocalResponse(r *abi.LocalResponse) {
	x.response = r
	if x.onLocal != nil {
		x.onLocal(r)
	}
}

// logs is a Logger that keeps what it gets.
type logs struct {
	mu      sync.Mutex
	records []abi.Record
}

func (l *logs) Level() abi.Level { return abi.Info }
func (l *logs) Log(r abi.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = append(l.records, r)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var text strings.Builder
	for _, r := range l.records {
		text.WriteString(r.Level.String() + ": " + r.Message + "\n")
	}
	return text.String()
}

// builtModule is a module of ours, compiled with a cache that lives as long as the test run's directory.
func builtModule(tb testing.TB, e *abi.Engine, name string) *abi.Program {
	tb.Helper()
	wasm, err := os.ReadFile(filepath.Join(modulesDir, name+".wasm"))
	if err != nil {
		tb.Fatalf("%v (make modules builds it)", err)
	}
	program, err := e.Compile(context.Background(), wasm)
	if err != nil {
		tb.Fatal(err)
	}
	return program
}

func newEngine(tb testing.TB, o abi.Options) *abi.Engine {
	tb.Helper()
	if o.CacheDir == "" {
		o.CacheDir = abi.DefaultCacheDir()
	}
	e, err := abi.New(context.Background(), o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = e.Close(context.Background()) })
	return e
}

// runChat takes one chat through a plugin and returns what the host was asked for.
func runChat(tb testing.TB, p *abi.Plugin, key string, x *exchange) {
	tb.Helper()
	s, err := p.NewStream(x)
	if err != nil {
		tb.Fatal(err)
	}
	request := abi.NewHeaders(":method", "POST", ":path", "/v1/chat/completions", ":authority", "leash.test", ":scheme", "http",
		"content-type", "application/json", "authorization", "Bearer "+key)
	response := abi.NewHeaders(":status", "200", "content-type", "application/json")
	defer func() {
		if err := s.Close(request, response, nil); err != nil {
			tb.Fatal(err)
		}
	}()
	_, err = s.OnRequestHeaders(request, false)
	if err == nil && x.response == nil {
		_, err = s.OnRequestBody(abi.NewBuffer([]byte(chat)), true)
	}
	if err == nil && x.response == nil {
		_, err = s.OnResponseHeaders(response, false)
	}
	if err == nil && x.response == nil {
		_, err = s.OnResponseBody(abi.NewBuffer([]byte(completion)), true)
	}
	if err != nil {
		tb.Fatal(err)
	}
}

func newPlugin(tb testing.TB, program *abi.Program, w *abi.Worker, config abi.VMConfig, plugin abi.PluginConfig) *abi.Plugin {
	tb.Helper()
	var p *abi.Plugin
	w.Do(func() {
		vm, err := program.NewVM(context.Background(), w, config)
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { w.Do(func() { _ = vm.Close(context.Background()) }) })
		if p, err = vm.NewPlugin(plugin); err != nil {
			tb.Fatal(err)
		}
	})
	return p
}

func TestOurPipelineRuns(t *testing.T) {
	program := builtModule(t, newEngine(t, abi.Options{}), "all")
	tests := map[string]struct {
		key  string
		want int // status of the module's own answer; 0: it lets pass
	}{
		"a known key passes":           {"sk-leash-demo", 0},
		"an unknown key is turned off": {"sk-unknown", 401},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var written logs
			var w abi.Worker
			p := newPlugin(t, program, &w, abi.VMConfig{Host: abi.Host{Logger: &written}},
				abi.PluginConfig{Name: "all", Configuration: []byte(pipeline), AllowOnHeadersStopIteration: true})
			x := &exchange{}
			w.Do(func() { runChat(t, p, tc.key, x) })
			got := 0
			if x.response != nil {
				got = x.response.Status
			}
			if got != tc.want {
				t.Errorf("got status %d, want %d; log:\n%s", got, tc.want, &written)
			}
		})
	}
}

func BenchmarkOurPipeline(b *testing.B) {
	program := builtModule(b, newEngine(b, abi.Options{}), "all")
	var w abi.Worker
	p := newPlugin(b, program, &w, abi.VMConfig{}, abi.PluginConfig{Configuration: []byte(pipeline), AllowOnHeadersStopIteration: true})
	b.ReportAllocs()
	for b.Loop() {
		w.Do(func() { runChat(b, p, "sk-leash-demo", &exchange{}) })
	}
}

func TestModulesAreNotCalledForWhatTheyNeverLookAt(t *testing.T) {
	e := newEngine(t, abi.Options{})
	for name, without := range map[string][]string{
		"auth": {"proxy_on_request_body", "proxy_on_request_trailers", "proxy_on_response_headers", "proxy_on_response_body", "proxy_on_response_trailers"},
	} {
		callbacks := builtModule(t, e, name).Callbacks()
		for _, callback := range without {
			if slices.Contains(callbacks, callback) {
				t.Errorf("%s has %s", name, callback)
			}
		}
		if !slices.Contains(callbacks, "proxy_on_request_headers") {
			t.Errorf("%s has no proxy_on_request_headers among %v", name, callbacks)
		}
	}
}
