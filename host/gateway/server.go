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

	writeTimeout time.Duration // how long a client may read nothing of what is written; by default a constant

	mu      sync.Mutex
	address string
	current *http.Server // nil before Serve
	ending  []*http.Server
	running sync.WaitGroup
}

// Bounds of the protocols; Envoy's are the same (package envoy, listener.go).
const (
	headersTimeout    = 10 * time.Second
	idleTimeout       = 10 * time.Minute
	maxHeaderBytes    = 60 << 10
	maxStreams        = 1024
	writeTimeout      = 5 * time.Minute
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
	log := s.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	next := s.server(log)
	s.running.Go(func() {
		if err := next.Serve(s.bounded(listener)); !errors.Is(err, http.ErrServerClosed) {
			log.Error("the gateway's listener ended", "address", address, "error", err)
		}
	})
	if former := s.current; former != nil {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		_ = former.Shutdown(over)                                          // at once takes no more connections, and waits for none
		s.running.Go(func() { _ = former.Shutdown(context.Background()) }) // Close ends it
		s.ending = append(s.ending, former)
	}
	s.current, s.address = next, address
}

func (s *Server) server(log *slog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler: s.Handler, Protocols: protocols, ReadHeaderTimeout: headersTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes - headerBytesOfHTTP, DisableGeneralOptionsHandler: true,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams, MaxReceiveBufferPerStream: streamWindow, MaxReceiveBufferPerConnection: connectionWindow,
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// Close takes no more connections, gives running exchanges that long to end, and then cuts them.
func (s *Server) Close(grace time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	limited, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	all := s.ending
	if s.current != nil {
		all = append(all, s.current)
	}
	var closing sync.WaitGroup
	for _, server := range all {
		closing.Go(func() {
			if server.Shutdown(limited) != nil {
				_ = server.Close()
			}
		})
	}
	closing.Wait()
	s.current, s.ending, s.address = nil, nil, ""
	s.running.Wait()
}

// bounded gives every write to a client a deadline: who reads nothing holds neither connection nor exchange for ever.
func (s *Server) bounded(l net.Listener) net.Listener {
	if s.writeTimeout <= 0 {
		return &boundedListener{l, writeTimeout}
	}
	return &boundedListener{l, s.writeTimeout}
}

type boundedListener struct {
	net.Listener
	timeout time.Duration
}

// Accept waits for a connection.
func (l *boundedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &boundedConn{c, l.timeout}, nil
}

type boundedConn struct {
	net.Conn
	timeout time.Duration
}

// Write writes all of b, or fails when that takes too long.
func (c *boundedConn) Write(b []byte) (int, error) {
	_ = c.SetWriteDeadline(time.Now().Add(c.timeout)) // fails where the write will
	return c.Conn.Write(b)
}
