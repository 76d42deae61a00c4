package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/mock"
)

// breaks are the ways in which a provider may leave a stream in its midst.
var breaks = map[string]mock.Behavior{
	"closing the connection":    {CutAfter: 2},
	"in the middle of an event": {CutBytes: 700},
	"resetting the connection":  {CutAfter: 2, Reset: true},
	"falling silent":            {HangAfter: 2},
	"telling an error":          {ErrorAfter: 2},
}

// cutErrors are pieces of the event with which a stream ends that broke off, by dialect.
var cutErrors = map[string][]string{
	"completions": {`data: {"error":{"message":`, `"type":"server_error"`},
	"chat":        {`data: {"error":{"message":`, `"type":"server_error"`},
	"responses":   {"event: error", `"type":"error"`, `"message":`},
	"messages":    {"event: error", `"type":"error","error":{"type":"api_error"`, `"message":`},
	"gemini":      {`data: {"error":{"code":50`, `"status":"`},
}

// breaking is pairs with short patience, and routes to each provider alone.
func breaking() string {
	var routes strings.Builder
	for provider, model := range models {
		fmt.Fprintf(&routes, "  - {model: %s-alone, stream_errors: true, timeouts: {idle: 1s}, provider: %s, upstream_model: %s}\n", provider, provider, model)
		fmt.Fprintf(&routes, "  - {model: %s-first, timeouts: {idle: 1s}, targets: [{provider: %s, model: %s}, {provider: %s, model: %s}]}\n",
			provider, provider, model, after[provider], models[after[provider]])
	}
	return strings.Replace(three, "routes:\n", "routes:\n"+routes.String(), 1)
}

// TestAStreamThatBreaksOffIsNeverCutSilently breaks streams of each provider in each way, and reads what each client does.
func TestAStreamThatBreaksOffIsNeverCutSilently(t *testing.T) {
	t.Parallel()
	onEngines(t, testAStreamThatBreaksOffIsNeverCutSilently)
}

func testAStreamThatBreaksOffIsNeverCutSilently(t *testing.T, p ports) {
	p.Fleet = startFleet(t, "openai", "anthropic", "google")
	g := start(t, breaking(), p)
	for name, behavior := range breaks {
		for _, m := range p.Fleet {
			m.SetFaults(behavior)
		}
		t.Run(name, func(t *testing.T) {
			for provider := range models {
				for _, d := range dialects {
					for _, route := range []string{"alone", "first"} {
						t.Run(d.name+" of "+provider+" "+route, func(t *testing.T) {
							t.Parallel()
							g := g.with(t)
							a := do(t, d.request(g, provider+"-"+route, "say: one two three four five six seven eight nine ten", true))
							if a.Status != 200 {
								t.Fatalf("got %d %s", a.Status, a.Body)
							}
							wantEvents(t, a.Body)
							wantAll(t, a.Body, cutErrors[d.name])
							if r := g.exchange(a.Header.Get("X-Request-Id")); r["outcome"] != "error" || r["code"] != "stream_error" || r["status"] != 200.0 {
								t.Errorf("the log says %v", r)
							}
						})
					}
				}
			}
		})
		for _, m := range p.Fleet {
			m.ClearFaults()
		}
	}
	// Then the same streams are whole.
	for provider := range models {
		for _, d := range dialects {
			a := do(t, d.request(g, provider+"-alone", "say: well done", true))
			wantEvents(t, a.Body)
			wantAll(t, a.Body, d.events)
			if strings.Contains(a.Body, `"error":{`) {
				t.Errorf("%s of %s: got %s", d.name, provider, a.Body)
			}
		}
	}
	nettest.Eventually(t, "the streams that broke off to be counted", func() bool {
		page := get(t, g.Control+"/metrics").Body
		return sum(t, page, "leash_attempt_errors_total", `provider="openai"`, `class="stream_cut"`) > 0 &&
			sum(t, page, "leash_errors_total", `provider="openai"`, `class="stream_error"`) > 0
	})
}

// wantEvents fails where an event of a stream is not complete.
func wantEvents(t testing.TB, stream string) {
	t.Helper()
	if !strings.HasSuffix(stream, "\n\n") && !strings.HasSuffix(stream, "\r\n\r\n") {
		t.Errorf("the last event is not complete in %q", stream)
	}
	for data := range eventData(stream) {
		if data != "[DONE]" && !json.Valid([]byte(data)) {
			t.Errorf("event %q is no JSON", data)
		}
	}
}

// TestAStreamThatBreaksOffBeforeItBeganIsAnError has no answer of which half has gone on.
func TestAStreamThatBreaksOffBeforeItBeganIsAnError(t *testing.T) {
	t.Parallel()
	onEngines(t, testAStreamThatBreaksOffBeforeItBeganIsAnError)
}

func testAStreamThatBreaksOffBeforeItBeganIsAnError(t *testing.T, p ports) {
	p.Fleet = startFleet(t, "openai", "anthropic", "google")
	g := start(t, breaking(), p)
	for _, m := range p.Fleet {
		m.SetFaults(mock.Behavior{CutBytes: 5})
	}
	for provider := range models {
		for _, d := range dialects {
			for _, stream := range []bool{true, false} {
				a := do(t, d.request(g, provider+"-alone", "say: well done", stream))
				if a.Status != http.StatusBadGateway && a.Status != http.StatusServiceUnavailable {
					t.Errorf("%s of %s: got %d %s", d.name, provider, a.Status, a.Body)
				}
				wantAll(t, a.Body, d.failure)
			}
		}
	}
}

