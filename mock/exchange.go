package mock

import (
	"compress/gzip"
	"errors"
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
	streamed bool // the answer, if there is one
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

// route answers by path. Paths are compared as they came: a gateway's mistakes in normalizing them shall show.
func (x *exchange) route() *apiError {
	path := x.r.URL.Path
	switch x.api {
	case anthropic:
		return x.anthropic(path)
	case google:
		switch name, found := strings.CutPrefix(strings.TrimPrefix(strings.TrimPrefix(path, "/v1beta"), "/v1"), "/models/"); {
		case strings.HasSuffix(path, "/models"):
			return x.only(http.MethodGet, x.listGoogle)
		case found && x.r.Method == http.MethodGet:
			return x.getGoogle(name)
		}
		return x.only(http.MethodPost, x.generative)
	case azure:
		return x.azure()
	case vertex:
		return x.only(http.MethodPost, x.vertex)
	case bedrock:
		return x.only(http.MethodPost, x.bedrock)
	default:
		return x.openAI(path)
	}
}

func (x *exchange) openAI(path string) *apiError {
	switch {
	case path == "/v1/chat/completions":
		return x.only(http.MethodPost, x.chat)
	case path == "/v1/responses":
		return x.only(http.MethodPost, x.responses)
	case path == "/v1/completions":
		return x.only(http.MethodPost, x.completions)
	case path == "/v1/embeddings":
		return x.only(http.MethodPost, x.embeddings)
	case path == "/v1/models":
		return x.only(http.MethodGet, x.listModels)
	case strings.HasPrefix(path, "/v1/models/"):
		return x.only(http.MethodGet, x.getModel)
	case path == tokenPath:
		return x.only(http.MethodPost, x.token)
	default:
		return &apiError{status: 404, message: "Invalid URL (" + x.r.Method + " " + path + ")", kind: invalidRequest}
	}
}

func (x *exchange) anthropic(path string) *apiError {
	switch {
	case path == "/v1/messages":
		return x.only(http.MethodPost, x.messages)
	case path == "/v1/messages/count_tokens":
		return x.only(http.MethodPost, x.countTokens)
	case path == "/v1/models":
		return x.only(http.MethodGet, x.listAnthropic)
	case strings.HasPrefix(path, "/v1/models/"):
		return x.only(http.MethodGet, x.getAnthropic)
	default:
		return &apiError{status: 404, message: "Not found", kind: "not_found_error"}
	}
}

func (x *exchange) only(method string, serve func() *apiError) *apiError {
	if x.r.Method != method {
		return &apiError{status: 405, message: "Not allowed to " + x.r.Method + " on " + x.r.URL.Path + ".", kind: invalidRequest, code: "method_not_supported"}
	}
	return serve()
}

// begin does what comes before an answer: it waits, or answers with the fault that was asked for. It is false if there is no
// answer to give any more.
func (x *exchange) begin() bool {
	b := &x.behavior
	if !x.wait(b.Delay) {
		return false
	}
	switch {
	case b.Down > 0:
		if !x.p.Down(b.Down) {
			x.refuse(badBehavior(errNoListener))
			return false
		}
		x.cut()
	case b.Drop, b.Reset && b.CutAfter == 0 && b.CutBytes == 0:
		x.cut()
	case b.Garbage == GarbageHTTP:
		x.garble()
	case b.Garbage == GarbageBody:
		x.w.Header()["Content-Type"] = []string{x.contentType()}
		_, _ = x.w.Write(noise) // an error is a client that has left
		return false
	case b.Hang:
		x.hang()
		return false
	case b.Status != 0:
		x.refuse(faultOf(b.Status))
		return false
	case b.PerSecond > 0:
		if ok, wait := x.p.throttle.admits(b.PerSecond, x.p.options.Now()); !ok {
			b.RetryAfter = max(b.RetryAfter, wait)
			x.refuse(faultOf(http.StatusTooManyRequests))
			return false
		}
	}
	return true
}

var errNoListener = errors.New("behavior down: this mock does not own its listener: serve it with Provider.Listen, or as leash mock")

// noise is no HTTP, no JSON, no event and no UTF-8.
var noise = []byte("\x00\xff\x16\x03{\"\xc3(\r\n\n\ndata\x80: }]\x1b[31m\n\x00\xfe\xff")

// contentType is what the answer's would be.
func (x *exchange) contentType() string {
	switch {
	case !x.streamed:
		return "application/json"
	case x.api == bedrock:
		return "application/vnd.amazon.eventstream"
	case (x.api == google || x.api == vertex) && x.r.URL.Query().Get("alt") != "sse":
		return "application/json; charset=UTF-8"
	case x.api == google || x.api == vertex:
		return "text/event-stream"
	default:
		return "text/event-stream; charset=utf-8"
	}
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
	h := x.w.Header()
	if e.retryAfter = x.behavior.RetryAfter; e.retryAfter > 0 {
		ms := (e.retryAfter + time.Millisecond - 1).Milliseconds() // never none
		h.Set("Retry-After", strconv.FormatInt((ms+999)/1000, 10))
		if x.api == openAI || x.api == azure {
			h.Set("Retry-After-Ms", strconv.FormatInt(ms, 10))
		}
	}
	if x.api == bedrock {
		h.Set("X-Amzn-Errortype", bedrockKind(e))
	}
	status := e.status
	if x.behavior.AsOK {
		status = http.StatusOK
	}
	h.Set("Content-Type", "application/json")
	x.w.WriteHeader(status)
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
	var out io.Writer = x.w
	if x.behavior.CutBytes > 0 {
		out = &cutter{x: x, left: x.behavior.CutBytes}
	}
	if x.behavior.Write > 0 {
		return &splitter{x: x, out: out, size: x.behavior.Write}
	}
	return out
}

// A cutter cuts the connection after so many bytes.
type cutter struct {
	x    *exchange
	left int
}

func (c *cutter) Write(p []byte) (int, error) {
	n, err := c.x.w.Write(p[:min(c.left, len(p))])
	c.left -= n
	if err == nil && c.left == 0 {
		c.x.flush()
		c.x.cut()
	}
	return n, err
}

// A splitter sends pieces of a fixed size, each on its own.
type splitter struct {
	x    *exchange
	out  io.Writer
	size int
}

func (s *splitter) Write(p []byte) (int, error) {
	for sent := 0; sent < len(p); {
		end := min(sent+s.size, len(p))
		n, err := s.out.Write(p[sent:end])
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

// cut closes the connection (or resets the stream, in HTTP/2) without an end of the answer, or resets it if that is wanted.
// Panicking with this value is net/http's way to do so.
func (x *exchange) cut() {
	if x.behavior.Reset {
		if conn, _, err := http.NewResponseController(x.w).Hijack(); err == nil { // HTTP/2 has no connection to give
			if tcp, ok := conn.(interface{ SetLinger(seconds int) error }); ok {
				_ = tcp.SetLinger(0) // what is not set closes the connection all the same
			}
			_ = conn.Close()
		}
	}
	panic(http.ErrAbortHandler)
}

// garble answers with what is no HTTP.
func (x *exchange) garble() {
	if conn, _, err := http.NewResponseController(x.w).Hijack(); err == nil {
		_, _ = conn.Write(noise) // an error is a client that has left
		_ = conn.Close()
	}
	panic(http.ErrAbortHandler)
}
