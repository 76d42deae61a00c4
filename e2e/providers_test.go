package e2e

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/mock"
)

// three is a gateway to a provider of each kind.
const three = `
listen: 127.0.0.1:{{.Listen}}
control: {listen: 127.0.0.1:{{.Control}}}
envoy: {admin: 127.0.0.1:{{.Admin}}, concurrency: 2}
modules: {layout: {{or .Layout "together"}}}
providers:
  openai: {kind: openai, base_url: "{{.Fleet.openai.Server}}/v1", api_key: {env: LEASH_TEST_KEY_OPENAI}}
  anthropic: {kind: anthropic, base_url: "{{.Fleet.anthropic.Server}}", api_key: {env: LEASH_TEST_KEY_ANTHROPIC}}
  google: {kind: google, base_url: "{{.Fleet.google.Server}}", api_key: {env: LEASH_TEST_KEY_GOOGLE}}
tenants:
  demo:
    keys: [{name: laptop, sha256: 12cbc3cdde6a618d69e5c6e950ad7b85716d9c2f346bf67600b3baef33d50405}]
routes:
  - {model: gpt-4o-mini, provider: openai}
  - {model: claude-sonnet-4-5, provider: anthropic}
  - {model: gemini-2.5-flash, provider: google}
  - {model: sonnet, provider: anthropic, upstream_model: claude-sonnet-4-5}
  - {model: flash, provider: google, upstream_model: gemini-2.5-flash}
  - {model: "makers/*", provider: anthropic, upstream_model: claude-sonnet-4-5}
pipeline:
  - module: costtracker
  - module: logger
  - module: auth
`

// models are one of each provider of the fleet.
var models = map[string]string{"openai": "gpt-4o-mini", "anthropic": "claude-sonnet-4-5", "google": "gemini-2.5-flash"}

func written(value any) string {
	encoded, _ := json.Marshal(value) // of maps and strings
	return string(encoded)
}

func listenAt(address string) (net.Listener, bool) {
	l, err := net.Listen("tcp", address)
	return l, err == nil
}

// wantAll fails where a text lacks one of several pieces.
func wantAll(t testing.TB, text string, pieces []string) {
	t.Helper()
	text = strings.NewReplacer(": ", ":", ", ", ",").Replace(text) // JSON with blanks and without
	for _, piece := range pieces {
		if !strings.Contains(text, strings.NewReplacer(": ", ":", ", ", ",").Replace(piece)) {
			t.Errorf("%q is missing in %s", piece, text)
		}
	}
}

// shapeTests have providers that answer in a shape of their own.
var shapeTests = []changeTest{
	{"a provider that does not stream", testAProviderThatDoesNotStream},
	{"a stream that ends with trailers is whole", testAStreamThatEndsWithTrailersIsWhole},
}

// testAProviderThatDoesNotStream answers in one piece, though a stream is asked for.
func testAProviderThatDoesNotStream(t *testing.T, g *gateway) {
	const whole = `{"id":"1","model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"my card is 4111 1111 1111 1111"},"finish_reason":"stop"}],` +
		`"usage":{"prompt_tokens":3,"completion_tokens":9,"total_tokens":12}}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, whole)
	}))
	t.Cleanup(server.Close)
	g.change(policies, server.URL+"/v1")
	r := g.request(`{"model":"gpt-4o-mini","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`)
	r.URL.Path = "/v1/messages"
	a := do(t, r)
	if kind := a.Header.Get("Content-Type"); a.Status != 200 || kind != "text/event-stream" {
		t.Errorf("got %d %s", a.Status, kind)
	}
	wantEvents(t, a.Body)
	wantAll(t, a.Body, []string{"event: message_start", `"text":"my card is `, "[card]", `"stop_reason":"end_turn"`, "event: message_stop"})
	if r := g.exchange(a.Header.Get("X-Request-Id")); r["output_tokens"] != 9.0 || r["outcome"] != "ok" {
		t.Errorf("the log says %v", r)
	}
	if a := do(t, g.request(chatBody("hi", true))); a.Header.Get("Content-Type") != "application/json" || content(t, a) != "my card is [card]" {
		t.Errorf("to a client of the provider's own API: got %d %s, want the answer as it is", a.Status, a.Body)
	}
}

// testAStreamThatEndsWithTrailersIsWhole has a provider that ends its answers as HTTP/2 allows.
func testAStreamThatEndsWithTrailersIsWhole(t *testing.T, g *gateway) {
	const one, two = `{"candidates":[{"content":{"parts":[{"text":"my card is 4111 1111"}],"role":"model"},"index":0}]}`,
		`{"candidates":[{"content":{"parts":[{"text":" 1111 1111"}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":9}}`
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.ProtoMajor != 2 {
			t.Errorf("the provider is asked over %s", r.Proto)
		}
		kind, pieces := "application/json", []string{"[" + one, ",\r\n" + two + "\n]"}
		if strings.Contains(r.RequestURI, "alt=sse") {
			kind, pieces = "text/event-stream", []string{"data: " + one + "\r\n\r\n", "data: " + two + "\r\n"}
		}
		w.Header().Set("Content-Type", kind)
		for _, piece := range pieces {
			_, _ = io.WriteString(w, piece)
			_ = http.NewResponseController(w).Flush()
		}
		w.Header().Set(http.TrailerPrefix+"X-Sum", "1")
	}))
	authority := nettest.NewAuthority(t)
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{Certificates: []tls.Certificate{authority.Issue(t, nettest.Validity{}, "127.0.0.1")}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	config := strings.NewReplacer(
		`openai: {base_url: "{{.Provider}}", `, fmt.Sprintf(`openai: {kind: google, base_url: "{{.Provider}}", ca_file: %s, `, authority.File),
		"routes:\n", "routes:\n  - {model: gemini-2.5-flash, provider: openai}\n",
	).Replace(policies)
	g.change(config, server.URL)
	for path, end := range map[string]string{"": "]", "?alt=sse": "\n"} {
		r := g.request(`{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}`)
		r.URL, _ = url.Parse(g.URL + "/v1beta/models/gemini-2.5-flash:streamGenerateContent" + path)
		a := do(t, r)
		if a.Status != 200 || !strings.Contains(a.Body, "[card]") || !strings.Contains(a.Body, `"finishReason":"STOP"`) || !strings.HasSuffix(a.Body, end) {
			t.Errorf("%q: got %d %q", path, a.Status, a.Body)
		}
		if r := g.exchange(a.Header.Get("X-Request-Id")); r["output_tokens"] != 9.0 || r["outcome"] != "ok" || r["usage_estimated"] != nil {
			t.Errorf("%q: the log says %v", path, r)
		}
	}
}

