package translate_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/llm/translate"
)

// there is a request of one API in another.
func there(t testing.TB, from, to translate.API, body []byte) []byte {
	t.Helper()
	client := clientFormat(from)
	got, err := begin(t, client, to).Request("m", body)
	if err != nil {
		t.Fatalf("%s to %s: %v\n%s", from, to, err, body)
	}
	return got.Body
}

// What all APIs can say, in the words of chats.
var conversations = map[string]string{
	"text":   `{"model":"m","messages":[{"role":"user","content":"hi \u00e9 \"\\ \ud83d\ude00 <>&"}],"max_completion_tokens":90}`,
	"system": `{"model":"m","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"hi"}],"max_completion_tokens":90,"temperature":0.70,"top_p":1e-1}`,
	"tools": `{"model":"m","max_completion_tokens":90,"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":[{"type":"text","text":"what is it?"},
		{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}},{"type":"image_url","image_url":{"url":"https://example.com/a.jpg"}}]},
		{"role":"assistant","content":"let me see","tool_calls":[{"id":"c1","type":"function","function":{"name":"look","arguments":"{\"at\": [1, 2.50], \"s\": \"\\u00e9\\n\"}"}},
		{"id":"c2","type":"function","function":{"name":"look","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c1","content":"a \"cat\""},{"role":"tool","tool_call_id":"c2","content":"{\"n\": 1}"},
		{"role":"user","content":"sure?"}],"tools":[{"type":"function","function":{"name":"look","description":"looks","parameters":{"type":"object","properties":{"at":{"type":"array"}}}}},
		{"type":"function","function":{"name":"touch","parameters":{"type":"object"}}}],"tool_choice":{"type":"function","function":{"name":"touch"}}}`,
	"numbers": `{"model":"m","max_completion_tokens":90,"messages":[{"role":"user","content":"hi"},
		{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\": [12345678901234567890, 1.50, 1E+2, -0, 1e400]}"}}]},
		{"role":"tool","tool_call_id":"c1","content":"9007199254740993"}],
		"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"a":{"type":"array","items":{"type":"number","maximum":9007199254740993,"minimum":-1.10e-7}}}}}}]}`,
	"schema": `{"model":"m","max_completion_tokens":90,"messages":[{"role":"user","content":"hi"}],"response_format":{"type":"json_schema","json_schema":{"name":"answer","schema":{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":false}}}}`,
	"effort": `{"model":"m","max_completion_tokens":30000,"messages":[{"role":"user","content":"hi"}],"reasoning_effort":"medium"}`,
	"stream": `{"model":"m","max_completion_tokens":90,"messages":[{"role":"user","content":"hi"}],"stream":true}`,
	"pdf":    `{"model":"m","max_completion_tokens":90,"messages":[{"role":"user","content":[{"type":"text","text":"read"},{"type":"file","file":{"filename":"file","file_data":"data:application/pdf;base64,JVBERi0="}}]}]}`,
}

func TestARequestThatGoesThereAndBackIsTheSame(t *testing.T) {
	for name, chat := range conversations {
		// Each API's own spelling of the conversation is what the others are translated into.
		for _, a := range allAPIs {
			var own []byte
			if a == translate.Chat {
				own = there(t, translate.Responses, a, there(t, a, translate.Responses, []byte(chat)))
			} else {
				own = there(t, translate.Chat, a, []byte(chat))
			}
			for _, b := range allAPIs {
				if a == b {
					continue
				}
				t.Run(name+"/"+a.String()+"/"+b.String(), func(t *testing.T) {
					got, want := besides(there(t, b, a, there(t, a, b, own))), besides(own)
					if name == "numbers" {
						wantNumbers(t, there(t, a, b, own))
					}
					if !bytes.Equal(got, want) {
						t.Errorf("got\n%s\nwant\n%s\nby\n%s", got, want, there(t, a, b, own))
					}
				})
			}
		}
	}
}

