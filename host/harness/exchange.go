package harness

import (
	"strings"
	"time"
)

// Headers are names and values in their order. Names are compared without regard to case.
type Headers [][2]string

// Get is the value of a name, several joined by ", "; "" without one.
func (h Headers) Get(name string) string {
	value, _ := h.Lookup(name)
	return value
}

// Lookup is the value of a name, several joined by ", ", and whether there is one.
func (h Headers) Lookup(name string) (string, bool) {
	var values []string
	for _, entry := range h {
		if strings.EqualFold(entry[0], name) {
			values = append(values, entry[1])
		}
	}
	return strings.Join(values, ", "), len(values) > 0
}

// Leaves says when a client breaks off.
type Leaves string

// The moments at which a client may break off.
const (
	// Never is the default: the client reads the answer to its end.
	Never Leaves = ""
	// InRequest: after the headers and half of the body's pieces.
	InRequest Leaves = "in_request"
	// BeforeAnswer: when the provider has the request.
	BeforeAnswer Leaves = "before_answer"
	// InAnswer: after the first piece of the answer's body.
	InAnswer Leaves = "in_answer"
)

// A Request is an exchange as client and provider make it. The zero value is a GET of / that is answered with 200.
type Request struct {
	// Method is by default GET without a body and POST with one.
	Method string
	// Path is by default "/", with a body "/v1/chat/completions".
	Path string
	// Authority is the host that the client calls. Default "leash.test".
	Authority string
	Headers   Headers
	Body      string
	// Chunks are the pieces in which the body comes, in place of Body.
	Chunks []string
	// ChunkSize cuts Body into pieces of so many bytes. Default: one piece.
	ChunkSize int
	Trailers  Headers
	// Leaves says when the client breaks off.
	Leaves Leaves
	// Properties go before those of the Setup.
	Properties map[string]any
	// Answer is what the provider says.
	Answer Answer
}

// Failure is why there is no answer.
type Failure string

// The ways in which a server fails.
const (
	// Unreachable: there is no connection. Modules see what Envoy makes of it, an answer with 503.
	Unreachable Failure = "unreachable"
	// Timeout: no answer comes in time. Modules see 504, at the time of their own timeout.
	Timeout Failure = "timeout"
	// Cut: the answer breaks off, after what there is of it.
	Cut Failure = "cut"
)

// An Answer is what a provider, or a server that a module calls, says. The zero value is an empty 200.
type Answer struct {
	// Status is by default 200.
	Status  int
	Headers Headers
	Body    string
	// Chunks are the pieces in which the body comes, in place of Body; ChunkSize cuts Body into pieces of so many bytes.
	Chunks    []string
	ChunkSize int
	Trailers  Headers
	// Delay is how long it takes until the answer begins; Pace is the time between its pieces. The mocked clock moves by it.
	Delay, Pace time.Duration
	// Failure says that no (whole) answer comes.
	Failure Failure
}

// Pieces are the parts in which a body comes.
func Pieces(body string, chunks []string, size int) []string {
	switch {
	case chunks != nil:
		return chunks
	case body == "":
		return nil
	case size <= 0:
		return []string{body}
	}
	var pieces []string
	for len(body) > size {
		pieces = append(pieces, body[:size])
		body = body[size:]
	}
	return append(pieces, body)
}

// Outcome is how an exchange ended for the client.
type Outcome string

// The outcomes.
const (
	// Answered: an answer came to its end.
	Answered Outcome = "answered"
	// Reset: a module, or the host because of it, closed the stream.
	Reset Outcome = "reset"
	// BrokenOff: the provider's answer broke off.
	BrokenOff Outcome = "cut"
	// Left: the client broke off.
	Left Outcome = "left"
	// Held: nothing more came, for ten minutes of the mocked clock: a module holds a part and never lets it go.
	Held Outcome = "held"
)

// A Message is a request as a server received it, or an answer as the client did.
type Message struct {
	Headers  Headers // pseudo headers among them
	Body     string
	Trailers Headers
	// Chunks are the pieces in which the body came.
	Chunks []string
	// Ended says that its end came too.
	Ended bool
}

// A Callout is what a module asked of another server.
type Callout struct {
	Upstream string
	Message
	Timeout time.Duration
}

// A Log is a line that a module wrote.
type Log struct {
	Level, Module, Message string
}

// A Result is what became of an exchange.
type Result struct {
	// Status is the answer's, 0 if there was none.
	Status int
	// Message is the answer as the client received it.
	Message
	Outcome Outcome
	// Provider is what the provider received; nil if nothing reached it.
	Provider *Message
	// Callouts and Logs are what modules did in this exchange.
	Callouts []Callout
	Logs     []Log
	// Crashes are VMs that failed in this exchange, or since the one before: a trap, or too much time or memory.
	Crashes []error
	// Notes say what could not be done here as asked: on a real Envoy, say.
	Notes []string
	// Took is the real time of the exchange.
	Took time.Duration
}
