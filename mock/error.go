package mock

import (
	"net/http"
	"strings"
	"time"
)

// An apiError is an answer in OpenAI's error form. https://platform.openai.com/docs/guides/error-codes
type apiError struct {
	status          int
	message, kind   string
	parameter, code string // null where they are empty
	retryAfter      time.Duration
}

const invalidRequest = "invalid_request_error"

// append writes the error's object.
func (e *apiError) append(dst []byte) []byte {
	dst = appendString(append(dst, `{"message":`...), e.message, false)
	dst = appendString(append(dst, `,"type":`...), e.kind, false)
	dst = appendOptional(append(dst, `,"param":`...), e.parameter)
	dst = appendOptional(append(dst, `,"code":`...), e.code)
	return append(dst, '}')
}

// appendOptional writes a string, or null where there is none.
func appendOptional(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, "null"...)
	}
	return appendString(dst, s, false)
}

// unauthorized is OpenAI's answer to a missing or wrong key; the key is not repeated.
func unauthorized(r *http.Request) *apiError {
	if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") {
		return &apiError{status: 401, kind: invalidRequest, message: "You didn't provide an API key. You need to provide your API key in an " +
			"Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."}
	}
	return &apiError{status: 401, kind: invalidRequest, code: "invalid_api_key", message: "Incorrect API key provided."}
}

// badBehavior tells that the request asked for a Behavior that there is not.
func badBehavior(err error) *apiError {
	return &apiError{status: 400, kind: invalidRequest, code: "mock_behavior_invalid", message: err.Error()}
}

// faultOf is the error that OpenAI would give with that status.
func faultOf(status int) *apiError {
	e := apiError{status: status, kind: invalidRequest, message: "The mock provider was told to answer " + http.StatusText(status) + "."}
	switch status {
	case 401:
		e.code = "invalid_api_key"
	case 404:
		e.code = "model_not_found"
	case 429:
		e.kind, e.code = "requests", "rate_limit_exceeded"
		e.message = "Rate limit reached for requests. Please try again later."
	default:
		if status >= http.StatusInternalServerError {
			e.kind = "server_error"
			e.message = "The server had an error while processing your request. Sorry about that!"
		}
	}
	return &e
}
