package mock

import (
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/leash-gateway/leash/internal/nettest"
)

func TestADeadProviderComesBackAtItsAddress(t *testing.T) {
	t.Parallel()
	p := New(Options{})
	l, err := p.Listen(t.Context(), nettest.FreeAddress(t)) // of no connection's, that would have taken it meanwhile
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: p, ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	address := l.Addr().String()

	open, err := net.Dial("tcp", address) // one that is open as it dies
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()                                                                        //nolint:errcheck // closed by the other side
	if _, err := io.WriteString(open, "GET /v1/models HTTP/1.1\r\nHost: a\r\n"); err != nil { // and is known to the server
		t.Fatal(err)
	}
	if !p.Down(time.Hour) {
		t.Fatal("it has a listener, and says that it has none")
	}
	if _, err := open.Read(make([]byte, 1)); err == nil {
		t.Error("a connection stays open")
	}
	if c, err := net.Dial("tcp", address); err == nil {
		_ = c.Close()
		t.Error("a dead provider takes a connection")
	}
	p.Down(time.Millisecond) // it is to come back soon
	deadline := time.Now().Add(time.Minute)
	for {
		response, err := http.Get("http://" + address + "/v1/models")
		if err == nil {
			_ = response.Body.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it does not come back: %v", err)
		}
	}
	p.Down(time.Hour)
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("the server ends with %v", err)
	}
	if c, err := net.Dial("tcp", address); err == nil {
		_ = c.Close()
		t.Error("it is closed and takes a connection")
	}
}

func TestAProviderWithoutItsListenerSaysThatItCannotBeDown(t *testing.T) {
	if w := chat(t, New(Options{}), message("hi", ""), "X-Mock", "down=1s"); w.Code != 400 {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}
