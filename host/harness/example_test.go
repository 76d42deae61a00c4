package harness_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/host/harness"
)

// script is what stands in for *testing.T in an example.
type script struct{ cleanups []func() }

func (*script) Helper()                           {}
func (*script) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (s *script) Cleanup(f func())                { s.cleanups = append(s.cleanups, f) }
func (s *script) end() {
	for i := len(s.cleanups) - 1; i >= 0; i-- {
		s.cleanups[i]()
	}
}

var t = &script{} // in a test it is the *testing.T

// A module that has been built, one configuration, one exchange.
func Example() {
	defer t.end()
	p := harness.Load(t, "../../build/modules/auth.wasm").Pipeline(keys)

	got := p.Do(harness.Request{Headers: harness.Headers{{"Authorization", "Bearer sk-leash-demo"}}, Body: chat, Answer: harness.Answer{Body: `{"choices":[]}`}})
	fmt.Println(got.Status, got.Body)
	fmt.Println(got.Provider.Headers.Get(":path"), got.Provider.Headers.Get("authorization") == "")

	got = p.Do(harness.Request{Body: chat})
	fmt.Println(got.Status, got.Provider == nil)
	// Output:
	// 200 {"choices":[]}
	// /v1/chat/completions true
	// 401 true
}

// A table of exchanges: what is the same in all of them stands once.
func Example_table() {
	defer t.end()
	p := harness.Load(t, "../../build/modules/auth.wasm").Pipeline(keys)
	tests := []struct {
		name, key string
		want      int
	}{
		{"known", "sk-leash-demo", 200},
		{"unknown", "sk-other", 401},
		{"none", "", 401},
	}
	for _, tc := range tests {
		got := p.Do(harness.Request{Headers: harness.Headers{{"authorization", "Bearer " + tc.key}}, Body: chat})
		fmt.Println(tc.name, got.Status == tc.want)
	}
	// Output:
	// known true
	// unknown true
	// none true
}

// Time is the test's: a window of a minute ends when the test says so.
func ExamplePipeline_Advance() {
	defer t.end()
	p := harness.Load(t, "../../build/modules/ratelimit.wasm").Pipeline(`{"limits":[{"by":"address","requests":1,"window":"1m"}]}`)
	ask := func() int { return p.Do(harness.Request{Body: chat}).Status }
	fmt.Println(ask(), ask())
	p.Advance(time.Minute)
	fmt.Println(ask())
	// Output:
	// 200 429
	// 200
}

// Streams come in the pieces that the test chooses, here in the middle of a card number.
func ExampleAnswer_chunks() {
	defer t.end()
	p := harness.Load(t, "../../build/modules/contentfilter.wasm").Pipeline(`{"rules":[{"name":"cards","builtins":["card"],"action":"redact"}]}`)
	event := func(text string) string {
		return `data: {"choices":[{"index":0,"delta":{"content":"` + text + `"}}]}` + "\n\n"
	}
	got := p.Do(harness.Request{
		Body:   `{"model":"m","stream":true,"messages":[{"role":"user","content":"Hi"}]}`,
		Answer: harness.Answer{Chunks: []string{event("pay 4111 1111"), event(" 1111 1111 now"), "data: [DONE]\n\n"}},
	})
	fmt.Println(got.Status, strings.Contains(got.Body, "4111"), strings.Contains(got.Body, "1111 1111"))
	// Output:
	// 200 false false
}

// A pipeline of several modules with all that surrounds it.
func ExampleLoaded_Start() {
	defer t.end()
	p := harness.Load(t, "../../build/modules/auth.wasm", "../../build/modules/hello.wasm").Start(harness.Setup{
		Clock:      time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC),
		Properties: map[string]any{"source.address": "192.0.2.1:1234"},
		// handover lets auth tell hello, which is in another file, who the caller is; leash.yaml's pipelines say it themselves.
		Modules: []harness.Module{
			{Name: "auth", Config: `{"handover":true,"modules":[{"name":"auth","config":` + keys + `}]}`},
			{Name: "hello", Config: `{"handover":true,"modules":[{"name":"hello"}]}`, Inspector: true},
		},
	})
	got := p.Do(harness.Request{Headers: harness.Headers{{"authorization", "Bearer sk-leash-demo"}}, Body: chat})
	fmt.Println(got.Status, got.Provider.Headers.Get("x-greeting"), p.Now().Year())
	// Output:
	// 200 hello from demo 2026
}

// What cannot happen in a test with Do, a VM that fails, can be looked at with Exchange.
func ExamplePipeline_Exchange() {
	ctx := context.Background()
	h, err := harness.New(ctx, harness.Options{CacheDir: abi.DefaultCacheDir()})
	if err != nil {
		panic(err)
	}
	defer h.Close(ctx)
	p, err := h.Start(ctx, harness.Setup{Modules: []harness.Module{{Name: "crashes", File: "../fuzz/testdata/crashes.wasm"}}})
	if err != nil {
		panic(err)
	}
	defer p.Close(ctx)
	got, err := p.Exchange(ctx, harness.Request{Headers: slicesOf(30, "x-many", "1")})
	if err != nil {
		panic(err)
	}
	fmt.Println(got.Status, len(got.Crashes))
	// Output:
	// 503 1
}

func slicesOf(n int, name, value string) (h harness.Headers) {
	for range n {
		h = append(h, [2]string{name, value})
	}
	return h
}

// A trace shows every host call of the modules.
func ExampleNewTrace() {
	ctx := context.Background()
	h, err := harness.New(ctx, harness.Options{})
	if err != nil {
		panic(err)
	}
	defer h.Close(ctx)
	var trace strings.Builder
	p, err := h.Start(ctx, harness.Setup{
		Modules: []harness.Module{{Name: "greeter", File: "../abi/testdata/rust.wasm", RootID: "root", Config: "world"}}, Tracer: harness.NewTrace(&trace),
	})
	if err != nil {
		panic(err)
	}
	defer p.Close(ctx)
	if _, err := p.Exchange(ctx, harness.Request{}); err != nil {
		panic(err)
	}
	fmt.Print(trace.String())
	// Output:
	// greeter 1 proxy_on_configure
	//   proxy_get_buffer_bytes(buffer: plugin configuration, start: 0, size: 4294967295) = ok (bytes: "world")
	// greeter 2 proxy_on_request_headers
	//   proxy_get_header_map_value(map: request headers, key: ":path") = ok (value: "/")
	//   proxy_replace_header_map_value(map: request headers, key: "x-greeting", value: "world") = ok
}
