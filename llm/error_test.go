package llm_test

import (
	"strings"
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

func TestErrorsOfTheOtherAPIs(t *testing.T) {
	tests := map[string]struct {
		format    llm.Format
		status    int
		code      string
		wantKind  string
		wantWhole string
	}{
		"Anthropic":             {llm.AnthropicMessages, 400, "x", "", `{"type":"error","error":{"type":"invalid_request_error","message":"no"}}`},
		"Anthropic, threads":    {llm.AnthropicMessages, 400, llm.ThreadUnsupported, "", `{"type":"error","error":{"type":"invalid_request_error","message":"no","details":{"error_code":"thread_unsupported_request"}}}`},
		"Anthropic, large":      {llm.AnthropicMessages, 413, "", `"type":"request_too_large"`, ""},
		"Anthropic, money":      {llm.AnthropicMessages, 402, "", `"type":"billing_error"`, ""},
		"Anthropic, limit":      {llm.AnthropicCountTokens, 429, "", `"type":"rate_limit_error"`, ""},
		"Anthropic, ours":       {llm.AnthropicMessages, 500, "", `"type":"api_error"`, ""},
		"Anthropic, overloaded": {llm.AnthropicMessages, 529, "", `"type":"overloaded_error"`, ""},
		"Anthropic, late":       {llm.AnthropicMessages, 504, "", `"type":"timeout_error"`, ""},
		"Google":                {llm.GoogleGenerate, 400, "", "", `{"error":{"code":400,"message":"no","status":"INVALID_ARGUMENT"}}`},
		"Google, with a code":   {llm.GoogleStream, 429, "x", "", `{"error":{"code":429,"message":"no","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"x","domain":"leash"}]}}`},
		"Google, key":           {llm.GoogleEmbed, 401, "", `"status":"UNAUTHENTICATED"`, ""},
		"Google, not allowed":   {llm.GoogleEmbed, 403, "", `"status":"PERMISSION_DENIED"`, ""},
		"Google, not found":     {llm.GoogleModels, 404, "", `"status":"NOT_FOUND"`, ""},
		"Google, ours":          {llm.GoogleGenerate, 500, "", `"status":"INTERNAL"`, ""},
		"Google, down":          {llm.GoogleGenerate, 503, "", `"status":"UNAVAILABLE"`, ""},
		"Google, late":          {llm.GoogleGenerate, 504, "", `"status":"DEADLINE_EXCEEDED"`, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := string(llm.ErrorBody(tc.format, tc.status, tc.code, "no"))
			if tc.wantWhole != "" && got != tc.wantWhole || !strings.Contains(got, tc.wantKind) || llm.Check([]byte(got)) != nil {
				t.Errorf("got %s", got)
			}
		})
	}
}

func TestModelsAreListedInTheFormOfEachAPI(t *testing.T) {
	for name, tc := range map[string]struct {
		format llm.Format
		models []string
		want   string
	}{
		"Anthropic": {llm.AnthropicModels, []string{"a", "b"}, `{"data":[{"type":"model","id":"a","display_name":"a","created_at":"1970-01-01T00:00:00Z"},` +
			`{"type":"model","id":"b","display_name":"b","created_at":"1970-01-01T00:00:00Z"}],"has_more":false,"first_id":"a","last_id":"b"}`},
		"Anthropic, none": {llm.AnthropicModels, nil, `{"data":[],"has_more":false,"first_id":null,"last_id":null}`},
		"Google":          {llm.GoogleModels, []string{"a"}, `{"models":[{"name":"models/a","displayName":"a","supportedGenerationMethods":["generateContent","countTokens"]}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := string(llm.ModelList(tc.format, tc.models, "leash")); got != tc.want || llm.Check([]byte(got)) != nil {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestAModelIsToldOfInTheFormOfEachAPI(t *testing.T) {
	for format, want := range map[llm.Format]string{
		llm.OpenAIModels:    `{"id":"a","object":"model","created":0,"owned_by":"leash"}`,
		llm.AnthropicModels: `{"type":"model","id":"a","display_name":"a","created_at":"1970-01-01T00:00:00Z"}`,
		llm.GoogleModels:    `{"name":"models/a","displayName":"a","supportedGenerationMethods":["generateContent","countTokens"]}`,
	} {
		t.Run(format.String(), func(t *testing.T) {
			if got := string(llm.ModelEntry(format, "a", "leash")); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
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

func TestStatusesHaveAClass(t *testing.T) {
	for class, statuses := range map[string][]int{
		"": {200, 204, 304}, "no_answer": {0}, "authentication": {401, 403}, "billing": {402}, "not_found": {404}, "timeout": {408, 504},
		"rate_limited": {429}, "unavailable": {503, 529}, "server_error": {500, 501, 502, 520}, "invalid_request": {400, 405, 413, 422},
	} {
		for _, status := range statuses {
			if got := llm.ErrorClass(status); got != class {
				t.Errorf("%d: got %q, want %q", status, got, class)
			}
		}
	}
}
