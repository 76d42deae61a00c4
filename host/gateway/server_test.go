package gateway

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/internal/nettest"
)

// serve serves a handler and returns where.
func (s *Server) start(t *testing.T) string {
	t.Helper()
	listener, err := s.Bind(context.Background(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Serve(listener, listener.Addr().String())
	return "http://" + listener.Addr().String()
}

func fetch(t *testing.T, client *http.Client, url string) (string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

func TestTheAddressChangesWhileExchangesRun(t *testing.T) {
	checkGoroutines(t)
	began, goOn := make(chan struct{}, 2), make(chan struct{})
	s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			began <- struct{}{}
			<-goOn
		}
		_, _ = io.WriteString(w, "answer")
	})}
	defer s.Close(time.Minute)
	first := s.start(t)
	slow := make(chan string, 2)
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
		client := speak(t, protocol)
		go func() {
			body, err := fetch(t, client, first+"/slow")
			if err != nil {
				body = err.Error()
			}
			slow <- body
		}()
		receive(t, began, "an exchange to run")
	}
	second := s.start(t)
	if body, err := fetch(t, speak(t, "HTTP/1.1"), second); err != nil || body != "answer" {
		t.Errorf("at the new address: %q (%v)", body, err)
	}
	if body, err := fetch(t, speak(t, "HTTP/1.1"), first); err == nil {
		t.Errorf("the former address still takes connections: %q", body)
	}
	// And back, while the exchanges of its first time still run.
	listener, err := s.Bind(context.Background(), strings.TrimPrefix(first, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	s.Serve(listener, strings.TrimPrefix(first, "http://"))
	if body, err := fetch(t, speak(t, "HTTP/1.1"), first); err != nil || body != "answer" {
		t.Errorf("back at the first address: %q (%v)", body, err)
	}
	close(goOn)
	for range 2 {
		if got := receive(t, slow, "an exchange to end"); got != "answer" {
			t.Errorf("an exchange that ran meanwhile: %q", got)
		}
	}
}

func TestAnAddressThatIsTakenChangesNothing(t *testing.T) {
	s := &Server{Handler: says("answer")}
	defer s.Close(time.Minute)
	url := s.start(t)
	if again, err := s.Bind(context.Background(), strings.TrimPrefix(url, "http://")); again != nil || err != nil {
		t.Errorf("the same address again: %v, %v, want nothing to do", again, err)
	}
	s.Serve(nil, "")
	taken, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if _, err := s.Bind(context.Background(), taken.Addr().String()); err == nil {
		t.Error("an address that is taken was bound")
	}
	if body, err := fetch(t, speak(t, "HTTP/1.1"), url); err != nil || body != "answer" {
		t.Errorf("at the old address: %q (%v)", body, err)
	}
}

func TestClosingGivesExchangesTimeAndThenCutsThem(t *testing.T) {
	tests := map[string]struct {
		grace time.Duration
		whole bool
	}{
		"long enough": {time.Minute, true},
		"none":        {0, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			for protocol, client := range clients(t) {
				t.Run(protocol, func(t *testing.T) {
					checkGoroutines(t)
					began := make(chan struct{})
					over := make(chan struct{})
					s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						close(began)
						if tc.whole {
							<-over
						} else {
							<-r.Context().Done()
						}
						_, _ = io.WriteString(w, "answer")
					})}
					url := s.start(t)
					got := make(chan error, 1)
					go func() {
						_, err := fetch(t, client, url)
						got <- err
					}()
					receive(t, began, "the exchange to run")
					closed := make(chan struct{})
					go func() {
						defer close(closed)
						s.Close(tc.grace)
					}()
					nettest.Eventually(t, "no more connections to be taken", func() bool {
						c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(url, "http://"))
						if err == nil {
							_ = c.Close()
						}
						return err != nil
					})
					close(over)
					if err := receive(t, got, "the client"); (err == nil) != tc.whole {
						t.Errorf("the client got %v, want it whole: %v", err, tc.whole)
					}
					receive(t, closed, "the end")
					client.CloseIdleConnections()
				})
			}
		})
	}
}

func TestClosingWhatWasNeverServedReturns(_ *testing.T) {
	new(Server).Close(time.Minute)
}
