package llm_test

import (
	"strings"
	"testing"

	"github.com/leash-gateway/leash/llm"
)

// TestTextsOfEveryKindAreSeen: of what clients send back, what providers answer, and the events in between, after the types of the official
// clients (openai 3.54, anthropic 2.12, google-genai 3.4 for Python).
func TestTextsOfEveryKindAreSeen(t *testing.T) {
	responses := map[string]struct{ item, want string }{
		"reasoning":           {`{"type":"reasoning","id":"rs_1","encrypted_content":"gAAA","summary":[{"type":"summary_text","text":"SEE 1"}],"content":[{"type":"reasoning_text","text":"SEE 2"}]}`, "SEE 1|SEE 2"},
		"custom call":         {`{"type":"custom_tool_call","call_id":"c","name":"f","input":"SEE 1"}`, "SEE 1"},
		"custom output":       {`{"type":"custom_tool_call_output","call_id":"c","output":"SEE 1"}`, "SEE 1"},
		"MCP":                 {`{"type":"mcp_call","id":"mcp_1","server_label":"s","name":"f","arguments":"{\"a\":\"SEE 1\"}","output":"SEE 2"}`, `{"a":"SEE 1"}|SEE 2`},
		"code interpreter":    {`{"type":"code_interpreter_call","id":"ci_1","container_id":"c","code":"SEE 1","outputs":[{"type":"logs","logs":"SEE 2"},{"type":"image","url":"https://x"}]}`, "SEE 1|SEE 2"},
		"shell":               {`{"type":"shell_call","call_id":"c","action":{"commands":["SEE 1"]}}`, "SEE 1"},
		"shell's output":      {`{"type":"shell_call_output","call_id":"c","output":[{"stdout":"SEE 1","stderr":"SEE 2","outcome":{"type":"exit","exit_code":0}}]}`, "SEE 1|SEE 2"},
		"file search":         {`{"type":"file_search_call","id":"fs_1","queries":["SEE 1"],"results":[{"file_id":"f","text":"SEE 2"}]}`, "SEE 1|SEE 2"},
		"web search":          {`{"type":"web_search_call","id":"ws_1","action":{"type":"search","query":"SEE 1"}}`, "SEE 1"},
		"patch":               {`{"type":"apply_patch_call","call_id":"c","operation":{"type":"update_file","path":"SEE 1","diff":"SEE 2"}}`, "SEE 1|SEE 2"},
		"program":             {`{"type":"program","call_id":"c","code":"SEE 1"}`, "SEE 1"},
		"what it brought":     {`{"type":"program_output","call_id":"c","result":"SEE 1"}`, "SEE 1"},
		"the type behind it":  {`{"result":"SEE 1","call_id":"c","type":"program_output"}`, "SEE 1"},
		"picture":             {`{"type":"image_generation_call","id":"ig_1","result":"iVBORw0KGgo=","revised_prompt":"SEE 1"}`, "SEE 1"},
		"a picture's type":    {`{"id":"ig_1","result":"iVBORw0KGgo=","type":"image_generation_call"}`, ""},
		"quotes of a message": {`{"type":"message","role":"assistant","content":[{"type":"output_text","text":"SEE 1","annotations":[{"type":"url_citation","url":"https://x","title":"SEE 2"}]}]}`, "SEE 1|SEE 2"},
	}
	for name, tc := range responses {
		t.Run("responses/"+name, func(t *testing.T) {
			r, err := llm.ParseRequest(llm.OpenAIResponses, []byte(`{"model":"m","input":[`+tc.item+`]}`))
			if err != nil {
				t.Fatal(err)
			}
			wantSeen(t, "request", r.Texts, tc.want)
			a, err := llm.ParseResponse(llm.OpenAIResponses, []byte(`{"id":"r","output":[`+tc.item+`]}`))
			if err != nil {
				t.Fatal(err)
			}
			wantSeen(t, "answer", a.Texts, tc.want)
			e, err := llm.ParseEvent(llm.OpenAIResponses, []byte(`{"type":"response.output_item.done","output_index":0,"item":`+tc.item+`}`))
			if err != nil {
				t.Fatal(err)
			}
			wantSeen(t, "event", e.Texts, tc.want)
		})
	}

	events := map[string]struct {
		format      llm.Format
		event, want string
	}{
		"refusal":             {llm.OpenAIResponses, `{"type":"response.refusal.delta","delta":"SEE 1"}`, "SEE 1"},
		"summary":             {llm.OpenAIResponses, `{"type":"response.reasoning_summary_text.delta","delta":"SEE 1","obfuscation":"x"}`, "SEE 1"},
		"code":                {llm.OpenAIResponses, `{"type":"response.code_interpreter_call_code.delta","delta":"SEE 1"}`, "SEE 1"},
		"custom call":         {llm.OpenAIResponses, `{"type":"response.custom_tool_call_input.delta","delta":"SEE 1"}`, "SEE 1"},
		"MCP":                 {llm.OpenAIResponses, `{"type":"response.mcp_call_arguments.delta","delta":"SEE 1"}`, "SEE 1"},
		"shell":               {llm.OpenAIResponses, `{"type":"response.shell_call_command.delta","delta":"SEE 1"}`, "SEE 1"},
		"shell's output":      {llm.OpenAIResponses, `{"type":"response.shell_call_output_content.delta","delta":{"stdout":"SEE 1"}}`, "SEE 1"},
		"annotation":          {llm.OpenAIResponses, `{"type":"response.output_text.annotation.added","annotation":{"type":"url_citation","title":"SEE 1","url":"https://x"}}`, "SEE 1"},
		"picture":             {llm.OpenAIResponses, `{"type":"response.image_generation_call.partial_image","partial_image_b64":"iVBO"}`, ""},
		"transcript":          {llm.OpenAIResponses, `{"type":"response.audio.transcript.delta","delta":"SEE 1"}`, "SEE 1"},
		"thinking":            {llm.AnthropicMessages, `{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"SEE 1"}}`, "SEE 1"},
		"signature":           {llm.AnthropicMessages, `{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"EqQB"}}`, ""},
		"citation":            {llm.AnthropicMessages, `{"type":"content_block_delta","index":0,"delta":{"type":"citations_delta","citation":{"type":"char_location","cited_text":"SEE 1","document_title":"SEE 2"}}}`, "SEE 1|SEE 2"},
		"hidden thinking":     {llm.AnthropicMessages, `{"type":"content_block_start","index":0,"content_block":{"type":"redacted_thinking","data":"EmwK"}}`, ""},
		"search":              {llm.AnthropicMessages, `{"type":"content_block_start","index":0,"content_block":{"type":"web_search_tool_result","tool_use_id":"t","content":[{"type":"web_search_result","title":"SEE 1","url":"https://x","encrypted_content":"Eqg"}]}}`, "SEE 1"},
		"why it refused":      {llm.AnthropicMessages, `{"type":"message_delta","delta":{"stop_reason":"refusal","stop_details":{"type":"refusal","explanation":"SEE 1"}},"usage":{"output_tokens":1}}`, "SEE 1"},
		"ping":                {llm.AnthropicMessages, `{"type":"ping"}`, ""},
		"Google's code":       {llm.GoogleStream, `{"candidates":[{"content":{"parts":[{"executableCode":{"language":"PYTHON","code":"SEE 1"}},{"codeExecutionResult":{"outcome":"OUTCOME_OK","output":"SEE 2"}}]}}]}`, "SEE 1|SEE 2"},
		"Google's signature":  {llm.GoogleStream, `{"candidates":[{"content":{"parts":[{"text":"","thoughtSignature":"CikB"}]}}]}`, ""},
		"Google's grounding":  {llm.GoogleStream, `{"candidates":[{"content":{"parts":[]},"groundingMetadata":{"webSearchQueries":["SEE 1"],"groundingChunks":[{"web":{"uri":"https://x","title":"SEE 2"}}]}}]}`, "SEE 1|SEE 2"},
		"Google's thought":    {llm.GoogleStream, `{"candidates":[{"content":{"parts":[{"text":"SEE 1","thought":true}]}}]}`, "SEE 1"},
		"a chat's annotation": {llm.OpenAIChat, `{"choices":[{"index":0,"delta":{"annotations":[{"type":"url_citation","url_citation":{"title":"SEE 1","url":"https://x"}}]}}]}`, "SEE 1"},
	}
	for name, tc := range events {
		t.Run("events/"+name, func(t *testing.T) {
			e, err := llm.ParseEvent(tc.format, []byte(tc.event))
			if err != nil {
				t.Fatal(err)
			}
			wantSeen(t, "event", e.Texts, tc.want)
		})
	}
}

// wantSeen fails the test unless what is to be seen is among the texts, and nothing that is not.
func wantSeen(t *testing.T, of string, texts []llm.Text, want string) {
	t.Helper()
	var seen []string
	for i := range texts {
		switch value := texts[i].Value; {
		case strings.Contains(value, "SEE"):
			seen = append(seen, value)
		case value != "" && !strings.HasPrefix(value, "http"):
			t.Errorf("%s: %q is taken for a text", of, value)
		}
	}
	if got := strings.Join(seen, "|"); got != want {
		t.Errorf("%s: got %q, want %q", of, got, want)
	}
}
