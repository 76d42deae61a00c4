// Package filters_test measures the modules together, as all.wasm runs them, but natively.
package filters_test

import (
	"strings"
	"testing"

	_ "github.com/leash-gateway/leash/filters/auth"
	_ "github.com/leash-gateway/leash/filters/contentfilter"
	_ "github.com/leash-gateway/leash/filters/costtracker"
	_ "github.com/leash-gateway/leash/filters/logger"
	_ "github.com/leash-gateway/leash/filters/ratelimit"
	_ "github.com/leash-gateway/leash/filters/route"
	_ "github.com/leash-gateway/leash/filters/tracer"
	"github.com/leash-gateway/leash/module/moduletest"
)

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

const answer = `{"id":"chatcmpl-1","object":"chat.completion","created":1795467185,"model":"gpt-4o-mini","service_tier":"default","system_fingerprint":"fp",` +
	`"choices":[{"index":0,"message":{"role":"assistant","content":"The fox jumps over the dog, nine times over, and it does so quickly.","refusal":null,"annotations":[]},` +
	`"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":93,"completion_tokens":15,"total_tokens":108,` +
	`"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0}}}`

// traced is the pipeline with the tracer where Leash puts it.
var traced = strings.Replace(pipeline, `{"name":"auth"`, `{"name":"tracer"},{"name":"auth"`, 1)

func BenchmarkPipelineChat(b *testing.B) {
	x := moduletest.Exchange{Header: map[string]string{"authorization": "Bearer sk-leash-demo"}, Request: chat, Answer: answer}
	for name, modules := range map[string]string{"plain": pipeline, "traced": traced} {
		b.Run(name, func(b *testing.B) { benchmarkExchange(b, modules, x) })
	}
}

func BenchmarkPipelineStream(b *testing.B) {
	var chunks []string
	for range 100 {
		chunks = append(chunks, `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini","choices":[{"index":0,"delta":{"content":" fox jumps"},"logprobs":null,"finish_reason":null}],"usage":null}`+"\n\n")
	}
	chunks = append(chunks, "data: [DONE]\n\n")
	x := moduletest.Exchange{
		Header: map[string]string{"authorization": "Bearer sk-leash-demo"}, Request: strings.Replace(chat, `"model"`, `"stream":true,"model"`, 1),
		AnswerHeader: map[string]string{"content-type": "text/event-stream"}, AnswerChunks: chunks,
	}
	for name, modules := range map[string]string{"plain": pipeline, "traced": traced} {
		b.Run(name, func(b *testing.B) { benchmarkExchange(b, modules, x) })
	}
}

func benchmarkExchange(b *testing.B, modules string, x moduletest.Exchange) {
	b.Helper()
	h := moduletest.New(b, modules)
	b.ReportAllocs()
	for b.Loop() {
		if got := h.Do(x); got.Status != 200 {
			b.Fatalf("got %d %s", got.Status, got.Body)
		}
		h.Logs = h.Logs[:0]
	}
}
