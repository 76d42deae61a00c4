package mock

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/leash-gateway/leash/mock/schemas"
)

// An api is one of those that the mock speaks. It decides what errors look like, where the key is, and which headers answers have.
type api uint8

const (
	openAI    api = iota
	anthropic     // /v1/messages..., and /v1/models with the header anthropic-version
	google        // /v1beta/..., POST /v1/models/..., and /v1/models with Google's key
	azure         // /openai/...
	vertex        // /v1/projects/..., /v1/publishers/...
	bedrock       // /model/...
)

func apiOf(r *http.Request) api {
	path := r.URL.Path
	switch {
	case strings.HasPrefix(path, "/v1/messages"), strings.HasPrefix(path, "/v1/models") && r.Header.Get("Anthropic-Version") != "":
		return anthropic
	case strings.HasPrefix(path, "/v1/projects/"), strings.HasPrefix(path, "/v1beta1/"), strings.HasPrefix(path, "/v1/publishers/"):
		return vertex
	case strings.HasPrefix(path, "/v1beta/"), strings.HasPrefix(path, "/v1/models") && (r.Method == http.MethodPost || r.Header.Get("X-Goog-Api-Key") != "" || r.URL.Query().Has("key")):
		return google
	case strings.HasPrefix(path, "/openai/"):
		return azure
	case strings.HasPrefix(path, "/model/"):
		return bedrock
	default:
		return openAI
	}
}

// refusal is why a request is not let in: nil if it shows the key, or any where there is none. The key is not repeated.
func (a api) refusal(x *exchange, key string) *apiError {
	if x.p.options.Open {
		return nil
	}
	h := x.r.Header
	switch a {
	case anthropic:
		// Its newer clients send the key as a bearer token.
		if key != "" && h.Get("X-Api-Key") != key && h.Get("Authorization") != "Bearer "+key {
			return &apiError{status: 401, kind: "authentication_error", message: "invalid x-api-key"}
		}
	case google:
		if key != "" && h.Get("X-Goog-Api-Key") != key && x.r.URL.Query().Get("key") != key {
			return &apiError{status: 400, message: "API key not valid. Please pass a valid API key.", code: "API_KEY_INVALID"}
		}
	case azure:
		if key != "" && h.Get("Api-Key") != key && h.Get("Authorization") != "Bearer "+key {
			return &apiError{status: 401, code: "401", message: "Access denied due to invalid subscription key or wrong API endpoint. " +
				"Make sure to provide a valid key for an active subscription and use a correct regional API endpoint for your resource."}
		}
	case vertex:
		token, found := strings.CutPrefix(h.Get("Authorization"), "Bearer ")
		if !found || key != "" && token != key {
			return &apiError{status: 401, code: "CREDENTIALS_MISSING", message: "Request had invalid authentication credentials. Expected OAuth 2 access token, " +
				"login cookie or other valid authentication credential."}
		}
	case bedrock:
		return x.signature(key)
	case openAI:
		if key != "" && h.Get("Authorization") != "Bearer "+key && x.r.URL.Path != tokenPath {
			return unauthorized(x.r)
		}
	}
	return nil
}

// errorBody is an error in the api's form, without a line break.
//
//   - https://docs.anthropic.com/en/api/errors
//   - https://google.aip.dev/193
//   - https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html
func (a api) errorBody(e *apiError) []byte {
	var dst []byte
	switch a {
	case anthropic:
		dst = appendString(append(dst, `{"type":"error","error":{"type":`...), anthropicKind(e), false)
		dst = appendString(append(dst, `,"message":`...), e.message, false)
		if e.code == threadUnsupported {
			dst = append(dst, `,"details":{"error_code":"`+threadUnsupported+`"}`...)
		}
		return append(dst, `}}`...)
	case google, vertex:
		dst = append(strconv.AppendInt(append(dst, `{"error":{"code":`...), int64(e.status), 10), `,"message":`...)
		dst = appendString(dst, e.message, false)
		dst = appendString(append(dst, `,"status":`...), googleStatus(e.status), false)
		return append(appendDetails(dst, e), `}}`...)
	case bedrock:
		return append(appendString(append(dst, `{"message":`...), e.message, false), '}')
	default:
		return append(e.append(append(dst, `{"error":`...)), '}')
	}
}

