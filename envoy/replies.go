package envoy

import (
	"net/http"

	accesslog "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/leash-gateway/leash/config"
)

// A failure is an error of Envoy's own. They are told apart from the modules' by their response flags:
// https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage#response-flags
type failure struct {
	openAI, anthropic, google string // what kind of an error it is in each API
	code, message             string
	flags                     []string
	instead                   uint32 // of flags: the status that Envoy gives it, in whose place is 503
}

var failures = []failure{
	{
		"server_error", "timeout_error", "DEADLINE_EXCEEDED", "provider_timeout", "the provider did not answer in time",
		[]string{"UT", "SI", "DT", "UMSDR"}, 0,
	}, {
		"server_error", "api_error", "UNAVAILABLE", "provider_unavailable",
		"the provider could not be reached, or broke off before it answered: try again later",
		[]string{"UH", "UF", "UC", "UR", "URX", "LR", "UPE", "NC", "DF"}, 0,
	}, { // behind the one above: an outage in which the bound of further attempts is reached has its flag too
		"server_error", "api_error", "UNAVAILABLE", "provider_busy",
		"as many requests are under way to the provider of this model as this gateway allows: try again later", []string{"UO"}, 0,
	}, {
		"invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT", "bad_request",
		"the request breaks the HTTP protocol or was not sent to its end", []string{"DPE", "IH"}, 0,
	},
}

// noProof is what Envoy says where it has no key to put in yet: that of a service account whose first token has not come. In front of a
// provider it says 401 of nothing else.
var noProof = failure{
	"server_error", "api_error", "UNAVAILABLE", "provider_not_ready",
	"there is no token for the provider of this model yet: the gateway's log tells why", nil, http.StatusUnauthorized,
}

// Paths of the APIs whose errors are not in OpenAI's form, wherever the provider has them.
const (
	anthropicPath = `/v1/messages(/count_tokens)?(\?.*)?$`
	googlePath    = `:(generateContent|streamGenerateContent|countTokens|embedContent|batchEmbedContents)(\?.*)?$`
)

// localReplies gives Envoy's own errors the form of the API that the request is in.
func localReplies() *hcm.LocalReplyConfig { return repliesTo(failures) }

// carrierReplies are those in front of a provider, after which the next one is asked.
func (t *translation) carrierReplies(provider string) *hcm.LocalReplyConfig {
	all := failures
	if t.c.Providers[provider].ServiceAccount != nil {
		all = append([]failure{noProof}, all...)
	}
	return repliesTo(all, config.NextHeader)
}

func repliesTo(failures []failure, headers ...string) *hcm.LocalReplyConfig {
	c := &hcm.LocalReplyConfig{}
	for _, f := range failures {
		c.Mappers = append(c.Mappers,
			f.reply(map[string]any{"type": "error", "error": map[string]any{"type": f.anthropic, "message": f.message}}, anthropicPath),
			f.reply(map[string]any{"error": map[string]any{"code": "%RESPONSE_CODE%", "message": f.message, "status": f.google}}, googlePath),
			f.reply(map[string]any{"error": map[string]any{"message": f.message, "type": f.openAI, "param": nil, "code": f.code}}, ""),
		)
	}
	for _, m := range c.GetMappers() {
		for _, name := range headers {
			m.HeadersToAdd = append(m.HeadersToAdd, &core.HeaderValueOption{Header: &core.HeaderValue{Key: name, Value: "1"}})
		}
	}
	return c
}

// reply answers a failure with a body, where the path is so.
func (f failure) reply(body map[string]any, path string) *hcm.ResponseMapper {
	format, err := structpb.NewStruct(body)
	if err != nil {
		panic("envoy: encode a local reply: " + err.Error()) // strings only
	}
	filter := &accesslog.AccessLogFilter{FilterSpecifier: &accesslog.AccessLogFilter_ResponseFlagFilter{
		ResponseFlagFilter: &accesslog.ResponseFlagFilter{Flags: f.flags},
	}}
	var status *wrapperspb.UInt32Value
	if f.instead != 0 {
		status = wrapperspb.UInt32(http.StatusServiceUnavailable)
		filter.FilterSpecifier = &accesslog.AccessLogFilter_StatusCodeFilter{StatusCodeFilter: &accesslog.StatusCodeFilter{
			Comparison: &accesslog.ComparisonFilter{Value: &core.RuntimeUInt32{DefaultValue: f.instead, RuntimeKey: "leash.none"}},
		}}
	}
	if path != "" {
		filter = &accesslog.AccessLogFilter{FilterSpecifier: &accesslog.AccessLogFilter_AndFilter{AndFilter: &accesslog.AndFilter{
			Filters: []*accesslog.AccessLogFilter{filter, pathFilter(path)},
		}}}
	}
	return &hcm.ResponseMapper{
		Filter:             filter,
		StatusCode:         status,
		BodyFormatOverride: &core.SubstitutionFormatString{Format: &core.SubstitutionFormatString_JsonFormat{JsonFormat: format}},
	}
}

func pathFilter(pattern string) *accesslog.AccessLogFilter {
	return &accesslog.AccessLogFilter{FilterSpecifier: &accesslog.AccessLogFilter_HeaderFilter{HeaderFilter: &accesslog.HeaderFilter{
		Header: &route.HeaderMatcher{Name: ":path", HeaderMatchSpecifier: &route.HeaderMatcher_StringMatch{StringMatch: &matcher.StringMatcher{
			MatchPattern: &matcher.StringMatcher_SafeRegex{SafeRegex: &matcher.RegexMatcher{Regex: ".*" + pattern}},
		}}},
	}}}
}
