package llm

// A Response is a view on the body of an answer that is not streamed.
type Response struct {
	ID            string
	Model         string
	Texts         []Text
	Usage         Usage
	HasUsage      bool
	FinishReasons []string // of each choice, in their order; "" where a choice has none

	body []byte
}

// ParseResponse reads a body.
func ParseResponse(f Format, body []byte) (*Response, error) { return &Response{body: body}, nil }

// SetText replaces the value of Texts[i].
func (r *Response) SetText(i int, s string) { r.Texts[i].Value = s }

// Edited tells whether Bytes differs from what was parsed.
func (r *Response) Edited() bool { return false }

// Bytes returns the body with all edits.
func (r *Response) Bytes() []byte { return r.body }
