package mock

import (
	"compress/gzip"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// An exchange is one request on its way to its answer.
type exchange struct {
	p        *Provider
	w        http.ResponseWriter
	r        *http.Request
	buf      *buffers
	body     []byte
	number   int64 // of the request, from 1
	behavior Behavior
	api      api
}

// buffers are what an exchange writes into; they belong to it until ServeHTTP returns, and are then used again.
type buffers struct {
	body, text, out []byte
}

// maxKeptBuffer is what of a large body's memory is kept for the next exchange, in bytes.
const maxKeptBuffer = 1 << 20

func (b *buffers) reset() {
	if cap(b.body)+cap(b.text)+cap(b.out) > maxKeptBuffer {
		*b = buffers{}
	}
	b.body, b.text, b.out = b.body[:0], b.text[:0], b.out[:0]
}

// read takes in a body, as far as it came before the client left.
func (b *buffers) read(in io.Reader) (body []byte, tooLarge bool) {
	if in == nil {
		return nil, false
	}
	for {
		if len(b.body) == cap(b.body) {
			b.body = append(b.body, 0)[:len(b.body)]
		}
		n, err := in.Read(b.body[len(b.body):cap(b.body)])
		b.body = b.body[:len(b.body)+n]
		if len(b.body) > maxBody {
			return b.body[:maxBody], true
		}
		if err != nil {
			return b.body, false
		}
	}
}

// Headers that are the same in every answer. OpenAI sends limits along; nothing here counts down to them.
var fixedHeader = http.Header{
	"Openai-Version":                 {"2020-10-01"},
	"Openai-Organization":            {"mock"},
	"X-Ratelimit-Limit-Requests":     {"10000"},
	"X-Ratelimit-Remaining-Requests": {"9999"},
	"X-Ratelimit-Reset-Requests":     {"6ms"},
	"X-Ratelimit-Limit-Tokens":       {"30000000"},
	"X-Ratelimit-Remaining-Tokens":   {"29999990"},
	"X-Ratelimit-Reset-Tokens":       {"0s"},
}

func (x *exchange) setHeader() {
	h := x.w.Header()
	for name, value := range fixedHeader {
		h[name] = value
	}
	h["X-Request-Id"] = []string{"req_mock_" + strconv.FormatInt(x.number, 10)}
}

// route answers by path. Paths are compared as they came: a gateway's mistakes in normalizing them shall show.
func (x *exchange) route() *apiError {
	path := x.r.URL.Path
	switch {
	case path == "/v1/chat/completions":
		return x.only(http.MethodPost, x.chat)
	case path == "/v1/messages":
		return x.only(http.MethodPost, x.messages)
	case path == "/v1/messages/count_tokens":
		return x.only(http.MethodPost, x.countTokens)
	case path == "/v1beta/models":
		return x.only(http.MethodGet, x.listGoogle)
	case x.api == google:
		return x.only(http.MethodPost, x.generative)
	case path == "/v1/embeddings":
		return x.only(http.MethodPost, x.embeddings)
	case path == "/v1/models":
		return x.only(http.MethodGet, x.listModels)
	case strings.HasPrefix(path, "/v1/models/"):
		return x.only(http.MethodGet, x.getModel)
	default:
		return &apiError{status: 404, message: "Invalid URL (" + x.r.Method + " " + path + ")", kind: invalidRequest}
	}
}

func (x *exchange) only(method string, serve func() *apiError) *apiError {
	if x.r.Method != method {
		return &apiError{status: 405, message: "Not allowed to " + x.r.Method + " on " + x.r.URL.Path + ".", kind: invalidRequest, code: "method_not_supported"}
	}
	return serve()
}

// begin does what comes before an answer: it waits, or answers with the error that was asked for. It is false if there is no
// answer to give any more.
func (x *exchange) begin() bool {
	b := &x.behavior
	if !x.wait(b.Delay) {
		return false
	}
	switch {
	case b.Drop:
		x.cut()
	case b.Hang:
		x.hang()
		return false
	case b.Status != 0:
		x.refuse(faultOf(b.Status))
		return false
	}
	return true
}

// send answers with a whole body and status 200.
func (x *exchange) send(body []byte) {
	b := &x.behavior
	if b.InvalidJSON {
		body = body[:len(body)/2]
	}
	h := x.w.Header()
	h["Content-Type"] = []string{"application/json"}
	if x.compresses() {
		h["Content-Encoding"] = []string{"gzip"}
		h["Vary"] = []string{"Accept-Encoding"}
		body = compressed(body)
	}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	x.w.WriteHeader(http.StatusOK)
	out := x.output()
	switch {
	case b.CutAfter > 0 && b.CutAfter < len(body):
		if _, err := out.Write(body[:b.CutAfter]); err == nil {
			x.flush()
		}
		x.cut()
	case b.HangAfter > 0 && b.HangAfter < len(body):
		if _, err := out.Write(body[:b.HangAfter]); err == nil {
			x.flush()
		}
		x.hang()
	default:
		_, _ = out.Write(body) // an error is a client that has left
	}
}

// refuse answers with an error. Faults of the answer's body do not concern it.
func (x *exchange) refuse(e *apiError) {
	if x.behavior.RetryAfter > 0 {
		ms := x.behavior.RetryAfter.Milliseconds()
		x.w.Header().Set("Retry-After", strconv.FormatInt((ms+999)/1000, 10))
		x.w.Header().Set("Retry-After-Ms", strconv.FormatInt(ms, 10))
	}
	x.w.Header().Set("Content-Type", "application/json")
	x.w.WriteHeader(e.status)
	_, _ = x.w.Write(append(x.api.errorBody(e), '\n')) // an error is a client that has left
}

// compresses says whether the answer is to be compressed.
func (x *exchange) compresses() bool {
	switch x.behavior.Gzip {
	case GzipAlways:
		return true
	case GzipAccepted:
		return strings.Contains(strings.Join(x.r.Header.Values("Accept-Encoding"), ","), "gzip")
	default:
		return false
	}
}

func compressed(body []byte) []byte {
	var out writeBuffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write(body) // writing to memory does not fail
	_ = z.Close()
	return out
}

type writeBuffer []byte

func (b *writeBuffer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

// output is where the answer's bytes go.
func (x *exchange) output() io.Writer {
	if x.behavior.Write > 0 {
		return &splitter{x: x, size: x.behavior.Write}
	}
	return x.w
}

// A splitter sends pieces of a fixed size, each on its own.
type splitter struct {
	x    *exchange
	size int
}

func (s *splitter) Write(p []byte) (int, error) {
	for sent := 0; sent < len(p); {
		end := min(sent+s.size, len(p))
		n, err := s.x.w.Write(p[sent:end])
		sent += n
		if err != nil {
			return sent, err
		}
		s.x.flush()
	}
	return len(p), nil
}

func (x *exchange) flush() {
	// A writer that cannot flush holds the answer back until its end, and one whose client has left fails at the next write.
	_ = http.NewResponseController(x.w).Flush()
}

// wait lets d pass; it is false when the client has left meanwhile.
func (x *exchange) wait(d time.Duration) bool {
	ctx := x.r.Context()
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// hang waits for the client to leave.
func (x *exchange) hang() { <-x.r.Context().Done() }

// cut closes the connection (or resets the stream, in HTTP/2) without an end of the answer. Panicking with this value is
// net/http's way to do so.
func (x *exchange) cut() { panic(http.ErrAbortHandler) }
