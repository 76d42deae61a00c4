package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// A Server serves a handler on one address at a time, HTTP/1.1 and HTTP/2 (with prior knowledge). Its zero value with a
// Handler is ready.
//
//  1. Bind opens an address; an error leaves everything as it is.
//  2. Serve serves there from now on. A former address takes no more connections, and its exchanges end in peace.
//  3. Close ends it all, also what was bound and never served.
type Server struct {
	Handler http.Handler
	// Log takes what net/http complains of. Default: nowhere.
	Log *slog.Logger

	mu      sync.Mutex
	address string
	servers []*http.Server // the last one is current, those before end
	running sync.WaitGroup
}

// Bounds of the protocols; Envoy's are the same (package envoy, listener.go).
const (
	headersTimeout    = 10 * time.Second
	idleTimeout       = 10 * time.Minute
	maxHeaderBytes    = 60 << 10
	maxStreams        = 1024
	streamWindow      = 1 << 20
	connectionWindow  = 8 << 20
	headerBytesOfHTTP = 4 << 10 // which net/http adds to MaxHeaderBytes
)

// Bind opens an address to be served. It is nil where that is what is served already.
func (s *Server) Bind(ctx context.Context, address string) (net.Listener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.address == address {
		return nil, nil //nolint:nilnil // documented
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("serve the gateway: %w", err)
	}
	return listener, nil
}

// Serve serves on what Bind has opened for the address; nil changes nothing.
func (s *Server) Serve(listener net.Listener, address string) {
	if listener == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	log := s.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	next := &http.Server{
		Handler: s.Handler, Protocols: protocols, ReadHeaderTimeout: headersTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes - headerBytesOfHTTP,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams, MaxReceiveBufferPerStream: streamWindow, MaxReceiveBufferPerConnection: connectionWindow,
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	s.running.Go(func() {
		if err := next.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("the gateway's listener ended", "address", address, "error", err)
		}
	})
	for _, former := range s.servers {
		s.running.Go(func() { _ = former.Shutdown(context.Background()) }) // Close ends it
	}
	s.servers, s.address = append(s.servers, next), address
}

// Close takes no more connections, gives running exchanges that long to end, and then cuts them.
func (s *Server) Close(grace time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	limited, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	for _, server := range s.servers {
		if server.Shutdown(limited) != nil {
			_ = server.Close()
		}
	}
	s.servers, s.address = nil, ""
	s.running.Wait()
}
