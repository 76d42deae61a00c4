package translate_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/llm/translate"
)

func TestTokensAreCountedInTheOtherAPI(t *testing.T) {
	x := begin(t, llm.AnthropicCountTokens, translate.Gemini)
	got, err := x.Request("m", []byte(`{"model":"m","system":"Be brief.","messages":[{"role":"user","content":"hi"}]}`))
	const want = `{"generateContentRequest":{"model":"models/m","systemInstruction":{"parts":[{"text":"Be brief."}]},"contents":[{"role":"user","parts":[{"text":"hi"}]}]}}`
	if err != nil || string(got.Body) != want || got.Path != "/v1beta/models/m:countTokens" {
		t.Errorf("got %s %s, %v", got.Path, got.Body, err)
	}
	if answer, err := x.Response([]byte(`{"totalTokens": 7}`)); err != nil || string(answer) != `{"input_tokens":7}` {
		t.Errorf("got %s, %v", answer, err)
	}

	x = begin(t, llm.GoogleCountTokens, translate.Messages)
	got, err = x.Request("m", []byte(`{"contents":[{"parts":[{"text":"hi"}]}]}`))
	if err != nil || string(got.Body) != `{"model":"m","messages":[{"role":"user","content":"hi"}]}` || got.Path != "/v1/messages/count_tokens" {
		t.Errorf("got %s %s, %v", got.Path, got.Body, err)
	}
	if answer, err := x.Response([]byte(`{"input_tokens": 7}`)); err != nil || string(answer) != `{"totalTokens":7}` {
		t.Errorf("got %s, %v", answer, err)
	}
}

func TestTheKindOfAnErrorIsWhatTheErrorSaysWhereverItStands(t *testing.T) {
	x := begin(t, llm.OpenAIChat, translate.Messages)
	for _, body := range []string{
		`{"type":"error","error":{"type":"overloaded_error","message":"busy"}}`, `{"error":{"message":"busy","type":"overloaded_error"},"type":"error"}`,
	} {
		const want = `{"error":{"message":"busy","type":"server_error","param":null,"code":"overloaded_error"}}`
		if got := string(x.Error(529, []byte(body))); got != want {
			t.Errorf("of %s: got %s, want %s", body, got, want)
		}
	}
}

// TestPicturesInAnswersAreNotLost: models that make some do so unasked.
func TestPicturesInAnswersAreNotLost(t *testing.T) {
	const answer = `{"candidates":[{"content":{"parts":[{"text":"Here it is."},{"inlineData":{"mimeType":"image/png","data":"iVBO"}}]},"finishReason":"STOP"}]}`
	for _, from := range []translate.API{translate.Chat, translate.Responses, translate.Messages} {
		if out, err := answering(t, from, translate.Gemini, false).Response([]byte(answer)); err == nil || !strings.Contains(err.Error(), "candidates[0].content.parts[1].inlineData: has no counterpart") {
			t.Errorf("%s: got %s, %v", from, out, err)
		}
		out, err := answering(t, from, translate.Gemini, true).Stream(llm.ServerSentEvents).Feed(nil, events(answer))
		if err == nil || !strings.Contains(string(out), "has no counterpart") {
			t.Errorf("%s: the stream is %s, %v", from, out, err)
		}
	}
}

// TestClientsOfOpenAIsLearnThatARequestWasTooLong: agents that do make it shorter and ask again.
func TestClientsOfOpenAIsLearnThatARequestWasTooLong(t *testing.T) {
	for body, to := range map[string]translate.API{
		`{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 208310 tokens > 200000 maximum"}}`:                               translate.Messages,
		`{"error":{"code":400,"message":"The input token count (1189022) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}`: translate.Gemini,
		`{"message":"Input is too long for requested model."}`: translate.Converse,
	} {
		for _, client := range []llm.Format{llm.OpenAIChat, llm.OpenAIResponses} {
			if got := gjson.GetBytes(begin(t, client, to).Error(400, []byte(body)), "error.code").Str; got != "context_length_exceeded" {
				t.Errorf("%s: got %s of %s", client, got, body)
			}
		}
	}
	if got := gjson.GetBytes(begin(t, llm.OpenAIChat, translate.Messages).Error(400, []byte(`{"error":{"type":"invalid_request_error","message":"max_tokens: 128000 > 64000"}}`)), "error.code").Str; got != "invalid_request_error" {
		t.Errorf("got %s", got)
	}
}

