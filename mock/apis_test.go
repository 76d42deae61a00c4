package mock

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/leash-gateway/leash/llm"
)

const (
	messagesTool = `,"tools":[{"name":"f","input_schema":{"type":"object"}}]`
	googleTool   = `,"tools":[{"functionDeclarations":[{"name":"f"}]}]`
	generatePath = "/v1beta/models/gemini-2.5-flash:generateContent"
	streamPath   = "/v1beta/models/gemini-2.5-flash:streamGenerateContent"
)

// messagesOf is a request for one of Anthropic's messages with one text of a user.
func messagesOf(text, fields string) string {
	return strings.Replace(message(text, fields), `{"model":"gpt-4o-mini",`, `{"model":"claude-sonnet-4-5","max_tokens":100,`, 1)
}

// generateOf is a request of Google's with one text of a user.
func generateOf(text, fields string) string {
	quoted := gjson.Get(message(text, ""), "messages.0.content").Raw
	return `{"contents":[{"role":"user","parts":[{"text":` + quoted + `}]}]` + fields + `}`
}

// signingPath is of a model whose calls are signed, and signedCall a conversation with one and members beside it.
const signingPath = "/v1beta/models/gemini-3.1-pro-preview:generateContent"

func signedCall(members string) string {
	return `{"contents":[{"parts":[{"text":"call: f {}"}]},{"role":"model","parts":[{"functionCall":{"name":"f"}` + members + `}]},` +
		`{"role":"user","parts":[{"functionResponse":{"name":"f","response":{"result":"b"}}}]}],"tools":[{"functionDeclarations":[{"name":"f"}]}]}`
}

func TestTheSameIsAnsweredInEveryAPI(t *testing.T) {
	tests := map[string]struct {
		format       llm.Format
		target, body string
		said, finish string
		usage        llm.Usage
	}{
		"Anthropic":         {llm.AnthropicMessages, "/v1/messages", messagesOf("say: one two", ""), "one two", "end_turn", llm.Usage{Input: 3, Output: 2}},
		"Anthropic, system": {llm.AnthropicMessages, "/v1/messages", messagesOf("say: one two", `,"system":"Be brief."`), "one two", "end_turn", llm.Usage{Input: 5, Output: 2}},
		"Anthropic, cut":    {llm.AnthropicMessages, "/v1/messages", strings.Replace(messagesOf("say: one two", ""), "100", "1", 1), "one", "max_tokens", llm.Usage{Input: 3, Output: 1}},
		"Anthropic, tool":   {llm.AnthropicMessages, "/v1/messages", messagesOf(`call: f {"a":"b"}`, messagesTool), "ab", "tool_use", llm.Usage{Input: 3, Output: 2}},
		"Anthropic, cached": {llm.AnthropicMessages, "/v1/messages", strings.Replace(messagesOf("say: one two", ""), "sonnet-4-5", "sonnet-4-5?cached_tokens=2", 1), "one two", "end_turn", llm.Usage{Input: 3, CachedInput: 2, Output: 2}},
		"Google":            {llm.GoogleGenerate, generatePath, generateOf("say: one two", ""), "one two", "STOP", llm.Usage{Input: 3, Output: 2}},
		"Google, system":    {llm.GoogleGenerate, generatePath, generateOf("say: one two", `,"system_instruction":{"parts":[{"text":"Be brief."}]}`), "one two", "STOP", llm.Usage{Input: 5, Output: 2}},
		"Google, stable":    {llm.GoogleGenerate, strings.Replace(generatePath, "v1beta", "v1", 1), generateOf("say: one two", ""), "one two", "STOP", llm.Usage{Input: 3, Output: 2}},
		"Google, cut":       {llm.GoogleGenerate, generatePath, generateOf("say: one two", `,"generationConfig":{"maxOutputTokens":1}`), "one", "MAX_TOKENS", llm.Usage{Input: 3, Output: 1}},
		"Google, tool":      {llm.GoogleGenerate, generatePath, generateOf(`call: f {"a":"b"}`, googleTool), "ab", "STOP", llm.Usage{Input: 3, Output: 2}},
		"Google, reasoning": {llm.GoogleGenerate, strings.Replace(generatePath, "flash", "flash%3Freasoning_tokens=4", 1), generateOf("say: one two", ""), "one two", "STOP", llm.Usage{Input: 3, Output: 6, OutputReasoning: 4}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := ask(t, New(Options{}), http.MethodPost, tc.target, tc.body)
			got, err := llm.ParseResponse(tc.format, w.Body.Bytes())
			if err != nil || w.Code != 200 {
				t.Fatalf("got %d %s, %v", w.Code, w.Body, err)
			}
			said := ""
			for i := range got.Texts {
				said += got.Texts[i].Value
			}
			if said != tc.said || len(got.FinishReasons) != 1 || got.FinishReasons[0] != tc.finish || got.Usage != tc.usage {
				t.Errorf("got %q, %q, %+v in %s", said, got.FinishReasons, got.Usage, w.Body)
			}
		})
	}
}

