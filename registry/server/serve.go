package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	// drainTimeout is how long requests that are under way may take when the registry ends.
	drainTimeout = 30 * time.Second
)

// Serve serves on a listener until ctx ends, and then waits for the requests that are under way, but not for ever. With a
// nil TLS it speaks HTTP without TLS, HTTP/2 included. It closes the listener.
func (s *Server) Serve(ctx context.Context, l net.Listener, secured *tls.Config) error {
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	web := &http.Server{
		Handler: s, TLSConfig: secured, Protocols: protocols, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // clients that go away
	}
	ended := make(chan error, 1)
	go func() {
		if secured != nil {
			ended <- web.ServeTLS(l, "", "")
		} else {
			ended <- web.Serve(l)
		}
	}()
	s.ready.Store(true)
	select {
	case err := <-ended:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	s.ready.Store(false)
	s.log.Info("ending: requests that are under way are waited for", "at_most", drainTimeout.String())
	draining, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	err := web.Shutdown(draining)
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.Join(errors.New("some requests took too long and were cut off"), web.Close())
	}
	if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	if err != nil {
		return fmt.Errorf("end: %w", err)
	}
	return nil
}