// resuming is pairs whose streams go on at the other provider, with a route on which that may have been asked already.
func resuming() string {
	const hedged = "  - {model: hedged, failover: {mid_stream: true, hedge: 10s}, targets: [{provider: openai, model: gpt-4o-mini}, {provider: google, model: gemini-2.5-flash}]}\n"
	config := strings.Replace(pairs(), "routes:\n", "routes:\n"+hedged, 1)
	return strings.ReplaceAll(config, "timeouts: {first_byte: 2s}", "failover: {mid_stream: true}")
}

// said is the text of a stream in any dialect.
func said(stream string) string {
	var text strings.Builder
	for data := range eventData(stream) {
		var event struct {
			Choices []struct {
				Text  string
				Delta struct{ Content string }
			}
			Delta      struct{ Text string }
			Candidates []struct {
				Content struct{ Parts []struct{ Text string } }
			}
		}
		_ = json.Unmarshal([]byte(data), &event) // [DONE] is none
		for _, c := range event.Choices {
			text.WriteString(c.Delta.Content + c.Text)
		}
		text.WriteString(event.Delta.Text)
		for _, c := range event.Candidates {
			for _, p := range c.Content.Parts {
				text.WriteString(p.Text)
			}
		}
	}
	return text.String()
}

// TestAStreamThatBreaksOffGoesOnElsewhere breaks the stream of each provider and reads on from each other one.
// openings are how many events an answer of the mock's begins with that hold nothing of it.
var openings = map[string]int{"openai": 1, "anthropic": 2}

func TestAStreamThatBreaksOffGoesOnElsewhere(t *testing.T) {
	t.Parallel()
	onEngines(t, testAStreamThatBreaksOffGoesOnElsewhere)
}

func testAStreamThatBreaksOffGoesOnElsewhere(t *testing.T, p ports) {
	p.Fleet = startFleet(t, "openai", "anthropic", "google")
	g := start(t, resuming(), p)
	for first := range models {
		p.Fleet[first].SetFaults(mock.Behavior{CutAfter: 4})
		for second := range models {
			if first == second {
				continue
			}
			for _, d := range dialects {
				if d.name == "responses" || d.name == "completions" { // which nobody can be asked to go on with
					t.Run(d.name+" of "+first+" end", func(t *testing.T) {
						status, body := outcome(d.request(g.with(t), first+"-or-"+second, "say: one two three four five six", true))
						if status != 200 {
							t.Errorf("got %d %s", status, body)
						}
						wantEvents(t, body)
						wantAll(t, body, cutErrors[d.name])
					})
					continue
				}
				t.Run(d.name+" of "+first+", then "+second, func(t *testing.T) {
					status, body := outcome(d.request(g.with(t), first+"-or-"+second, "say: one two three four five six", true))
					if status != 200 {
						t.Fatalf("got %d %s", status, body)
					}
					wantEvents(t, body)
					wantAll(t, body, d.events)
					// The mock says the same again, whatever has been said: the second one's text stands behind the first one's.
					text := said(body)
					if before, ok := strings.CutSuffix(text, "one two three four five six"); !ok || !strings.HasPrefix("one two three four five six", before) || before == "" {
						t.Errorf("got %q of %s", text, body)
					}
					got := strings.ToLower(p.Fleet[second].received(t))
					if !strings.Contains(got, "one two three") || strings.Contains(got, "x-leash") || strings.Contains(got, "x-envoy") || strings.Contains(got, "x-forwarded") {
						t.Errorf("the second one got %s", got)
					}
				})
			}
		}
		p.Fleet[first].ClearFaults()
	}
	t.Run("hedged", func(t *testing.T) {
		p.Fleet["openai"].SetFaults(mock.Behavior{CutAfter: 4})
		defer p.Fleet["openai"].ClearFaults()
		status, body := outcome(dialectNamed("chat").request(g.with(t), "hedged", "say: one two three four five six", true))
		if text := said(body); status != 200 || !strings.HasSuffix(text, "one two three four five six") || text == "one two three four five six" {
			t.Errorf("got %d %s", status, body)
		}
		wantEvents(t, body)
	})
	for first := range models {
		for _, after := range []int{4, openings[first]} { // in this order: the second opens breakers
			if after == 0 {
				continue // an answer of Google's has none
			}
			p.Fleet[first].SetFaults(mock.Behavior{ErrorAfter: after})
			for second := range models {
				for _, d := range dialects {
					if first == second || d.name == "responses" || d.name == "completions" {
						continue
					}
					t.Run(d.name+" of "+first+", an error after "+strconv.Itoa(after)+", then "+second, func(t *testing.T) {
						status, body := outcome(d.request(g.with(t), first+"-or-"+second, "say: one two three four five six", true))
						wantEvents(t, body)
						wantAll(t, body, d.events)
						text := said(body)
						before, ok := strings.CutSuffix(text, "one two three four five six")
						if status != 200 || !ok || (before == "") != (after == openings[first]) {
							t.Errorf("got %d, %q of %s", status, text, body)
						}
					})
				}
			}
			p.Fleet[first].ClearFaults()
		}
	}
	p.Fleet.wantKeysKept(t)
	nettest.Eventually(t, "the streams that went on to be counted", func() bool {
		return sum(t, get(t, g.Control+"/metrics").Body, "leash_resumed_streams_total", `provider="google"`) > 0
	})
}
