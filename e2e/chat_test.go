package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/mock"
)

var chatTests = []sharedTest{
	{"a chat is answered by the provider", testChat},
	{"a stream is answered event by event", testStream},
	{"the official client needs only another base URL and key", testOfficialClient},
	{"usage and cost are the provider's", testUsageAndCost},
	{"the extra usage event is hidden from who did not ask", testHiddenUsage},
	{"who is refused keeps the connection", testRefusedKeepsConnection},
	{"an alias is renamed for the provider", testAlias},
	{"models are listed to who has a key", testModels},
	{"the log line tells the exchange", testLogLine},
	{"a client that leaves in mid-stream is still counted", testDisconnect},
	{"metrics are served with bounded labels", testMetrics},
}

func content(t testing.TB, a answer) string {
	t.Helper()
	var body struct {
		Choices []struct {
			Message struct{ Content string }
		}
	}
	if err := json.Unmarshal([]byte(a.Body), &body); err != nil || len(body.Choices) == 0 {
		t.Fatalf("got status %d and %q, want a chat completion (%v)", a.Status, a.Body, err)
	}
	return body.Choices[0].Message.Content
}

// A streamed answer, read to its end.
type streamed struct {
	answer
	Text   string   // of the first choice
	Events []string // the data of each
}

// stream asks with a user message and reads a streamed answer.
func (g *gateway) stream(message string) streamed {
	g.t.Helper()
	return readStream(g.t, do(g.t, g.request(chatBody(message, true))))
}

func readStream(t testing.TB, a answer) streamed {
	t.Helper()
	s := streamed{answer: a}
	for data := range eventData(a.Body) {
		s.Events = append(s.Events, data)
		var event struct {
			Choices []struct {
				Delta struct{ Content string }
			}
		}
		if data != "[DONE]" {
			if err := json.Unmarshal([]byte(data), &event); err != nil {
				t.Fatalf("event %q is not JSON: %v", data, err)
			}
		}
		if len(event.Choices) > 0 {
			s.Text += event.Choices[0].Delta.Content
		}
	}
	return s
}

// eventData are the data of a stream's events, each of one line.
func eventData(stream string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for line := range strings.Lines(stream) {
			data, found := strings.CutPrefix(strings.TrimRight(line, "\r\n"), "data: ")
			if found && !yield(data) {
				return
			}
		}
	}
}

func testChat(t *testing.T, g *gateway, _ *mock.Provider) {
	a := g.chat("say: the answer")
	if got := content(t, a); a.Status != 200 || got != "the answer" {
		t.Errorf("got %d %q, want 200 %q", a.Status, got, "the answer")
	}
	if a.Header.Get("X-Request-Id") == "" {
		t.Error("the answer has no x-request-id")
	}
}

func testStream(t *testing.T, g *gateway, provider *mock.Provider) {
	for name, behavior := range map[string]mock.Behavior{
		"an event at a time":    {},
		"three bytes at a time": {Write: 3},
		"everything escaped":    {Escape: true},
	} {
		t.Run(name, func(t *testing.T) {
			provider.SetFaults(behavior)
			s := g.with(t).stream("say: one two three, and žluťoučký 🐎")
			if want := "one two three, and žluťoučký 🐎"; s.Text != want {
				t.Errorf("got %q, want %q in %q", s.Text, want, s.Body)
			}
			if last := s.Events[len(s.Events)-1]; last != "[DONE]" {
				t.Errorf("the last event is %q, want [DONE]", last)
			}
		})
	}
}

func testOfficialClient(t *testing.T, g *gateway, _ *mock.Provider) {
	python := filepath.Join(root(t), ".venv", "bin", "python")
	out, err := exec.Command(python, "client.py", g.URL+"/v1", demoKey).CombinedOutput() //nolint:gosec // our own script
	if err != nil {
		t.Fatalf("run client.py: %v (make test brings .venv)\n%s", err, out)
	}
}

func testUsageAndCost(t *testing.T, g *gateway, provider *mock.Provider) {
	for name, stream := range map[string]bool{"whole": false, "streamed": true} {
		t.Run(name, func(t *testing.T) {
			provider.SetFaults(mock.Behavior{CachedTokens: 3})
			g := g.with(t)
			a := do(t, g.request(chatBody("say: a b c d e f g h", stream)))
			r := g.exchange(a.Header.Get("X-Request-Id"))
			input, output := r["input_tokens"].(float64), r["output_tokens"].(float64)
			if !stream {
				var body struct {
					Usage struct {
						Prompt     float64 `json:"prompt_tokens"`
						Completion float64 `json:"completion_tokens"`
					}
				}
				if err := json.Unmarshal([]byte(a.Body), &body); err != nil || body.Usage.Prompt != input || body.Usage.Completion != output {
					t.Errorf("logged %v and %v tokens, want the provider's %+v (%v)", input, output, body.Usage, err)
				}
			}
			if input != 9 || output != 8 { // the mock counts words
				t.Errorf("logged %v and %v tokens, want the mock's 9 and 8", input, output)
			}
			// gpt-4o-mini costs 0.15, cached 0.075, output 0.60 USD per million tokens: 150,000, 75,000 and 600,000 picodollars each.
			if got, want := r["cost_picodollars"], (input-3)*150_000+3*75_000+output*600_000; got != want {
				t.Errorf("logged a cost of %v picodollars, want %v", got, want)
			}
		})
	}
}

