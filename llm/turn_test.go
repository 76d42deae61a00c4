package llm

import "testing"

func TestAModelGoesOnFromWhatItHasSaid(t *testing.T) {
	tests := map[string]struct {
		format     Format
		body, want string
	}{
		"chat":      {OpenAIChat, `{"messages":[{"role":"user","content":"a]"}] ,"model":"m"}`, `{"messages":[{"role":"user","content":"a]"},{"role":"assistant","content":"so \"far\""}] ,"model":"m"}`},
		"messages":  {AnthropicMessages, `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"a"} ]}`, `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"a"} ,{"role":"assistant","content":"so \"far\""}]}`},
		"Google's":  {GoogleStream, `{"contents":[{"parts":[{"text":"a"}]}]}`, `{"contents":[{"parts":[{"text":"a"}]},{"role":"model","parts":[{"text":"so \"far\""}]}]}`},
		"no list":   {GoogleStream, `{"contents":{"parts":[{"text":"a"}]}}`, ""},
		"none":      {OpenAIChat, `{"model":"m"}`, ""},
		"responses": {OpenAIResponses, `{"model":"m","input":"a"}`, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, ok := WithTurn(tc.format, []byte(tc.body), `so "far"`)
			if string(got) != tc.want && (ok || tc.want != "") || ok != (tc.want != "") {
				t.Errorf("got %t %s, want %s", ok, got, tc.want)
			}
		})
	}
}