// appendDetails writes what Google tells besides: a reason, and when to try again.
func appendDetails(dst []byte, e *apiError) []byte {
	if e.code == "" && e.retryAfter == 0 {
		return dst
	}
	dst = append(dst, `,"details":[`...)
	if e.code != "" {
		dst = appendString(append(dst, `{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":`...), e.code, false)
		dst = append(dst, `,"domain":"googleapis.com"}`...)
	}
	if e.retryAfter > 0 {
		if e.code != "" {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"`...)
		dst = append(strconv.AppendFloat(dst, e.retryAfter.Seconds(), 'f', -1, 64), `s"}`...)
	}
	return append(dst, ']')
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

// bedrockKind is what the header x-amzn-ErrorType says.
func bedrockKind(e *apiError) string {
	switch {
	case strings.HasSuffix(e.code, "Exception"):
		return e.code
	case e.status == 403 || e.status == 401:
		return "AccessDeniedException"
	case e.status == 404:
		return "ResourceNotFoundException"
	case e.status == 408:
		return "ModelTimeoutException"
	case e.status == 424:
		return "ModelErrorException"
	case e.status == 429:
		return "ThrottlingException"
	case e.status == 503:
		return "ServiceUnavailableException"
	case e.status >= 500:
		return "InternalServerException"
	default:
		return "ValidationException"
	}
}

// check holds the body against the schema that the provider publishes. Anthropic's betas are not in it.
func (x *exchange) check(operation string) *apiError {
	if x.p.options.Lax {
		return nil
	}
	var p *schemas.Problem
	switch x.api {
	case anthropic:
		if x.r.Header.Get("Anthropic-Beta") == "" {
			p = schemas.Anthropic.Check(operation, x.body)
		}
	case google:
		p = schemas.Google.Check(operation, x.body)
	case vertex:
		p = schemas.Vertex.Check(operation, x.body)
	case bedrock:
		p = schemas.Bedrock.Check(operation, x.body)
	default:
		p = schemas.OpenAI.Check(operation, x.body)
	}
	if p == nil {
		return nil
	}
	switch x.api {
	case anthropic:
		return badMessage(strings.Join(p.Path, "."), p.Reason)
	case google, vertex:
		return badField("Invalid JSON payload received. Invalid value at '" + indexed(p.Path) + "': " + p.Reason + ".")
	case bedrock:
		return &apiError{status: 400, message: "Malformed input request: #/" + strings.Join(p.Path, "/") + ": " + p.Reason + ", please reformat your input and try again."}
	default:
		at := indexed(p.Path)
		return &apiError{status: 400, kind: invalidRequest, parameter: at, code: "invalid_value", message: "Invalid value for '" + at + "': " + p.Reason + "."}
	}
}

// indexed writes a path as messages[0].role.
func indexed(path []string) string {
	var b strings.Builder
	for _, step := range path {
		if _, err := strconv.Atoi(step); err == nil {
			b.WriteString("[" + step + "]")
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(step)
	}
	return b.String()
}

// withMember is a JSON object with a member that stands elsewhere in this API, such as the model in the path. It is unchanged
// if it is no object, which whoever reads it will refuse.
func withMember(body []byte, name, value string) []byte {
	object := gjson.ParseBytes(body)
	if !gjson.ValidBytes(body) || !object.IsObject() {
		return body
	}
	start := object.Index + 1
	out := append(append([]byte(nil), body[:start]...), `"`+name+`":`...)
	out = appendString(out, value, false)
	if object.Get("@keys.0").Exists() {
		out = append(out, ',')
	}
	return append(out, body[start:]...)
}