// TestCallsWithoutIDsHaveTheirOwnInEachAnswer: clients send earlier answers along, and an id that two have stands for neither.
func TestCallsWithoutIDsHaveTheirOwnInEachAnswer(t *testing.T) {
	const answer = `{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f"}},{"functionCall":{"name":"g"}}]},"finishReason":"STOP"}]}`
	ids := map[string]bool{}
	for _, id := range []string{"3fa85f64-5717-4562-b3fc-2c963f66afa6", "9b2d6c1e-0d55-4c0f-8a52-7b1f6f1f9c11"} {
		o := options
		o.ID = id
		for _, stream := range []string{"", `"stream":true`} {
			x, err := translate.New(llm.OpenAIChat, translate.Gemini, o)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := x.Request("m", []byte(requestWith(translate.Chat, stream))); err != nil {
				t.Fatal(err)
			}
			var said []string
			if stream == "" {
				got, err := x.Response([]byte(answer))
				if err != nil {
					t.Fatal(err)
				}
				for _, call := range gjson.GetBytes(got, "choices.0.message.tool_calls.#.id").Array() {
					said = append(said, call.Str)
				}
			} else {
				out, _ := x.Stream(llm.ServerSentEvents).Feed(nil, events(answer))
				for _, event := range bytes.Split(out, []byte("data: ")) {
					if id := gjson.GetBytes(event, "choices.0.delta.tool_calls.0.id").Str; id != "" {
						said = append(said, id)
					}
				}
			}
			for _, id := range said {
				if len(id) > 40 {
					t.Errorf("%s is longer than OpenAI allows", id)
				}
				ids[id] = true
			}
		}
	}
	if len(ids) != 4 { // of an answer alike, whole and streamed
		t.Errorf("got %v, want two of each answer", ids)
	}
}

func TestABudgetOfThinkingIsTheSameHoweverItIsWritten(t *testing.T) {
	for number, want := range map[string]string{"2000": "low", "2000.0": "low", "2e3": "low", "0": "none", "0.0": "none", "-1": ""} {
		x, err := translate.New(llm.GoogleGenerate, translate.Chat, options)
		if err != nil {
			t.Fatal(err)
		}
		got, err := x.Request("m", []byte(requestWith(translate.Gemini, `"generationConfig":{"thinkingConfig":{"thinkingBudget":`+number+`}}`)))
		if err != nil {
			t.Fatal(err)
		}
		if effort := gjson.GetBytes(got.Body, "reasoning_effort").Str; effort != want {
			t.Errorf("%s: got %q, want %q", number, effort, want)
		}
	}
}

func TestEmbeddingsAreTranslated(t *testing.T) {
	x := begin(t, llm.OpenAIEmbeddings, translate.Gemini)
	got, err := x.Request("m", []byte(`{"model":"m","input":["a","b"],"dimensions":2,"encoding_format":"base64"}`))
	const want = `{"requests":[{"model":"models/m","content":{"parts":[{"text":"a"}]},"outputDimensionality":2},{"model":"models/m","content":{"parts":[{"text":"b"}]},"outputDimensionality":2}]}`
	if err != nil || string(got.Body) != want || got.Path != "/v1beta/models/m:batchEmbedContents" {
		t.Errorf("got %s %s, %v", got.Path, got.Body, err)
	}
	answer, err := x.Response([]byte(`{"embeddings":[{"values":[0.5,-1]},{"values":[2,3]}],"usageMetadata":{"promptTokenCount":4}}`))
	if err != nil {
		t.Fatal(err)
	}
	packed, err := base64.StdEncoding.DecodeString(gjson.GetBytes(answer, "data.0.embedding").Str)
	if err != nil || len(packed) != 8 || math.Float32frombits(binary.LittleEndian.Uint32(packed[4:])) != -1 || gjson.GetBytes(answer, "usage.prompt_tokens").Int() != 4 {
		t.Errorf("got %s, %v", answer, err)
	}

	x = begin(t, llm.GoogleEmbed, translate.Chat)
	got, err = x.Request("m", []byte(`{"content":{"parts":[{"text":"a"}]}}`))
	if err != nil || string(got.Body) != `{"model":"m","input":["a"]}` || got.Path != "/v1/embeddings" {
		t.Errorf("got %s %s, %v", got.Path, got.Body, err)
	}
	answer, err = x.Response([]byte(`{"data":[{"embedding":[0.5,-1]}],"usage":{"prompt_tokens":4}}`))
	if err != nil || string(answer) != `{"embedding":{"values":[0.5,-1]},"usageMetadata":{"promptTokenCount":4}}` {
		t.Errorf("got %s, %v", answer, err)
	}

	for name, tc := range map[string]struct {
		client llm.Format
		to     translate.API
		body   string
	}{
		"tokens":    {llm.OpenAIEmbeddings, translate.Gemini, `{"model":"m","input":[1,2]}`},
		"nothing":   {llm.OpenAIEmbeddings, translate.Gemini, `{"model":"m"}`},
		"two parts": {llm.GoogleEmbed, translate.Chat, `{"content":{"parts":[{"text":"a"},{"text":"b"}]}}`},
	} {
		if got, err := begin(t, tc.client, tc.to).Request("m", []byte(tc.body)); err == nil {
			t.Errorf("%s: got %s", name, got.Body)
		}
	}
}