func testHiddenUsage(t *testing.T, g *gateway, _ *mock.Provider) {
	s := g.stream("say: hello")
	for _, event := range s.Events {
		if strings.Contains(event, `"choices":[]`) || strings.Contains(event, `"prompt_tokens"`) {
			t.Errorf("the client reads %s, for which it did not ask", event)
		}
	}
	asked := strings.Replace(chatBody("say: hello", true), `{`, `{"stream_options":{"include_usage":true},`, 1)
	s = readStream(t, do(t, g.request(asked)))
	if !strings.Contains(s.Body, `"prompt_tokens"`) {
		t.Errorf("the client asked for usage and reads %s", s.Body)
	}
}

func testAlias(t *testing.T, g *gateway, _ *mock.Provider) {
	a := do(t, g.request(strings.Replace(chatBody("say: hi", false), "gpt-4o-mini", "fast", 1)))
	if a.Status != 200 || !strings.Contains(a.Body, `gpt-4o-mini`) {
		t.Errorf("got %d %s, want an answer of gpt-4o-mini", a.Status, a.Body)
	}
	unknown := do(t, g.request(strings.Replace(chatBody("say: hi", false), "gpt-4o-mini", "nobody-has-this", 1)))
	if unknown.Status != 404 || unknown.errorCode() != "model_not_found" {
		t.Errorf("an unknown model: got %d %s, want 404 model_not_found", unknown.Status, unknown.Body)
	}
}

func testModels(t *testing.T, g *gateway, _ *mock.Provider) {
	r, _ := http.NewRequest(http.MethodGet, g.URL+"/v1/models", nil)
	if a := do(t, r.Clone(t.Context())); a.Status != 401 {
		t.Errorf("without a key: got %d %s, want 401", a.Status, a.Body)
	}
	r.Header.Set("Authorization", "Bearer "+demoKey)
	a := do(t, r)
	if a.Status != 200 || !strings.Contains(a.Body, `"gpt-4o-mini"`) || !strings.Contains(a.Body, `"fast"`) || strings.Contains(a.Body, "*") {
		t.Errorf("got %d %s, want the routes' models", a.Status, a.Body)
	}
}

func testLogLine(t *testing.T, g *gateway, _ *mock.Provider) {
	a := g.chat("say: hello to 4111 1111 1111 1111")
	r := g.exchange(a.Header.Get("X-Request-Id"))
	for field, want := range map[string]any{
		"event": "exchange", "tenant": "demo", "key": "laptop", "model": "gpt-4o-mini", "provider": "openai",
		"status": 200.0, "outcome": "ok", "method": "POST", "path": "/v1/chat/completions",
	} {
		if r[field] != want {
			t.Errorf("%s is %v, want %v", field, r[field], want)
		}
	}
	if prompt, _ := r["prompt"].(string); !strings.Contains(prompt, "say: hello to") || strings.Contains(prompt, "4111") {
		t.Errorf("the prompt is logged as %q, want it redacted", prompt)
	}
	if r["latency_ms"] == nil || r["request_id"] != a.Header.Get("X-Request-Id") {
		t.Errorf("the line lacks latency or request id: %v", r)
	}
	refused := do(t, g.request(chatBody("tell me of Project Bluebird", false)))
	r = g.exchange(refused.Header.Get("X-Request-Id"))
	if r["outcome"] != "refused" || r["refused_by"] != "contentfilter" || r["code"] != "content_blocked" || r["status"] != 400.0 {
		t.Errorf("a refused exchange is logged as %v", r)
	}
}

func testDisconnect(t *testing.T, g *gateway, provider *mock.Provider) {
	const cost, requests = `leash_cost_picodollars_total{`, `leash_requests_total{`
	asked := g.settled(requests, `tenant="demo"`, `status="200"`)
	counted := g.settled(cost, `tenant="demo"`)
	provider.SetFaults(mock.Behavior{HangAfter: 6})
	request := g.request(chatBody("lorem: 100", true))
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(response.Body, make([]byte, 400)); err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	r := g.exchange(response.Header.Get("X-Request-Id"))
	if r["outcome"] != "aborted" || r["usage_estimated"] != true || r["output_tokens"] == nil || r["cost_picodollars"] == nil {
		t.Errorf("a client that left is logged as %v, want aborted with an estimated usage", r)
	}
	nettest.Eventually(t, "the metrics of the client that left", func() bool {
		page := get(t, g.Control+"/metrics").Body
		return sum(t, page, cost, `tenant="demo"`) > counted && sum(t, page, requests, `tenant="demo"`, `status="200"`) == asked+1
	})
}

