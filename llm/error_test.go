package llm_test

import (
	"testing"

	"github.com/leash-gateway/leash/llm"
)

func TestErrorBody(t *testing.T) {
	tests := map[string]struct {
		status        int
		code, message string
		want          string
	}{
		"bad request":    {400, "invalid_json", "key \"model\"\nappears twice", `{"error":{"message":"key \"model\"\nappears twice","type":"invalid_request_error","param":null,"code":"invalid_json"}}`},
		"no code":        {413, "", "too large", `{"error":{"message":"too large","type":"invalid_request_error","param":null,"code":null}}`},
		"authentication": {401, "invalid_api_key", "no", `{"error":{"message":"no","type":"authentication_error","param":null,"code":"invalid_api_key"}}`},
		"permission":     {403, "blocked", "no", `{"error":{"message":"no","type":"permission_error","param":null,"code":"blocked"}}`},
		"not found":      {404, "model_not_found", "no", `{"error":{"message":"no","type":"not_found_error","param":null,"code":"model_not_found"}}`},
		"rate limit":     {429, "rate_limit_exceeded", "no", `{"error":{"message":"no","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"}}`},
		"ours":           {503, "module_failed", "no", `{"error":{"message":"no","type":"server_error","param":null,"code":"module_failed"}}`},
		"not UTF-8":      {500, "x", "a\xff", `{"error":{"message":"a` + "\uFFFD" + `","type":"server_error","param":null,"code":"x"}}`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := llm.ErrorBody(llm.OpenAIChat, tc.status, tc.code, tc.message)
			if string(got) != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
			if err := llm.Check(got); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestModelList(t *testing.T) {
	tests := map[string]struct {
		models []string
		want   string
	}{
		"none": {nil, `{"object":"list","data":[]}`},
		"two": {
			[]string{"gpt-4o", `a"b`},
			`{"object":"list","data":[{"id":"gpt-4o","object":"model","created":0,"owned_by":"leash"},{"id":"a\"b","object":"model","created":0,"owned_by":"leash"}]}`,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := string(llm.ModelList(llm.OpenAIModels, tc.models, "leash")); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}
