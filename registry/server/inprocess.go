package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/leash-gateway/leash/registry/remote"
	"github.com/leash-gateway/leash/registry/signing"
)

// inProcess sends requests to a handler without a network.
type inProcess struct{ handler http.Handler }

// RoundTrip runs the handler; it has ended when the answer's body has been read to its end or is closed.
func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if r.Body == nil {
		r.Body = http.NoBody
	}
	body := &requestBody{from: r.Body}
	defer body.Close() //nolint:errcheck // only read
	r.Body = body
	r.RequestURI, r.Host = r.URL.RequestURI(), r.URL.Host
	in, out := io.Pipe()
	w := &pipeWriter{header: http.Header{}, out: out, begun: make(chan struct{})}
	go func() {
		defer func() {
			var err error
			if failure := recover(); failure != nil {
				err = fmt.Errorf("%v: %w", failure, io.ErrUnexpectedEOF)
			}
			w.WriteHeader(http.StatusOK) // unless there was one
			_ = out.CloseWithError(err)
		}()
		t.handler.ServeHTTP(w, r)
	}()
	select {
	case <-w.begun:
	case <-r.Context().Done():
		_ = in.CloseWithError(r.Context().Err())
		return nil, r.Context().Err()
	}
	response := &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: in, ContentLength: -1, Request: r,
	}
	if _, err := fmt.Sscan(w.sent.Get("Content-Length"), &response.ContentLength); err != nil {
		response.ContentLength = -1
	}
	return response, nil
}

// requestBody is read until the answer begins, as with HTTP/1.1: then its sender may do with it what he wants, while the
// handler still runs.
type requestBody struct {
	mu     sync.Mutex
	from   io.ReadCloser
	closed bool
}

func (b *requestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.from.Read(p)
}

func (b *requestBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	return b.from.Close()
}

// pipeWriter is the other end of an answer.
type pipeWriter struct {
	header, sent http.Header
	status       int
	out          *io.PipeWriter
	begun        chan struct{}
}

func (w *pipeWriter) Header() http.Header { return w.header }

func (w *pipeWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status, w.sent = status, w.header.Clone()
		close(w.begun)
	}
}

func (w *pipeWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.out.Write(b)
}

// unjudged is the OCI API for the registry itself: everything that is there, under the tags of the catalogue.
func (s *Server) unjudged(w http.ResponseWriter, r *http.Request) {
	t := routeOf(r.URL.Path)
	if t.kind == manifests && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		if target, err := s.catalog.Resolve(t.repository, t.reference); err == nil {
			r.URL.Path = "/v2/" + t.repository + "/manifests/" + target.Digest.String()
		}
	}
	s.store.ServeHTTP(w, r)
}

// trusted asks the trust policy about what is in this registry.
type trusted struct{ s *Server }

// Check implements catalog.Trust.
func (t trusted) Check(ctx context.Context, repository string, d digest.Digest) ([]signing.Verified, error) {
	at := remote.Reference{Registry: t.s.options.Name, Repository: repository, Digest: d}
	list, err := t.s.trust.Load().Image(ctx, t.s.self, at, t.s.options.Now())
	if err != nil && ctx.Err() != nil {
		return nil, errors.Join(ctx.Err(), err)
	}
	return list, err
}
