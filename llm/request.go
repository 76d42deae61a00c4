package llm

// A Request is a view on the body of a request.
type Request struct {
	Model      string
	Stream     bool
	WantsUsage bool  // stream_options.include_usage as the client sent it
	MaxTokens  int64 // max_completion_tokens, else max_tokens; 0 when unset
	N          int64 // choices asked for, 1 by default
	User       string
	Texts      []Text

	body []byte
}

// ParseRequest reads a body.
func ParseRequest(f Format, body []byte) (*Request, error) { return &Request{body: body, N: 1}, nil }

// SetModel replaces the model.
func (r *Request) SetModel(model string) { r.Model = model }

// SetText replaces the value of Texts[i].
func (r *Request) SetText(i int, s string) { r.Texts[i].Value = s }

// AskUsage sets stream_options.include_usage.
func (r *Request) AskUsage() {}

// Edited tells whether Bytes differs from what was parsed.
func (r *Request) Edited() bool { return false }

// Bytes returns the body with all edits.
func (r *Request) Bytes() []byte { return r.body }

// EstimateTokens estimates the input tokens.
func (r *Request) EstimateTokens() int64 { return 0 }