func TestOlderCompletionsAreServedByEveryAPI(t *testing.T) {
	for _, to := range allAPIs {
		x := begin(t, llm.OpenAICompletions, to)
		got, err := x.Request("m", []byte(`{"model":"m","prompt":"hi","max_tokens":9}`))
		if err != nil || !strings.Contains(string(got.Body), `"hi"`) {
			t.Errorf("%s: got %s, %v", to, got.Body, err)
		}
	}
	x := begin(t, llm.OpenAICompletions, translate.Chat)
	if _, err := x.Request("m", []byte(`{"model":"m","prompt":"hi","stream":true}`)); err != nil {
		t.Fatal(err)
	}
	out, said := translateStream(t, x, translate.Chat, llm.ServerSentEvents, []byte(`data: {"id":"x","choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":"stop"}]}`+"\n\ndata: [DONE]\n\n"))
	if !strings.Contains(string(out), `"text":"Hello"`) || said != "Hello" {
		t.Errorf("got %s", out)
	}
}

// Google's Python client encodes images for URLs, which no other provider reads.
func TestImagesAreEncodedAsTheProviderReadsThem(t *testing.T) {
	for data, want := range map[string]string{"_-8=": "/+8=", "_-8": "/+8=", "aGk=": "aGk=", "-_-_": "+/+/"} {
		for _, to := range []translate.API{translate.Chat, translate.Responses, translate.Messages} {
			body := `{"contents":[{"parts":[{"inlineData":{"mimeType":"image/png","data":"` + data + `"}}]}]}`
			got, err := begin(t, llm.GoogleGenerate, to).Request("m", []byte(body))
			if err != nil || !strings.Contains(string(got.Body), want+`"`) {
				t.Errorf("%s to %s: got %s, %v", data, to, got.Body, err)
			}
		}
	}
}

func TestAnErrorWithTheStatusOfAnAnswerIsNoAnswer(t *testing.T) {
	for _, to := range []translate.API{translate.Chat, translate.Responses, translate.Messages, translate.Gemini} {
		client := llm.OpenAIChat
		if to == translate.Chat {
			client = llm.AnthropicMessages
		}
		x := begin(t, client, to)
		if _, err := x.Request("m", []byte(`{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`)); err != nil {
			t.Fatal(err)
		}
		if got, err := x.Response([]byte(`{"type":"error","error":{"type":"api_error","code":500,"message":"no"}}`)); err == nil {
			t.Errorf("%s: got %s", to, got)
		}
	}
}

func TestWhatHasNoTranslationIsSaid(t *testing.T) {
	for name, tc := range map[string]struct {
		client llm.Format
		to     translate.API
	}{
		"a list of models":       {llm.OpenAIModels, translate.Messages},
		"no format":              {llm.None, translate.Messages},
		"the same":               {llm.AnthropicMessages, translate.Messages},
		"counting at OpenAI":     {llm.AnthropicCountTokens, translate.Chat},
		"embedding at Anthropic": {llm.OpenAIEmbeddings, translate.Messages},
	} {
		if x, err := translate.New(tc.client, tc.to, translate.Options{}); err == nil {
			t.Errorf("%s: got %v", name, x)
		}
	}
}

