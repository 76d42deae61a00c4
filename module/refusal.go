package module

import (
	"errors"
	"strconv"
	"time"

	"github.com/leash-gateway/leash/module/printf"
)

// A Refusal ends an exchange with an error that the client reads in its own API's form. Handlers return it as their
// error; any other error of a policy refuses with 500 and the code "module_failed", and of an inspector is only logged.
type Refusal struct {
	// Status is the HTTP status.
	Status int
	// Code is the machine-readable reason, such as "rate_limit_exceeded".
	Code string
	// Message says to a person what was wrong and what to do.
	Message string
	// RetryAfter, when it is not zero, becomes the Retry-After header (whole seconds, rounded up).
	RetryAfter time.Duration
	// Header holds further response headers.
	Header [][2]string
}

// Refuse makes a Refusal; format and args are its message, for the verbs of package printf.
func Refuse(status int, code, format string, args ...any) *Refusal {
	message := format
	if len(args) > 0 {
		message = printf.Sprintf(format, args...)
	}
	return &Refusal{Status: status, Code: code, Message: message}
}

// header is the headers of the answer that a refusal makes.
func (r *Refusal) header() [][2]string {
	header := [][2]string{{"content-type", "application/json"}}
	if r.RetryAfter > 0 {
		seconds := (r.RetryAfter + time.Second - 1) / time.Second
		header = append(header, [2]string{"retry-after", strconv.FormatInt(int64(seconds), 10)})
	}
	return append(header, r.Header...)
}

// Error returns the code and the message.
func (r *Refusal) Error() string { return r.Code + ": " + r.Message }

// An Answer ends an exchange with an answer of the module's own (a cached completion, a list of models). Handlers of
// the request phases return it as their error.
type Answer struct {
	Status      int
	ContentType string
	Body        []byte
}

// Error says that the exchange was answered by a module.
func (a *Answer) Error() string { return "answered by the module" }

// refusalOf turns a handler's error into the refusal that the client sees. The cause of any other error stays in the
// log: it may hold what the client must not read.
func refusalOf(err error) *Refusal {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r
	}
	return Refuse(500, "module_failed", "a policy of this gateway could not decide on the request; it was refused")
}
