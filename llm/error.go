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

// ErrorBody writes a refusal in the API's own form.
func ErrorBody(f Format, status int, code, message string) []byte { return nil }
