package llm

// A Call says which tool is called, or answers, in a message. What it is called with, and what it answers, are texts: those with the same
// Message and Part.
type Call struct {
	Message, Part int
	ID            string // "" where the API has none
	Name          string // "" in what a tool answers, which most APIs tell by the id alone
	Answers       bool
}

// keepCall adds a call that says something of itself. Further pieces of one in a stream do not.
func (r *reader) keepCall(c Call) {
	if (c.ID != "" || c.Name != "") && len(r.calls) < maxTexts {
		c.Message = r.message
		r.calls = append(r.calls, c)
	}
}

// label reads a string that names something; what is none is empty.
func (r *reader) label() string {
	q, found := r.readString()
	if found != right {
		return ""
	}
	return r.text(q)
}

// calledIn gives the calls from first on to a message.
func (r *reader) calledIn(first, message int) {
	for i := first; i < len(r.calls); i++ {
		r.calls[i].Message = message
	}
}
