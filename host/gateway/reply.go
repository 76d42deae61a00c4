package gateway

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/leash-gateway/leash/host/abi"
)

// A reply is an answer of the gateway itself, in OpenAI's form. They are those of package envoy, word for word.
type reply struct {
	status int
	body   []byte
}

func newReply(status int, kind, code, message string) reply {
	body, err := json.Marshal(map[string]any{"error": map[string]any{"message": message, "type": kind, "param": nil, "code": code}})
	if err != nil {
		panic("gateway: encode a reply: " + err.Error()) // strings only
	}
	return reply{status, body}
}

var (
	timedOut = newReply(http.StatusGatewayTimeout, "server_error", "provider_timeout", "the provider did not answer in time")

	unavailable = newReply(http.StatusServiceUnavailable, "server_error", "provider_unavailable",
		"the provider could not be reached, or broke off before it answered: try again later")

	badRequest = newReply(http.StatusBadRequest, "invalid_request_error", "bad_request",
		"the request breaks the HTTP protocol or was not sent to its end")

	unknownURL = newReply(http.StatusNotFound, "invalid_request_error", "unknown_url",
		"this gateway does not serve this path: check the method and the exact path")

	tooManyHeaders = newReply(http.StatusRequestHeaderFieldsTooLarge, "invalid_request_error", "too_many_headers", "the request has too many headers")

	oldProtocol = newReply(http.StatusUpgradeRequired, "invalid_request_error", "http_version", "this gateway speaks HTTP/1.1 and HTTP/2")

	noUpgrade = newReply(http.StatusForbidden, "invalid_request_error", "upgrade_refused", "this gateway speaks HTTP/1.1 and HTTP/2 only, no other protocol over them")

	slowRequest = newReply(http.StatusRequestTimeout, "invalid_request_error", "request_timeout", "the request was not sent in time")
)

func (r reply) headers() *abi.Headers {
	return abi.NewHeaders(":status", strconv.Itoa(r.status), "content-type", "application/json", "content-length", strconv.Itoa(len(r.body)))
}

// write answers without the modules: a request that none of them may see, or for which there are none.
func (r reply) write(w http.ResponseWriter, to *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(r.body)))
	if to.ProtoMajor == 1 {
		w.Header().Set("Connection", "close") // nobody knows what else comes there
	}
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body) // an error is a client that has left
}
