package llm_test

import (
	"bytes"
	"strconv"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/llm"
)

// chat is a request of 600 bytes, like those that clients send most.
var chat = []byte(`{"model":"gpt-4o-mini","messages":[{"role":"system","content":"You are a helpful assistant that answers ` +
	`questions about the products of a plant nursery. Be brief."},{"role":"user","content":"Which of your apple trees ` +
	`bears fruit in its first year?\nI have a small garden, and the soil is heavy."},{"role":"assistant","content":"A ` +
	`columnar one, such as \"Rondo\"."},{"role":"user","content":"How far apart should I plant them, and do they need ` +
	`another tree for pollination?"}],"temperature":0.7,"top_p":1,"max_tokens":256,"stream":true,"stream_options":` +
	`{"include_usage":false},"user":"customer-1234"}`)

// delta is the event that streams consist of.
var delta = []byte(`{"id":"chatcmpl-123","object":"chat.completion.chunk","created":1694268190,"model":"gpt-4o-mini",` +
	`"system_fingerprint":"fp_44709d6fcb","choices":[{"index":0,"delta":{"content":" Hello"},"logprobs":null,` +
	`"finish_reason":null}],"usage":null}`)

func BenchmarkParseRequest(b *testing.B) {
	b.SetBytes(int64(len(chat)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := llm.ParseRequest(llm.OpenAIChat, chat); err != nil {
			b.Fatal(err)
		}
	}
}

// agent is a request with the tools of an agent, 16 of 1,500 bytes.
var agent = []byte(`{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Go on."}],"tools":[` + strings.Repeat(tool+",", 15) + tool + `]}`)

var tool = `{"type":"function","function":{"name":"read_file","description":"` + strings.Repeat("Reads a part of a file of the project, from a line on. ", 20) +
	`","parameters":{"type":"object","properties":{"path":{"type":"string","description":"Where it is, from the root of the project."},"line":{"type":"integer",` +
	`"description":"The first line, counted from 1."},"mode":{"type":"string","enum":["text","lines"]}},"required":["path"]}}}`

// BenchmarkOthers is what a policy costs that looks at an agent's tools, on top of BenchmarkParseRequest.
func BenchmarkOthers(b *testing.B) {
	b.SetBytes(int64(len(agent)))
	b.ReportAllocs()
	for b.Loop() {
		r, err := llm.ParseRequest(llm.OpenAIChat, agent)
		if err != nil {
			b.Fatal(err)
		}
		if others, err := r.Others(); err != nil || len(others) != 16*6 {
			b.Fatal(len(others), err)
		}
	}
}

func BenchmarkEditRequest(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		r, err := llm.ParseRequest(llm.OpenAIChat, chat)
		if err != nil {
			b.Fatal(err)
		}
		r.SetModel("gpt-4o")
		r.AskUsage()
		_ = r.Bytes()
	}
}

func BenchmarkParseEvent(b *testing.B) {
	b.SetBytes(int64(len(delta)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := llm.ParseEvent(llm.OpenAIChat, delta); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecoder(b *testing.B) {
	chunk := llm.AppendFrame(nil, "", delta)
	b.SetBytes(int64(len(chunk)))
	b.ReportAllocs()
	var d llm.Decoder
	for b.Loop() {
		if err := d.Feed(chunk, func(llm.Frame) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	bodies := []struct {
		name string
		body []byte
	}{
		{"chat", chat},
		{"one string of 1 MiB", []byte(`{"image":"` + strings.Repeat("QUJD", 1<<18) + `"}`)},
		{"1 MiB of Chinese", []byte(`{"text":"` + strings.Repeat("苹果树", 116508) + `"}`)},
		{"1e5 keys", manyKeys(1e5)},
		{"1e6 keys", manyKeys(1e6)},
		{"1e5 objects", []byte(`[` + strings.Repeat(`{"a":1},`, 1e5) + `{}]`)},
	}
	for _, bc := range bodies {
		b.Run(bc.name, func(b *testing.B) {
			b.SetBytes(int64(len(bc.body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := llm.Check(bc.body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// manyKeys is an object with n keys.
func manyKeys(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"`)
	for i := range n {
		if i > 0 {
			b.WriteString(`,"`)
		}
		b.WriteString(strconv.FormatInt(int64(i), 36))
		b.WriteString(`":1`)
	}
	b.WriteByte('}')
	return b.Bytes()
}
