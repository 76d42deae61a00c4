package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/mock"
)

var contentTests = []sharedTest{
	{"a keyword of the user blocks the request before it leaves", testBlockedRequest},
	{"a keyword of the model blocks the answer", testBlockedAnswer},
	{"what is redacted in a request never reaches the provider", testRedactedRequest},
	{"what is redacted in an answer never reaches the client", testRedactedAnswer},
	{"a match that spans events is redacted before its start leaves", testRedactedStream},
	{"a keyword of the model ends a stream with an error", testBlockedStream},
	{"a flag is only logged", testFlag},
}

func testBlockedRequest(t *testing.T, g *gateway, _ *mock.Provider) {
	for name, message := range map[string]string{
		"plainly":                   "all of project bluebird please",
		"in capitals":               "PROJECT BLUEBIRD",
		"with zero-width spaces":    "proj\u200bect blue\u200dbird",
		"in full width":             "ｐｒｏｊｅｃｔ ｂｌｕｅｂｉｒｄ",
		"as the last of many parts": strings.Repeat("x", 20_000) + " project bluebird",
	} {
		t.Run(name, func(t *testing.T) {
			a := g.with(t).chat(message)
			if a.Status != 400 || a.errorCode() != "content_blocked" {
				t.Errorf("got %d %s, want 400 content_blocked", a.Status, a.Body)
			}
		})
	}
	if got := received(t, g.ports.Provider); strings.Contains(strings.ToLower(got), "bluebird") {
		t.Error("a blocked request reached the provider")
	}
}

func testBlockedAnswer(t *testing.T, g *gateway, _ *mock.Provider) {
	a := g.chat("say: an osprey")
	if a.Status != 400 || a.errorCode() != "content_blocked" || strings.Contains(a.Body, "osprey\"") && strings.Contains(a.Body, "choices") {
		t.Errorf("got %d %s, want 400 content_blocked", a.Status, a.Body)
	}
	if got := a.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("the error has content type %q", got)
	}
	r := g.exchange(a.Header.Get("X-Request-Id"))
	if cost, _ := r["cost_picodollars"].(float64); r["input_tokens"] != 3.0 || r["output_tokens"] != 2.0 || cost <= 0 { // the provider has made it
		t.Errorf("the exchange is logged as %v, want what the answer has used", r)
	}
}

func testRedactedRequest(t *testing.T, g *gateway, _ *mock.Provider) {
	for _, card := range []string{"4111 1111 1111 1111", "４１１１ １１１１ １１１１ １１１１", "4111\u200b1111\u20601111\u00ad1111"} {
		a := g.chat("my card is " + card + " and my password hunter2, thanks")
		if got, want := content(t, a), "You said: my card is [card] and my password *******, thanks"; got != want {
			t.Errorf("%q: the provider read %q, want %q", card, got, want)
		}
	}
	// Four digits alone stand by chance in request ids and times.
	if got := received(t, g.ports.Provider); strings.Contains(got, "4111 1111") || strings.Contains(got, "hunter2") {
		t.Error("what was redacted reached the provider")
	}
}

// answered lets the mock say a text. The rules "seal" and "osprey" look at answers only, so the request may hold it.
func answered(t testing.TB, g *gateway, provider *mock.Provider, stream bool, text string) answer {
	t.Helper()
	provider.SetFaults(mock.Behavior{Chunk: 3})
	return do(t, g.request(chatBody("say: "+text, stream)))
}

func testRedactedAnswer(t *testing.T, g *gateway, provider *mock.Provider) {
	a := answered(t, g, provider, false, "the code is seal-12345 and done")
	if got, want := content(t, a), "the code is [seal] and done"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func testRedactedStream(t *testing.T, g *gateway, provider *mock.Provider) {
	for chunk := 1; chunk <= 12; chunk++ {
		for _, behavior := range []mock.Behavior{{Chunk: chunk}, {Chunk: chunk, Write: 7, Escape: true}} {
			provider.SetFaults(behavior)
			s := g.stream("say: the code is seal-12345 and ｓｅａｌ-６7\u200b890")
			if want := "the code is [seal] and [seal]"; s.Text != want {
				t.Fatalf("%d bytes an event: got %q, want %q", chunk, s.Text, want)
			}
			if strings.Contains(s.Body, "seal-") || strings.Contains(s.Body, "12345") || strings.Contains(s.Body, "６") {
				t.Fatalf("%d bytes an event: a piece of the match left: %s", chunk, s.Body)
			}
		}
	}
}

func testBlockedStream(t *testing.T, g *gateway, provider *mock.Provider) {
	provider.SetFaults(mock.Behavior{Chunk: 2})
	s := g.stream("say: here it comes: an osprey with more text after it")
	if strings.Contains(s.Text, "os") || strings.Contains(s.Text, "more") {
		t.Errorf("the client reads %q, want nothing from the start of the match on", s.Text)
	}
	var last struct{ Error struct{ Code string } }
	if len(s.Events) < 2 || json.Unmarshal([]byte(s.Events[len(s.Events)-2]), &last) != nil || last.Error.Code != "content_blocked" {
		t.Errorf("the stream ends with %q, want an error event and [DONE]", s.Events)
	}
}

func testFlag(t *testing.T, g *gateway, _ *mock.Provider) {
	a := g.chat("say: write to someone@example.com")
	if content(t, a) != "write to someone@example.com" {
		t.Errorf("got %s, want it unchanged", a.Body)
	}
	if r := g.exchange(a.Header.Get("X-Request-Id")); r["flags"] != "email" {
		t.Errorf("flags are %v, want email", r["flags"])
	}
}
