package gateway

import (
	"crypto/rand"
	"encoding/hex"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/host/abi"
)

// maxHeaders bounds the number of headers, as Envoy does.
const maxHeaders = 100

// requestHeaders are a client's headers as the modules see them, pseudo headers first, or why the request is refused.
func requestHeaders(r *http.Request) (*abi.Headers, *reply) {
	if refused := refusedProtocol(r); refused != nil {
		return nil, refused
	}
	target := r.RequestURI
	if r.ProtoMajor == 1 {
		target = originForm(target)
	}
	path, err := normalize(target)
	if err != nil {
		return nil, &badRequest
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	h := abi.NewHeaders(":authority", r.Host, ":path", path, ":method", r.Method, ":scheme", scheme)
	count := 1 // Host, which net/http keeps apart
	if r.ProtoMajor == 2 {
		count = 4 // :authority, :method, :path and :scheme
	}
	for name, values := range r.Header {
		name = lowerCase(name)
		count += len(values)
		switch {
		case strings.HasPrefix(name, "x-leash-"), strings.HasPrefix(name, "x-envoy-"), name == "x-forwarded-proto",
			// What ties log lines together must not be the client's to choose.
			name == "x-request-id",
			// x_leash_route is not x-leash-route, but some servers behind make one of the other.
			strings.Contains(name, "_"), isHopByHop(name):
			continue
		}
		for _, value := range values {
			h.Add(name, value)
		}
	}
	if count > maxHeaders {
		return nil, &tooManyHeaders
	}
	for _, name := range connectionHeaders(r) {
		if strings.HasPrefix(name, ":") || slices.Contains(ofProxies, strings.ToLower(name)) {
			return nil, &badRequest
		}
		h.Remove(name)
	}
	if r.ContentLength > 0 && r.Header.Get("Content-Length") == "" {
		h.Set("content-length", strconv.FormatInt(r.ContentLength, 10))
	}
	h.Set("x-request-id", newRequestID())
	h.Add("x-forwarded-for", peerHost(r))
	h.Set("x-forwarded-proto", scheme)
	return h, nil
}

// methods are those that Envoy's parser of HTTP/1.1 takes, the usual ones first: IsMethodValid in source/common/http/http1/balsa_parser.cc. CONNECT
// is not among them: there is no place that it could lead to. In HTTP/2 Envoy takes any.
var methods = strings.Fields("POST GET HEAD OPTIONS PUT PATCH DELETE TRACE QUERY ACL BIND CHECKOUT COPY LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MOVE " +
	"MSEARCH NOTIFY PROPFIND PROPPATCH PURGE REBIND REPORT SEARCH SOURCE SUBSCRIBE UNBIND UNLINK UNLOCK UNSUBSCRIBE")

// refusedProtocol is the answer to a request in a protocol that is not spoken here.
func refusedProtocol(r *http.Request) *reply {
	if r.ProtoMajor == 1 && r.ProtoMinor != 1 {
		return &oldProtocol
	}
	if r.ProtoMajor == 1 && !slices.Contains(methods, r.Method) {
		return &badRequest
	}
	// In HTTP/1.1 net/http looks at both itself.
	if r.ProtoMajor == 2 && (r.Host == "" || !httpguts.ValidHostHeader(r.Host) || !httpguts.ValidHeaderFieldName(r.Method)) {
		return &badRequest
	}
	protocol := r.Header.Get("Upgrade")
	if protocol == "" || strings.EqualFold(protocol, "h2c") { // which is an offer, and may be declined
		return nil
	}
	for _, name := range connectionHeaders(r) {
		if strings.EqualFold(name, "upgrade") {
			return &noUpgrade
		}
	}
	return nil
}

// originForm is the target of a request without scheme and host, which a client sends to a proxy; Host is set by net/http then.
func originForm(target string) string {
	if !strings.HasPrefix(target, "http://") && !strings.HasPrefix(target, "https://") {
		return target
	}
	_, rest, _ := strings.Cut(target, "://")
	if at := strings.IndexAny(rest, "/?"); at >= 0 {
		return rest[at:]
	}
	return "/"
}

// ofProxies are the headers that proxies in front write, which no client may take away.
var ofProxies = []string{"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"}

// connectionHeaders are the names of headers that are only for this connection, by what the header Connection says.
func connectionHeaders(r *http.Request) (names []string) {
	for _, value := range r.Header["Connection"] {
		for name := range strings.SplitSeq(value, ",") {
			if name = strings.TrimSpace(name); name != "" {
				names = append(names, name)
			}
		}
	}
	return names
}

// peerHost is the address of whoever has connected, which x-forwarded-for ends with.
func peerHost(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// newRequestID is a random UUID: https://www.rfc-editor.org/rfc/rfc9562#section-5.4
func newRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	var text [36]byte
	hex.Encode(text[:8], b[:4])
	hex.Encode(text[9:13], b[4:6])
	hex.Encode(text[14:18], b[6:8])
	hex.Encode(text[19:23], b[8:10])
	hex.Encode(text[24:], b[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}

// upstreamRequest is what a provider gets, at a path of its own. Its body is to be set.
func (p *provider) upstreamRequest(h *abi.Headers, to string) *http.Request {
	path := h.Value(":path")
	r := &http.Request{
		Method: h.Value(":method"), Host: p.host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		URL:    &url.URL{Scheme: p.base.Scheme, Host: p.base.Host, Opaque: to},
		Header: make(http.Header, h.Len()+1),
	}
	_, r.URL.RawQuery, r.URL.ForceQuery = strings.Cut(path, "?")
	// One slice for all values: each header's is a part of it.
	values := make([]string, 0, h.Len()+2)
	agent := false
	for name, value := range h.All() {
		if name == "" || name[0] == ':' || name == "host" || name == "content-length" || dropped(name) || isHopByHop(name) || !p.propagate && slices.Contains(config.TraceHeaders, name) {
			continue
		}
		// Names stay in lower case, which net/http sends as it is: its own rules for an Idempotency-Key (it would send such
		// a chat twice) are for names that it has written itself. User-Agent it must find, or it would send its own.
		if name == "user-agent" {
			name, agent = "User-Agent", true
		}
		if before := r.Header[name]; before != nil {
			r.Header[name] = append(before[:len(before):len(before)], value)
			continue
		}
		values = append(values, value)
		r.Header[name] = values[len(values)-1 : len(values) : len(values)]
	}
	if !agent {
		r.Header["User-Agent"] = nil
	}
	for name, value := range p.needed {
		if r.Header[name] == nil {
			r.Header[name] = []string{value}
		}
	}
	return r
}

func dropped(name string) bool {
	return strings.HasPrefix(name, "x-leash-") || slices.Contains(notForProviders, name)
}

// responseHeaders are a provider's headers as the modules see them.
func responseHeaders(r *http.Response) *abi.Headers {
	h := abi.NewHeaders(":status", strconv.Itoa(r.StatusCode))
	for name, values := range r.Header {
		name = lowerCase(name)
		if isHopByHop(name) || hidden(name) {
			continue
		}
		for _, value := range values {
			h.Add(name, value)
		}
	}
	return h
}

func hidden(name string) bool { return slices.Contains(notForClients, name) }

// trailersOf are trailers as modules see them; nil if there are none. What may not come as a header may not come there.
func trailersOf(t http.Header) *abi.Headers {
	if len(t) == 0 {
		return nil
	}
	h := &abi.Headers{}
	for name, values := range t {
		if name = lowerCase(name); isHopByHop(name) || hidden(name) || dropped(name) || strings.Contains(name, "_") {
			continue
		}
		for _, value := range values {
			h.Add(name, value)
		}
	}
	if h.Len() == 0 {
		return nil
	}
	return h
}

// common are the names that nearly every exchange has, so that they are not made anew each time.
var common = func() map[string]string {
	names := map[string]string{}
	for _, name := range []string{
		"accept", "accept-encoding", "accept-language", "authorization", "cache-control", "connection", "content-encoding", "content-length",
		"content-type", "cookie", "date", "expect", "openai-organization", "openai-project", "openai-processing-ms", "openai-version", "server", "set-cookie",
		"traceparent", "transfer-encoding", "user-agent", "vary", "via", "x-api-key", "x-request-id", "x-forwarded-for", "x-forwarded-proto",
		"x-ratelimit-limit-requests", "x-ratelimit-limit-tokens", "x-ratelimit-remaining-requests", "x-ratelimit-remaining-tokens",
		"x-ratelimit-reset-requests", "x-ratelimit-reset-tokens", "x-stainless-arch", "x-stainless-async", "x-stainless-lang", "x-stainless-os",
		"x-stainless-package-version", "x-stainless-retry-count", "x-stainless-runtime", "x-stainless-runtime-version", "x-stainless-read-timeout",
	} {
		names[http.CanonicalHeaderKey(name)] = name
	}
	return names
}()

func lowerCase(name string) string {
	if known, ok := common[name]; ok {
		return known
	}
	return strings.ToLower(name)
}
