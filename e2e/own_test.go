package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/leash-gateway/leash/mock"
)

// startPasted runs an own Envoy with the filters that `leash render` prints for a layout.
func startPasted(t testing.TB, config, layout string, own ownEnvoy) (g *gateway, provider *mock.Provider) {
	t.Helper()
	provider, url := startProvider(t, mock.Options{Control: true})
	g = prepare(t, config, ports{Layout: layout}.of(url))
	var rendered struct {
		Resources struct {
			Listeners []struct {
				Name   string
				Chains []struct {
					Filters []struct {
						Config struct {
							Filters []map[string]any `json:"http_filters"`
						} `json:"typed_config"`
					}
				} `json:"filter_chains"`
			}
		} `json:"static_resources"`
	}
	if err := yaml.Unmarshal([]byte(render(t, g)), &rendered); err != nil {
		t.Fatal(err)
	}
	var filters []string
	for _, l := range rendered.Resources.Listeners {
		for _, filter := range l.Chains[0].Filters[0].Config.Filters {
			if name := filter["name"].(string); l.Name == "leash" && strings.HasPrefix(name, "leash.") { //nolint:forcetypeassert // a name is text
				merge(filter["typed_config"].(map[string]any), own.filter) //nolint:forcetypeassert // all have one
				filters = append(filters, asJSON(t, filter))
			}
		}
	}
	if own.routes != "" {
		own.routes = strings.ReplaceAll(own.routes, "WITHOUT_LEASH", without(t, filters))
	}
	g.envoy(g.ownBootstrap(own, filters))
	return g, provider
}

// without is what switches these filters off on a route.
func without(t testing.TB, filters []string) string {
	t.Helper()
	off := map[string]any{}
	for _, text := range filters {
		var filter struct{ Name string }
		if err := json.Unmarshal([]byte(text), &filter); err != nil {
			t.Fatal(err)
		}
		off[filter.Name] = map[string]any{"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": true}
	}
	return asJSON(t, off)
}

// luaFilter is somebody else's: it reads bodies, and adds a header to either side.
const luaFilter = `{"name": "lua", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua", "default_source_code": {"inline_string": "
	function envoy_on_request(h) h:headers():add('x-lua', '1'); local b = h:body(); if b then b:length() end end
	function envoy_on_response(h) h:headers():add('x-lua', '1') end"}}}`