func TestErrorsNameTheFieldByItsPath(t *testing.T) {
	for body, want := range map[string]string{
		`{"model":"m","messages":[{"role":"user","content":"a"},{"role":"user","content":[{"type":"text","text":"a"},{"type":"input_audio","input_audio":{"data":"a","format":"wav"}}]}]}`: "messages[1].content[1]: has no counterpart in Anthropic messages",
		`{"model":"m","messages":[{"role":"pope","content":"a"}]}`:                                                                                            "messages[0].role: has no counterpart in Anthropic messages",
		`{"model":"m","messages":[{"role":"user","content":"a"}],"logit_bias":{"1":2}}`:                                                                       "logit_bias: has no counterpart in Anthropic messages",
		`{"model":"m","messages":[{"role":"user","content":"a"}],"temperature":"hot"}`:                                                                        "temperature: must be a number",
		`{"model":"m","messages":[{"role":"user","content":"a"}],"seed":9007199254740993}`:                                                                    "seed: must be between -2^53 and 2^53",
		`{"model":"m","messages":[{"role":"user","content":"a"}],"tools":[{"type":"function","function":{"name":5}}]}`:                                        "tools[0].function.name: must be a string",
		`{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":1,\"a\":2}"}}]}]}`: "messages: the arguments of a call are no JSON object, which Anthropic messages cannot say",
	} {
		if got, err := begin(t, llm.OpenAIChat, translate.Messages).Request("m", []byte(body)); err == nil || err.Error() != want {
			t.Errorf("got %v, %s, want %s", err, got.Body, want)
		}
	}
}

// TestErrorsNameTheFieldAsTheClientsAPIDoes: what is refused where it is written too.
func TestErrorsNameTheFieldAsTheClientsAPIDoes(t *testing.T) {
	const address = `"https://example.com/a.png"`
	for _, tc := range []struct {
		from, to      translate.API
		members, want string
	}{
		{translate.Responses, translate.Converse, `"input":[{"role":"user","content":[{"type":"input_image","image_url":` + address + `}]}]`, "input: what lies at an address"},
		{translate.Gemini, translate.Converse, `"contents":[{"parts":[{"fileData":{"mimeType":"image/png","fileUri":` + address + `}}]}]`, "contents: what lies at an address"},
		{translate.Gemini, translate.Messages, `"generationConfig":{"temperature":1.5}`, "generationConfig.temperature: above 1"},
		{translate.Gemini, translate.Messages, `"generationConfig":{"candidateCount":2}`, "generationConfig.candidateCount: more than one answer"},
		{translate.Gemini, translate.Messages, `"generationConfig":{"responseMimeType":"text/x.enum"}`, "generationConfig.responseMimeType: has no counterpart"},
		{translate.Gemini, translate.Messages, `"contents":[{"parts":[{"functionResponse":{"name":"f","response":{}}}]}]`, "contents[0].parts[0].functionResponse: answers no call"},
		{
			translate.Gemini, translate.Converse, `"contents":[{"parts":[{"text":"a"}]},{"role":"model","parts":[{"functionCall":{"name":"f"}}]},{"parts":[{"functionResponse":{"name":"f","response":{}}}]}],` +
				`"tools":[{"functionDeclarations":[{"name":"f"}]}],"toolConfig":{"functionCallingConfig":{"mode":"NONE"}}`, "toolConfig.functionCallingConfig: that none be called",
		},
		{translate.Responses, translate.Chat, `"input":[{"role":"system","content":[{"type":"input_image","image_url":` + address + `}]},{"role":"user","content":"a"}]`, "input: a system prompt that is no text"},
		{translate.Gemini, translate.Messages, `"contents":[{"parts":[{"text":"a"}]},{"role":"model","parts":[{"inlineData":{"mimeType":"image/png","data":"iVBO"}}]}]`, "contents: pictures, files and sounds of the model's own"},
		{translate.Messages, translate.Chat, `"messages":[{"role":"assistant","content":[{"type":"web_fetch_tool_result","tool_use_id":"t","content":{"type":"web_fetch_tool_result_error"}}]}]`, "messages[0].content[0]: has no counterpart"},
		{translate.Messages, translate.Chat, `"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":{"a":1}}]}]`, "messages[0].content[0].content: must be a string or an array"},
	} {
		got, err := begin(t, clientFormat(tc.from), tc.to).Request("m", []byte(requestWith(tc.from, tc.members)))
		if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("%s: got %v, %s, want %s", tc.members, err, got.Body, tc.want)
		}
	}
}

