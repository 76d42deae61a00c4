package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/internal/nettest"
)

var hostileTests = []changeTest{
	{"answers that break off or are none are errors in the client's form", testAnswersThatBreakOff},
	{"of a stream that breaks off all whole events have gone to the client", testStreamsThatBreakOff},
	{"who closes its own side only is not told that all went well", testHalfClosed},
}

func testAnswersThatBreakOff(t *testing.T, g *gateway) {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	tests := map[string]struct {
		answer string
		code   string
	}{
		"shorter than it says":          {head + `Content-Length: 900` + "\r\n\r\n" + `{"id":"a","choices":[`, "provider_unavailable"},
		"in the middle of a chunk":      {head + "Transfer-Encoding: chunked\r\n\r\n90\r\n" + `{"id":"a","choices":[`, "provider_unavailable"},
		"with nothing behind its head":  {head + "Transfer-Encoding: chunked\r\n\r\n", "provider_unavailable"},
		"an error in its middle":        {"HTTP/1.1 500 Oh\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n" + `{"error":{"mess`, "provider_unavailable"},
		"in the middle of its head":     {head + "X-A: b", "provider_unavailable"},
		"a space in a header's name":    {head + "X A: b\r\nContent-Length: 2\r\n\r\n{}", "provider_unavailable"},
		"a length that is none":         {head + "Content-Length : 2\r\n\r\n{}", "provider_unavailable"},
		"more than 100 headers":         {head + strings.Repeat("X-A: b\r\n", 100) + "Content-Length: 2\r\n\r\n{}", "provider_unavailable"},
		"90 KiB of headers":             {head + "X-A: " + strings.Repeat("b", 90<<10) + "\r\nContent-Length: 2\r\n\r\n{}", "provider_unavailable"},
		"another protocol, not asked":   {"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\nhello", "unreadable_answer"},
		"an answer that has no content": {"HTTP/1.1 204 No Content\r\n\r\n", "unreadable_answer"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			g := g.with(t)
			g.change(policies, nettest.ServeRaw(t, func(w io.Writer, _ *http.Request) { _, _ = io.WriteString(w, tc.answer) })+"/v1")
			onCarriers(t, g.request(chatBody("hi", false)), func(how string, a answer) {
				if a.Status != 502 || a.errorCode() != tc.code {
					t.Errorf("%s: got %d %s, want 502 %s", how, a.Status, a.Body, tc.code)
				}
				if r := g.exchange(a.Header.Get("X-Request-Id")); r["outcome"] == "ok" || r["cost_picodollars"] == nil && r["outcome"] == "aborted" {
					t.Errorf("%s: logged as %v", how, r)
				}
			})
		})
	}
}

func testStreamsThatBreakOff(t *testing.T, g *gateway) {
	events := ""
	for _, word := range []string{"one", "five", "nine"} {
		events += fmt.Sprintf("data: {\"id\":\"a\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":%q},\"finish_reason\":null}]}\n\n", word)
	}
	const head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
	for name, answer := range map[string]struct{ begins, breaks string }{
		"in the middle of a chunk": {fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(events), events), "9000\r\ndata: {"},
		"shorter than it says":     {"Content-Length: 9000\r\n\r\n" + events, "data: {"},
	} {
		t.Run(name, func(t *testing.T) {
			g := g.with(t)
			read := make(chan struct{})
			g.change(policies, nettest.ServeRaw(t, func(w io.Writer, _ *http.Request) {
				_, _ = io.WriteString(w, head+answer.begins)
				<-read // or an engine might see the end before it has passed anything on
				_, _ = io.WriteString(w, answer.breaks)
			})+"/v1")
			response, err := http.DefaultTransport.RoundTrip(g.request(chatBody("hi", true)))
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close() //nolint:errcheck // read to its end
			first := make([]byte, len(events))
			if _, err := io.ReadFull(response.Body, first); err != nil || string(first) != events {
				t.Errorf("got %s, %v, want the events", first, err)
			}
			close(read)
			if rest, err := io.ReadAll(response.Body); err == nil {
				t.Errorf("got %s behind the events, want a break", rest)
			}
			if r := g.exchange(response.Header.Get("X-Request-Id")); r["outcome"] != "aborted" || r["completion"] != "onefivenine" {
				t.Errorf("logged as %v, want what has come", r)
			}
		})
	}
}

func testHalfClosed(t *testing.T, g *gateway) {
	asked, over := make(chan struct{}), make(chan struct{})
	defer close(over)
	g.change(policies, nettest.ServeRaw(t, func(io.Writer, *http.Request) {
		close(asked)
		<-over
	})+"/v1")
	c := g.dial()
	defer c.Close() //nolint:errcheck // read to its end
	body := chatBody("half of it", false)
	if _, err := io.WriteString(c, post("/v1/chat/completions", length(body), body)); err != nil {
		t.Fatal(err)
	}
	<-asked
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); err != nil || len(got) > 0 {
		t.Errorf("got %q, %v, want the connection to end", got, err)
	}
	if r := g.exchange("half of it"); r["outcome"] != "aborted" || r["status"] != 0.0 {
		t.Errorf("logged as %v, want aborted before an answer", r)
	}
}
