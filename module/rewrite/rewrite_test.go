package rewrite_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/match"
	"github.com/leash-gateway/leash/module/moduletest"
	"github.com/leash-gateway/leash/module/rewrite"
)

// hush is a module that puts stars in the place of a word.
type hush struct{ words *match.Set }

func (h hush) begin(t llm.Text) rewrite.Rewriter {
	if t.Kind != llm.Content {
		return nil
	}
	return stars{h.words.NewStream(0)}
}

func (h hush) Response(x *module.Exchange) error {
	rewrite.Response(x, h.begin)
	return nil
}

func (h hush) Event(x *module.Exchange, e *module.Event) error {
	return module.Local[rewrite.Stream](x).Event(e, h.begin)
}

type stars struct{ *match.Stream }

func (s stars) Feed(piece string) string { return starred(s.Stream.Feed(piece)) }
func (s stars) Flush() string            { return starred(s.Stream.Flush()) }

func starred(segments []match.Segment) (out string) {
	for _, s := range segments {
		if s.Pattern >= 0 {
			s.Text = "***"
		}
		out += s.Text
	}
	return out
}

func init() {
	module.Register("hush", module.Policy, func(struct{}) (h hush, err error) {
		h.words, err = match.Compile([]match.Pattern{{Name: "bluebird", Keyword: "bluebird"}})
		return h, err
	})
}

const (
	chat      = `{"model":"m","stream":true,"messages":[{"role":"user","content":"Hi"}]}`
	messages  = `{"model":"m","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}`
	responses = `{"model":"m","stream":true,"input":"Hi"}`
	google    = `{"contents":[{"parts":[{"text":"Hi"}]}]}`
)

// stream is an exchange with a streamed answer of events with this data.
func stream(path, request string, data ...string) moduletest.Exchange {
	e := moduletest.Exchange{Path: path, Request: request, AnswerHeader: map[string]string{"content-type": "text/event-stream"}}
	for _, d := range data {
		e.AnswerChunks = append(e.AnswerChunks, "data: "+d+"\n\n")
	}
	return e
}

// dataOf are the events' data in an answer.
func dataOf(body string) (data []string) {
	for line := range strings.Lines(body) {
		if d, found := strings.CutPrefix(strings.TrimSpace(line), "data: "); found {
			data = append(data, d)
		}
	}
	return data
}