// wantNumbers fails where a number has become another one, or is only spelled in another way.
func wantNumbers(t *testing.T, body []byte) {
	t.Helper()
	for _, number := range []string{"[12345678901234567890, 1.50, 1E+2, -0, 1e400]", `"maximum":9007199254740993`, `"minimum":-1.10e-7`, `9007199254740993"`} {
		if !bytes.Contains(body, []byte(number)) {
			t.Errorf("%s is missing in %s", number, body)
		}
	}
}

// besides is a request without what some API has no place for, or needs none: that of a stream is Google's path, Anthropic
// shows what its models think unasked, and a file of Google's has no name.
func besides(body []byte) []byte {
	for _, part := range []string{
		`,"stream_options":{"include_usage":true}`, `,"stream":true`, `,"strict":false`, `,"summary":"auto"`, `,"includeThoughts":true`, `,"title":"file"`,
	} {
		body = bytes.ReplaceAll(body, []byte(part), nil)
	}
	return body
}

var answers = map[string]string{
	"text":   `{"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"hi \u00e9 \"\\ \ud83d"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":12,"prompt_tokens_details":{"cached_tokens":4}}}`,
	"length": `{"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"length"}],"usage":{"prompt_tokens":9,"completion_tokens":12,"completion_tokens_details":{"reasoning_tokens":5}}}`,
	"filter": `{"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"content_filter"}]}`,
	"calls": `{"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"so","reasoning_content":"hm","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\": \"\\n\"}"}},
		{"id":"c2","type":"function","function":{"name":"g","arguments":"{}"}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":9,"completion_tokens":12}}`,
}

// ids have the prefixes of the APIs that an answer went through.
var ids = regexp.MustCompile(`(rs_|fc_|resp_|msg_)+`)

func TestAnAnswerThatGoesThereAndBackIsTheSame(t *testing.T) {
	for name, chat := range answers {
		for _, a := range allAPIs {
			first := translate.Responses
			own := back(t, first, translate.Chat, []byte(chat))
			if a != first {
				own = back(t, a, first, own)
			}
			for _, b := range allAPIs {
				if a == b {
					continue
				}
				t.Run(name+"/"+a.String()+"/"+b.String(), func(t *testing.T) {
					by := back(t, b, a, own)
					got := ids.ReplaceAll(back(t, a, b, by), nil)
					if want := ids.ReplaceAll(own, nil); !bytes.Equal(got, want) {
						t.Errorf("got\n%s\nwant\n%s\nby\n%s", got, want, by)
					}
				})
			}
		}
	}
}

// back is an answer of a provider with the API to, for a client of the API from.
func back(t testing.TB, from, to translate.API, body []byte) []byte {
	t.Helper()
	got, err := answering(t, from, to, false).Response(body)
	if err != nil {
		t.Fatalf("%s from %s: %v\n%s", from, to, err, body)
	}
	return got
}

// heard is what a client reads in a stream.
type heard struct {
	said, thought, arguments string
	usage                    llm.Usage
	failed                   bool
}

func hear(t testing.TB, a translate.API, framing llm.Framing, stream []byte) (h heard) {
	t.Helper()
	format := clientFormat(a)
	if a == translate.Gemini {
		format = llm.GoogleStream
	}
	d := llm.Decoder{Framing: framing}
	listen := func(f llm.Frame) error {
		if f.Data == nil {
			return nil
		}
		e, err := llm.ParseEvent(format, f.Data)
		if err != nil {
			return err
		}
		h.failed = h.failed || e.Error
		h.usage = h.usage.Joined(e.Usage)
		for _, text := range e.Texts {
			switch {
			case text.Kind == llm.ToolArguments && (!text.Whole || a == translate.Gemini):
				h.arguments += text.Value
			case text.Whole:
			case text.Kind == llm.Reasoning:
				h.thought += text.Value
			default:
				h.said += text.Value
			}
		}
		return nil
	}
	if err := d.Feed(stream, listen); err != nil {
		t.Fatalf("%v in %s", err, stream)
	}
	if err := d.Flush(listen); err != nil {
		t.Fatalf("%v in %s", err, stream)
	}
	return h
}