func testAnyClientReachesAnyProvider(t *testing.T, g *gateway) {
	g.changeFleet(three, startFleet(t, "openai", "anthropic", "google"))
	for _, d := range dialects {
		if a := do(t, d.request(g, "makers/sonnet", "say: well done", false)); a.Status != 200 {
			t.Errorf("%s, a maker ahead of the model: got %d %s", d.name, a.Status, a.Body)
		}
		for provider, model := range models {
			t.Run(d.name+" to "+provider, func(t *testing.T) {
				g := g.with(t)
				a := do(t, d.request(g, model, "say: well done", false))
				if a.Status != 200 {
					t.Fatalf("got %d %s", a.Status, a.Body)
				}
				wantAll(t, a.Body, d.answers)
				a = do(t, d.request(g, model, "say: well done", true))
				if kind := a.Header.Get("Content-Type"); a.Status != 200 || !strings.HasPrefix(kind, "text/event-stream") {
					t.Fatalf("stream: got %d %s %s", a.Status, kind, a.Body)
				}
				wantAll(t, a.Body, d.events)
			})
		}
	}
	g.ports.Fleet.wantKeysKept(t)
}

func testModelsAreRenamedForAnyProvider(t *testing.T, g *gateway) {
	g.changeFleet(three, startFleet(t, "openai", "anthropic", "google"))
	for _, d := range dialects {
		for alias, provider := range map[string]string{"sonnet": "anthropic", "flash": "google"} {
			a := do(t, d.request(g, alias, "say: "+d.name+" renamed", false))
			if got := g.ports.Fleet[provider].received(t); a.Status != 200 || !strings.Contains(got, models[provider]) || strings.Contains(got, `"`+alias+`"`) {
				t.Errorf("%s: got %d %s, the provider received %s", d.name, a.Status, a.Body, got)
			}
		}
	}
}

func testWhatAProviderCannotBeToldIsRefused(t *testing.T, g *gateway) {
	g.changeFleet(three, startFleet(t, "openai", "anthropic", "google"))
	a := do(t, g.request(`{"model":"claude-sonnet-4-5","logit_bias":{"1":2},"messages":[{"role":"user","content":"hi"}]}`))
	if a.Status != 400 || a.errorCode() != "not_translatable" || !strings.Contains(a.Body, "logit_bias") {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
}

func testErrorsOfProvidersHaveTheClientsForm(t *testing.T, g *gateway) {
	g.changeFleet(three, startFleet(t, "openai", "anthropic", "google"))
	for provider, model := range models {
		g.ports.Fleet[provider].SetFaults(mock.Behavior{Status: 429, RetryAfter: 7e9})
		for _, d := range dialects {
			t.Run(d.name+" of "+provider, func(t *testing.T) {
				a := do(t, d.request(g.with(t), model, "say: hi", false))
				if a.Status != 429 || a.Header.Get("Retry-After") != "7" || a.Header.Get("Content-Type") != "application/json" {
					t.Errorf("got %d %v", a.Status, a.Header)
				}
				wantAll(t, a.Body, d.failure)
			})
		}
		g.ports.Fleet[provider].ClearFaults()
	}
	g.ports.Fleet["anthropic"].kill()
	for _, d := range dialects {
		t.Run(d.name+" of a provider that is dead", func(t *testing.T) {
			a := do(t, d.request(g.with(t), models["anthropic"], "say: hi", false))
			if a.Status != 503 {
				t.Errorf("got %d, want 503", a.Status)
			}
			wantAll(t, a.Body, d.failure)
		})
	}
}
