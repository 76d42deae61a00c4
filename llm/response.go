package llm

// A Response is a view on the body of an answer that is not streamed. Its fields are what was parsed; they are changed
// by the methods only.
type Response struct {
	ID            string
	Model         string
	Texts         []Text // Message is the index of the choice, of OpenAI's responses that of the output item
	Calls         []Call
	Usage         Usage
	HasUsage      bool
	FinishReasons []string // of each choice, in the order of the answer; "" where a choice has none
	Error         bool     // the answer reports an error, which the provider may do in spite of its status

	body  []byte
	edits edits
	few   [2]Text // what Texts is made of when they are few
}

// ParseResponse checks an answer like Check and reads it, in one pass; half a surrogate pair is let through here, and
// read as U+FFFD. The error is a *SyntaxError, or a *FieldError when the body is no object. An object without choices,
// such as an error, has no texts. The caller must not change body while it uses the response.
func ParseResponse(f Format, body []byte) (*Response, error) {
	switch f {
	case OpenAIChat, OpenAICompletions, OpenAIEmbeddings:
	default:
		return parseResponse(f, body)
	}
	r := &Response{body: body}
	var a answer
	a.whole, a.texts = shared(body), r.few[:0]
	a.read(body)
	if err := a.outcome(); err != nil {
		return nil, err
	}
	r.ID, r.Model, r.Texts, r.Calls, r.Usage, r.HasUsage = a.id, a.model, a.texts, a.calls, a.usage, a.hasUsage
	r.Error = a.hasError
	if a.choices > 0 {
		r.FinishReasons = make([]string, a.choices)
		for _, e := range a.endings {
			r.FinishReasons[e.position] = e.Reason
		}
	}
	return r, nil
}

// SetText replaces the value of Texts[i]. The log probabilities of its choice become null, since they spell out what
// was replaced.
func (r *Response) SetText(i int, s string) { r.edits.setAnswer(&r.Texts[i], s) }

// Edited tells whether Bytes differs from the body that was parsed.
func (r *Response) Edited() bool { return len(r.edits) > 0 }

// Bytes returns the body with all edits: the very slice that was parsed when there are none, else a new one.
func (r *Response) Bytes() []byte {
	if !r.Edited() {
		return r.body
	}
	return splice(r.body, r.edits)
}
