package translate_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/llm/translate"
)

func FuzzRequest(f *testing.F) {
	for _, from := range allAPIs {
		for _, file := range examples(f, from, "request") {
			f.Add(uint8(from), read(f, file))
		}
	}
	for i := range translate.Fields {
		f.Add(uint8(translate.Fields[i].API), []byte(requestWith(translate.Fields[i].API, translate.Fields[i].Example)))
	}
	f.Fuzz(func(t *testing.T, number uint8, body []byte) {
		from := allAPIs[int(number)%len(allAPIs)]
		for _, to := range providerAPIs {
			if to == from {
				continue
			}
			client := clientFormat(from)
			x := begin(t, client, to)
			got, err := x.Request("m", body)
			if err != nil {
				continue
			}
			if err := llm.Check(body); err != nil {
				t.Fatalf("%q was translated, but %v", body, err)
			}
			if err := llm.Check(got.Body); err != nil {
				t.Fatalf("%q became %q: %v", body, got.Body, err)
			}
			// What the policies let pass is what the provider's API can read. (A model's name may need escapes in a path.)
			if _, err := llm.ParseRequestAt(client, client.Path("m"), body); err == nil && to != translate.Converse {
				if _, err := llm.ParseRequestAt(got.Format, got.Format.Path("m"), got.Body); err != nil {
					t.Fatalf("%q became %q: %v", body, got.Body, err)
				}
			}
		}
	})
}

func FuzzAnswer(f *testing.F) {
	for _, to := range providerAPIs {
		for _, file := range append(examples(f, to, "response"), examples(f, to, "stream")...) {
			f.Add(uint8(to), read(f, file))
		}
	}
	f.Fuzz(func(t *testing.T, number uint8, body []byte) {
		to := providerAPIs[int(number)%len(providerAPIs)]
		for _, from := range allAPIs {
			if to == from {
				continue
			}
			x := answering(t, from, to, false)
			if got, err := x.Response(body); err == nil {
				if _, err := llm.ParseResponse(clientFormat(from), got); err != nil {
					t.Errorf("%q became %q: %v", body, got, err)
				}
			}
			if err := llm.Check(x.Error(500, body)); err != nil {
				t.Error(err)
			}
			fuzzStream(t, from, to, body)
		}
	})
}

// FuzzFeed looks for streams that the client reads differently when they are cut elsewhere, or whose translation it cannot read.
func FuzzFeed(f *testing.F) {
	for _, to := range providerAPIs {
		for _, file := range examples(f, to, "stream") {
			stream := read(f, file)
			if to == translate.Converse {
				stream = framed(f, string(stream))
			}
			f.Add(uint8(to), stream, uint16(100))
		}
	}
	f.Fuzz(func(t *testing.T, number uint8, stream []byte, at uint16) {
		to := providerAPIs[int(number)%len(providerAPIs)]
		cut := min(int(at), len(stream))
		for _, from := range allAPIs {
			if to == from {
				continue
			}
			want := answering(t, from, to, true).Stream(llm.ServerSentEvents)
			whole, _ := want.Feed(nil, stream)
			whole = want.End(whole)
			s := answering(t, from, to, true).Stream(llm.ServerSentEvents)
			halves, _ := s.Feed(nil, stream[:cut])
			halves, _ = s.Feed(halves, stream[cut:])
			if halves = s.End(halves); !bytes.Equal(whole, halves) {
				t.Errorf("%q became\n%q\nand cut at %d\n%q", stream, whole, cut, halves)
			}
			hear(t, from, llm.ServerSentEvents, whole)
		}
	})
}

// fuzzStream takes bytes for a stream, and each of its frames for an event.
func fuzzStream(t *testing.T, from, to translate.API, body []byte) {
	t.Helper()
	for _, framing := range []llm.Framing{llm.ServerSentEvents, llm.JSONArray} {
		if framing == llm.JSONArray && from != translate.Gemini {
			continue
		}
		s := answering(t, from, to, true).Stream(framing)
		var out []byte
		var d llm.Decoder
		feed := func(f llm.Frame) (err error) {
			if f.Data != nil {
				if out, err = s.Event(out, f.Data); err != nil {
					out = s.Fail(out, 502, "x", "y")
				}
			}
			return nil
		}
		if d.Feed(body, feed) != nil || d.Flush(feed) != nil {
			continue
		}
		out = s.End(out)
		if framing == llm.JSONArray {
			if err := llm.Check(bytes.ReplaceAll(out, []byte(`\u`), []byte(`\\u`))); err != nil {
				t.Errorf("%q became %q: %v", body, out, err)
			}
			continue
		}
		hear(t, from, framing, out)
	}
}

func TestNoRequestTakesMoreThanLinearTime(t *testing.T) {
	hostile := map[string]func(n int) string{
		"texts": func(n int) string { return repeat(n, `{"role":"user","content":"a"}`) },
		"parts": func(n int) string {
			return `{"role":"user","content":[` + repeat(n, `{"type":"text","text":"a"}`) + `]}`
		},
		"calls": func(n int) string {
			return `{"role":"assistant","tool_calls":[` + repeat(n, `{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}`) + `]}`
		},
		"answers": func(n int) string { return repeat(n, `{"role":"tool","tool_call_id":"c","content":"a"}`) },
		"systems": func(n int) string { return repeat(n, `{"role":"system","content":"a"}`) },
		"escapes": func(n int) string {
			return `{"role":"user","content":"` + string(bytes.Repeat([]byte(`\u0061`), n)) + `"}`
		},
		"unknown": func(n int) string { return `{"role":"user","content":"a","x":[` + repeat(n, `{}`) + `]}` },
		"arguments": func(n int) string {
			return `{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":[` + repeat(n, "1") + `]}"}}]}`
		},
	}
	for name, messages := range hostile {
		for _, to := range []translate.API{translate.Responses, translate.Messages, translate.Gemini, translate.Converse} {
			t.Run(name+"/"+to.String(), func(t *testing.T) {
				took := func(n int) time.Duration {
					body := []byte(`{"model":"m","messages":[` + messages(n) + `]}`)
					best := time.Hour
					for range 2 { // a busy machine may hold up one
						x := begin(t, llm.OpenAIChat, to)
						start := time.Now()
						_, _ = x.Request("m", body)
						best = min(best, time.Since(start))
					}
					return best
				}
				const n = 2000
				small, large := took(n), took(8*n)
				// Linear is 8 times and some milliseconds; quadratic would be 64 times.
				if large > 32*small && large > time.Second {
					t.Errorf("8 times the size took %v instead of %v", large, small)
				}
			})
		}
	}
}

func repeat(n int, s string) string {
	out := bytes.Repeat([]byte(s+","), n)
	return string(out[:len(out)-1])
}
