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
	"text/template"

	"sigs.k8s.io/yaml"

	"github.com/leash-gateway/leash/internal/nettest"
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
		nettest.Eventually(t, "Envoy's own log to have who has answered", func() bool {
			log := g.stderr()
			return strings.Contains(log, "own log: 200 via_upstream") && strings.Contains(log, "own log: 401 leash") && strings.Contains(log, "own log: 403 rbac_access_denied")
		})
		got := received(t, g.ports.Provider)
		if !strings.Contains(strings.ToLower(got), "x-own") || strings.Contains(got, demoKey) {
			t.Error("the provider lacks what a filter behind has added, or has a client's key")
		}
	})
}

// wholeBootstrap is that of an own Envoy with all that the guide says to take, routes and providers of Leash's among it. Its own are filters around Leash's, a route
// for what these look at, which is a request before a module has chosen where it goes, and a virtual host that Leash has nothing to do with.
const wholeBootstrap = `
admin: {address: {socket_address: {address: 127.0.0.1, port_value: {{.Ports.Admin}}}}}
bootstrap_extensions: {{json .Rendered.bootstrap_extensions}}
layered_runtime: {{json .Rendered.layered_runtime}}
stats_config: {{json .Rendered.stats_config}}
static_resources:
  secrets: {{json .Rendered.static_resources.secrets}}
  clusters:
    {{range .Rendered.static_resources.clusters}}
    - {{json .}}
    {{end}}
    - name: own
      type: STATIC
      load_assignment: {cluster_name: own, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: {{.Provider}}}}}}]}]}
  listeners:
    {{range .Carriers}}
    - {{json .}}
    {{end}}
    - address: {socket_address: {address: 127.0.0.1, port_value: {{.Ports.Listen}}}}
      per_connection_buffer_limit_bytes: {{.Leash.per_connection_buffer_limit_bytes}}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: own
                upgrade_configs: [{upgrade_type: websocket}]
                early_header_mutation_extensions: {{json .Manager.early_header_mutation_extensions}}
                http_protocol_options: {{json .Manager.http_protocol_options}}
                http2_protocol_options: {initial_stream_window_size: {{.Manager.http2_protocol_options.initial_stream_window_size}}}
                local_reply_config: {{json .Manager.local_reply_config}}
                http_filters:
                  - {name: envoy.filters.http.cors, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors}}
                  - name: prefix
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
                      default_source_code: {inline_string: "function envoy_on_request(h) h:headers():replace(':path', (h:headers():get(':path'):gsub('^/ai/', '/'))) end"}
                  - {{json .Pipeline}}
                  - name: envoy.filters.http.router
                    typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router, suppress_envoy_headers: true}
                route_config:
                  virtual_hosts:
                    - name: others
                      domains: [others.example]
                      typed_per_filter_config: {leash.pipeline~: {"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true}}
                      routes: [{match: {prefix: /}, route: {cluster: own}}]
                    - name: all
                      domains: ["*"]
                      request_headers_to_remove: {{json .Host.request_headers_to_remove}}
                      response_headers_to_remove: {{json .Host.response_headers_to_remove}}
                      routes:
                        {{range .Routes}}
                        - {{json .}}
                        {{end}}
                        - match: {prefix: /v1}
                          route: {cluster: own}
                          typed_per_filter_config:
                            envoy.filters.http.cors:
                              "@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy
                              allow_origin_string_match: [{prefix: http}]
                              allow_methods: POST
                        - {{json .Last}}
`

// startPastedWhole runs it.
func startPastedWhole(t testing.TB, config string) (g *gateway) {
	t.Helper()
	_, url := startProvider(t, mock.Options{Control: true, Key: upstreamKey})
	g = prepare(t, config, ports{}.of(url))
	var rendered map[string]any
	if err := yaml.Unmarshal([]byte(render(t, g)), &rendered); err != nil {
		t.Fatal(err)
	}
	listener := named(rendered, "leash", "filter_chains")
	manager := named(listener, "envoy.filters.network.http_connection_manager", "typed_config")["typed_config"]
	host := named(manager, "all", "routes")
	routes := host["routes"].([]any) //nolint:forcetypeassert // of a virtual host
	var carriers []any
	for _, l := range rendered["static_resources"].(map[string]any)["listeners"].([]any) { //nolint:forcetypeassert // it has them
		if name := l.(map[string]any)["name"]; name != "leash" { //nolint:forcetypeassert // a listener
			carriers = append(carriers, l)
		}
	}
	var whole strings.Builder
	if err := template.Must(template.New("").Funcs(template.FuncMap{"json": func(v any) string { return asJSON(t, v) }}).Parse(wholeBootstrap)).Execute(&whole, map[string]any{
		"Ports": g.ports, "Provider": strings.TrimSuffix(url[strings.LastIndex(url, ":")+1:], "/v1"), "Rendered": rendered, "Leash": listener, "Carriers": carriers,
		"Manager": manager, "Pipeline": named(manager, "leash.pipeline~", "typed_config"), "Host": host, "Routes": routes[:len(routes)-1], "Last": routes[len(routes)-1],
	}); err != nil {
		t.Fatal(err)
	}
	g.envoy(whole.String())
	return g
}

