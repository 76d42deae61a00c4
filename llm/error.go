package llm

import "strconv"

// A FieldError says which field of a body has a value that cannot be read.
type FieldError struct {
	Path   string // such as messages[2].content; empty for the body itself
	Reason string
}

// Error is like: messages[2].content: must be a string or an array.
func (e *FieldError) Error() string {
	if e.Path == "" {
		return "the body " + e.Reason
	}
	return e.Path + ": " + e.Reason
}

// ThreadUnsupported is the code by which Anthropic's clients know that they have to send the whole conversation, as there is nobody who has kept
// what came before.
const ThreadUnsupported = "thread_unsupported_request"

// ErrorBody writes an error in the API's own form; its type follows from the HTTP status. An empty code is null or left
// out:
//   - OpenAI, https://platform.openai.com/docs/guides/error-codes;
//   - Anthropic, https://docs.anthropic.com/en/api/errors, where ThreadUnsupported is the only code that is told;
//   - Google, https://google.aip.dev/193, the code as the reason of an ErrorInfo.
func ErrorBody(f Format, status int, code, message string) []byte {
	b := make([]byte, 0, len(message)+len(code)+192)
	switch f.Family() {
	case Anthropic:
		b = append(b, `{"type":"error","error":{"type":`...)
		b = appendString(b, anthropicErrorType(status))
		b = append(b, `,"message":`...)
		b = appendString(b, message)
		if code == ThreadUnsupported {
			b = append(b, `,"details":{"error_code":`...)
			b = append(appendString(b, code), '}')
		}
		return append(b, "}}"...)
	case Google:
		b = append(b, `{"error":{"code":`...)
		b = strconv.AppendInt(b, int64(status), 10)
		b = append(b, `,"message":`...)
		b = appendString(b, message)
		b = append(b, `,"status":`...)
		b = appendString(b, googleErrorStatus(status))
		if code != "" {
			b = append(b, `,"details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":`...)
			b = appendString(b, code)
			b = append(b, `,"domain":"leash"}]`...)
		}
		return append(b, "}}"...)
	}
	b = append(b, `{"error":{"message":`...)
	b = appendString(b, message)
	b = append(b, `,"type":`...)
	b = appendString(b, errorType(status))
	b = append(b, `,"param":null,"code":`...)
	if code == "" {
		b = append(b, "null"...)
	} else {
		b = appendString(b, code)
	}
	return append(b, "}}"...)
}

func errorType(status int) string {
	switch {
	case status == 401:
		return "authentication_error"
	case status == 403:
		return "permission_error"
	case status == 404:
		return "not_found_error"
	case status == 429:
		return "rate_limit_error"
	case status >= 500:
		return "server_error"
	default:
		return "invalid_request_error"
	}
}

func anthropicErrorType(status int) string {
	switch {
	case status == 402:
		return "billing_error"
	case status == 413:
		return "request_too_large"
	case status == 504:
		return "timeout_error"
	case status == 503 || status == 529:
		return "overloaded_error"
	case status >= 500:
		return "api_error"
	default:
		return errorType(status)
	}
}

// googleErrorStatus is the code of https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto that has the
// HTTP status.
func googleErrorStatus(status int) string {
	switch status {
	case 401:
		return "UNAUTHENTICATED"
	case 403:
		return "PERMISSION_DENIED"
	case 404:
		return "NOT_FOUND"
	case 409:
		return "ABORTED"
	case 429:
		return "RESOURCE_EXHAUSTED"
	case 499:
		return "CANCELLED"
	case 501:
		return "UNIMPLEMENTED"
	case 502, 503, 529:
		return "UNAVAILABLE"
	case 504:
		return "DEADLINE_EXCEEDED"
	}
	if status >= 500 {
		return "INTERNAL"
	}
	return "INVALID_ARGUMENT"
}

// Classes of errors that answers report in spite of their status: whole ones, and events of streams.
const (
	ErrorInAnswer = "error_in_answer"
	StreamError   = "stream_error"
)

// ErrorClass is the kind of failure that an HTTP status tells of, for what counts them; "" where it tells of none. 0 is an answer that
// never began.
func ErrorClass(status int) string {
	switch {
	case status == 0:
		return "no_answer"
	case status < 400:
		return ""
	case status == 401 || status == 403:
		return "authentication"
	case status == 402:
		return "billing"
	case status == 404:
		return "not_found"
	case status == 408 || status == 504:
		return "timeout"
	case status == 429:
		return "rate_limited"
	case status == 503 || status == 529:
		return "unavailable"
	case status >= 500:
		return "server_error"
	default:
		return "invalid_request"
	}
}
