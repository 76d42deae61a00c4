package schemas

import (
	"strings"
	"testing"
)

func TestWhatIsWrongIsNamedWithItsPlace(t *testing.T) {
	const chat = `{"model":"m","messages":[{"role":"user","content":"a"}]`
	const claude = `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"a"}]`
	const google = `{"contents":[{"role":"user","parts":[{"text":"a"}]}]`
	tests := map[string]struct {
		api             *API
		operation, body string
		path, reason    string // "" and "": nothing is wrong
	}{
		"chat":                      {OpenAI, "chat", chat + `,"temperature":0.5,"unknown":{}}`, "", ""},
		"chat, image":               {OpenAI, "chat", `{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://a/b.png"}}]}]}`, "", ""},
		"chat, role":                {OpenAI, "chat", `{"model":"m","messages":[{"role":"robot","content":"a"}]}`, "messages.0.role", "developer"},
		"chat, part":                {OpenAI, "chat", `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":5}]}]}`, "messages.0.content.0.text", "got number, want string"},
		"chat, part's type":         {OpenAI, "chat", `{"model":"m","messages":[{"role":"user","content":[{"type":"image","source":{}}]}]}`, "messages.0.content.0.type", "image_url"},
		"chat, tool":                {OpenAI, "chat", chat + `,"tools":[{"type":"function","function":{}}]}`, "tools.0.function", "name"},
		"chat, effort":              {OpenAI, "chat", chat + `,"reasoning_effort":"some"}`, "reasoning_effort", "medium"},
		"chat, penalty":             {OpenAI, "chat", chat + `,"presence_penalty":3}`, "presence_penalty", "maximum"},
		"responses":                 {OpenAI, "responses", `{"model":"m","input":"a"}`, "", ""},
		"responses, items":          {OpenAI, "responses", `{"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":"a"}]},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"c","output":"x"}]}`, "", ""},
		"responses, tool":           {OpenAI, "responses", `{"model":"m","input":"a","tools":[{"type":"function","parameters":{},"strict":true}]}`, "tools.0", "name"},
		"completions":               {OpenAI, "completions", `{"model":"m","prompt":["a","b"]}`, "", ""},
		"completions, prompt":       {OpenAI, "completions", `{"model":"m","prompt":{}}`, "prompt", "want"},
		"embeddings":                {OpenAI, "embeddings", `{"model":"m","input":["a"],"encoding_format":"hex"}`, "encoding_format", "base64"},
		"messages":                  {Anthropic, "messages", claude + `,"stream":true,"system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}],"tools":[{"name":"f","input_schema":{"type":"object","x":1}}]}`, "", ""},
		"messages, limit":           {Anthropic, "messages", `{"model":"m","messages":[]}`, "", "max_tokens"},
		"messages, field":           {Anthropic, "messages", claude + `,"n":1}`, "", "'n' not allowed"},
		"messages, block":           {Anthropic, "messages", `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":[{"type":"text","text":"a","extra":1}]}]}`, "messages.0.content.0", "'extra' not allowed"},
		"messages, block's type":    {Anthropic, "messages", `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":[{"type":"image_url"}]}]}`, "messages.0.content.0.type", "'text'"},
		"messages, tool_choice":     {Anthropic, "messages", claude + `,"tool_choice":{"type":"tool"}}`, "tool_choice", "name"},
		"messages, small budget":    {Anthropic, "messages", claude + `,"thinking":{"type":"enabled","budget_tokens":5}}`, "thinking.budget_tokens", "1,024"},
		"count_tokens":              {Anthropic, "count_tokens", `{"model":"m","max_tokens":9,"messages":[]}`, "", "'max_tokens' not allowed"},
		"generateContent":           {Google, "generateContent", google + `,"generationConfig":{"maxOutputTokens":"5","top_k":1,"responseSchema":{"type":"object"}},"system_instruction":null}`, "", ""},
		"generateContent, field":    {Google, "generateContent", google + `,"generationConfig":{"max_tokens":5}}`, "generationConfig", "'max_tokens' not allowed"},
		"generateContent, mode":     {Google, "generateContent", google + `,"toolConfig":{"functionCallingConfig":{"mode":"SOME"}}}`, "toolConfig.functionCallingConfig.mode", "ANY"},
		"generateContent, schema":   {Google, "generateContent", google + `,"generationConfig":{"responseSchema":{"type":"OBJECT","additionalProperties":false}}}`, "generationConfig.responseSchema", "'additionalProperties' not allowed"},
		"countTokens":               {Google, "countTokens", google + `}`, "", ""},
		"embedContent":              {Google, "embedContent", `{"content":{"parts":[{"text":"a"}]},"outputDimensionality":5}`, "", ""},
		"batchEmbedContents":        {Google, "batchEmbedContents", `{"requests":[{"model":"models/m","content":"a"}]}`, "requests.0.content", "got string, want object"},
		"Vertex, generateContent":   {Vertex, "generateContent", google + `,"labels":{"a":"b"}}`, "", ""},
		"Vertex, countTokens":       {Vertex, "countTokens", google + `}`, "", ""},
		"Vertex, embedContent":      {Vertex, "embedContent", `{"content":{"parts":[{"text":"a"}]}}`, "", ""},
		"Vertex, predict":           {Vertex, "predict", `{"instances":{}}`, "instances", "got object, want"},
		"Converse":                  {Bedrock, "converse", `{"messages":[{"role":"user","content":[{"text":"a"}]}],"inferenceConfig":{"maxTokens":5},"additionalModelRequestFields":{"top_k":1}}`, "", ""},
		"Converse, two in one":      {Bedrock, "converse", `{"messages":[{"role":"user","content":[{"text":"a","cachePoint":{"type":"default"}}]}]}`, "messages.0.content.0", "maxProperties"},
		"Converse, type":            {Bedrock, "converse-stream", `{"messages":[{"role":"user","content":[{"type":"text"}]}]}`, "messages.0.content.0", "'type' not allowed"},
		"Converse, model":           {Bedrock, "converse", `{"modelId":"m"}`, "", "'modelId' not allowed"},
		"Converse, tool's name":     {Bedrock, "converse", `{"toolConfig":{"tools":[{"toolSpec":{"name":"not a name","inputSchema":{"json":{}}}}]}}`, "toolConfig.tools.0.toolSpec.name", "pattern"},
		"Bedrock, counts of tokens": {Bedrock, "count-tokens", `{"input":{"converse":{"messages":[]}}}`, "", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 2 { // the second time from what is remembered
				got := tc.api.Check(tc.operation, []byte(tc.body))
				if tc.path == "" && tc.reason == "" {
					if got != nil {
						t.Errorf("got %+v, want nothing wrong", got)
					}
					continue
				}
				if got == nil || strings.Join(got.Path, ".") != tc.path || !strings.Contains(got.Reason, tc.reason) {
					t.Errorf("got %+v, want %q and %q", got, tc.path, tc.reason)
				}
			}
		})
	}
}

func BenchmarkCheck(b *testing.B) {
	one := []byte(`{"model":"m","messages":[{"role":"system","content":"` + strings.Repeat("x", 400) + `"},{"role":"user","content":"a"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}]}`)
	other := append([]byte(" "), one...)
	for name, bodies := range map[string][][]byte{"the same": {one, one}, "others": {one, other}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if p := OpenAI.Check("chat", bodies[i%2]); p != nil {
					b.Fatal(p)
				}
			}
		})
	}
}
