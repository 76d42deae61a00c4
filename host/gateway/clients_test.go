package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestWhoIsRefusedNeedNotSendTheBody(t *testing.T) {
	const head = "POST /v1/chat/completions HTTP/1.1\r\nHost: leash\r\nAuthorization: Bearer sk-wrong\r\nContent-Type: application/json\r\n"
	b := start(t, setup{config: guarded}, says("never"))
	for name, framing := range map[string]string{
		"its length told":      "Content-Length: 1000\r\n\r\n",
		"in chunks":            "Transfer-Encoding: chunked\r\n\r\n",
		"more than is read":    "Content-Length: 1000000\r\n\r\n",
		"half of it was sent":  "Content-Length: 10\r\n\r\n01234",
		"in chunks, and begun": "Transfer-Encoding: chunked\r\n\r\n5\r\n012",
		"refused by its path":  "X: \r\nContent-Length: 1000\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each waits for what the client may still send
			request := head + framing
			want := http.StatusUnauthorized
			if strings.HasPrefix(framing, "X:") {
				request, want = strings.Replace(request, "/v1/chat", "/v1%2fchat", 1), http.StatusBadRequest
			}
			c := b.dial()
			defer c.Close()
			if _, err := io.WriteString(c, request); err != nil {
				t.Fatal(err)
			}
			reader := bufio.NewReader(c)
			response, err := http.ReadResponse(reader, nil)
			if err != nil {
				t.Fatal(err)
			}
			if a := read(t, response); a.status != want || !response.Close {
				t.Errorf("got %d, close %v, want %d and the connection's end", a.status, response.Close, want)
			}
			// What follows is no second request: nothing else is answered.
			if rest, _ := io.ReadAll(reader); len(rest) > 0 {
				t.Errorf("there is more: %q", rest)
			}
		})
	}
}

func TestWhoIsRefusedKeepsTheConnection(t *testing.T) {
	b := start(t, setup{config: guarded}, says("never"))
	c := b.dial()
	defer c.Close()
	const request = "POST /v1/chat/completions HTTP/1.1\r\nHost: leash\r\nAuthorization: Bearer sk-wrong\r\nContent-Type: application/json\r\n"
	for _, body := range []string{"Content-Length: 5\r\n\r\n01234", "Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n0\r\n\r\n"} {
		if _, err := io.WriteString(c, request+body+request+body); err != nil {
			t.Fatal(err)
		}
	}
	reader := bufio.NewReader(c)
	for i := range 4 {
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		if a := read(t, response); a.status != http.StatusUnauthorized || response.Close {
			t.Errorf("answer %d: got %d %s, close %v, want 401 and the connection", i, a.status, a.body, response.Close)
		}
	}
}

func TestTheClientIsAskedForItsBodyWhenItIsWanted(t *testing.T) {
	b := start(t, setup{config: guarded}, says("fine"))
	c := b.dial()
	defer c.Close()
	_, _ = fmt.Fprintf(c, "POST /v1/chat/completions HTTP/1.1\r\nHost: leash\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", demoKey, len(chat))
	reader := bufio.NewReader(c)
	line, err := reader.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "HTTP/1.1 100 ") {
		t.Fatalf("got %q (%v), want 100 Continue", line, err)
	}
	_, _ = io.WriteString(c, chat)
	_, _ = reader.ReadString('\n') // the empty line
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	if a := read(t, response); a.status != 502 && a.status != 200 {
		t.Errorf("got %d %s", a.status, a.body)
	}
}

func TestWhoSendsTooSlowlyIsToldSo(t *testing.T) {
	const head = "POST /v1/raw HTTP/1.1\r\nHost: leash\r\n"
	b := start(t, setup{settings: Settings{requestTimeout: 50 * time.Millisecond}}, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	})
	for name, request := range map[string]string{
		"a short body": head + "Content-Length: 10\r\n\r\nx",
		"a long body":  head + "Content-Length: 1000000\r\n\r\nx",
		"chunks":       head + "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			if a := b.raw(request); a.status != http.StatusRequestTimeout || !strings.Contains(a.body, "request_timeout") {
				t.Errorf("got %d %s, want 408", a.status, a.body)
			}
		})
	}
}

// endless answers without end, and tells when it was stopped.
func endless(stopped chan<- struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		piece := []byte(strings.Repeat("x", 64<<10))
		for {
			if _, err := w.Write(piece); err != nil {
				stopped <- struct{}{}
				return
			}
		}
	}
}

func TestWhoReadsNothingIsCutOff(t *testing.T) {
	stopped := make(chan struct{}, 2)
	b := start(t, setup{
		timeouts: "idle: 300ms", settings: Settings{leastIdle: 300 * time.Millisecond}, write: 300 * time.Millisecond,
	}, endless(stopped))
	for protocol, client := range clients(t) {
		t.Run(protocol, func(t *testing.T) {
			response, err := client.Do(b.request("POST", "/v1/raw", "x"))
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			receive(t, stopped, "the provider to be left")
			if _, err := io.Copy(io.Discard, response.Body); err == nil && response.StatusCode == http.StatusOK {
				t.Error("the answer seems to be whole")
			}
		})
	}
}