func TestStreamsAreInTheFormOfTheirAPI(t *testing.T) {
	tests := map[string]struct {
		format       llm.Format
		framing      llm.Framing
		target, body string
		said         string
		usage        llm.Usage
		failed       bool
	}{
		"Anthropic":             {llm.AnthropicMessages, llm.ServerSentEvents, "/v1/messages", messagesOf("say: one two", `,"stream":true`), "one two", llm.Usage{Input: 3, Output: 2}, false},
		"Anthropic, tools":      {llm.AnthropicMessages, llm.ServerSentEvents, "/v1/messages", messagesOf("call: f {\"a\":1}\ncall: f {}", `,"stream":true`+messagesTool), `{"a":1}{}`, llm.Usage{Input: 6, Output: 4}, false},
		"Anthropic, error":      {llm.AnthropicMessages, llm.ServerSentEvents, "/v1/messages", strings.Replace(messagesOf("say: one two", `,"stream":true`), "sonnet-4-5", "sonnet-4-5?error_after=4", 1), "one", llm.Usage{Input: 3, Output: 1}, true},
		"Google, events":        {llm.GoogleStream, llm.ServerSentEvents, streamPath + "?alt=sse", generateOf("say: one two", ""), "one two", llm.Usage{Input: 3, Output: 2}, false},
		"Google, array":         {llm.GoogleStream, llm.JSONArray, streamPath, generateOf("say: one two", ""), "one two", llm.Usage{Input: 3, Output: 2}, false},
		"Google, array, error":  {llm.GoogleStream, llm.JSONArray, strings.Replace(streamPath, "flash", "flash%3Ferror_after=1", 1), generateOf("say: one two", ""), "one", llm.Usage{}, true},
		"Google, events, error": {llm.GoogleStream, llm.ServerSentEvents, strings.Replace(streamPath, "flash", "flash%3Ferror_after=1", 1) + "?alt=sse", generateOf("say: one two", ""), "one", llm.Usage{}, true},
		"Google, empty":         {llm.GoogleStream, llm.JSONArray, streamPath, generateOf("say:", ""), "", llm.Usage{Input: 1}, false},
		"Google, tool":          {llm.GoogleStream, llm.JSONArray, streamPath, generateOf(`call: f {"a":"b"}`, googleTool), "ab", llm.Usage{Input: 3, Output: 2}, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := ask(t, New(Options{}), http.MethodPost, tc.target, tc.body)
			d := llm.Decoder{Framing: tc.framing}
			said, failed := "", false
			var usage llm.Usage
			read := func(f llm.Frame) error {
				if f.Data == nil {
					return nil
				}
				e, err := llm.ParseEvent(tc.format, f.Data)
				if err != nil {
					return err
				}
				if f.Name != e.Name {
					t.Errorf("event %q is called %q", e.Name, f.Name)
				}
				for i := range e.Texts {
					said += e.Texts[i].Value
				}
				usage, failed = usage.Joined(e.Usage), failed || e.Error
				return nil
			}
			if err := d.Feed(w.Body.Bytes(), read); err != nil {
				t.Fatal(err)
			}
			if err := d.Flush(read); err != nil {
				t.Fatal(err)
			}
			if tc.framing == llm.JSONArray {
				if err := llm.Check(w.Body.Bytes()); err != nil {
					t.Errorf("%v in %s", err, w.Body)
				}
			}
			if said != tc.said || usage != tc.usage || failed != tc.failed {
				t.Errorf("got %q, %+v, failed %v in %s", said, usage, failed, w.Body)
			}
		})
	}
}

