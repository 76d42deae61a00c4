package translate

import (
	"bytes"
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
func RetryAfter(body []byte) (d time.Duration) {
	c := llm.NewCursor(body, true)
	for o := c.Google(); c.Member(&o); {
		if string(o.Name) != "error" || c.Next() != '{' {
			c.Skip()
			continue
		}
		for o := c.Google(); c.Member(&o); {
			if string(o.Name) != "details" || c.Next() != '[' {
				c.Skip()
				continue
			}
			for list := c.Array(); c.Element(&list); {
				if c.Next() != '{' {
					c.Skip()
					continue
				}
				for o := c.Google(); c.Member(&o); {
					if string(o.Name) == "retrydelay" && c.Next() == '"' {
						d, _ = time.ParseDuration(c.String())
					} else {
						c.Skip()
					}
				}
			}
		}
	}
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
	c := llm.NewCursor(body, true)
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) { // as Google's streams of arrays have it
		for list := c.Array(); c.Element(&list); {
			readErrorObject(c, &code, &message)
		}
	} else {
		readErrorObject(c, &code, &message)
	}
	if c.Err() != nil {
		return "", ""
	}
	return code, message
}

func readErrorObject(c *llm.Cursor, code, message *string) {
	var read func(name []byte)
	kind, number := "", "" // the latter is OpenRouter's and Google's: a status of HTTP
	depth, found := 0, 0   // kind is the innermost: around it there may be one that says no more than that it is an error
	read = func(name []byte) {
		switch string(name) {
		case "error", "response":
			if c.Next() == '{' {
				depth++
				for o := c.Object(); c.Member(&o); {
					read(o.Name)
				}
				depth--
			} else {
				c.Skip()
			}
		case "message":
			if c.Next() == '"' {
				*message = c.String()
			} else {
				c.Skip()
			}
		case "code", "reason":
			switch next := c.Next(); {
			case next == '"':
				*code = c.String()
			case isDigit(next) && number == "":
				number = string(c.Number())
			default:
				c.Skip()
			}
		case "type", "status":
			if depth >= found && c.Next() == '"' {
				kind, found = c.String(), depth
			} else {
				c.Skip()
			}
		case "details":
			if c.Next() == '[' {
				for list := c.Array(); c.Element(&list); {
					if c.Next() == '{' {
						for o := c.Object(); c.Member(&o); {
							if string(o.Name) == "reason" && c.Next() == '"' {
								*code = c.String()
							} else {
								c.Skip()
							}
						}
					} else {
						c.Skip()
					}
				}
			} else {
				c.Skip()
			}
		default:
			c.Skip()
		}
	}
	for o := c.Object(); c.Member(&o); {
		read(o.Name)
	}
	if *code == "" {
		*code = strings.ToLower(kind)
	}
	if *code == "" {
		*code = number
	}
}
