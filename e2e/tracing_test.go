package e2e

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/mock"
)

// newTrace is a trace that a client has begun: its id, the client's span, and the header.
func newTrace(flags string) (id, parent, header string) {
	var b [24]byte
	_, _ = rand.Read(b[:]) // never fails
	id, parent = hex.EncodeToString(b[:16]), hex.EncodeToString(b[16:])
	return id, parent, "00-" + id + "-" + parent + "-" + flags
}

// traced is a request that is part of a new trace.
func traced(r *http.Request) (id, parent string, _ *http.Request) {
	id, parent, header := newTrace("01")
	r.Header.Set("Traceparent", header)
	r.Header.Set("Tracestate", "vendor=of-the-client")
	r.Header.Set("Baggage", "secret=of-the-client")
	return id, parent, r
}

// TestAnExchangeIsATrace reads the spans of exchanges where a collector receives them.
func TestAnExchangeIsATrace(t *testing.T) {
	t.Parallel()
	onEngines(t, testAnExchangeIsATrace)
}

func testAnExchangeIsATrace(t *testing.T, p ports) {
	p.Fleet = startFleet(t, "openai", "anthropic", "google")
	r := startReceiver(t)
	const routes = "routes:\n" +
		"  - {model: hedged, failover: {hedge: 100ms}, targets: [{provider: openai, model: gpt-4o-mini}, {provider: anthropic, model: claude-sonnet-4-5}]}\n" +
		"  - {model: goes-on, failover: {mid_stream: true}, targets: [{provider: openai, model: gpt-4o-mini}, {provider: anthropic, model: claude-sonnet-4-5}]}\n"
	config := strings.Replace(alone(), "routes:\n", routes, 1) + "tracing: {endpoint: \"" + r.grpc + "\", headers: {X-Collector-Key: {env: LEASH_TEST_KEY}}, service: gateway}\n"
	g := start(t, config, p)
	chat := dialectNamed("chat")
	ask := func(t *testing.T, model, text string, stream bool, status int) (trace, parent string) {
		t.Helper()
		trace, parent, request := traced(chat.request(g.with(t), model, text, stream))
		if a := do(t, request); a.Status != status || a.Header.Get("X-Leash-Span") != "" {
			t.Fatalf("got %d %v %s, want %d", a.Status, a.Header, a.Body, status)
		}
		return trace, parent
	}
	at := func(name string) (host, port string) {
		host, port, err := net.SplitHostPort(p.Fleet[name].address)
		if err != nil {
			t.Fatal(err)
		}
		return host, "int:" + port
	}
	t.Run("with one attempt", func(t *testing.T) {
		trace, parent := ask(t, "gpt-4o-mini", "say: well done", false, 200)
		exchange, attempts := r.wait(t, trace, 1)
		if exchange.parent != parent || exchange.name != "POST /v1/chat/completions" || exchange.failed || exchange.state != "vendor=of-the-client" {
			t.Errorf("the exchange is %+v, want a child of %s", exchange, parent)
		}
		exchange.want(t, map[string]string{
			"http.request.method": "POST", "url.scheme": "http", "http.route": "/v1/chat/completions", "http.response.status_code": "int:200", "error.type": "-",
			"leash.tenant": "demo", "leash.key": "laptop", "client.address": "127.0.0.1", "leash.request_id": "+", "leash.cost_picodollars": "+", "gen_ai.usage.input_tokens": "-",
		})
		host, port := at("openai")
		if attempts[0].name != "chat gpt-4o-mini" || attempts[0].failed {
			t.Errorf("the attempt is %+v", attempts[0])
		}
		attempts[0].want(t, map[string]string{
			"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini", "gen_ai.response.model": "gpt-4o-mini",
			"gen_ai.response.id": "+", "gen_ai.response.finish_reasons": "[stop]", "gen_ai.usage.input_tokens": "+", "gen_ai.usage.output_tokens": "int:2",
			"server.address": host, "server.port": port, "error.type": "-", "gen_ai.request.stream": "-", "leash.attempt": "int:1",
			"gen_ai.input.messages": "-", "gen_ai.output.messages": "-",
		})
		if got := g.exchange(trace)["trace_id"]; got != trace {
			t.Errorf("the line of the log has the trace %v", got)
		}
	})
	t.Run("of a stream that is translated", func(t *testing.T) {
		trace, _ := ask(t, "claude-sonnet-4-5", "say: well done", true, 200)
		_, attempts := r.wait(t, trace, 1)
		host, port := at("anthropic")
		attempts[0].want(t, map[string]string{
			"gen_ai.operation.name": "chat", "gen_ai.provider.name": "anthropic", "gen_ai.request.model": "claude-sonnet-4-5", "gen_ai.response.model": "+",
			"gen_ai.response.finish_reasons": "[stop]", "gen_ai.usage.input_tokens": "+", "gen_ai.usage.output_tokens": "+", "gen_ai.request.stream": "bool:true",
			"gen_ai.response.time_to_first_chunk": "+", "server.address": host, "server.port": port, "error.type": "-",
		})
	})
	t.Run("of another API", func(t *testing.T) {
		trace, _, request := traced(dialectNamed("gemini").request(g.with(t), "gemini-2.5-flash", "say: well done", true))
		do(t, request)
		exchange, attempts := r.wait(t, trace, 1)
		if exchange.name != "POST /v1beta/models/{model}:streamGenerateContent" || attempts[0].name != "generate_content gemini-2.5-flash" {
			t.Errorf("the spans are %q and %q", exchange.name, attempts[0].name)
		}
		attempts[0].want(t, map[string]string{"gen_ai.provider.name": "gcp.gemini", "gen_ai.response.finish_reasons": "+", "gen_ai.usage.output_tokens": "+"})
	})
	for what, fault := range map[string]struct {
		behavior mock.Behavior
		error    string
		status   string
	}{
		"an error":       {mock.Behavior{Status: 500}, "500", "int:500"},
		"no answer":      {mock.Behavior{Hang: true}, "timeout", "-"},
		"garbage":        {mock.Behavior{Garbage: mock.GarbageBody}, "unreadable_answer", "int:200"},
		"no more of it":  {mock.Behavior{Status: 429}, "429", "int:429"},
		"a broken one":   {mock.Behavior{CutAfter: 20}, "+", "+"},
		"an error as OK": {mock.Behavior{Status: 500, AsOK: true}, "error_in_answer", "int:200"},
	} {
		t.Run("with two attempts, after "+what, func(t *testing.T) {
			p.Fleet["google"].SetFaults(fault.behavior)
			defer p.Fleet["google"].ClearFaults()
			var exchange span
			var attempts []span
			nettest.Eventually(t, "google to be asked first", func() bool { // once its breaker is closed
				time.Sleep(50 * time.Millisecond)
				trace, _ := ask(t, "google-or-openai", "say: well done", false, 200)
				nettest.Eventually(t, "the exchange's spans", func() bool { return len(r.of(trace)) >= 2 })
				if spans := r.of(trace); !strings.Contains(strings.Join([]string{spans[0].name, spans[1].name}, " "), "gemini") && len(spans) < 3 {
					return false
				}
				exchange, attempts = r.wait(t, trace, 2)
				return true
			})
			exchange.want(t, map[string]string{"http.response.status_code": "int:200", "error.type": "-"})
			attempts[0].want(t, map[string]string{
				"gen_ai.provider.name": "gcp.gemini", "gen_ai.request.model": "gemini-2.5-flash", "gen_ai.operation.name": "chat", "leash.attempt": "int:1",
				"error.type": fault.error, "http.response.status_code": fault.status, "server.address": "+", "server.port": "+", "gen_ai.usage.input_tokens": "-",
			})
			attempts[1].want(t, map[string]string{
				"gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini", "leash.attempt": "int:2", "error.type": "-", "gen_ai.usage.output_tokens": "int:2",
			})
			if !attempts[0].failed || attempts[1].failed {
				t.Errorf("the first is an error: %t, the second: %t", attempts[0].failed, attempts[1].failed)
			}
		})
	}
	for model, of := range map[string]struct {
		behavior mock.Behavior
		stream   bool
		error    string // of the first attempt
	}{
		"hedged":  {mock.Behavior{Hang: true}, false, "canceled"},
		"goes-on": {mock.Behavior{CutAfter: 4}, true, "-"}, // the first one's span is that of the stream
	} {
		t.Run("with two attempts, "+model, func(t *testing.T) {
			p.Fleet["openai"].SetFaults(of.behavior)
			defer p.Fleet["openai"].ClearFaults()
			trace, _ := ask(t, model, "say: one two three four five", of.stream, 200)
			_, attempts := r.wait(t, trace, 2)
			attempts[0].want(t, map[string]string{"leash.provider": "openai", "leash.attempt": "int:1", "error.type": of.error})
			attempts[1].want(t, map[string]string{"leash.provider": "anthropic", "leash.attempt": "int:2", "error.type": "-", "gen_ai.request.model": "claude-sonnet-4-5"})
			if attempts[0].failed != (of.error != "-") || attempts[1].failed {
				t.Errorf("the first is an error: %t, the second: %t", attempts[0].failed, attempts[1].failed)
			}
		})
	}
	t.Run("that fails at last", func(t *testing.T) {
		p.Fleet["anthropic"].SetFaults(mock.Behavior{Status: 503})
		defer p.Fleet["anthropic"].ClearFaults()
		trace, _ := ask(t, "anthropic-alone", "say: hi", false, 503)
		exchange, attempts := r.wait(t, trace, 1)
		exchange.want(t, map[string]string{"http.response.status_code": "int:503", "error.type": "503"})
		attempts[0].want(t, map[string]string{"error.type": "503", "gen_ai.provider.name": "anthropic"})
		if !exchange.failed || !attempts[0].failed {
			t.Errorf("the exchange is an error: %t, the attempt: %t", exchange.failed, attempts[0].failed)
		}
	})
	t.Run("that is refused", func(t *testing.T) {
		trace, _, request := traced(chat.request(g.with(t), "gpt-4o-mini", "say: hi", false))
		request.Header.Set("Authorization", "Bearer sk-nobody")
		do(t, request)
		exchange, _ := r.wait(t, trace, 0)
		exchange.want(t, map[string]string{"http.response.status_code": "int:401", "error.type": "invalid_api_key", "leash.refused_by": "auth", "leash.tenant": "-", "client.address": "127.0.0.1"})
		if exchange.failed {
			t.Error("what the client has done wrong is told as an error of the gateway")
		}
	})
	t.Run("that is refused for its answer", func(t *testing.T) {
		trace, _ := ask(t, "gpt-4o-mini", "say: the osprey", false, 400)
		exchange, attempts := r.wait(t, trace, 1)
		exchange.want(t, map[string]string{"error.type": "content_blocked", "leash.refused_by": "contentfilter"})
		attempts[0].want(t, map[string]string{"error.type": "-", "gen_ai.usage.output_tokens": "+"})
	})
	for _, model := range []string{"gpt-4o-mini", "claude-sonnet-4-5"} {
		t.Run("whose client leaves in the middle of a stream of "+model, func(t *testing.T) {
			for _, m := range p.Fleet {
				m.SetFaults(mock.Behavior{HangAfter: 6})
				defer m.ClearFaults()
			}
			trace, _, request := traced(chat.request(g.with(t), model, "lorem: 100", true))
			response, err := http.DefaultTransport.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			// Until its first word: what comes before is no token.
			for lines := bufio.NewReader(response.Body); ; {
				line, err := lines.ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(line, `"content":"`) && !strings.Contains(line, `"content":""`) {
					break
				}
			}
			_ = response.Body.Close()
			exchange, attempts := r.wait(t, trace, 1)
			exchange.want(t, map[string]string{"error.type": "interrupted"})
			attempts[0].want(t, map[string]string{"error.type": "interrupted", "gen_ai.response.time_to_first_chunk": "+", "gen_ai.usage.output_tokens": "-"})
		})
	}
	t.Run("not where the client says so", func(t *testing.T) {
		_, _, header := newTrace("00")
		quiet := chat.request(g.with(t), "openai-or-google", "say: hi", false)
		quiet.Header.Set("Traceparent", header)
		do(t, quiet)
		trace, _ := ask(t, "openai-or-google", "say: hi", false, 200)
		r.wait(t, trace, 1)
		if spans := r.of(header[3:35]); len(spans) > 0 {
			t.Errorf("it has %v", spans)
		}
	})
	t.Run("that begins here where the client has none", func(t *testing.T) {
		request := chat.request(g.with(t), "gpt-4o-mini", "say: hi", false)
		request.Header.Set("Traceparent", "00-none")
		request.Header.Set("Tracestate", "vendor=of-no-trace")
		a := do(t, request)
		trace, _ := g.exchange(a.Header.Get("X-Request-Id"))["trace_id"].(string)
		if exchange, _ := r.wait(t, trace, 1); exchange.parent != "" || exchange.state != "" {
			t.Errorf("the exchange is %+v, want no parent", exchange)
		}
	})
	if said := r.all(); strings.Contains(said, "well done") || strings.Contains(said, "of-the-client\"") && strings.Contains(said, "secret=") {
		t.Error("what was said, or the client's baggage, stands in the spans")
	}
	for name, m := range p.Fleet {
		if got := strings.ToLower(m.received(t)); strings.Contains(got, "traceparent") || strings.Contains(got, "of-the-client") {
			t.Errorf("%s has been told the client's trace context", name)
		}
	}
	if !r.services["gateway"] || len(r.services) != 1 || !r.keys[upstreamKey] || len(r.keys) != 1 {
		t.Errorf("the collector was sent spans of %v, with the keys %v", r.services, r.keys)
	}
	g.with(t).wantMetrics(`leash_trace_spans_total{result="sent"} +`)
	t.Run("with its texts, over HTTP, and told to providers, where that is asked for", func(t *testing.T) {
		testTracesWithAllThatMayBeAskedFor(t, g.with(t), r, config)
	})
}

