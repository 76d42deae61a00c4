package extproc_test

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/host/extproc"
	"github.com/leash-gateway/leash/host/internal/asm"
)

// six are the modules of the quickstart as their file is configured by a leash.yaml.
const six = `{"modules":[
{"name":"costtracker"},
{"name":"logger"},
{"name":"auth","config":{"keys":[{"sha256":"dab3d8f1dd8779081d1d3d277bce527d52ab534b88700d61f3d3ed54fb16e8b3","tenant":"demo","name":"bench"}]}},
{"name":"ratelimit","config":{"limits":[{"requests":100000000,"tokens":1000000000,"window":"1m"}]}},
{"name":"contentfilter","config":{"rules":[{"name":"words","keywords":["bluebird","nightingale","osprey"],"action":"block"},
 {"name":"card","builtins":["card"],"action":"redact"},{"name":"email","builtins":["email"],"action":"flag"}]}},
{"name":"route","config":{"routes":[{"name":"r0","model":"gpt-*","provider":"openai"}]}}]}`

var (
	chat = `{"model":"gpt-4o-mini","messages":[{"role":"system","content":"You are a helpful assistant that answers briefly."},` +
		`{"role":"user","content":"` + strings.Repeat("The quick brown fox jumps over the lazy dog. ", 9) + `"}],"temperature":0.2,"max_tokens":64}`
	completion = `{"id":"chatcmpl-1","object":"chat.completion","created":1795467185,"model":"gpt-4o-mini",` +
		`"choices":[{"index":0,"message":{"role":"assistant","content":"The fox jumps over the dog, nine times over, and it does so quickly."},` +
		`"finish_reason":"stop"}],"usage":{"prompt_tokens":93,"completion_tokens":15,"total_tokens":108}}`
)

// BenchmarkExchange is a chat as an Envoy sends it in full duplex, over a Unix socket, with the client's part of the gRPC in
// it: through the six modules, and through one that looks at everything and does nothing, which is what the host itself costs.
func BenchmarkExchange(b *testing.B) {
	wasm, err := os.ReadFile("../../build/modules/all.wasm")
	if err != nil {
		b.Fatalf("%v (make modules builds it)", err)
	}
	all := extproc.Spec{Name: extproc.DefaultPipeline, Filters: []extproc.Filter{{Name: "all", Wasm: wasm, Configuration: []byte(six), Policy: true}}}
	for name, spec := range map[string]extproc.Spec{"six modules": all, "nothing": filters([]asm.Module{marks()}, true)} {
		b.Run(name, func(b *testing.B) {
			s := serve(b, extproc.Options{Engine: abi.Options{CacheDir: abi.DefaultCacheDir()}}, extproc.ServiceOptions{}, spec)
			b.ReportAllocs()
			for b.Loop() {
				s.exchangeChat(b)
			}
		})
	}
}

func (s *server) exchangeChat(b *testing.B) {
	b.Helper()
	stream := s.open(b, "")
	receive := func(n int) {
		for range n {
			if m, err := stream.Recv(); err != nil || m.GetImmediateResponse() != nil {
				b.Fatalf("got %s, %v", describe(m), err)
			}
		}
	}
	opening := first(requestHeaders(false, "authorization", "Bearer sk-leash-demo", "content-type", "application/json", "user-agent", "bench",
		"accept", "*/*", "x-request-id", "0f2b7a3e-1f0d-4a3e-9a57-2f3f6d7f8a10", "x-forwarded-proto", "http"), duplex, duplex)
	opening.GetRequestHeaders().GetHeaders().GetHeaders()[1].RawValue = []byte("/v1/chat/completions")
	_, _ = stream.Send(opening), stream.Send(requestBody(chat, true)) // Recv tells
	receive(2)
	_, _ = stream.Send(responseHeaders(false, "content-type", "application/json")), stream.Send(responseBody(completion, true))
	receive(2)
	_ = stream.CloseSend()
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		b.Fatal(err)
	}
}