func TestTextsAreRewrittenAcrossEventsInAllAPIs(t *testing.T) {
	for name, tc := range map[string]struct {
		exchange moduletest.Exchange
		want     []string
	}{
		"OpenAI's chat": {
			stream("", chat, `{"choices":[{"index":0,"delta":{"content":"a blue"}}]}`, `{"choices":[{"index":0,"delta":{"content":"bird, blue"}}]}`,
				`{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`, `[DONE]`),
			[]string{
				`{"choices":[{"index":0,"delta":{"content":"a "}}]}`, `{"choices":[{"index":0,"delta":{"content":"***, "}}]}`,
				`{"choices":[{"index":0,"delta":{"content":"blue"},"finish_reason":null}]}`, `{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`, `[DONE]`,
			},
		},
		"two choices side by side": {
			stream("", chat, `{"choices":[{"index":0,"delta":{"content":"blue"}},{"index":1,"delta":{"content":"blue"}}]}`,
				`{"choices":[{"index":0,"delta":{"content":"bird"},"finish_reason":"stop"},{"index":1,"delta":{"content":"s"},"finish_reason":"stop"}]}`, `[DONE]`),
			[]string{
				`{"choices":[{"index":0,"delta":{"content":""}},{"index":1,"delta":{"content":""}}]}`,
				`{"choices":[{"index":0,"delta":{"content":"***"},"finish_reason":"stop"},{"index":1,"delta":{"content":"blues"},"finish_reason":"stop"}]}`, `[DONE]`,
			},
		},
		"a stream that breaks off": {
			stream("", chat, `{"choices":[{"index":0,"delta":{"content":"a blue"}}]}`),
			[]string{`{"choices":[{"index":0,"delta":{"content":"a "}}]}`, `{"choices":[{"index":0,"delta":{"content":"blue"},"finish_reason":null}]}`},
		},
		"a choice that goes on after its end": {
			stream("", chat, `{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}`, `{"choices":[{"index":0,"delta":{"content":"bluebird"}}]}`, `[DONE]`),
			[]string{
				`{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}`, `{"choices":[{"index":0,"delta":{"content":""}}]}`,
				`{"choices":[{"index":0,"delta":{"content":"***"},"finish_reason":null}]}`, `[DONE]`,
			},
		},
		"log probabilities": {
			stream("", chat, `{"choices":[{"index":0,"delta":{"content":"blue"},"logprobs":{"content":[{"token":"blue","logprob":-1}]}}]}`,
				`{"choices":[{"index":0,"delta":{},"logprobs":{"content":[{"token":"bird","logprob":-1}]}}]}`, `[DONE]`),
			[]string{
				`{"choices":[{"index":0,"delta":{"content":""},"logprobs":null}]}`, `{"choices":[{"index":0,"delta":{},"logprobs":null}]}`,
				`{"choices":[{"index":0,"delta":{"content":"blue"},"finish_reason":null}]}`, `[DONE]`,
			},
		},
		"OpenAI's responses, which say all again": {
			stream("/v1/responses", responses, `{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"a blue"}`,
				`{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"bird, blue"}`,
				`{"type":"response.output_text.done","output_index":0,"content_index":0,"text":"a bluebird, blue"}`,
				`{"type":"response.completed","response":{"output":[{"type":"message","content":[{"type":"output_text","text":"a bluebird, blue"}]}]}}`),
			[]string{
				`{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"a "}`,
				`{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"***, "}`,
				`{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"blue"}`,
				`{"type":"response.output_text.done","output_index":0,"content_index":0,"text":"a ***, blue"}`,
				`{"type":"response.completed","response":{"output":[{"type":"message","content":[{"type":"output_text","text":"a ***, blue"}]}]}}`,
			},
		},
		"Anthropic's blocks, each by itself": {
			stream("/v1/messages", messages, `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a blue"}}`, `{"type":"content_block_stop","index":0}`,
				`{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"bird"}}`, `{"type":"content_block_stop","index":1}`, `{"type":"message_stop"}`),
			[]string{
				`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a "}}`,
				`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"blue"}}`, `{"type":"content_block_stop","index":0}`,
				`{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"bird"}}`, `{"type":"content_block_stop","index":1}`, `{"type":"message_stop"}`,
			},
		},
		"Google's": {
			stream("/v1beta/models/m:streamGenerateContent?alt=sse", google, `{"candidates":[{"content":{"parts":[{"text":"a blue"}]}}]}`,
				`{"candidates":[{"content":{"parts":[{"text":"bird, blue"}]},"finishReason":"STOP"}]}`),
			[]string{`{"candidates":[{"content":{"parts":[{"text":"a "}]}}]}`, `{"candidates":[{"content":{"parts":[{"text":"***, blue"}]},"finishReason":"STOP"}]}`},
		},
		"what the model thinks is left as it is": {
			stream("", chat, `{"choices":[{"index":0,"delta":{"reasoning":"bluebird","reasoning_content":"bluebird"}}]}`, `[DONE]`),
			[]string{`{"choices":[{"index":0,"delta":{"reasoning":"bluebird","reasoning_content":"bluebird"}}]}`, `[DONE]`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := moduletest.New(t, `{"modules":[{"name":"hush"}]}`)
			got := dataOf(h.Do(tc.exchange).Body)
			if strings.Join(got, "\n") != strings.Join(tc.want, "\n") || len(h.Logs) > 0 {
				t.Errorf("got\n%s\nwant\n%s\nlog %q", strings.Join(got, "\n"), strings.Join(tc.want, "\n"), h.Logs)
			}
		})
	}
}

func TestWholeAnswersAreRewritten(t *testing.T) {
	got := moduletest.New(t, `{"modules":[{"name":"hush"}]}`).Do(moduletest.Exchange{
		Request: `{"model":"m","messages":[{"role":"user","content":"Hi"}]}`, Answer: `{"choices":[{"message":{"content":"a bluebird","reasoning":"bluebird"}}]}`,
	})
	if want := `{"choices":[{"message":{"content":"a ***","reasoning":"bluebird"}}]}`; got.Body != want {
		t.Errorf("got %s, want %s", got.Body, want)
	}
}

func TestEndlesslyManyTextsAreRefused(t *testing.T) {
	var all strings.Builder
	for i := range 2049 {
		all.WriteString(`data: {"choices":[{"index":` + strconv.Itoa(i) + `,"delta":{"content":"a"}}]}` + "\n\n")
	}
	e := stream("", chat)
	e.AnswerChunks = []string{all.String()}
	if got := moduletest.New(t, `{"modules":[{"name":"hush"}]}`).Do(e); !strings.Contains(got.Body, "more than 2048 texts side by side") {
		t.Errorf("got %.300s", got.Body)
	}
}
