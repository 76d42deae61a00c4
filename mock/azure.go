package mock

import (
	"strings"

	"github.com/tidwall/gjson"
)

// azure answers what Azure OpenAI has below /openai: /openai/deployments/NAME/METHOD with an api-version, whose model is the
// deployment, and /openai/v1/METHOD. https://learn.microsoft.com/azure/ai-foundry/openai/reference
func (x *exchange) azure() *apiError {
	rest := strings.TrimPrefix(x.r.URL.Path, "/openai/")
	if method, ok := strings.CutPrefix(rest, "v1/"); ok {
		return x.openAI("/v1/" + method)
	}
	notFound := &apiError{status: 404, code: "404", message: "Resource not found"}
	path, ok := strings.CutPrefix(rest, "deployments/")
	deployment, method, found := strings.Cut(path, "/")
	if !ok || !found || x.r.URL.Query().Get("api-version") == "" {
		return notFound
	}
	if method != "chat/completions" && method != "completions" && method != "embeddings" {
		return notFound
	}
	if !gjson.GetBytes(x.body, "model").Exists() {
		x.body = withMember(x.body, "model", deployment)
	}
	return x.openAI("/v1/" + method)
}

// What Azure's content filter says of the prompt comes with each answer to a chat, and before the first event of a stream.
const (
	promptFilter  = `"prompt_filter_results":[{"prompt_index":0,"content_filter_results":{"hate":{"filtered":false,"severity":"safe"},"violence":{"filtered":false,"severity":"safe"}}}]`
	filteredEvent = `data: {"choices":[],"created":0,"id":"","model":"","object":"",` + promptFilter + "}\n\n"
)
