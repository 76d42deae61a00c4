package translate_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/llm/translate"
)

// events makes a stream of events of their data.
func events(data ...string) []byte {
	var b []byte
	for _, d := range data {
		b = llm.AppendFrame(b, "", []byte(d))
	}
	return b
}

// toClient is a stream as the client reads it: the data of its events.
func toClient(t *testing.T, client, provider translate.API, stream []byte) (data []string) {
	t.Helper()
	s := answering(t, client, provider, true).Stream(llm.ServerSentEvents)
	out, _ := s.Feed(nil, stream)
	var d llm.Decoder
	if err := d.Feed(s.End(out), func(f llm.Frame) error {
		data = append(data, string(f.Data))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return data
}

// argumentsOf are the arguments of the calls in a stream for a client, by their place in it.
func argumentsOf(client translate.API, data []string) (calls []string) {
	for _, event := range data {
		switch client {
		case translate.Responses:
			if item := gjson.Get(event, "item"); gjson.Get(event, "type").Str == "response.output_item.done" {
				calls = append(calls, item.Get("call_id").Str+" "+item.Get("arguments").Str)
			}
		case translate.Messages:
			if block := gjson.Get(event, "content_block"); block.Get("type").Str == "tool_use" {
				calls = append(calls, block.Get("id").Str+" ")
			}
			if piece := gjson.Get(event, "delta.partial_json").Str; piece != "" {
				calls[len(calls)-1] += piece
			}
		case translate.Gemini:
			if call := gjson.Get(event, "candidates.0.content.parts.0.functionCall"); call.Exists() {
				calls = append(calls, call.Get("id").Str+" "+call.Get("args").Raw)
			}
		default:
			for _, call := range gjson.Get(event, "choices.0.delta.tool_calls").Array() {
				i := int(call.Get("index").Int())
				for len(calls) <= i {
					calls = append(calls, "")
				}
				if id := call.Get("id").Str; id != "" {
					calls[i] += id + " "
				}
				calls[i] += call.Get("function.arguments").Str
			}
		}
	}
	return calls
}

func TestCallsThatShareANumberStayApart(t *testing.T) {
	call := func(id, arguments string) string {
		return `{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"` + id + `","function":{"name":"f","arguments":"` + arguments + `"}}]}}]}`
	}
	stream := events(call("a", `{\"x\":1}`), call("b", `{\"y\":2}`), `{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}`, "[DONE]")
	const want = `a {"x":1}|b {"y":2}`
	for _, client := range []translate.API{translate.Responses, translate.Messages, translate.Gemini} {
		if got := strings.Join(argumentsOf(client, toClient(t, client, translate.Chat, stream)), "|"); got != want {
			t.Errorf("%s: got %s, want %s", client, got, want)
		}
	}
}

func TestACallThatIsNamedWithEachPieceIsOne(t *testing.T) {
	piece := func(number int, id, arguments string) string {
		return fmt.Sprintf(`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":%d,"id":%q,"function":{"name":"f","arguments":%q}}]}}]}`, number, id, arguments)
	}
	stream := events(piece(0, "a", ""), piece(0, "a", `{"x":`), piece(0, "a", `1}`), piece(1, "b", `{"y":`), piece(1, "b", `2}`),
		`{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}`, "[DONE]")
	const want = `a {"x":1}|b {"y":2}`
	for _, client := range []translate.API{translate.Responses, translate.Messages, translate.Gemini} {
		if got := strings.Join(argumentsOf(client, toClient(t, client, translate.Chat, stream)), "|"); got != want {
			t.Errorf("%s: got %s, want %s", client, got, want)
		}
	}
}

// TestChoicesMayCallByTheSameID: servers that count calls do so in each.
func TestChoicesMayCallByTheSameID(t *testing.T) {
	x := begin(t, llm.GoogleStream, translate.Chat)
	if _, err := x.Request("m", []byte(requestWith(translate.Gemini, `"generationConfig":{"candidateCount":2}`))); err != nil {
		t.Fatal(err)
	}
	const call = `"delta":{"tool_calls":[{"index":0,"id":"functions.f:0","type":"function","function":{"name":"f","arguments":"{}"}}]}}]}`
	s := x.Stream(llm.ServerSentEvents)
	out, err := s.Feed(nil, events(`{"choices":[{"index":0,`+call, `{"choices":[{"index":1,`+call, `{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"},{"index":1,"delta":{},"finish_reason":"tool_calls"}]}`))
	if got := bytes.Count(s.End(out), []byte(`"functionCall"`)); err != nil || got != 2 {
		t.Errorf("got %d calls, %v, of %s", got, err, out)
	}
}

func TestCallsWithoutArgumentsAreOnesWithAnEmptyObject(t *testing.T) {
	streams := map[translate.API][]byte{
		translate.Chat: events(`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":""}}]},"finish_reason":"tool_calls"}]}`),
		translate.Messages: events(`{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"a","name":"f","input":{}}}`,
			`{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":""}}`, `{"type":"content_block_stop","index":0}`,
			`{"type":"message_delta","delta":{"stop_reason":"tool_use"}}`, `{"type":"message_stop"}`),
		translate.Responses: events(`{"type":"response.output_item.added","output_index":0,"item":{"type":"function_call","call_id":"a","name":"f","arguments":""}}`,
			`{"type":"response.output_item.done","output_index":0,"item":{"type":"function_call","call_id":"a","name":"f","arguments":""}}`, `{"type":"response.completed","response":{}}`),
		translate.Gemini: events(`{"candidates":[{"content":{"parts":[{"functionCall":{"id":"a","name":"f"}}]},"finishReason":"STOP"}]}`),
	}
	for provider, stream := range streams {
		for _, client := range allAPIs {
			if client == provider {
				continue
			}
			got := strings.Join(argumentsOf(client, toClient(t, client, provider, stream)), "|")
			if got != "a {}" && (client != translate.Messages || got != "a ") { // whose clients take nothing for an empty object
				t.Errorf("from %s to %s: got %q, want an empty object", provider, client, got)
			}
		}
	}
}

func TestAReasonForTheEndThatComesWithEachPieceIsToldAtTheEnd(t *testing.T) {
	stream := events(`{"candidates":[{"content":{"parts":[{"text":"let me"}]},"finishReason":"STOP"}]}`, `{"candidates":[{"content":{"parts":[{"text":" see"}]},"finishReason":"STOP"}]}`,
		`{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f"}}]},"finishReason":"STOP"}]}`)
	var got []string
	for _, event := range toClient(t, translate.Chat, translate.Gemini, stream) {
		choice := gjson.Get(event, "choices.0")
		got = append(got, choice.Get("delta.content").Str+choice.Get("delta.tool_calls.0.function.name").Str+choice.Get("finish_reason").Str)
	}
	if want := "let me| see|f||tool_calls||"; strings.Join(got, "|") != want {
		t.Errorf("got %q, want %q", strings.Join(got, "|"), want)
	}
}

// TestTheEndOfAChatEndsOtherStreamsToo has servers that speak another API than OpenAI's chats, and end as these do: vLLM, OpenRouter.
func TestTheEndOfAChatEndsOtherStreamsToo(t *testing.T) {
	for provider, stream := range map[translate.API][]byte{
		translate.Messages: events(`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}`, `{"type":"message_delta","delta":{"stop_reason":"end_turn"}}`,
			`{"type":"message_stop"}`, "[DONE]"),
		translate.Responses: events(`{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"hi"}`, `{"type":"response.completed","response":{}}`, "[DONE]"),
		translate.Gemini:    events(`{"candidates":[{"content":{"parts":[{"text":"hi"}]},"finishReason":"STOP"}]}`, "[DONE]"),
	} {
		got := toClient(t, translate.Chat, provider, stream)
		if gjson.Get(got[0], "choices.0.delta.content").Str != "hi" || strings.Contains(strings.Join(got, ""), "error") || got[len(got)-1] != "[DONE]" {
			t.Errorf("from %s: got %q", provider, got)
		}
	}
}

func TestAnEventThatCannotBeReadEndsTheStream(t *testing.T) {
	streams := map[string]struct {
		provider translate.API
		stream   []byte
	}{
		"arguments that are no text": {translate.Chat, events(`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":1}}]},"finish_reason":"tool_calls"}]}`, "[DONE]")},
		"calls that are no list":     {translate.Chat, events(`{"choices":[{"index":0,"delta":{"tool_calls":{"index":0},"content":"a"},"finish_reason":"stop"}]}`, "[DONE]")},
		"a text that is none":        {translate.Messages, events(`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":{"a":1}}}`, `{"type":"message_delta","delta":{"stop_reason":"end_turn"}}`)},
		"a block's name":             {translate.Messages, events(`{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"a","name":7,"input":{}}}`, `{"type":"message_delta","delta":{"stop_reason":"tool_use"}}`)},
		"a candidate's part":         {translate.Gemini, events(`{"candidates":[{"content":{"parts":[{"text":7}]},"finishReason":"STOP"}]}`)},
	}
	for name, tc := range streams {
		for _, client := range allAPIs {
			if client == tc.provider {
				continue
			}
			if data := toClient(t, client, tc.provider, tc.stream); !strings.Contains(strings.Join(data, ""), "unreadable_answer") && !strings.Contains(strings.Join(data, ""), "cannot be read") {
				t.Errorf("%s, for %s: got %q, want an error", name, client, data)
			}
		}
	}
}

// TestContentInPiecesIsRead: https://docs.mistral.ai/capabilities/reasoning/
func TestContentInPiecesIsRead(t *testing.T) {
	const thinking, text = `{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}`, `{"type":"text","text":"well"}`
	stream := events(`{"choices":[{"index":0,"delta":{"content":[`+thinking+`]}}]}`, `{"choices":[{"index":0,"delta":{"content":[`+text+`]}}]}`,
		`{"choices":[{"index":0,"delta":{"content":""},"finish_reason":"stop"}]}`, "[DONE]")
	whole := `{"choices":[{"index":0,"message":{"role":"assistant","content":[` + thinking + `,` + text + `]},"finish_reason":"stop"}]}`
	said := strings.Join(toClient(t, translate.Messages, translate.Chat, stream), "")
	for _, want := range []string{`"thinking":"hm"`, `"text":"well"`, `"stop_reason":"end_turn"`} {
		if !strings.Contains(said, want) {
			t.Errorf("streamed: got %s, want %s", said, want)
		}
	}
	got, err := answering(t, translate.Messages, translate.Chat, false).Response([]byte(whole))
	if want := `"content":[{"type":"thinking","thinking":"hm","signature":""},{"type":"text","text":"well"}]`; err != nil || !strings.Contains(string(got), want) {
		t.Errorf("whole: got %s, %v, want %s", got, err, want)
	}
	unknown := strings.Join(toClient(t, translate.Messages, translate.Chat, events(`{"choices":[{"index":0,"delta":{"content":[{"type":"image_url","image_url":"x"}]}}]}`)), "")
	if !strings.Contains(unknown, "cannot be read") {
		t.Errorf("another piece: got %s, want an error", unknown)
	}
}

// TestACallThatTheLimitOfTheAnswerHasCutIsNoError: the client learns why the answer ends, and what was said before.
func TestACallThatTheLimitOfTheAnswerHasCutIsNoError(t *testing.T) {
	const call = `{"index":0,"id":"c1","type":"function","function":{"name":"write","arguments":"{\"path\":\"a\"}"}},{"index":1,"id":"c2","type":"function","function":{"name":"write","arguments":"{\"path\":\"b\",\"con"}}`
	const usage = `"usage":{"prompt_tokens":3,"completion_tokens":9,"total_tokens":12}`
	whole := `{"id":"1","choices":[{"index":0,"message":{"role":"assistant","content":"Writing.","tool_calls":[` + call + `]},"finish_reason":"length"}],` + usage + `}`
	stream := events(`{"id":"1","choices":[{"index":0,"delta":{"content":"Writing.","tool_calls":[`+call+`]}}]}`, `{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}`,
		`{"choices":[],`+usage+`}`)
	for from, path := range map[translate.API]struct{ finish, calls string }{
		translate.Messages: {"stop_reason", `content.#(type=="tool_use")#.input`}, translate.Gemini: {"candidates.0.finishReason", "candidates.0.content.parts.#.functionCall.args"},
	} {
		got, err := answering(t, from, translate.Chat, false).Response([]byte(whole))
		if err != nil {
			t.Fatal(err)
		}
		if calls := gjson.GetBytes(got, path.calls).Raw; calls != `[{"path":"a"}]` || !strings.EqualFold(gjson.GetBytes(got, path.finish).Str, "max_tokens") {
			t.Errorf("%s: got %s", from, got)
		}
		s := answering(t, from, translate.Chat, true).Stream(llm.ServerSentEvents)
		out, err := s.Feed(nil, stream)
		out = s.End(out)
		if !strings.Contains(strings.ToLower(string(out)), `reason":"max_tokens"`) || s.Failure() != "" || err != nil || !strings.Contains(string(out), "Writing.") {
			t.Errorf("%s: got %s, %v", from, out, err)
		}
		if from == translate.Gemini && strings.Count(string(out), `"functionCall"`) != 1 {
			t.Errorf("got %s", out)
		}
	}
}

// TestWhatToolsOfAnthropicsDoIsLeftOutOfStreams: what they were called with comes in pieces as that of others does.
func TestWhatToolsOfAnthropicsDoIsLeftOutOfStreams(t *testing.T) {
	stream := events(`{"type":"message_start","message":{"id":"m","usage":{"input_tokens":1,"output_tokens":1}}}`,
		`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`, `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Searching."}}`,
		`{"type":"content_block_stop","index":0}`, `{"type":"content_block_start","index":1,"content_block":{"type":"server_tool_use","id":"s","name":"web_search","input":{}}}`,
		`{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"query\""}}`,
		`{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":":\"x\"}"}}`, `{"type":"content_block_stop","index":1}`,
		`{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}`,
		`{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"a\":1}"}}`, `{"type":"content_block_stop","index":2}`,
		`{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":9}}`, `{"type":"message_stop"}`)
	for _, from := range []translate.API{translate.Chat, translate.Responses, translate.Gemini} {
		s := answering(t, from, translate.Messages, true).Stream(llm.ServerSentEvents)
		out, err := s.Feed(nil, stream)
		out = s.End(out)
		if said := string(out); err != nil || s.Failure() != "" || !strings.Contains(said, "Searching.") || !strings.Contains(said, `"f"`) || strings.Contains(said, "query") {
			t.Errorf("%s: got %s, %v", from, out, err)
		}
	}
}

// TestItemsThatComeAsAWholeAreNotLost: some servers of OpenAI's responses send no pieces of a call's arguments, or of a text.
// TestPartsOfASummaryAreTextsOfTheirOwn: each begins with a heading.
func TestPartsOfASummaryAreTextsOfTheirOwn(t *testing.T) {
	const item = `{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"**One** a."},{"type":"summary_text","text":"**Two** b."}]}`
	const end = `{"type":"response.completed","response":{"id":"r","status":"completed","output":[` + item + `]}}`
	for name, stream := range map[string][]byte{
		"in pieces": events(`{"type":"response.output_item.added","output_index":0,"item":{"type":"reasoning","id":"rs_1","summary":[]}}`,
			`{"type":"response.reasoning_summary_part.added","output_index":0,"summary_index":0}`, `{"type":"response.reasoning_summary_text.delta","output_index":0,"summary_index":0,"delta":"**One** a."}`,
			`{"type":"response.reasoning_summary_part.added","output_index":0,"summary_index":1}`, `{"type":"response.reasoning_summary_text.delta","output_index":0,"summary_index":1,"delta":"**Two** b."}`,
			`{"type":"response.output_item.done","output_index":0,"item":`+item+`}`, end),
		"whole": events(`{"type":"response.output_item.done","output_index":0,"item":`+item+`}`, end),
	} {
		s := answering(t, translate.Messages, translate.Responses, true).Stream(llm.ServerSentEvents)
		out, err := s.Feed(nil, stream)
		if err != nil {
			t.Fatal(err)
		}
		said := ""
		for _, event := range bytes.Split(s.End(out), []byte("data: ")) {
			said += gjson.GetBytes(event, "delta.thinking").Str
		}
		if want := "**One** a.\n\n**Two** b."; said != want {
			t.Errorf("%s: got %q, want %q", name, said, want)
		}
	}
	out, err := answering(t, translate.Messages, translate.Responses, false).Response([]byte(`{"id":"r","status":"completed","output":[` + item + `]}`))
	if got, want := gjson.GetBytes(out, "content.#.thinking").Raw, `["**One** a.\n\n**Two** b."]`; err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

func TestItemsThatComeAsAWholeAreNotLost(t *testing.T) {
	const (
		text     = `{"type":"response.output_item.added","output_index":0,"item":{"type":"message","role":"assistant","content":[]}}`
		said     = `{"type":"response.output_text.done","output_index":0,"content_index":0,"text":"Look"}`
		spoken   = `{"type":"response.output_item.done","output_index":0,"item":{"type":"message","role":"assistant","content":[{"type":"output_text","text":"Look"}]}}`
		begun    = `{"type":"response.output_item.added","output_index":1,"item":{"type":"function_call","call_id":"c1","name":"f","arguments":""}}`
		whole    = `{"type":"response.output_item.added","output_index":1,"item":{"type":"function_call","call_id":"c1","name":"f","arguments":"{\"x\":1}"}}`
		piece    = `{"type":"response.function_call_arguments.delta","output_index":1,"delta":"{\"x\":1}"}`
		argued   = `{"type":"response.function_call_arguments.done","output_index":1,"arguments":"{\"x\":1}"}`
		called   = `{"type":"response.output_item.done","output_index":1,"item":{"type":"function_call","call_id":"c1","name":"f","arguments":"{\"x\":1}"}}`
		complete = `{"type":"response.completed","response":{"id":"r","output":[]}}`
	)
	for name, stream := range map[string][]string{
		"all there is":     {text, `{"type":"response.output_text.delta","output_index":0,"delta":"Look"}`, said, spoken, begun, piece, argued, called, complete},
		"no pieces":        {text, said, spoken, begun, argued, called, complete},
		"items at the end": {text, spoken, begun, called, complete},
		"items alone":      {spoken, called, complete},
		"at the beginning": {text, said, spoken, whole, argued, called, complete},
	} {
		for _, client := range []translate.API{translate.Chat, translate.Messages, translate.Gemini} {
			got := strings.Join(toClient(t, client, translate.Responses, events(stream...)), "\n")
			args := map[translate.API]string{translate.Chat: `"arguments":"{\"x\":1}"`, translate.Messages: `"partial_json":"{\"x\":1}"`, translate.Gemini: `"args":{"x":1}`}[client]
			for _, want := range []string{`Look`, `"name":"f"`, args} {
				if strings.Count(got, want) != 1 {
					t.Errorf("%s, to %s: %s is there %d times in\n%s", name, client, want, strings.Count(got, want), got)
				}
			}
		}
	}
}

// TestClientsLearnThatTheModelIsStillAtIt: where nothing comes for a minute, as while a model thinks, they and those between end the connection.
func TestClientsLearnThatTheModelIsStillAtIt(t *testing.T) {
	const comment, ping = ": keep-alive\n\n", "event: ping\ndata: {\"type\":\"ping\"}\n\n"
	for provider, beat := range map[translate.API]string{
		translate.Messages: "event: ping\ndata: {\"type\": \"ping\"}\n\n", translate.Chat: ": OPENROUTER PROCESSING\n\n", translate.Responses: "event: keepalive\ndata: {\"type\":\"keepalive\",\"sequence_number\":3}\n\n",
	} {
		for client, want := range map[translate.API]string{translate.Chat: comment, translate.Responses: comment, translate.Messages: ping, translate.Gemini: ""} {
			if client == provider {
				continue
			}
			s := answering(t, client, provider, true).Stream(llm.ServerSentEvents)
			if out, err := s.Feed(nil, []byte(beat)); err != nil || string(out) != want {
				t.Errorf("%s to %s: got %q, %v", provider, client, out, err)
			}
			if out, err := s.Feed(nil, []byte("\n")); err != nil || len(out) > 0 {
				t.Errorf("%s to %s: got %q of a blank line, %v", provider, client, out, err)
			}
			if s.Begun() {
				t.Errorf("%s to %s: it has begun", provider, client)
			}
			if out := s.KeepAlive(s.End(nil)); strings.HasSuffix(string(out), comment) || strings.HasSuffix(string(out), ping) {
				t.Errorf("%s to %s: got %q in the end", provider, client, out)
			}
		}
	}
	if out := answering(t, translate.Gemini, translate.Messages, true).Stream(llm.JSONArray).KeepAlive(nil); len(out) > 0 {
		t.Errorf("got %q in an array", out)
	}
}

// TestErrorsInTheCourseOfAStreamSayWhatTheyAre: agents wait for a while where a provider is overloaded, or has had too much of them.
func TestErrorsInTheCourseOfAStreamSayWhatTheyAre(t *testing.T) {
	for name, tc := range map[string]struct {
		provider    translate.API
		event, want string
	}{
		"too many":                {translate.Chat, `{"error":{"message":"slow","type":"requests","code":"rate_limit_exceeded"}}`, `{"type":"rate_limit_error","message":"slow"}`},
		"too many, in a number":   {translate.Chat, `{"id":"1","error":{"code":429,"message":"slow"},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}`, `{"type":"rate_limit_error","message":"slow"}`},
		"behind what it ends":     {translate.Chat, `{"id":"1","choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}],"error":{"code":429,"message":"slow"}}`, `{"type":"rate_limit_error","message":"slow"}`},
		"without a word":          {translate.Chat, `{"id":"1","choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}`, `{"type":"api_error","message":"the model's answer cannot be used: error"}`},
		"Google has none to give": {translate.Gemini, `{"error":{"code":503,"message":"later","status":"UNAVAILABLE"}}`, `{"type":"overloaded_error","message":"later"}`},
		"another":                 {translate.Gemini, `{"error":{"code":500,"message":"oh","status":"INTERNAL"}}`, `{"type":"api_error","message":"oh"}`},
	} {
		data := toClient(t, translate.Messages, tc.provider, events(tc.event))
		if last := gjson.Get(data[len(data)-1], "error").Raw; last != tc.want {
			t.Errorf("%s: got %s, want %s", name, last, tc.want)
		}
	}
}

// TestCallsOfServersThatAreNotExactAreCalls: some have no ids, and some have arguments as an object.
func TestCallsOfServersThatAreNotExactAreCalls(t *testing.T) {
	const call, end = `"tool_calls":[{"index":0,"function":{"name":"f","arguments":{"x":"\""}}},{"index":1,"function":{"name":"g","arguments":"{}"}}]`, `{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}`
	got := argumentsOf(translate.Messages, toClient(t, translate.Messages, translate.Chat, events(`{"id":"1","choices":[{"index":0,"delta":{`+call+`}}]}`, end, "[DONE]")))
	if len(got) != 2 || !strings.HasSuffix(got[0], ` {"x":"\""}`) || !strings.HasSuffix(got[1], " {}") || len(got[0]) < len(`call_1 {"x":"\""}`) || got[0][:6] == got[1][:6] {
		t.Errorf("got %q", got)
	}
	answer, err := answering(t, translate.Messages, translate.Chat, false).Response([]byte(`{"id":"1","choices":[{"message":{` + call + `},"finish_reason":"tool_calls"}]}`))
	calls := gjson.GetBytes(answer, "content").Array()
	if err != nil || len(calls) != 2 || calls[0].Get("input").Raw != `{"x":"\""}` || calls[0].Get("id").Str == "" || calls[0].Get("id").Str == calls[1].Get("id").Str {
		t.Errorf("got %s, %v", answer, err)
	}
}

// TestAnItemThatIsCutIsNotComplete: Codex runs what a call that is complete says.
func TestAnItemThatIsCutIsNotComplete(t *testing.T) {
	data := toClient(t, translate.Responses, translate.Messages, events(`{"type":"message_start","message":{"id":"m"}}`, `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}`,
		`{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"c1","name":"f","input":{}}}`, `{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"x"}}`,
		`{"type":"message_delta","delta":{"stop_reason":"max_tokens"}}`, `{"type":"message_stop"}`))
	var statuses []string
	for _, event := range data {
		if gjson.Get(event, "type").Str == "response.output_item.done" {
			statuses = append(statuses, gjson.Get(event, "item.status").Str)
		}
	}
	last := gjson.Get(data[len(data)-1], "response")
	if got := strings.Join(statuses, " "); got != "completed incomplete" || last.Get("output.#.status").Raw != `["completed","incomplete"]` || last.Get("status").Str != "incomplete" {
		t.Errorf("got %s and %s", got, last.Raw)
	}
}