func TestWhatAnAPIWouldRefuseIsRefusedInItsForm(t *testing.T) {
	const user = `{"role":"user","content":"a"}`
	opusOf := func(fields string) string {
		return `{"model":"claude-opus-4-7","max_tokens":2000,"messages":[` + user + `]` + fields + `}`
	}
	anthropicOf := func(fields string) string { return `{"model":"claude-sonnet-4-5",` + fields + `}` }
	tests := map[string]struct {
		target, body string
		status       int
		want         string
	}{
		"no limit":            {"/v1/messages", anthropicOf(`"messages":[` + user + `]`), 400, "max_tokens: Field required"},
		"a thread":            {"/v1/messages", messagesOf("a", `,"thread":{"type":"create"}`), 400, `"details":{"error_code":"thread_unsupported_request"}`},
		"unknown field":       {"/v1/messages", messagesOf("a", `,"n":1`), 400, "n: Extra inputs are not permitted"},
		"system role":         {"/v1/messages", anthropicOf(`"max_tokens":1,"messages":[{"role":"system","content":"a"}]`), 400, "messages.0.role: Input should be 'user' or 'assistant'"},
		"unknown block":       {"/v1/messages", anthropicOf(`"max_tokens":1,"messages":[{"role":"user","content":[{"type":"image_url"}]}]`), 400, "messages.0.content.0: Input tag 'image_url' found"},
		"empty text":          {"/v1/messages", anthropicOf(`"max_tokens":1,"messages":[{"role":"user","content":[{"type":"text","text":""}]}]`), 400, "text content blocks must be non-empty"},
		"answer to no call":   {"/v1/messages", anthropicOf(`"max_tokens":1,"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"x"}]}]`), 400, "unexpected `tool_use_id` found"},
		"call not answered":   {"/v1/messages", anthropicOf(`"max_tokens":1,"messages":[` + user + `,{"role":"assistant","content":[{"type":"tool_use","id":"x","name":"f","input":{}}]},` + user + `]`), 400, "`tool_use` ids were found without `tool_result` blocks immediately after: x"},
		"arguments as text":   {"/v1/messages", anthropicOf(`"max_tokens":1,"messages":[` + user + `,{"role":"assistant","content":[{"type":"tool_use","id":"x","name":"f","input":"{}"}]}]`), 400, "input: Input should be a valid dictionary"},
		"hot":                 {"/v1/messages", messagesOf("a", `,"temperature":1.5`), 400, "temperature: range: 0..1"},
		"a temperature":       {"/v1/messages", opusOf(`,"temperature":1`), 400, "`temperature` is deprecated for this model"},
		"counted thoughts":    {"/v1/messages", opusOf(`,"thinking":{"type":"enabled","budget_tokens":1024}`), 400, "thinking.type.adaptive"},
		"an unsigned call":    {signingPath, signedCall(""), 400, "missing a thought_signature"},
		"a wrong signature":   {signingPath, signedCall(`,"thoughtSignature":"Zm9v"`), 400, "Corrupted thought signature"},
		"too much thought":    {"/v1/messages", messagesOf("a", `,"thinking":{"type":"enabled","budget_tokens":2000}`), 400, "budget_tokens"},
		"not JSON":            {"/v1/messages", `{`, 400, "not valid JSON"},
		"overloaded":          {"/v1/messages", strings.Replace(messagesOf("a", ""), "sonnet-4-5", "sonnet-4-5?status=503", 1), 503, "Sorry about that"},
		"Google's field":      {generatePath, generateOf("a", `,"max_tokens":1`), 400, `Unknown name \"max_tokens\" at ''`},
		"Google's settings":   {generatePath, generateOf("a", `,"generationConfig":{"stop":[]}`), 400, `Unknown name \"stop\" at 'generation_config'`},
		"Google's roles":      {generatePath, `{"contents":[{"role":"assistant","parts":[{"text":"a"}]}]}`, 400, "Please use a valid role"},
		"no contents":         {generatePath, `{}`, 400, "contents is not specified"},
		"empty part":          {generatePath, `{"contents":[{"parts":[{}]}]}`, 400, "required oneof field 'data'"},
		"two data":            {generatePath, `{"contents":[{"parts":[{"text":"a","functionCall":{"name":"f"}}]}]}`, 400, "required oneof field 'data'"},
		"function unanswered": {generatePath, `{"contents":[{"role":"model","parts":[{"functionCall":{"name":"f"}}]},{"role":"user","parts":[{"text":"a"}]}]}`, 400, "number of function response parts"},
		"response as text":    {generatePath, `{"contents":[{"role":"model","parts":[{"functionCall":{"name":"f"}}]},{"role":"user","parts":[{"functionResponse":{"name":"f","response":"a"}}]}]}`, 400, "response is an object"},
		"unknown method":      {"/v1beta/models/m:generateAnswer", `{}`, 404, "not found"},
		"Google's limit":      {strings.Replace(generatePath, "flash", "flash%3Fstatus=429", 1), generateOf("a", ""), 429, `"status":"RESOURCE_EXHAUSTED"`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := ask(t, New(Options{}), http.MethodPost, tc.target, tc.body)
			if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.want) {
				t.Errorf("got %d %s", w.Code, w.Body)
			}
			form := `{"error":{"code":`
			if tc.target == "/v1/messages" {
				form = `{"type":"error","error":{"type":"`
			}
			if !strings.HasPrefix(w.Body.String(), form) || !gjson.Valid(w.Body.String()) {
				t.Errorf("not the API's form: %s", w.Body)
			}
		})
	}
}