func TestGoogleIsToldTheNamesOfHoweverManyCalls(t *testing.T) {
	for _, n := range []int{1, 16, 17, 40} {
		var calls, results, want []string
		for i := range n {
			id, name := fmt.Sprintf("c%d", i), fmt.Sprintf("f%d", i)
			calls = append(calls, `{"id":"`+id+`","type":"function","function":{"name":"`+name+`","arguments":"{}"}}`)
			results = append(results, `{"role":"tool","tool_call_id":"`+id+`","content":"a"}`)
			want = append(want, `{"functionResponse":{"id":"`+id+`","name":"`+name+`","response":{"result":"a"}}}`)
		}
		body := `{"model":"m","messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[` + strings.Join(calls, ",") + `]},` + strings.Join(results, ",") + `]}`
		got, err := begin(t, llm.OpenAIChat, translate.Gemini).Request("m", []byte(body))
		if err != nil || !strings.Contains(string(got.Body), strings.Join(want, ",")) {
			t.Errorf("%d calls: %v, got %s", n, err, got.Body)
		}
	}
}

func TestGooglesCallsWithoutIDsAreAnsweredInTheirOrder(t *testing.T) {
	for _, n := range []int{1, 16, 17, 40} {
		var calls, results, want []string
		for i := range n {
			name := fmt.Sprintf("f%d", i%3)
			calls = append(calls, `{"functionCall":{"name":"`+name+`","args":{}}}`)
			results = append(results, fmt.Sprintf(`{"functionResponse":{"name":"%s","response":{"result":"%d"}}}`, name, i))
			want = append(want, fmt.Sprintf(`{"type":"tool_result","tool_use_id":"call_%d","content":"%d"}`, i+1, i))
		}
		body := `{"contents":[{"parts":[{"text":"a"}]},{"role":"model","parts":[` + strings.Join(calls, ",") + `]},{"parts":[` + strings.Join(results, ",") + `]}]}`
		got, err := begin(t, llm.GoogleGenerate, translate.Messages).Request("m", []byte(body))
		if err != nil || !strings.Contains(string(got.Body), strings.Join(want, ",")) {
			t.Errorf("%d calls: %v, got %s", n, err, got.Body)
		}
		one := strings.Replace(body, `{"functionResponse"`, `{"functionResponse":{"name":"f0","response":{}}},{"functionResponse"`, 1)
		one = strings.Replace(one, `{"parts":[{"functionResponse"`, `{"parts":[`+strings.Repeat(`{"functionResponse":{"name":"f0","response":{}}},`, n)+`{"functionResponse"`, 1)
		if _, err := begin(t, llm.GoogleGenerate, translate.Messages).Request("m", []byte(one)); err == nil || !strings.Contains(err.Error(), "answers no call") {
			t.Errorf("%d calls with more answers: %v", n, err)
		}
	}
}

