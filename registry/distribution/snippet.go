package distribution

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/leash-gateway/leash/manifest"
)

// A Snippet is what an operator pastes into an Envoy of their own.
type Snippet struct {
	Slot Slot
	// Kind is the module's: while there is no module, a policy's slot refuses and an inspector's passes.
	Kind manifest.Kind
	// Registry is where the xDS server listens: HOST:PORT. CAFile, a file that Envoy reads, vouches for it; "": no TLS.
	Registry string
	CAFile   string
	// Wait is how long a policy's slot may keep an Envoy that starts from taking traffic, while it fetches its module; then it
	// takes traffic, and refuses it until the module is there. 0: it refuses from the beginning.
	Wait time.Duration
	// NoStandby leaves out the slot beside it that loads the version which is to come. A promotion then takes as long as the module takes to
	// load, and an Envoy the memory of one VM less.
	NoStandby bool
	// Token says who the Envoy is to the registry; "": it tells nobody. With ADS it belongs into the Envoy's own ads_config.
	Token string
	// ADS says that the slot is filled over the Envoy's aggregated stream, which then must be the registry's.
	ADS bool
}

// snippet is in the terms of Envoy's bootstrap. Lua is part of every Envoy that has Wasm, and needs one line for an answer in words.
var snippet = template.Must(template.New("snippet").Parse(
	`# {{.Slot}}, from the registry at {{.Registry}}. Check it with: envoy --mode validate -c FILE
# The bootstrap must say who this Envoy is: node: {id: …, cluster: …}
http_filters: # of the HTTP connection manager, before the router
- name: {{.Slot}}
  config_discovery:
    config_source: {resource_api_version: V3, {{if .Wait}}initial_fetch_timeout: {{.Wait}}, {{end}}{{template "source" .}}}
    type_urls: {{template "types"}}
{{- if not .Wait}}
    apply_default_config_without_warming: true
{{- end}}
    default_config: # until the module is there: {{if .Refusal}}refuse{{else}}pass{{end}}
      "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
{{- if .Refusal}}
      default_source_code: {inline_string: {{.Refusal}}}
{{- end}}
{{- if not .NoStandby}}
- {name: {{.Slot}}+standby, disabled: true, # it loads the version that is to come, so that a promotion finds it ready, and never runs it
  config_discovery: {config_source: {resource_api_version: V3, {{template "source" .}}}, type_urls: {{template "types"}}, apply_default_config_without_warming: true, default_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua}}}
{{- end}}
clusters: # of static_resources
- name: leash.registry
  type: STRICT_DNS
  dns_lookup_family: V4_PREFERRED # by default Envoy asks only IPv6 of a name that has both
  connect_timeout: 2s
  typed_extension_protocol_options:
    envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
      "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
      explicit_http_config: {http2_protocol_options: {connection_keepalive: {interval: 30s, timeout: 10s}}}
{{- if .CAFile}}
  transport_socket:
    name: envoy.transport_sockets.tls
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
{{- if eq .SAN "DNS"}}
      sni: {{printf "%q" .Host}}
{{- end}}
      common_tls_context: {validation_context: {trusted_ca: {filename: {{printf "%q" .CAFile}}}, match_typed_subject_alt_names: [{san_type: {{.SAN}}, matcher: {exact: {{printf "%q" .Host}}}}]}}
{{- end}}
  load_assignment: {cluster_name: leash.registry, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: {{printf "%q" .Host}}, port_value: {{.Port}}}}}}]}]}
stats_sinks: # of the bootstrap; only for canaries that are judged by errors and latency
- name: envoy.stat_sinks.metrics_service
  typed_config: {"@type": type.googleapis.com/envoy.config.metrics.v3.MetricsServiceConfig, transport_api_version: V3, grpc_service: {{"{"}}{{template "service" .}}{{"}}"}}
{{- define "source"}}
{{- if .ADS}}ads: {}{{else}}api_config_source: {api_type: DELTA_GRPC, transport_api_version: V3, grpc_services: [{{"{"}}{{template "service" .}}{{"}"}}]}{{end}}
{{- end}}
{{- define "service"}}envoy_grpc: {cluster_name: leash.registry}{{if .Token}}, initial_metadata: [{key: authorization, value: "Bearer {{.Token}}"}]{{end}}{{end}}
{{- define "types"}}[type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm, type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua]{{end}}
`))

// Render writes the snippet, YAML.
func (s Snippet) Render() ([]byte, error) {
	host, port, err := net.SplitHostPort(s.Registry)
	number, bad := strconv.ParseUint(port, 10, 16)
	if err != nil || bad != nil || host == "" || number == 0 {
		return nil, fmt.Errorf("render slot: the registry's address %q is not HOST:PORT", s.Registry)
	}
	if strings.ContainsFunc(s.Token, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
		return nil, errors.New("render slot: the token has characters that no token has")
	}
	values := struct {
		Snippet
		Host, SAN string
		Port      uint64
		Wait      string
		Refusal   string
	}{Snippet: s, Host: host, SAN: "DNS", Port: number}
	if net.ParseIP(host) != nil {
		values.SAN = "IP_ADDRESS"
	}
	if s.Kind != manifest.Inspector {
		values.Refusal = refusal(s.Slot)
		if s.Wait > 0 {
			values.Wait = strconv.FormatFloat(s.Wait.Seconds(), 'f', -1, 64) + "s"
		}
	}
	var out bytes.Buffer
	if err := snippet.Execute(&out, values); err != nil {
		return nil, fmt.Errorf("render slot: %w", err)
	}
	return out.Bytes(), nil
}

// refusal is the Lua that answers in the place of a policy that is not there, in the form of OpenAI's API, as a JSON string, which
// YAML reads too.
func refusal(s Slot) string {
	body := fmt.Sprintf(`{"error":{"message":"the policy %s is not loaded: its registry was not reached, or has nothing for it","type":"server_error","param":null,"code":"policy_not_loaded"}}`, s.Module)
	lua := fmt.Sprintf(`function envoy_on_request(h) h:respond({[":status"]="503",["content-type"]="application/json",["retry-after"]="1"}, [[%s]]) end`, body)
	quoted, _ := json.Marshal(lua) // a string
	return string(quoted)
}