// TestInstructionsMayStandWithinMessages, as Claude Code has them, also behind what a tool answered.
func TestInstructionsMayStandWithinMessages(t *testing.T) {
	body := `{"model":"claude-sonnet-4-5","max_tokens":9,"messages":[{"role":"user","content":"say: one"},{"role":"system","content":"Be brief."}]}`
	if w := ask(t, New(Options{}), http.MethodPost, "/v1/messages", body); gjson.Get(w.Body.String(), "content.0.text").Str != "one" || gjson.Get(w.Body.String(), "usage.input_tokens").Int() != 4 {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestKeysAreInTheHeadersOfTheirAPI(t *testing.T) {
	p := New(Options{Key: "sk-1"})
	for name, tc := range map[string]struct {
		target, body, header, value string
		want                        int
	}{
		"Anthropic":            {"/v1/messages", messagesOf("a", ""), "X-Api-Key", "sk-1", 200},
		"Anthropic, wrong":     {"/v1/messages", messagesOf("a", ""), "X-Api-Key", "sk-2", 401},
		"Anthropic, bearer":    {"/v1/messages", messagesOf("a", ""), "Authorization", "Bearer sk-1", 200},
		"Google":               {generatePath, generateOf("a", ""), "X-Goog-Api-Key", "sk-1", 200},
		"Google, in a query":   {generatePath + "?key=sk-1", generateOf("a", ""), "X-Nothing", "", 200},
		"Google, wrong":        {generatePath, generateOf("a", ""), "X-Goog-Api-Key", "sk-2", 400},
		"Google, of Anthropic": {generatePath, generateOf("a", ""), "X-Api-Key", "sk-1", 400},
	} {
		t.Run(name, func(t *testing.T) {
			if w := ask(t, p, http.MethodPost, tc.target, tc.body, tc.header, tc.value); w.Code != tc.want {
				t.Errorf("got %d %s", w.Code, w.Body)
			}
		})
	}
}

func TestCountsEmbeddingsAndModelsOfTheOtherAPIs(t *testing.T) {
	p := New(Options{Models: []string{"claude-sonnet-4-5", "gemini-2.5-flash"}})
	for name, tc := range map[string]struct{ method, target, body, path, want string }{
		"Anthropic's count": {"POST", "/v1/messages/count_tokens", `{"model":"claude-sonnet-4-5","system":"Be brief.","messages":[{"role":"user","content":"one two"}]}`, "input_tokens", "4"},
		"Google's count":    {"POST", "/v1beta/models/gemini-2.5-flash:countTokens", generateOf("one two", ""), "totalTokens", "2"},
		"Google's wrapped":  {"POST", "/v1beta/models/gemini-2.5-flash:countTokens", `{"generateContentRequest":` + generateOf("one two", "") + `}`, "totalTokens", "2"},
		"an embedding":      {"POST", "/v1beta/models/gemini-2.5-flash:embedContent", `{"content":{"parts":[{"text":"a"}]},"outputDimensionality":3}`, "embedding.values.#", "3"},
		"embeddings":        {"POST", "/v1beta/models/gemini-2.5-flash:batchEmbedContents", `{"requests":[{"model":"models/gemini-2.5-flash","content":{"parts":[{"text":"a"}]},"output_dimensionality":3}]}`, "embeddings.0.values.#", "3"},
		"Google's models":   {"GET", "/v1beta/models", "", "models.1.name", "models/gemini-2.5-flash"},
		"unknown model":     {"POST", "/v1beta/models/gemini-9:countTokens", generateOf("a", ""), "error.status", "NOT_FOUND"},
	} {
		t.Run(name, func(t *testing.T) {
			w := ask(t, p, tc.method, tc.target, tc.body)
			if got := gjson.Get(w.Body.String(), tc.path).String(); got != tc.want {
				t.Errorf("got %d %s", w.Code, w.Body)
			}
		})
	}
}

func FuzzOtherAPIsAnswerInJSON(f *testing.F) {
	f.Add([]byte(messagesOf("say: a", messagesTool)))
	f.Add([]byte(generateOf("say: a", googleTool)))
	p := New(Options{})
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, target := range []string{"/v1/messages", "/v1/messages/count_tokens", generatePath, streamPath, "/v1beta/models/m:countTokens", "/v1beta/models/m:batchEmbedContents"} {
			if w := ask(t, p, http.MethodPost, target, string(body)); w.Header().Get("Content-Type") == "application/json" && !gjson.ValidBytes(w.Body.Bytes()) {
				t.Errorf("%s: got %q for %q", target, w.Body, body)
			}
		}
	})
}