// settled is the sum of a metric's series once the exchanges of the tests before are in it: modules count a moment later.
func (g *gateway) settled(metric string, labels ...string) (last float64) {
	g.t.Helper()
	const still = 2 * time.Second
	since := time.Now()
	nettest.Eventually(g.t, "the metrics of the tests before", func() bool {
		if now := sum(g.t, get(g.t, g.Control+"/metrics").Body, metric, labels...); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > still
	})
	return last
}

// sum adds up the series of a metric that have all of these labels.
func sum(t testing.TB, page, metric string, labels ...string) (total float64) {
	t.Helper()
lines:
	for line := range strings.Lines(page) {
		if !strings.HasPrefix(line, metric) {
			continue
		}
		for _, label := range labels {
			if !strings.Contains(line, label) {
				continue lines
			}
		}
		value, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:len(line)-1], 64)
		if err != nil {
			t.Fatalf("read the metric %q: %v", line, err)
		}
		total += value
	}
	return total
}

func testMetrics(t *testing.T, g *gateway, _ *mock.Provider) {
	for range 3 {
		g.chat("say: x")
	}
	g.chat(forbidden)
	nettest.Eventually(t, "the metrics of the exchanges", func() bool {
		page := get(t, g.Control+"/metrics").Body
		for _, want := range []string{
			`leash_requests_total{`, `leash_tokens_total{`, `leash_cost_picodollars_total{`, `leash_refusals_total{`,
			`leash_request_duration_milliseconds_bucket{`, `tenant="demo"`, `model="gpt-4o-mini"`, `module="contentfilter"`, `rule="bluebird"`,
		} {
			if !strings.Contains(page, want) {
				return false
			}
		}
		return true
	})
	// Neither what a client makes up nor a label that Envoy has not taken out of a name may make series of its own.
	for i := range 20 {
		do(t, g.request(strings.Replace(chatBody("say: x", false), "gpt-4o-mini", fmt.Sprintf("gpt-made-up-%d", i), 1)))
		do(t, g.request(strings.Replace(chatBody("say: x", false), "gpt-4o-mini", fmt.Sprintf("no-such-%d", i), 1)))
	}
	nettest.Eventually(t, "the metrics of made-up models", func() bool {
		return strings.Contains(get(t, g.Control+"/metrics").Body, `model="unknown"`)
	})
	page := get(t, g.Control+"/metrics").Body
	for _, wrong := range []string{"made-up", "no-such", "_rule_", "_tenant_", "[", "__"} {
		if at := strings.Index(page, wrong); at >= 0 {
			t.Errorf("the metrics hold %q: %.200s", wrong, page[max(0, at-100):])
		}
	}
}

// testRefusedKeepsConnection: what is refused at the headers is answered when the rest of the request has come, or within a time where it does not
// come. With HTTP/1 an answer ahead of that ends the connection.
func testRefusedKeepsConnection(t *testing.T, g *gateway, _ *mock.Provider) {
	c := g.dial()
	defer c.Close() //nolint:errcheck // read to its end
	reader := bufio.NewReader(c)
	ask := func(key, framing, body string, status int) (closes bool) {
		t.Helper()
		_, _ = fmt.Fprintf(c, "POST /v1/chat/completions HTTP/1.1\r\nHost: leash\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n%s\r\n\r\n", key, framing)
		time.Sleep(5 * time.Millisecond) // the headers come alone
		_, _ = io.WriteString(c, body)
		r, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close() //nolint:errcheck // read to its end
		if got, _ := io.ReadAll(r.Body); r.StatusCode != status {
			t.Errorf("got %d %s, want %d", r.StatusCode, got, status)
		}
		return r.Close
	}
	sized := func(key, message string, status int) bool {
		t.Helper()
		body := chatBody(message, false)
		return ask(key, fmt.Sprintf("Content-Length: %d", len(body)), body, status)
	}
	chunked := func(body string) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body) }
	if sized(demoKey, forbidden, 400) {
		t.Error("what the content filter refuses ends the connection")
	}
	if sized("sk-nobody", "say: hello", 401) || ask("sk-nobody", "Transfer-Encoding: chunked", chunked(strings.Repeat("x", 100_000)), 401) {
		t.Error("a key of nobody ends the connection")
	}
	if sized(demoKey, "say: hello", 200) {
		t.Error("an answer ends the connection")
	}
	if l := g.ports.Layout; l == "filters" || l == "files" {
		return // the module before auth has all of the request before it
	}
	if !ask("sk-nobody", "Content-Length: 1000", "the rest never comes", 401) {
		t.Error("a request without an end does not end the connection")
	}
}
