package mock

import (
	"net/http"
	"strconv"
	"strings"
)

// An api is one of those that the mock speaks. It decides what errors look like and where the key is.
type api uint8

const (
	openAI    api = iota
	anthropic     // paths /v1/messages...
	google        // paths /v1beta/..., and POST /v1/models/...
)

func apiOf(method, path string) api {
	switch {
	case strings.HasPrefix(path, "/v1/messages"):
		return anthropic
	case strings.HasPrefix(path, "/v1beta/"), method == http.MethodPost && strings.HasPrefix(path, "/v1/models/"):
		return google
	default:
		return openAI
	}
}

// admits tells whether a request shows the key.
func (a api) admits(r *http.Request, key string) bool {
	switch a {
	case anthropic:
		return r.Header.Get("X-Api-Key") == key
	case google:
		return r.Header.Get("X-Goog-Api-Key") == key || r.URL.Query().Get("key") == key
	default:
		return r.Header.Get("Authorization") == "Bearer "+key
	}
}

// unauthorized is the api's answer to a missing or wrong key; the key is not repeated.
func (a api) unauthorized(r *http.Request) *apiError {
	switch a {
	case anthropic:
		return &apiError{status: 401, kind: "authentication_error", message: "invalid x-api-key"}
	case google:
		return &apiError{status: 400, message: "API key not valid. Please pass a valid API key.", code: "API_KEY_INVALID"}
	default:
		return unauthorized(r)
	}
}

// errorBody is an error in the api's form, without a line break.
//
//   - https://docs.anthropic.com/en/api/errors
//   - https://google.aip.dev/193
func (a api) errorBody(e *apiError) []byte {
	var dst []byte
	switch a {
	case anthropic:
		dst = appendString(append(dst, `{"type":"error","error":{"type":`...), anthropicKind(e), false)
		dst = appendString(append(dst, `,"message":`...), e.message, false)
		return append(dst, `}}`...)
	case google:
		dst = append(strconv.AppendInt(append(dst, `{"error":{"code":`...), int64(e.status), 10), `,"message":`...)
		dst = appendString(dst, e.message, false)
		dst = appendString(append(dst, `,"status":`...), googleStatus(e.status), false)
		if e.code != "" {
			dst = appendString(append(dst, `,"details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":`...), e.code, false)
			dst = append(dst, `,"domain":"googleapis.com"}]`...)
		}
		return append(dst, `}}`...)
	default:
		return append(e.append(append(dst, `{"error":`...)), '}')
	}
}

func anthropicKind(e *apiError) string {
	switch {
	case e.status == 401:
		return "authentication_error"
	case e.status == 403:
		return "permission_error"
	case e.status == 404:
		return "not_found_error"
	case e.status == 413:
		return "request_too_large"
	case e.status == 429:
		return "rate_limit_error"
	case e.status == 529 || e.status == 503:
		return "overloaded_error"
	case e.status >= 500:
		return "api_error"
	default:
		return "invalid_request_error"
	}
}

func googleStatus(status int) string {
	switch {
	case status == 401:
		return "UNAUTHENTICATED"
	case status == 403:
		return "PERMISSION_DENIED"
	case status == 404:
		return "NOT_FOUND"
	case status == 429:
		return "RESOURCE_EXHAUSTED"
	case status == 503:
		return "UNAVAILABLE"
	case status == 504:
		return "DEADLINE_EXCEEDED"
	case status >= 500:
		return "INTERNAL"
	default:
		return "INVALID_ARGUMENT"
	}
}