// TestWhoReadsSlowlyIsWaitedFor has a client take longer over an answer that comes to it at once than it may read nothing. On a machine that is busy
// nothing may be read for that long, so it tries again.
func TestWhoReadsSlowlyIsWaitedFor(t *testing.T) {
	const silence, window, windows = time.Second, 64 << 10, 30
	long := strings.Replace(fromSecond, "from the second", strings.Repeat("x", window*windows), 1)
	b := start(t, setup{config: guarded, timeouts: "idle: " + silence.String(), settings: Settings{leastIdle: silence}, write: silence},
		func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, long)
		})
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols, HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: window}}
	defer transport.CloseIdleConnections()
	for tries := 1; ; tries++ {
		response, err := (&http.Client{Transport: transport}).Do(b.request("POST", "/v1/chat/completions", chat))
		if err != nil {
			t.Fatal(err)
		}
		paced := time.NewTicker(2 * silence / windows)
		read := int64(0)
		for err == nil {
			<-paced.C
			var n int64
			n, err = io.CopyN(io.Discard, response.Body, window)
			read += n
		}
		paced.Stop()
		_ = response.Body.Close()
		if errors.Is(err, io.EOF) && read == int64(len(long)) {
			return
		}
		if tries == 5 {
			t.Fatalf("read %d of %d bytes (%v)", read, len(long), err)
		}
	}
}

func TestWhoLeavesEndsTheProvidersExchangeToo(t *testing.T) {
	left := make(chan struct{}, 1)
	begun := make(chan struct{}, 1)
	b := start(t, setup{config: guarded}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.Header.Get("X-Begin") != "" {
			w.Header().Set("Content-Type", "text/event-stream")
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
		}
		begun <- struct{}{}
		<-r.Context().Done()
		left <- struct{}{}
	})
	for name, begin := range map[string]string{"before the answer": "", "in the middle of a stream": "yes"} {
		t.Run(name, func(t *testing.T) {
			for protocol, client := range clients(t) {
				t.Run(protocol, func(t *testing.T) {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					r := b.request("POST", "/v1/chat/completions", strings.Replace(chat, "{", `{"stream":true,`, 1)).WithContext(ctx)
					r.Header.Set("X-Begin", begin)
					done := make(chan struct{})
					go func() {
						defer close(done)
						if response, err := client.Do(r); err == nil {
							_, _ = io.Copy(io.Discard, response.Body)
							_ = response.Body.Close()
						}
					}()
					receive(t, begun, "the provider to be asked")
					cancel()
					receive(t, left, "the provider to be left")
					receive(t, done, "the client")
				})
			}
		})
	}
}

func TestWhoLeavesWhileSendingIsForgotten(t *testing.T) {
	left, asked := make(chan error, 1), make(chan struct{})
	b := start(t, setup{}, func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		_, err := io.Copy(io.Discard, r.Body)
		left <- err
	})
	c := b.dial()
	_, _ = io.WriteString(c, "POST /v1/raw HTTP/1.1\r\nHost: leash\r\nContent-Length: 1000000\r\n\r\n"+strings.Repeat("x", 500_000))
	receive(t, asked, "the provider to be asked")
	_ = c.Close()
	if err := receive(t, left, "the provider"); err == nil {
		t.Error("half of a body has come to the provider as if it were whole")
	}
}

func TestAnAnswerBeforeTheEndOfTheBodyIsPassed(t *testing.T) {
	b := start(t, setup{}, func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		w.WriteHeader(http.StatusTooManyRequests)
	})
	for protocol, client := range clients(t) {
		t.Run(protocol, func(t *testing.T) {
			reader, writer := io.Pipe()
			defer writer.Close()
			go func() { _, _ = io.WriteString(writer, "begun") }()
			r := b.request("POST", "/v1/raw", "")
			r.Body, r.ContentLength = reader, -1
			response, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if response.StatusCode != http.StatusTooManyRequests {
				t.Errorf("got %d, want the provider's 429", response.StatusCode)
			}
		})
	}
}

func TestAModulesPatienceIsBounded(t *testing.T) {
	// Nothing comes of the body, so the modules wait, and nothing goes on.
	b := start(t, setup{config: guarded, settings: Settings{requestTimeout: time.Hour, leastIdle: 50 * time.Millisecond}, timeouts: "idle: 50ms"}, says("never"))
	a := b.raw("POST /v1/chat/completions HTTP/1.1\r\nHost: leash\r\nAuthorization: Bearer " + demoKey +
		"\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
	if a.status != http.StatusGatewayTimeout && a.status != http.StatusRequestTimeout {
		t.Errorf("got %d %s, want a timeout", a.status, a.body)
	}
}