// TestCallsThatOnlyTheChoiceAsksFor have arguments that the tool takes: frameworks get structured answers so.
func TestCallsThatOnlyTheChoiceAsksFor(t *testing.T) {
	const schema = `{"type":"object","properties":{"name":{"type":"string"},"size":{"type":"integer"}}}`
	for name, tc := range map[string]struct{ target, body, path string }{
		"chat":      {"/v1/chat/completions", `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"a"}],"tools":[{"type":"function","function":{"name":"f","parameters":` + schema + `}}],"tool_choice":"required"}`, "choices.0.message.tool_calls.0.function.arguments"},
		"responses": {"/v1/responses", `{"model":"gpt-4o-mini","input":"a","tools":[{"type":"function","name":"f","parameters":` + schema + `}],"tool_choice":{"type":"function","name":"f"}}`, "output.0.arguments"},
		"messages":  {"/v1/messages", `{"model":"claude-sonnet-4-5","max_tokens":9,"messages":[{"role":"user","content":"a"}],"tools":[{"name":"f","input_schema":` + schema + `}],"tool_choice":{"type":"any"}}`, "content.0.input"},
		"gemini":    {generatePath, `{"contents":[{"role":"user","parts":[{"text":"a"}]}],"tools":[{"functionDeclarations":[{"name":"f","parameters":{"type":"OBJECT","properties":{"name":{"type":"STRING"},"size":{"type":"INTEGER"}}}}]}],"toolConfig":{"functionCallingConfig":{"mode":"ANY"}}}`, "candidates.0.content.parts.0.functionCall.args"},
	} {
		w := ask(t, New(Options{}), http.MethodPost, tc.target, tc.body)
		if got := gjson.Get(w.Body.String(), tc.path).String(); got != `{"name":"text","size":1}` {
			t.Errorf("%s: got %d %s", name, w.Code, w.Body)
		}
	}
}

// TestWhatAnAssistantSaidComesBackWithoutWhatOnlyAnAnswerHas, as LangChain has it.
func TestWhatAnAssistantSaidComesBackWithoutWhatOnlyAnAnswerHas(t *testing.T) {
	body := `{"model":"gpt-4o-mini","input":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"output_text","text":"b"}]},{"role":"user","content":"c"}]}`
	if w := ask(t, New(Options{}), http.MethodPost, "/v1/responses", body); w.Code != 200 {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}
