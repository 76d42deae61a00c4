package translate

import (
	"bytes"
	"cmp"
	"strings"
	"time"

	"github.com/leash-gateway/leash/llm"
)

// Error translates the body of an error that the provider answered, in whatever form it has: what is no error in the
// provider's own form becomes a general message, and nothing of it is passed on.
func (x *Exchange) Error(status int, body []byte) []byte {
	code, message := readError(body)
	if message == "" {
		message = "the provider answered with an error and no message"
	}
	if (x.from == Chat || x.from == Responses) && status >= 400 && status < 500 && tooLong(message) {
		code = "context_length_exceeded" // which agents ask for, to send less
	}
	return llm.ErrorBody(x.client, status, code, message)
}

// tooLong tells whether a provider says that a request has more tokens than its model takes, which the others than OpenAI say in words only:
// Anthropic, Google and Amazon.
func tooLong(message string) bool {
	for _, words := range [...]string{"prompt is too long", "exceed context limit", "exceeds the maximum number of tokens", "Input is too long"} {
		if strings.Contains(message, words) {
			return true
		}
	}
	return false
}

// RetryAfter is for how long Google wants to be left alone, which it says in the body of an error and in no header; 0 where it does not:
// https://cloud.google.com/apis/design/errors#error_details
func RetryAfter(body []byte) time.Duration {
	c := llm.NewCursor(body, true)
	delay := ""
	for o := c.Google(); named(c, &o, "error"); {
		if c.Next() != '{' {
			c.Skip()
			continue
		}
		for o := c.Google(); named(c, &o, "details"); {
			readDetail(c, c.Google, "retrydelay", &delay)
		}
	}
	d, _ := time.ParseDuration(delay)
	return d
}

// statusOfError is the HTTP status of an error in the course of a stream, by what the provider calls it.
func statusOfError(code string) int {
	switch strings.ToLower(code) {
	case "overloaded_error", "unavailable", "503", "529":
		return 503
	case "rate_limit_error", "rate_limit_exceeded", "resource_exhausted", "429":
		return 429
	default:
		return 502
	}
}

// readError takes the message and a code out of an error of any of the APIs. In a stream it may be an event.
func readError(body []byte) (code, message string) {
	e := errorReader{c: llm.NewCursor(body, true)}
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) { // as Google's streams of arrays have it
		for list := e.c.Array(); e.c.Element(&list); {
			e.read()
		}
	} else {
		e.read()
	}
	if e.c.Err() != nil {
		return "", ""
	}
	return e.code, e.message
}

// An errorReader reads an error, which stands in an object of its own or in one within it.
type errorReader struct {
	c             *llm.Cursor
	code, message string
	kind, number  string // what stand for a code where there is none; the latter is OpenRouter's and Google's, a status of HTTP
	depth, found  int    // kind is the innermost: around it there may be one that says no more than that it is an error
}

func (e *errorReader) read() {
	e.kind, e.number, e.depth, e.found = "", "", 0, 0
	for o := e.c.Object(); e.c.Member(&o); {
		e.member(o.Name)
	}
	if e.code == "" {
		e.code = cmp.Or(strings.ToLower(e.kind), e.number)
	}
}

func (e *errorReader) member(name []byte) {
	c := e.c
	switch first := c.Next(); string(name) {
	case "error", "response":
		if first != '{' {
			c.Skip()
			return
		}
		e.depth++
		for o := c.Object(); c.Member(&o); {
			e.member(o.Name)
		}
		e.depth--
	case "message":
		readText(c, &e.message)
	case "code", "reason":
		if isDigit(first) && e.number == "" {
			e.number = string(c.Number())
			return
		}
		readText(c, &e.code)
	case "type", "status":
		if e.depth < e.found || first != '"' {
			c.Skip()
			return
		}
		e.kind, e.found = c.String(), e.depth
	case "details":
		readDetail(c, c.Object, "reason", &e.code)
	default:
		c.Skip()
	}
}

// readText reads a text. Whatever else stands there is passed over.
func readText(c *llm.Cursor, text *string) {
	if c.Next() == '"' {
		*text = c.String()
	} else {
		c.Skip()
	}
}

// readDetail reads the text that stands under a name in the objects of a list.
func readDetail(c *llm.Cursor, object func() llm.Object, name string, text *string) {
	if c.Next() != '[' {
		c.Skip()
		return
	}
	for list := c.Array(); c.Element(&list); {
		if c.Next() != '{' {
			c.Skip()
			continue
		}
		for o := object(); named(c, &o, name); {
			readText(c, text)
		}
	}
}
