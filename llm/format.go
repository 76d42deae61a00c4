// Package llm is what an exchange with a large language model is made of: requests, answers, server-sent events,
// token usage and prices, read from the bytes of a provider's API and written back to them.
//
// A parsed body is a view on the bytes that it came from. What is changed is spliced into them, so every field that
// this package does not know survives byte for byte. The package does no I/O and compiles natively and to wasip1,
// where it runs on the way of each request: it uses no reflection, no fmt and no encoding/json.
package llm

import "strings"

// A Format says which API an exchange speaks.
type Format uint8

// The formats that are known. More will follow.
const (
	None         Format = iota // not an LLM exchange, as far as we know
	OpenAIChat                 // OpenAI chat completions
	OpenAIModels               // OpenAI list of models
)

// String names the format for logs and metrics.
func (f Format) String() string {
	switch f {
	case OpenAIChat:
		return "openai-chat"
	case OpenAIModels:
		return "openai-models"
	default:
		return "none"
	}
}

// FormatOf tells the format of a request from its method and path. A query is ignored; everything else must match
// exactly: "/v1//chat/completions", a trailing slash or a percent sign is None, so that no spelling of a path is
// inspected differently from how a provider reads it.
func FormatOf(method, path string) Format {
	path, _, _ = strings.Cut(path, "?")
	switch {
	case method == "POST" && path == "/v1/chat/completions":
		return OpenAIChat
	case method == "GET" && path == "/v1/models":
		return OpenAIModels
	default:
		return None
	}
}
