package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// TestWhatAProviderSaysUnaskedIsInNoLog has a provider send more than it was asked for, which may be somebody else's answer.
func TestWhatAProviderSaysUnaskedIsInNoLog(t *testing.T) {
	onEngines(t, func(t *testing.T, p ports) {
		g := start(t, policies, p.of(talkative(t)))
		if a := g.chat("Hi"); a.Status != 200 {
			t.Fatalf("got %d %s", a.Status, a.Body)
		}
		if p.Engine == "embedded" {
			eventually(t, "the line about it", func() bool { return strings.Contains(g.stderr(), `msg="Unsolicited response`) })
		}
		g.stop()
		if text := g.stderr(); strings.Contains(text, unasked) {
			t.Errorf("it is in the log:\n%s", text)
		}
	})
}

// unasked is what the provider sends besides.
const unasked = "of-somebody-else"

// talkative is the URL of such a provider.
func talkative(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	const body = `{"id":"c","object":"chat.completion","created":1,"model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`
	answer := func(c net.Conn) {
		defer c.Close()
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%sHTTP/1.1 200 OK\r\nX-Answer: %s\r\n\r\n", len(body), body, unasked)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go answer(c)
		}
	}()
	return "http://" + l.Addr().String() + "/v1"
}