// TestRoutesOfLeashInAnEnvoyOfOthers has Leash bring requests to providers in an Envoy that somebody has.
func TestRoutesOfLeashInAnEnvoyOfOthers(t *testing.T) {
	t.Parallel()
	g := startPastedWhole(t, policies)
	for _, carrier := range []string{"HTTP/1.1", "HTTP/2"} {
		long, r := strings.Repeat("x", 900<<10), g.request("")
		for model, want := range map[string]string{"gpt-4o-mini": long, "fast": long} { // straight to the provider, and by the module provider
			r = g.request(strings.Replace(chatBody("say: "+long, false), "gpt-4o-mini", model, 1))
			if a := doOver(t, carriers[carrier](r), r); content(t, a) != want {
				t.Errorf("%s: a long chat with %s: got %d %.200s", carrier, model, a.Status, a.Body)
			}
		}
		if a := doOver(t, carriers[carrier](r), g.request(chatBody("tell me of Project Bluebird", false))); a.Status != 400 || a.errorCode() != "content_blocked" {
			t.Errorf("%s: a blocked request: got %d %s", carrier, a.Status, a.Body)
		}
	}
	if s := g.stream("say: the code is seal-12345 and seal-67890"); s.Text != "the code is [seal] and [seal]" {
		t.Errorf("a stream: got %q in %s", s.Text, s.Body)
	}
	prefixed := g.request(chatBody("say: hi", false))
	prefixed.URL.Path = "/ai" + prefixed.URL.Path
	prefixed.Header.Set("X-Real-Ip", "192.0.2.77")
	if a := do(t, prefixed); content(t, a) != "hi" {
		t.Errorf("with a prefix: got %s", a.Body)
	}
	preflight := request(t, http.MethodOptions, g.URL+"/v1/chat/completions", map[string]string{"Origin": "http://app.example", "Access-Control-Request-Method": "POST"})
	nobody := request(t, http.MethodPost, g.URL+"/v1/chat/completions", map[string]string{"Origin": "http://app.example"})
	for r, want := range map[*http.Request]int{preflight: 200, nobody: 401} {
		if a := do(t, r); a.Status != want || a.Header.Get("Access-Control-Allow-Origin") != "http://app.example" {
			t.Errorf("%s from elsewhere: got %d %v", r.Method, a.Status, a.Header)
		}
	}
	wantUpgradesRefused(t, g)
	others := request(t, http.MethodGet, g.URL+"/v1/models", map[string]string{"Authorization": "Bearer " + upstreamKey})
	others.Host = "others.example"
	if a := do(t, others); a.Status != 200 || !strings.Contains(a.Body, `"owned_by":"mock"`) {
		t.Errorf("what is not Leash's: got %d %s", a.Status, a.Body)
	}
	if got := received(t, g.ports.Provider); strings.Contains(got, demoKey) || strings.Contains(got, "192.0.2.77") || strings.Contains(strings.ToLower(got), "x-leash-") {
		t.Error("the provider has read a client's key, its address, or what modules tell routes")
	}
	if strings.Contains(get(t, g.Admin+"/config_dump").Body, upstreamKey) {
		t.Error("the provider's key stands in /config_dump")
	}
	nettest.Eventually(t, "what was used to be counted", func() bool {
		return strings.Contains(get(t, g.Admin+"/stats/prometheus").Body, `leash_tokens_total{tenant="demo",model="gpt-4o-mini",kind="output"}`)
	})
}

// TestEnvoyThatHoldsBodiesBackIsToldOf is what an operator reads whose filters lack the option.
func TestEnvoyThatHoldsBodiesBackIsToldOf(t *testing.T) {
	t.Parallel()
	g, _ := startPasted(t, policies, "together", ownEnvoy{
		filter: map[string]any{"config": map[string]any{"allow_on_headers_stop_iteration": nil}},
	})
	nettest.Eventually(t, "the log to tell what is missing", func() bool {
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

// wantUpgradesRefused asks for WebSockets where there are none, of an Envoy that upgrades connections.
func wantUpgradesRefused(t *testing.T, g *gateway) {
	t.Helper()
	const upgrade = "Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
	body := chatBody("say: hi", false)
	for what, sent := range map[string]string{
		"in place of a list": strings.Replace(post("/v1/models", upgrade, ""), "POST", "GET", 1),
		"of a path":          strings.Replace(post("/v1/realtime?model=gpt-4o-mini", upgrade, ""), "POST", "GET", 1),
		"of a chat":          post("/v1/chat/completions", upgrade+length(body), body),
	} {
		if got := g.raw(strings.Replace(sent, "Connection: close", "Connection: Upgrade", 1)); !strings.HasPrefix(got, "HTTP/1.1 403") || !strings.Contains(got, `"upgrade_refused"`) {
			t.Errorf("a WebSocket %s: got %.300q, want 403 upgrade_refused", what, got)
		}
	}
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
