// Package nettest has the other side of connections for tests: free ports, servers that speak below HTTP, certificates, logs of what serves, waiting
// for what the other side does, and where Envoy is.
package nettest

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Serve does with each connection what handle does, and closes it then or when the test ends. It returns the address.
func Serve(t testing.TB, handle func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it ends with the test
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close() //nolint:errcheck // the other side sees it end
				defer context.AfterFunc(t.Context(), func() { _ = c.Close() })()
				handle(c)
			})
		}
	})
	return l.Addr().String()
}

// ServeRaw answers HTTP requests with the bytes that answer writes, behind which the connection ends. It returns the server's URL.
func ServeRaw(t testing.TB, answer func(w io.Writer, r *http.Request)) (url string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close() //nolint:errcheck // all has been written
		answer(c, r)
	}))
	t.Cleanup(s.Close)
	return s.URL
}