// TestModulesBesideFiltersOfOthers has Leash's filters in an Envoy that somebody has, with all kinds of filters around them.
func TestModulesBesideFiltersOfOthers(t *testing.T) {
	t.Parallel()
	const extension = `"@type": "type.googleapis.com/envoy.extensions.filters.http.`
	own := ownEnvoy{
		before: []string{
			`{"name": "envoy.filters.http.cors", "typed_config": {` + extension + `cors.v3.Cors"}}`,
			`{"name": "compressor", "typed_config": {` + extension + `compressor.v3.Compressor", "response_direction_config": {"common_config": {"content_type": ["application/json", "text/event-stream"]}},
				"compressor_library": {"name": "gzip", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.compression.gzip.compressor.v3.Gzip"}}}}`,
			`{"name": "rbac", "typed_config": {` + extension + `rbac.v3.RBAC", "rules": {"action": "DENY", "policies": {"p": {
				"permissions": [{"header": {"name": "x-deny", "present_match": true}}], "principals": [{"any": true}]}}}}}`,
			`{"name": "buffer", "typed_config": {` + extension + `buffer.v3.Buffer", "max_request_bytes": 4000000}}`,
		},
		between: []string{luaFilter},
		behind: []string{
			luaFilter,
			`{"name": "headers", "typed_config": {` + extension + `header_mutation.v3.HeaderMutation", "mutations": {"request_mutations": [{"append": {"header": {"key": "x-own", "value": "yes"}}}]}}}`,
		},
		routes: `{match: {path: /healthz}, direct_response: {status: 200, body: {inline_string: fine}}, typed_per_filter_config: WITHOUT_LEASH},
			{match: {prefix: /v1/, headers: [{name: ":method", string_match: {exact: OPTIONS}}]}, route: {cluster: own},
			typed_per_filter_config: {envoy.filters.http.cors: {` + extension + `cors.v3.CorsPolicy", allow_origin_string_match: [{prefix: http}], allow_methods: POST}}},`,
		access: "own log: %RESPONSE_CODE% %RESPONSE_CODE_DETAILS%",
		limit:  33 << 20,
	}
	inAllLayouts(t, func(t *testing.T, p ports) {
		g, provider := startPasted(t, policies, p.Layout, own)
		if a := g.chat("my card is 4111 1111 1111 1111, thanks"); content(t, a) != "You said: my card is [card], thanks" || a.Header.Get("X-Lua") == "" {
			t.Errorf("the provider has read %s, the client %v", a.Body, a.Header)
		}
		if a := g.chat("tell me of Project Bluebird"); a.Status != 400 || a.errorCode() != "content_blocked" {
			t.Errorf("a blocked request: got %d %s", a.Status, a.Body)
		}
		if a := answered(t, g, provider, false, "the code is seal-12345 and done"); content(t, a) != "the code is [seal] and done" {
			t.Errorf("a redacted answer: got %s", a.Body)
		}
		if s := g.stream("say: the code is seal-12345 and seal-67890"); s.Text != "the code is [seal] and [seal]" {
			t.Errorf("a stream: got %q in %s", s.Text, s.Body)
		}
		if long := strings.Repeat("x", 900<<10); content(t, g.chat("say: "+long)) != long {
			t.Error("a long body has not come back")
		}
		stranger := g.request(chatBody("say: hi", false))
		stranger.Header.Set("Authorization", "Bearer sk-nobody")
		if a := do(t, stranger); a.Status != 401 || a.errorCode() != "invalid_api_key" {
			t.Errorf("a wrong key: got %d %s", a.Status, a.Body)
		}
		denied := g.request(chatBody("say: hi", false))
		denied.Header.Set("X-Deny", "1")
		if a := do(t, denied); a.Status != 403 || a.Body != "RBAC: access denied" {
			t.Errorf("what a filter before has refused: got %d %s", a.Status, a.Body)
		}
		packed := g.request(chatBody("say: "+strings.Repeat("seal-12345 ", 100), false))
		packed.Header.Set("Accept-Encoding", "gzip")
		if a := do(t, packed); a.Header.Get("Content-Encoding") != "gzip" || !strings.Contains(unpacked(t, a.Body), "[seal] [seal]") {
			t.Errorf("a compressed answer: got %d %v", a.Status, a.Header)
		}
		preflight := request(t, http.MethodOptions, g.URL+"/v1/chat/completions", map[string]string{"Origin": "http://app.example", "Access-Control-Request-Method": "POST"})
		if a := do(t, preflight); a.Status != 200 || a.Header.Get("Access-Control-Allow-Origin") != "http://app.example" {
			t.Errorf("a preflight: got %d %v", a.Status, a.Header)
		}
		if a := do(t, request(t, http.MethodGet, g.URL+"/healthz", nil)); a.Status != 200 || a.Body != "fine" {
			t.Errorf("a route without the modules: got %d %s", a.Status, a.Body)
		}
		if a := do(t, request(t, http.MethodGet, g.URL+"/metrics", nil)); a.Status != 404 || a.errorCode() != "unknown_url" {
			t.Errorf("a route with them, to what they do not know: got %d %s", a.Status, a.Body)
		}
		eventually(t, "Envoy's own log to have who has answered", func() bool {
			log := g.stderr()
			return strings.Contains(log, "own log: 200 via_upstream") && strings.Contains(log, "own log: 401 leash") && strings.Contains(log, "own log: 403 rbac_access_denied")
		})
		got := received(t, g.ports.Provider)
		if !strings.Contains(strings.ToLower(got), "x-own") || strings.Contains(got, demoKey) {
			t.Error("the provider lacks what a filter behind has added, or has a client's key")
		}
	})
}

// TestEnvoyThatHoldsBodiesBackIsToldOf is what an operator reads whose filters lack the option.
func TestEnvoyThatHoldsBodiesBackIsToldOf(t *testing.T) {
	t.Parallel()
	g, _ := startPasted(t, policies, "together", ownEnvoy{
		filter: map[string]any{"config": map[string]any{"allow_on_headers_stop_iteration": nil}},
	})
	eventually(t, "the log to tell what is missing", func() bool {
		connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(g.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		// It would hang: the client goes away.
		err = g.request(chatBody("say: hi", false)).Write(connection)
		if closed := connection.Close(); err != nil || closed != nil {
			t.Fatal(err, closed)
		}
		return strings.Contains(g.stderr(), "set allow_on_headers_stop_iteration: true")
	})
}

// request is one with these headers.
func request(t testing.TB, method, url string, headers map[string]string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	return r
}

func unpacked(t testing.TB, text string) string {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader([]byte(text)))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}