// TestAnAnswerOfNoUseIsAnErrorToEveryClient: as an empty answer with a usual reason for its end, agents take it for a model that has done.
func TestAnAnswerOfNoUseIsAnErrorToEveryClient(t *testing.T) {
	const gemini = `{"candidates":[{"content":{},"finishReason":"MALFORMED_FUNCTION_CALL","finishMessage":"print(secret)","index":0}],"usageMetadata":{"promptTokenCount":9}}`
	const chat = `{"id":"1","choices":[{"index":0,"message":{"role":"assistant","content":""},"finish_reason":"error"}]}`
	const chatEvent = `{"id":"1","choices":[{"index":0,"delta":{},"finish_reason":"error"}]}`
	const bedrock = `{"output":{"message":{"role":"assistant","content":[]}},"stopReason":"malformed_tool_use","usage":{"inputTokens":1,"outputTokens":1}}`
	for name, tc := range map[string]struct {
		to                    translate.API
		answer, event, reason string
	}{
		"Google":  {translate.Gemini, gemini, gemini, "MALFORMED_FUNCTION_CALL"},
		"chat":    {translate.Chat, chat, chatEvent, "error"},
		"Bedrock": {translate.Converse, bedrock, `{"stopReason":"malformed_tool_use"}`, "malformed_tool_use"},
	} {
		for _, from := range allAPIs {
			if from == tc.to {
				continue
			}
			t.Run(from.String()+" of "+name, func(t *testing.T) {
				out, err := answering(t, from, tc.to, false).Response([]byte(tc.answer))
				if failure, ok := errors.AsType[*translate.Failure](err); !ok || failure.Reason != tc.reason {
					t.Errorf("got %s (%v), want the failure %s", out, err, tc.reason)
				}
				s := answering(t, from, tc.to, true).Stream(llm.ServerSentEvents)
				out, err = s.Event(nil, []byte(tc.event))
				out = s.End(out)
				if err != nil || s.Failure() == "" || !strings.Contains(string(out), "the model's answer cannot be used: "+tc.reason) || strings.Contains(string(out), "secret") {
					t.Errorf("the stream ends with %q (%v)", out, err)
				}
			})
		}
	}
}

func TestFinishReasonsOfGoogleThatAreNone(t *testing.T) {
	for reason, want := range map[string]string{
		"STOP": "stop", "MAX_TOKENS": "length", "SAFETY": "content_filter", "OTHER": "content_filter", "ESCALATION": "content_filter",
		"CONTINUATION": "length", "A_NEW_ONE": "stop",
	} {
		out, err := answering(t, translate.Chat, translate.Gemini, false).Response([]byte(`{"candidates":[{"content":{"parts":[{"text":"x"}]},"finishReason":"` + reason + `"}]}`))
		if got := gjson.GetBytes(out, "choices.0.finish_reason").Str; err != nil || got != want {
			t.Errorf("%s: got %q (%v), want %q", reason, got, err, want)
		}
	}
}

func TestFinishReasonsThatOnlySomeChatsHave(t *testing.T) {
	for reason, want := range map[string]string{"model_length": "max_tokens", "length": "max_tokens", "eos": "end_turn", "insufficient_system_resource": "", "abort": ""} {
		out, err := answering(t, translate.Messages, translate.Chat, false).Response([]byte(`{"id":"1","choices":[{"message":{"content":"half"},"finish_reason":"` + reason + `"}]}`))
		if got := gjson.GetBytes(out, "stop_reason").Str; got != want || (err == nil) == (want == "") {
			t.Errorf("%s: got %q (%v), want %q", reason, got, err, want)
		}
	}
}

// TestAResponseThatFailedIsNoAnswer: some of it may have come before.
func TestAResponseThatFailedIsNoAnswer(t *testing.T) {
	for _, status := range []string{"failed", "cancelled"} {
		out, err := answering(t, translate.Chat, translate.Responses, false).Response([]byte(`{"id":"r","status":"` + status + `","error":{"code":"server_error","message":"m"},` +
			`"output":[{"type":"message","content":[{"type":"output_text","text":"half"}]}]}`))
		if failure, ok := errors.AsType[*translate.Failure](err); !ok || failure.Reason != status {
			t.Errorf("%s: got %s (%v)", status, out, err)
		}
	}
}

