package envoy

import (
	"net"
	"strconv"
	"strings"
	"time"

	accesslog "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	stream "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/host/outage"
)

// Envoy's own log says nothing of a provider that it cannot reach. So what stands ahead of providers writes an access log of the requests that
// did not get through, and of no others, to standard error, where the log is: the cluster and why. Of a request or an answer there is nothing in it.

// unreachedLine is how its lines begin; no line of Envoy's own does.
const unreachedLine = "leash.unreached\t"

// unreached are the flags of such requests; those that are over a limit of the configuration are not among them.
var unreached = []string{"UH", "UF", "UC", "UR", "UPE", "DF"}

// unreachedLog is that access log.
func unreachedLog() []*accesslog.AccessLog {
	return []*accesslog.AccessLog{{
		Name: "envoy.access_loggers.stderr",
		Filter: &accesslog.AccessLogFilter{FilterSpecifier: &accesslog.AccessLogFilter_ResponseFlagFilter{
			ResponseFlagFilter: &accesslog.ResponseFlagFilter{Flags: unreached},
		}},
		ConfigType: &accesslog.AccessLog_TypedConfig{TypedConfig: pack(&stream.StderrAccessLog{
			AccessLogFormat: &stream.StderrAccessLog_LogFormat{LogFormat: &core.SubstitutionFormatString{
				Format: &core.SubstitutionFormatString_TextFormatSource{TextFormatSource: &core.DataSource{
					Specifier: &core.DataSource_InlineString{InlineString: unreachedLine + "%UPSTREAM_CLUSTER_RAW%\t%RESPONSE_CODE_DETAILS%\n"},
				}},
			}},
		})},
	}}
}

// A place is where a provider is.
type place struct {
	address string // host and port
	nowhere string // the cause where nothing can be sent there
}

func (t *translation) place(provider string) place {
	host, port := config.HostPort(t.baseURL(provider))
	p := place{net.JoinHostPort(host, strconv.Itoa(int(port))), outage.NoAddress}
	switch {
	case net.ParseIP(host) != nil:
		p.nowhere = outage.Unhealthy
	case t.c.Providers[provider].CheckPath() == "":
		p.nowhere = outage.UnknownName
	}
	return p
}

// unreached takes what is behind the beginning of such a line. What leads to an internal listener is told there, where it leads on.
func (r *Runner) unreached(rest string, now time.Time) {
	cluster, details, _ := strings.Cut(rest, "\t")
	provider, ok := strings.CutPrefix(cluster, clusterName(""))
	provider, _, _ = strings.Cut(provider, "~") // connect.go
	at, known := r.Server.place(provider)
	if !ok || !known {
		return
	}
	cause := causeOf(details)
	switch cause {
	case "":
		return
	case outage.NoAddress:
		cause = at.nowhere
	}
	if r.outages == nil {
		r.outages = map[string]*outage.Teller{}
	}
	if r.outages[provider] == nil {
		r.outages[provider] = new(outage.Teller)
	}
	r.outages[provider].Unreached(outage.Provider{Name: provider, Address: at.address, Log: r.Log}, r.Server.hide(cause), now)
}

// causes are what Envoy's details of an answer have in them, and what that is in words. The first that fits holds.
// https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/http/http_conn_man/response_code_details
var causes = []struct{ part, words string }{
	{"no_healthy_upstream", outage.NoAddress},
	{"connection_timeout", outage.Late},
	{"_Connection_refused", outage.Refused},
	{"_No_route_to_host", outage.NoRoute},
	{"_Network_is_unreachable", outage.NoRoute},
	{"_certificate_has_expired", outage.Expired},
	{"_certificate_is_not_yet_valid", outage.Expired},
	{"_unable_to_get_local_issuer_certificate", outage.Untrusted},
	{"_certificate_signature_failure", outage.Untrusted}, // by another authority of the same name
	{"_self-signed_certificate", outage.Untrusted},
	{"_self_signed_certificate", outage.Untrusted},
	{"_unable_to_get_issuer_certificate", outage.Untrusted},
	{"_unable_to_verify_the_first_certificate", outage.Untrusted},
	{"WRONG_VERSION_NUMBER", outage.NoTLS},
	{"connection_termination", outage.Closed},
	{"remote_reset", outage.Closed},
	{"protocol_error", outage.Broken},
}

// causeOf is why a request did not get through; "" where it did, and its answer broke off, or where it was given up here.
func causeOf(details string) string {
	const names, reset = "SAN_matcher,_certificate_SANs_are_", "upstream_reset_before_response_started"
	if !strings.HasPrefix(details, reset) && details != causes[0].part {
		return ""
	}
	if _, are, ok := strings.Cut(details, names); ok {
		are, _, _ = strings.Cut(are, ":TLS_error_end")
		return outage.OtherName + ": it is for " + spaced(are)
	}
	for _, known := range causes {
		if strings.Contains(details, known.part) {
			return known.words
		}
	}
	if _, why, ok := strings.Cut(details, "CERTIFICATE_VERIFY_FAILED:"); ok {
		why, _, _ = strings.Cut(why, ":TLS_error_end")
		return outage.Certificate + ": " + spaced(why)
	}
	return spaced(strings.TrimPrefix(details, reset))
}

// spaced undoes what Envoy does to spaces.
func spaced(text string) string { return strings.ReplaceAll(text, "_", " ") }