func TestAStreamThatGoesThereAndBackSaysTheSame(t *testing.T) {
	chunk := func(delta, finish string) string {
		return `data: {"id":"x","choices":[{"index":0,"delta":` + delta + `,"finish_reason":` + finish + "}]}\n\n"
	}
	streams := map[string]string{
		"text": chunk(`{"role":"assistant","content":""}`, "null") + chunk(`{"content":"Hel\ud83d"}`, "null") + chunk(`{"content":"\ude00lo"}`, "null") + chunk(`{}`, `"stop"`) +
			`data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":12,"prompt_tokens_details":{"cached_tokens":4}}}` + "\n\ndata: [DONE]\n\n",
		"thoughts and calls": chunk(`{"role":"assistant","reasoning_content":"hm"}`, "null") + chunk(`{"content":"so"}`, "null") +
			chunk(`{"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":""}}]}`, "null") +
			chunk(`{"tool_calls":[{"index":0,"function":{"arguments":"{\"ab\""}}]}`, "null") + chunk(`{"tool_calls":[{"index":0,"function":{"arguments":": 1}"}}]}`, "null") +
			chunk(`{"tool_calls":[{"index":1,"id":"c2","type":"function","function":{"name":"g","arguments":"{}"}}]}`, "null") + chunk(`{}`, `"tool_calls"`) +
			`data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":12,"completion_tokens_details":{"reasoning_tokens":5}}}` + "\n\ndata: [DONE]\n\n",
		"calls in turn": chunk(`{"tool_calls":[{"index":0,"id":"c1","function":{"name":"f","arguments":"{\"a\""}},{"index":1,"id":"c2","function":{"name":"g","arguments":"{\"b\""}}]}`, "null") +
			chunk(`{"tool_calls":[{"index":1,"function":{"arguments":":1}"}},{"index":0,"function":{"arguments":":2}"}}]}`, "null") + chunk(`{}`, `"stop"`) + "data: [DONE]\n\n",
	}
	for name, stream := range streams {
		for _, a := range allAPIs {
			if a == translate.Chat {
				continue
			}
			t.Run(name+"/"+a.String(), func(t *testing.T) {
				want := hear(t, translate.Chat, llm.ServerSentEvents, []byte(stream))
				by, _ := translateStream(t, answering(t, a, translate.Chat, true), translate.Chat, llm.ServerSentEvents, []byte(stream))
				mid := hear(t, a, llm.ServerSentEvents, by)
				if mid.said != want.said || mid.thought != want.thought || mid.failed {
					t.Errorf("%s reads %+v, want %+v in\n%s", a, mid, want, by)
				}
				compareUsage(t, a, mid.usage, want.usage)
				for _, b := range allAPIs {
					if a == b {
						continue
					}
					again, _ := translateStream(t, answering(t, b, a, true), a, llm.ServerSentEvents, by)
					got := hear(t, b, llm.ServerSentEvents, again)
					if got.said != want.said || got.thought != want.thought || got.failed {
						t.Errorf("%s by %s reads %+v, want %+v in\n%s", b, a, got, want, again)
					}
					if b == translate.Chat && name != "calls in turn" && got.arguments != want.arguments {
						t.Errorf("%s by %s reads the arguments %q, want %q", b, a, got.arguments, want.arguments)
					}
					compareUsage(t, b, got.usage, mid.usage)
				}
			})
		}
	}
}

