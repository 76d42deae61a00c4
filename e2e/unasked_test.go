package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/internal/nettest"
)

// TestWhatAProviderSaysUnaskedIsInNoLog has a provider send more than it was asked for, which may be somebody else's answer.
func TestWhatAProviderSaysUnaskedIsInNoLog(t *testing.T) {
	onEngines(t, func(t *testing.T, p ports) {
		g := start(t, policies, p.of(nettest.ServeRaw(t, talkative)+"/v1"))
		if a := g.chat("Hi"); a.Status != 200 {
			t.Fatalf("got %d %s", a.Status, a.Body)
		}
		if p.Engine == "embedded" {
			nettest.Eventually(t, "the line about it", func() bool { return strings.Contains(g.stderr(), `msg="Unsolicited response`) })
		}
		g.stop()
		if text := g.stderr(); strings.Contains(text, unasked) {
			t.Errorf("it is in the log:\n%s", text)
		}
	})
}

// unasked is what the provider sends besides.
const unasked = "of-somebody-else"

// talkative is such a provider.
func talkative(w io.Writer, _ *http.Request) {
	const body = `{"id":"c","object":"chat.completion","created":1,"model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`
	_, _ = fmt.Fprintf(w, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%sHTTP/1.1 200 OK\r\nX-Answer: %s\r\n\r\n", len(body), body, unasked)
}
