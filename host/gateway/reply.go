package gateway

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/leash-gateway/leash/host/abi"
)

// A reply is an answer of the gateway itself, in the form of each API. They are those of package envoy, word for word.
type reply struct {
	status                    int
	openAI, anthropic, google []byte
}

// newReply is one that is the same in every API's form but for what kind of an error it is there; "" leaves it in OpenAI's form.
func newReply(status int, openAI, anthropic, google, code, message string) reply {
	r := reply{status: status, openAI: encoded(map[string]any{"error": map[string]any{"message": message, "type": openAI, "param": nil, "code": code}})}
	r.anthropic, r.google = r.openAI, r.openAI
	if anthropic != "" {
		r.anthropic = encoded(map[string]any{"type": "error", "error": map[string]any{"type": anthropic, "message": message}})
		r.google = encoded(map[string]any{"error": map[string]any{"code": status, "message": message, "status": google}})
	}
	return r
}

func encoded(body map[string]any) []byte {
	b, err := json.Marshal(body)
	if err != nil {
		panic("gateway: encode a reply: " + err.Error()) // strings and numbers only
	}
	return b
}

// body is it in the form of the API that a request's path is of, wherever a provider has that.
func (r reply) body(path string) []byte {
	path, _, _ = strings.Cut(path, "?")
	_, verb, _ := strings.Cut(path[strings.LastIndexByte(path, '/')+1:], ":")
	switch {
	case strings.HasSuffix(path, "/v1/messages"), strings.HasSuffix(path, "/v1/messages/count_tokens"):
		return r.anthropic
	case slices.Contains(googleVerbs, verb):
		return r.google
	}
	return r.openAI
}

var googleVerbs = []string{"generateContent", "streamGenerateContent", "countTokens", "embedContent", "batchEmbedContents"}

const unavailableMessage = "the provider could not be reached, or broke off before it answered: try again later"

var (
	timedOut = newReply(http.StatusGatewayTimeout, "server_error", "timeout_error", "DEADLINE_EXCEEDED", "provider_timeout",
		"the provider did not answer in time")

	unavailable = newReply(http.StatusServiceUnavailable, "server_error", "api_error", "UNAVAILABLE", "provider_unavailable", unavailableMessage)

	brokeOff = newReply(http.StatusBadGateway, "server_error", "api_error", "UNAVAILABLE", "provider_unavailable", unavailableMessage)

	busy = newReply(http.StatusServiceUnavailable, "server_error", "api_error", "UNAVAILABLE", "provider_busy",
		"as many requests are under way to the provider of this model as this gateway allows: try again later")

	badRequest = newReply(http.StatusBadRequest, "invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT", "bad_request",
		"the request breaks the HTTP protocol or was not sent to its end")

	unknownURL = newReply(http.StatusNotFound, "invalid_request_error", "", "", "unknown_url",
		"this gateway does not serve this path: check the method and the exact path")

	tooManyHeaders = newReply(http.StatusRequestHeaderFieldsTooLarge, "invalid_request_error", "", "", "too_many_headers", "the request has too many headers")

	oldProtocol = newReply(http.StatusUpgradeRequired, "invalid_request_error", "", "", "http_version", "this gateway speaks HTTP/1.1 and HTTP/2")

	noUpgrade = newReply(http.StatusForbidden, "invalid_request_error", "", "", "upgrade_refused", "this gateway speaks HTTP/1.1 and HTTP/2 only, no other protocol over them")

	slowRequest = newReply(http.StatusRequestTimeout, "invalid_request_error", "", "", "request_timeout", "the request was not sent in time")
)

// answer are headers and body of the answer to a request.
func (r reply) answer(to *abi.Headers) (*abi.Headers, []byte) {
	body := r.body(to.Value(":path"))
	return abi.NewHeaders(":status", strconv.Itoa(r.status), "content-type", "application/json", "content-length", strconv.Itoa(len(body))), bytes.Clone(body)
}

// write answers without the modules: a request that none of them may see, or for which there are none.
func (r reply) write(w http.ResponseWriter, to *http.Request) {
	body := r.body(to.URL.Path)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if to.ProtoMajor == 1 {
		w.Header().Set("Connection", "close") // nobody knows what else comes there
	}
	w.WriteHeader(r.status)
	_, _ = w.Write(body) // an error is a client that has left
}
