package onenvoy

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/leash-gateway/leash/host/harness"
)

// server is a provider, or the upstream of callouts: it answers from a script and remembers what it received.
type server struct {
	address string
	http    *http.Server

	mu       sync.Mutex
	script   []harness.Answer
	received []harness.Message
	// arrived is told of each request that has come to its end.
	arrived chan struct{}
}

// serve starts a provider, and a server for each upstream of callouts.
func (p *process) serve(all []harness.Setup) error {
	var err error
	if p.provider, err = newServer(); err != nil {
		return err
	}
	for _, s := range all {
		for name := range s.Callouts {
			if p.upstream[name] == nil {
				if p.upstream[name], err = newServer(); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (p *process) closeServers() {
	for _, s := range p.upstream {
		_ = s.http.Close()
	}
	if p.provider != nil {
		_ = p.provider.http.Close()
	}
}

func newServer() (*server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once
	if err != nil {
		return nil, fmt.Errorf("listen for envoy: %w", err)
	}
	s := &server{address: l.Addr().String(), arrived: make(chan struct{}, 1)}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.http.Serve(l) }() // until Close
	return s, nil
}

// expect sets the script for what comes: one answer after the other, the last again and again.
func (s *server) expect(answers ...harness.Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script, s.received = answers, nil
	select {
	case <-s.arrived:
	default:
	}
}

func (s *server) seen() []harness.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]harness.Message(nil), s.received...)
}

// ServeHTTP answers from the script.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	message := harness.Message{Headers: harness.Headers{
		{":authority", r.Host}, {":path", r.RequestURI}, {":method", r.Method}, {":scheme", "http"},
	}, Ended: true}
	message.Headers = append(message.Headers, fromHTTP(r.Header)...)
	if r.ContentLength > 0 {
		message.Headers = append(message.Headers, [2]string{"content-length", fmt.Sprint(r.ContentLength)})
	}
	body, err := io.ReadAll(r.Body)
	message.Body, message.Trailers, message.Ended = string(body), fromHTTP(r.Trailer), err == nil
	s.mu.Lock()
	var a harness.Answer
	if len(s.script) > 0 {
		a = s.script[min(len(s.received), len(s.script)-1)]
	}
	s.received = append(s.received, message)
	s.mu.Unlock()
	select {
	case s.arrived <- struct{}{}:
	default:
	}
	s.answer(w, r, a)
}

func (s *server) answer(w http.ResponseWriter, r *http.Request, a harness.Answer) {
	pieces := harness.Pieces(a.Body, a.Chunks, a.ChunkSize)
	if a.Failure == harness.Timeout {
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}
	if a.Failure == harness.Unreachable || a.Failure == harness.Cut && len(pieces) == 0 && a.Status == 0 {
		panic(http.ErrAbortHandler)
	}
	wait(r, a.Delay)
	h := w.Header()
	h["Date"] = nil
	for _, entry := range a.Headers {
		h.Add(entry[0], entry[1])
	}
	if h.Get("content-type") == "" && len(pieces) > 0 {
		h.Set("content-type", harness.ContentType(a))
	}
	for _, entry := range a.Trailers {
		h.Add(http.TrailerPrefix+entry[0], entry[1])
	}
	status := a.Status
	if status == 0 {
		status = http.StatusOK
	}
	w.WriteHeader(status)
	for i, piece := range pieces {
		if i > 0 {
			wait(r, a.Pace)
		}
		_, _ = io.WriteString(w, piece) // a client that has left is seen by Envoy
		if len(pieces) > 1 || a.Failure == harness.Cut {
			_ = http.NewResponseController(w).Flush()
		}
	}
	if a.Failure == harness.Cut {
		panic(http.ErrAbortHandler)
	}
}

func wait(r *http.Request, d time.Duration) {
	if d > 0 {
		select {
		case <-time.After(d):
		case <-r.Context().Done():
		}
	}
}

func fromHTTP(h http.Header) harness.Headers {
	var out harness.Headers
	for name, values := range h {
		for _, value := range values {
			out = append(out, [2]string{strings.ToLower(name), value})
		}
	}
	return out
}
