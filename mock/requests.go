package mock

import (
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"
	"unicode/utf8"
)

// A Request is what the mock has received, with the credentials that it came with.
type Request struct {
	// Number counts all requests, from 1.
	Number int64
	Time   time.Time
	// Method, Target, Protocol and Host are as they came: Target is the path and the query before any decoding.
	Method, Target, Protocol, Host string
	Header                         http.Header
	// Body is the body as it came: what compresses it is not undone.
	Body []byte
}

// MarshalJSON writes the body as a string ("body"), or in base64 where it is not UTF-8 ("body_base64").
func (r Request) MarshalJSON() ([]byte, error) {
	out := struct {
		Number   int64       `json:"number"`
		Time     time.Time   `json:"time"`
		Method   string      `json:"method"`
		Target   string      `json:"target"`
		Protocol string      `json:"protocol"`
		Host     string      `json:"host"`
		Header   http.Header `json:"header"`
		Body     *string     `json:"body,omitempty"`
		Base64   []byte      `json:"body_base64,omitempty"`
	}{r.Number, r.Time, r.Method, r.Target, r.Protocol, r.Host, r.Header, nil, nil}
	if utf8.Valid(r.Body) {
		text := string(r.Body)
		out.Body = &text
	} else {
		out.Base64 = r.Body
	}
	return json.Marshal(out)
}

// Requests returns the latest requests, oldest first: at most Options.KeepRequests, and none without Options.Control.
func (p *Provider) Requests() []Request { return p.requests.list() }

// ForgetRequests forgets what Requests returns.
func (p *Provider) ForgetRequests() { p.requests.clear() }

// maxKeptBytes bounds the bodies that a recorder keeps, together.
const maxKeptBytes = 128 << 20

// A recorder keeps the latest requests.
type recorder struct {
	keep int

	mu     sync.Mutex
	latest []Request
	bytes  int // of all bodies
	number int64
}

func (rec *recorder) add(r *http.Request, body []byte, now time.Time) {
	req := Request{
		Time: now, Method: r.Method, Target: r.RequestURI, Protocol: r.Proto, Host: r.Host,
		Header: r.Header.Clone(), Body: slices.Clone(body),
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.number++
	req.Number = rec.number
	rec.latest = append(rec.latest, req)
	rec.bytes += len(body)
	for len(rec.latest) > rec.keep || rec.bytes > maxKeptBytes {
		rec.bytes -= len(rec.latest[0].Body)
		rec.latest[0] = Request{} // its memory shall go before the slice's does
		rec.latest = rec.latest[1:]
	}
}

func (rec *recorder) list() []Request {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return append([]Request{}, rec.latest...)
}

func (rec *recorder) clear() {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.latest, rec.bytes = nil, 0
}