// testTracesWithAllThatMayBeAskedFor changes the configuration of the running gateway.
func testTracesWithAllThatMayBeAskedFor(t *testing.T, g *gateway, r *receiver, config string) {
	config = strings.Replace(config, "endpoint: \""+r.grpc+"\"", "endpoint: \""+r.http+"\", protocol: http, propagate: true, prompts: true, completions: true", 1)
	g.write(config)
	nettest.Eventually(t, "the changed configuration", func() bool { return strings.Contains(g.stderr(), "the changed configuration is in force") })
	for model, provider := range map[string]string{"gpt-4o-mini": "openai", "claude-sonnet-4-5": "anthropic"} {
		for name, stream := range map[string]bool{"whole": false, "stream": true} {
			t.Run(name+" of "+provider, func(t *testing.T) {
				var attempt span
				var trace string
				nettest.Eventually(t, "an exchange under the changed configuration", func() bool {
					var request *http.Request
					trace, _, request = traced(dialectNamed("chat").request(g.with(t), model, "say: my card is 4111 1111 1111 1111", stream))
					if a := do(t, request); a.Status != 200 {
						t.Fatalf("got %d %s", a.Status, a.Body)
					}
					_, attempts := r.wait(t, trace, 1)
					attempt = attempts[0]
					return attempt.attributes["gen_ai.input.messages"] != "" && strings.Contains(g.ports.Fleet[provider].received(t), trace)
				})
				attempt.want(t, map[string]string{
					"gen_ai.input.messages":  `[{"role":"user","parts":[{"type":"text","content":"say: my card is [redacted]"}]}]`,
					"gen_ai.output.messages": `[{"role":"assistant","parts":[{"type":"text","content":"my card is [redacted]"}],"finish_reason":"stop"}]`,
				})
				got := g.ports.Fleet[provider].received(t)
				for _, want := range []string{"00-" + trace + "-" + attempt.id + "-01", "vendor=of-the-client", "secret=of-the-client"} {
					if !strings.Contains(got, want) {
						t.Errorf("%s has not been told %s", provider, want)
					}
				}
			})
		}
	}
	t.Run("a further attempt has a header of its own", func(t *testing.T) {
		g.ports.Fleet["openai"].SetFaults(mock.Behavior{Status: 500})
		defer g.ports.Fleet["openai"].ClearFaults()
		nettest.Eventually(t, "both to be told", func() bool { // a connection within Envoy serves one more request under the old configuration
			trace, _, request := traced(dialectNamed("chat").request(g.with(t), "openai-or-anthropic", "say: hi", false))
			do(t, request)
			_, attempts := r.wait(t, trace, 2)
			for i, provider := range []string{"openai", "anthropic"} {
				if want := "00-" + trace + "-" + attempts[i].id + "-01"; !strings.Contains(g.ports.Fleet[provider].received(t), want) {
					return false
				}
			}
			return true
		})
	})
}