func TestAStreamInAnArrayIsOne(t *testing.T) {
	for _, to := range []translate.API{translate.Chat, translate.Responses, translate.Messages} {
		for _, file := range examples(t, to, "stream") {
			if strings.HasSuffix(file, ".golden") {
				continue
			}
			got, said := translateStream(t, answering(t, translate.Gemini, to, true), to, llm.JSONArray, read(t, file))
			if err := llm.Check(got); err != nil {
				t.Errorf("%s: %v in %s", file, err, got)
			}
			if h := hear(t, translate.Gemini, llm.JSONArray, got); !h.failed && h.said != said {
				t.Errorf("%s: got %q, want %q", file, h.said, said)
			}
		}
	}
}

func TestAStreamThatBreaksOffEndsWithAnError(t *testing.T) {
	beginnings := map[translate.API]string{
		translate.Chat:      `data: {"id":"x","choices":[{"index":0,"delta":{"content":"Hel"}}]}` + "\n\n",
		translate.Responses: `data: {"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"Hel"}` + "\n\n",
		translate.Messages:  `data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hel"}}` + "\n\n",
		translate.Gemini:    `data: {"candidates":[{"content":{"parts":[{"text":"Hel"}]}}]}` + "\n\n",
	}
	for _, to := range allAPIs {
		for _, from := range allAPIs {
			if from == to {
				continue
			}
			for name, stream := range map[string]string{"in the middle": beginnings[to], "before it began": ""} {
				got, said := translateStream(t, answering(t, from, to, true), to, llm.ServerSentEvents, []byte(stream))
				if h := hear(t, from, llm.ServerSentEvents, got); !h.failed || h.said != said {
					t.Errorf("%s, %s for %s: %s", name, to, from, got)
				}
			}
		}
	}
}

func TestErrorsOfProvidersAreReadByEveryClient(t *testing.T) {
	bodies := map[string]struct{ body, message string }{
		"OpenAI":         {`{"error":{"message":"wrong \"x\"","type":"invalid_request_error","param":null,"code":"bad_x"}}`, `wrong \"x\"`},
		"Anthropic":      {`{"type":"error","error":{"type":"invalid_request_error","message":"wrong \"x\""}}`, `wrong \"x\"`},
		"Google":         {`{"error":{"code":400,"message":"wrong \"x\"","status":"INVALID_ARGUMENT"}}`, `wrong \"x\"`},
		"Google, array":  {`[{"error":{"code":400,"message":"wrong \"x\"","status":"INVALID_ARGUMENT"}}]`, `wrong \"x\"`},
		"a proxy's page": {`<html>secret-host.internal</html>`, `the provider answered with an error and no message`},
		"nothing":        {``, `the provider answered with an error and no message`},
		"half":           {`{"error":{"message":"secret`, `the provider answered with an error and no message`},
		"other types":    {`{"error":{"message":5,"code":{},"details":[1,{"reason":2}]}}`, `the provider answered with an error and no message`},
		"a list":         {`[1,2]`, `the provider answered with an error and no message`},
	}
	for name, tc := range bodies {
		for _, from := range allAPIs {
			for _, to := range allAPIs {
				if from == to {
					continue
				}
				got := begin(t, clientFormat(from), to).Error(400, []byte(tc.body))
				if !strings.Contains(string(got), `"message":"`+tc.message+`"`) || llm.Check(got) != nil {
					t.Errorf("%s for %s: got %s", name, from, got)
				}
			}
		}
	}
}

func TestWhatIsEmptyIsLeftOut(t *testing.T) {
	const image = `{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBO"}}`
	for name, tc := range map[string]struct {
		from translate.API
		body string
	}{
		"chats":     {translate.Chat, `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":""},{"type":"image_url","image_url":{"url":"data:image/png;charset=utf-8;base64,iVBO"}}]}]}`},
		"responses": {translate.Responses, `{"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":""},{"type":"input_image","image_url":"data:image/png;charset=utf-8;base64,iVBO"}]}]}`},
	} {
		if got := string(there(t, tc.from, translate.Messages, []byte(tc.body))); !strings.Contains(got, `"content":[`+image+`]`) {
			t.Errorf("%s: got %s, want the image alone", name, got)
		}
	}
}
