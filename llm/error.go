package llm

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

// ErrorBody writes a refusal in the API's own form, which is OpenAI's for all formats so far
// (https://platform.openai.com/docs/guides/error-codes). The type follows from the HTTP status; an empty code is null.
func ErrorBody(_ Format, status int, code, message string) []byte {
	b := make([]byte, 0, len(message)+len(code)+96)
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