// TestClientsThatWantOneCallAtATimeAreToldOne: agents that are made so fail with two, and providers that cannot be asked for it would have
// to be left out.
func TestClientsThatWantOneCallAtATimeAreToldOne(t *testing.T) {
	const gemini = `{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"a":1}}},{"text":"and"},{"functionCall":{"name":"g","args":{"b":2}}}]},"finishReason":"STOP"}]}`
	const bedrock = `{"output":{"message":{"role":"assistant","content":[{"toolUse":{"toolUseId":"1","name":"f","input":{"a":1}}},{"toolUse":{"toolUseId":"2","name":"g","input":{"b":2}}}]}},"stopReason":"tool_use"}`
	bedrocks := []string{
		`{"contentBlockIndex":0,"start":{"toolUse":{"toolUseId":"1","name":"f"}}}`, `{"contentBlockIndex":0,"delta":{"toolUse":{"input":"{\"a\":1}"}}}`, `{"contentBlockIndex":0}`,
		`{"contentBlockIndex":1,"start":{"toolUse":{"toolUseId":"2","name":"g"}}}`, `{"contentBlockIndex":1,"delta":{"toolUse":{"input":"{\"b\":2}"}}}`, `{"contentBlockIndex":1}`,
		`{"stopReason":"tool_use"}`,
	}
	sequential := map[translate.API]string{translate.Chat: `"parallel_tool_calls":false`, translate.Responses: `"parallel_tool_calls":false`, translate.Messages: `"tool_choice":{"type":"auto","disable_parallel_tool_use":true}`}
	tool := map[translate.API]string{translate.Chat: `{"type":"function","function":{"name":"f"}}`, translate.Responses: `{"type":"function","name":"f"}`, translate.Messages: `{"name":"f","input_schema":{}}`}
	for from, members := range sequential {
		for to, answer := range map[translate.API]string{translate.Gemini: gemini, translate.Converse: bedrock} {
			for _, stream := range []bool{false, true} {
				x := begin(t, clientFormat(from), to)
				members := members + `,"tools":[` + tool[from] + `]`
				if stream {
					members += `,"stream":true`
				}
				if _, err := x.Request("m", []byte(requestWith(from, members))); err != nil {
					t.Fatal(err)
				}
				var out []byte
				var err error
				switch {
				case !stream:
					out, err = x.Response([]byte(answer))
				case to == translate.Gemini:
					s := x.Stream(llm.ServerSentEvents)
					out, err = s.Event(nil, []byte(answer))
					out = s.End(out)
				default:
					s := x.Stream(llm.ServerSentEvents)
					for _, event := range bedrocks {
						if out, err = s.Event(out, []byte(event)); err != nil {
							break
						}
					}
					out = s.End(out)
				}
				said := string(out)
				if err != nil || !strings.Contains(said, `"name":"f"`) || strings.Contains(said, `"name":"g"`) || strings.Contains(said, `\"b\"`) || to == translate.Gemini && !strings.Contains(said, `"and"`) {
					t.Errorf("%s to %s, stream %v: got %s, %v", from, to, stream, out, err)
				}
			}
		}
	}
}

// TestPicturesThatToolsAnswerReachEveryProvider: an agent that looks at its screen sends one in each turn from then on.
func TestPicturesThatToolsAnswerReachEveryProvider(t *testing.T) {
	const picture = `{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBO"}}`
	const body = `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"look"},{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"see","input":{}},{"type":"tool_use","id":"b","name":"see","input":{}}]},` +
		`{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":[{"type":"text","text":"seen"},` + picture + `]},{"type":"tool_result","tool_use_id":"b","content":[` + picture + `]},{"type":"text","text":"and?"}]}]}`
	for to, want := range map[translate.API]string{
		translate.Chat: `{"role":"tool","tool_call_id":"a","content":"seen"},{"role":"tool","tool_call_id":"b","content":""},{"role":"user","content":[` +
			`{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBO"}},{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBO"}},{"type":"text","text":"and?"}]}]`,
		translate.Gemini: `{"functionResponse":{"id":"a","name":"see","response":{"result":"seen"}}},{"inlineData":{"mimeType":"image/png","data":"iVBO"}},` +
			`{"functionResponse":{"id":"b","name":"see","response":{"result":""}}},{"inlineData":{"mimeType":"image/png","data":"iVBO"}},{"text":"and?"}]`,
		translate.Responses: `"output":[{"type":"input_text","text":"seen"},{"type":"input_image","detail":"auto","image_url":"data:image/png;base64,iVBO"}]`,
	} {
		got, err := begin(t, llm.AnthropicMessages, to).Request("m", []byte(body))
		if err != nil || !strings.Contains(string(got.Body), want) {
			t.Errorf("%s: got %s, %v", to, got.Body, err)
		}
	}
}
