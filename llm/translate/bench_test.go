package translate_test

import (
	"bytes"
	"testing"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/llm/eventstream"
	"github.com/leash-gateway/leash/llm/translate"
)

// A chat of 1 kB, as agents send them.
var chat1kB = []byte(`{"model":"gpt-4o-mini","temperature":0.7,"max_completion_tokens":256,"messages":[{"role":"system","content":"You are a helpful assistant that answers in one paragraph."},` +
	`{"role":"user","content":"What is the weather like in Boston today, and should I take an umbrella with me?"},{"role":"assistant","content":null,"tool_calls":[{"id":"call_abc123","type":"function",` +
	`"function":{"name":"get_current_weather","arguments":"{\"location\":\"Boston, MA\",\"unit\":\"celsius\"}"}}]},{"role":"tool","tool_call_id":"call_abc123","content":"{\"temperature\":22,\"sky\":\"clear\"}"},` +
	`{"role":"user","content":"Thanks. And what about tomorrow, in the same place?"}],"tools":[{"type":"function","function":{"name":"get_current_weather","description":"Get the current weather in a given location",` +
	`"parameters":{"type":"object","properties":{"location":{"type":"string","description":"The city and state, e.g. San Francisco, CA"},"unit":{"type":"string","enum":["celsius","fahrenheit"]}},"required":["location"]}}}]}`)

// BenchmarkRequest is what a module does with each request. make bench runs it in Wasm too.
func BenchmarkRequest(b *testing.B) {
	for _, from := range allAPIs {
		body := chat1kB
		if from != translate.Chat {
			body = there(b, translate.Chat, from, chat1kB)
		}
		for _, to := range providerAPIs {
			if to == from {
				continue
			}
			b.Run(from.String()+"/"+to.String(), func(b *testing.B) {
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				var memory translate.Memory
				for b.Loop() {
					x, _ := translate.New(clientFormat(from), to, translate.Options{Memory: &memory})
					if _, err := x.Request("m", body); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkPassThrough is what is done with a request instead whose client speaks the provider's API: it is read and its model replaced.
func BenchmarkPassThrough(b *testing.B) {
	for _, from := range allAPIs {
		body := chat1kB
		if from != translate.Chat {
			body = there(b, translate.Chat, from, chat1kB)
		}
		format := clientFormat(from)
		b.Run(from.String(), func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				r, err := llm.ParseRequestAt(format, format.Path("m"), body)
				if err != nil {
					b.Fatal(err)
				}
				r.SetModel("other")
				_ = r.Bytes()
			}
		})
	}
}

// BenchmarkLargeRequest shows that 8 MB take 8,000 times what 1 kB does, or less.
func BenchmarkLargeRequest(b *testing.B) {
	for _, size := range []int{1 << 10, 1 << 16, 1 << 20, 8 << 20} {
		text := bytes.Repeat([]byte(`{"role":"user","content":"The quick brown fox jumps over the lazy dog, says \"Franz\", and runs off."},`), size/100)
		body := append([]byte(`{"model":"m","messages":[`), text[:len(text)-1]...)
		body = append(body, "]}"...)
		b.Run(byteSize(size), func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			var memory translate.Memory
			for b.Loop() {
				x, _ := translate.New(llm.OpenAIChat, translate.Messages, translate.Options{Memory: &memory})
				if _, err := x.Request("m", body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func byteSize(n int) string {
	if n >= 1<<20 {
		return string('0'+byte(n>>20)) + "MB"
	}
	return map[int]string{1 << 10: "1kB", 1 << 16: "64kB"}[n]
}

// BenchmarkEvent is what a module does with each event of a stream, its framing included.
func BenchmarkEvent(b *testing.B) {
	events := map[translate.API]string{
		translate.Chat:      `{"id":"chatcmpl-123","object":"chat.completion.chunk","created":1694268190,"model":"gpt-4o-mini","system_fingerprint":"fp_44709d6fcb","choices":[{"index":0,"delta":{"content":" Hello"},"logprobs":null,"finish_reason":null}]}`,
		translate.Responses: `{"type":"response.output_text.delta","sequence_number":4,"item_id":"msg_67c9fdcf","output_index":0,"content_index":0,"delta":" Hello","logprobs":[],"obfuscation":"abcdefgh"}`,
		translate.Messages:  `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" Hello"}}`,
		translate.Converse:  `{"contentBlockIndex":0,"delta":{"text":" Hello"},"p":"abcdefghijkl"}`,
		translate.Gemini:    `{"candidates": [{"content": {"parts": [{"text": " Hello"}],"role": "model"},"index": 0}],"usageMetadata": {"promptTokenCount": 8,"candidatesTokenCount": 4,"totalTokenCount": 12},"modelVersion": "gemini-2.5-flash","responseId": "r1"}`,
	}
	for to, data := range events {
		for _, from := range allAPIs {
			if to == from {
				continue
			}
			b.Run(to.String()+"/"+from.String(), func(b *testing.B) {
				s := answering(b, from, to, true).Stream(llm.ServerSentEvents)
				chunk := llm.AppendFrame(nil, "", []byte(data))
				if to == translate.Converse {
					chunk = eventstream.Append(nil, eventstream.Message{Type: "event", Event: "contentBlockDelta", Payload: []byte(data)})
				}
				out := make([]byte, 0, 4096)
				b.ReportAllocs()
				for b.Loop() {
					var err error
					if out, err = s.Feed(out[:0], chunk); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
