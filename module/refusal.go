package module

import (
	"cmp"
	"errors"
	"strconv"
	"time"

	"github.com/leash-gateway/leash/module/printf"
)

// A Refusal ends an exchange with an error that the client reads in its own API's form. Handlers return it as their
// error; any other error of a policy refuses with 500 and the code "module_failed", and of an inspector is only logged.
type Refusal struct {
	// Status is the HTTP status, 200 to 599; any other is a failure of the module.
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
func (r *Refusal) Error() string {
	if r == nil {
		return "it returned a nil *module.Refusal, which as an error is not nil: return nil itself"
	}
	return r.Code + ": " + r.Message
}

// An Answer ends an exchange with an answer of the module's own (a cached completion, a list of models). Handlers of
// the request phases return it as their error, those of an inspector too. A client that asked for a stream
// reads events: ContentType is text/event-stream then.
type Answer struct {
	// Status is the HTTP status; 200 when it is zero.
	Status int
	// ContentType is application/json when it is empty.
	ContentType string
	// Header holds further response headers.
	Header [][2]string
	Body   []byte
}

// header is the headers of the answer.
func (a *Answer) header() [][2]string {
	return append([][2]string{{"content-type", cmp.Or(a.ContentType, readAs)}}, a.Header...)
}

// Error says that the exchange was answered by a module.
func (a *Answer) Error() string {
	if a == nil {
		return "it returned a nil *module.Answer, which as an error is not nil: return nil itself"
	}
	return "answered by the module"
}

// decisionOf is what a handler has decided by its error, which may be wrapped; both are nil where that is a failure, and err says which. The cause of a
// failure stays in the log: it may hold what the client must not read.
func decisionOf(phase Phase, cause error) (r *Refusal, a *Answer, err error) {
	if a, _ = errors.AsType[*Answer](cause); a != nil {
		if status := cmp.Or(a.Status, 200); !isStatus(status) {
			return nil, nil, printf.Errorf("an answer cannot have the status %d", status)
		}
		if phase > PhaseBody {
			return nil, nil, errAnsweredTooLate
		}
		if err := checkHeaders(a.header()); err != nil {
			return nil, nil, err
		}
		return nil, a, nil
	}
	if r, _ = errors.AsType[*Refusal](cause); r != nil {
		if !isStatus(r.Status) {
			return nil, nil, printf.Errorf("a refusal cannot have the status %d (%s)", r.Status, r.Error())
		}
		if err := checkHeaders(r.Header); err != nil {
			return nil, nil, err
		}
		return r, nil, nil
	}
	return nil, nil, cause
}

// errAnsweredTooLate says that a module gave an answer of its own where there is the provider's.
var errAnsweredTooLate = errors.New("a module.Answer can be returned before the request has left only: change the provider's answer instead")

func isStatus(status int) bool { return status >= 200 && status <= 599 }

// undecided is what a client reads of a policy that has failed.
func undecided() *Refusal {
	return Refuse(500, "module_failed", "a policy of this gateway could not decide on the request; it was refused")
}
