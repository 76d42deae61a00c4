package control

import (
	dto "github.com/prometheus/client_model/go"
)

// A description is what docs/reference/metrics.md and a # HELP line say about a metric.
type description struct {
	name   string
	kind   dto.MetricType
	labels []string
	help   string
	from   string // who counts it
}

// Who counts.
const (
	fromModule = "modules, in Envoy"
	fromEnvoy  = "Envoy"
	fromLeash  = "`leash up`"
)

// catalog is every metric of Leash that /metrics shows, besides the Go runtime's (go_*) and the process' (process_*).
// A test compares it with what the modules declare.
var catalog = []description{
	{"leash_requests_total", dto.MetricType_COUNTER, []string{"tenant", "model", "provider", "status"},
		"Exchanges that ended, by HTTP status; 0 is a client that left before the answer.", fromModule},
	{"leash_request_duration_milliseconds", dto.MetricType_HISTOGRAM, []string{"model", "provider"},
		"Time from the request's headers to the end of the answer, of exchanges that went to a provider.", fromModule},
	{"leash_time_to_first_token_milliseconds", dto.MetricType_HISTOGRAM, []string{"model", "provider"},
		"Time from the request's headers to the first text of a streamed answer.", fromModule},
	{"leash_output_tokens_per_second", dto.MetricType_HISTOGRAM, []string{"model", "provider"},
		"How fast models write: of streams from the first text on, of other answers over the whole time. Only where the provider tells the tokens.", fromModule},
	{"leash_errors_total", dto.MetricType_COUNTER, []string{"provider", "model", "class"},
		"Exchanges that went to a provider and failed at last: authentication, billing, not_found, rate_limited, timeout, unavailable, server_error, invalid_request, by the status; unreadable_answer; stream_error where an event of a stream reports one, error_in_answer where a whole answer does in spite of its status; no_answer where the client left before one; interrupted where it, or the provider, left in the middle. What modules refuse is in leash_refusals_total.", fromModule},
	{"leash_tokens_total", dto.MetricType_COUNTER, []string{"tenant", "model", "kind"},
		"Tokens used. cached_input, cache_write, cache_write_1h and input_audio are part of input, output_reasoning and output_audio of output.", fromModule},
	{"leash_cost_picodollars_total", dto.MetricType_COUNTER, []string{"tenant", "model"},
		"Cost of the tokens used, in picodollars: 1 US dollar is 1e12.", fromModule},
	{"leash_unpriced_exchanges_total", dto.MetricType_COUNTER, []string{"model"},
		"Exchanges with a model that has no price, so that their cost is not counted.", fromModule},
	{"leash_refusals_total", dto.MetricType_COUNTER, []string{"module", "code", "tenant"},
		"Exchanges that a module refused, by the code in the error that the client got. What the module provider does not let pass of answers is in leash_attempt_errors_total.", fromModule},
	{"leash_module_failures_total", dto.MetricType_COUNTER, []string{"module"},
		"Failures of modules, panics among them. A policy then refused the exchange, an inspector let it pass.", fromModule},
	{"leash_attempts_total", dto.MetricType_COUNTER, []string{"provider", "model", "status"},
		"Attempts at a provider that went by the module provider, by the status of its answer; 0 is none in time, or given up. The model is the provider's name for it, or the route's pattern where it is the client's.", fromModule},
	{"leash_resumed_streams_total", dto.MetricType_COUNTER, []string{"provider", "model"},
		"Streams that had broken off and went on at this provider (failover.mid_stream); the model is its own name for it, where the route has one.", fromModule},
	{"leash_attempt_errors_total", dto.MetricType_COUNTER, []string{"provider", "model", "class"},
		"Such attempts that failed, whether another one followed or not, by the same classes, error_in_answer (of which the status says nothing), stream_cut (it ended in its midst), timeout, and canceled: given up before the answer began, because the client had left or, with failover.hedge, another target had answered.", fromModule},
	{"leash_retries_total", dto.MetricType_COUNTER, []string{"provider", "model"},
		"Such attempts that were made because another one had failed or, with failover.hedge, had not begun its answer.", fromModule},
	{"leash_attempt_first_byte_milliseconds", dto.MetricType_HISTOGRAM, []string{"provider", "model"},
		"Time from the beginning of such an attempt to the beginning of its answer.", fromModule},
	{"leash_failovers_total", dto.MetricType_COUNTER, []string{"provider", "model"},
		"Exchanges that were answered by another provider than the first that was asked, by the one that has answered. An error after which a further one would have been asked is no answer; nor is another key of the first, or another model of its, another provider.", fromModule},
	{"leash_failovers_withheld_total", dto.MetricType_COUNTER, []string{"model"},
		"Exchanges that had one target only, because failover.budget of their route was used up, by the route's pattern.", fromModule},
	{"leash_breaker_open_until_milliseconds", dto.MetricType_GAUGE, []string{"provider"},
		"Until when the breaker of a provider (or PROVIDER#N, one of its keys) is open, since 1970; 0 where it is closed.", fromModule},
	{"leash_cool_down_until_milliseconds", dto.MetricType_GAUGE, []string{"provider"},
		"Until when the provider, or key, has asked to be left alone; 0 where it never has.", fromModule},
	{"leash_content_matches_total", dto.MetricType_COUNTER, []string{"rule", "action", "tenant"},
		"Matches of the content filter's rules, by what was done.", fromModule},

	{"leash_envoy_requests_total", dto.MetricType_COUNTER, []string{"class"},
		"Requests that the gateway answered, by class of status, also those that no module saw.", fromEnvoy},
	{"leash_envoy_requests_active", dto.MetricType_GAUGE, nil,
		"Requests that are under way.", fromEnvoy},
	{"leash_envoy_upstream_requests_total", dto.MetricType_COUNTER, []string{"provider", "class"},
		"Answers of a provider, by class of status.", fromEnvoy},
	{"leash_envoy_upstream_connect_failures_total", dto.MetricType_COUNTER, []string{"provider"},
		"Connections to a provider that failed.", fromEnvoy},
	{"leash_envoy_upstream_timeouts_total", dto.MetricType_COUNTER, []string{"provider"},
		"Requests to a provider that timed out. On a route of one provider in whose API the client speaks, timeouts.idle is not among them in Envoy.", fromEnvoy},
	{"leash_envoy_upstream_retries_total", dto.MetricType_COUNTER, []string{"provider"},
		"Requests that were sent once more to the same provider, because they had certainly not reached it.", fromEnvoy},
	{"leash_envoy_upstream_retries_refused_total", dto.MetricType_COUNTER, []string{"provider"},
		"Requests that were not, because limits.retry_budget of the provider was used up.", fromEnvoy},
	{"leash_envoy_endpoints", dto.MetricType_GAUGE, []string{"provider"},
		"Endpoints of a provider: what its name resolves to.", fromEnvoy},
	{"leash_envoy_endpoints_healthy", dto.MetricType_GAUGE, []string{"provider"},
		"Endpoints of a provider that are taken for healthy.", fromEnvoy},
	{"leash_envoy_wasm_vms", dto.MetricType_GAUGE, nil,
		"Wasm virtual machines that are alive.", fromEnvoy},
	{"leash_envoy_wasm_reloads_total", dto.MetricType_COUNTER, []string{"plugin", "result"},
		"Attempts to replace a virtual machine that had died: success, failure, or backoff (not tried yet).", fromEnvoy},
	{"leash_envoy_memory_bytes", dto.MetricType_GAUGE, nil,
		"Memory that Envoy has allocated, without its virtual machines' own.", fromEnvoy},

	{"leash_breaker_state", dto.MetricType_GAUGE, []string{"provider"},
		"0 if the breaker of a provider, or of one of its keys, is closed; 1 if it is half open, so that the next request tries; 2 if it is open, or cools down. It is there once a request has gone by the module provider.", fromLeash},
	{"leash_provider_healthy", dto.MetricType_GAUGE, []string{"provider"},
		"1 if a provider has an endpoint that is taken for healthy, and no open breaker.", fromLeash},
	{"leash_envoy_scrape_up", dto.MetricType_GAUGE, nil,
		"1 if Envoy told its metrics for this page; if 0, those of Envoy and the modules are missing from it.", fromLeash},
	{"leash_envoy_scrape_dropped_series", dto.MetricType_GAUGE, nil,
		"Series that this page leaves out because there are too many of one metric.", fromLeash},
	{"leash_envoy_restarts_total", dto.MetricType_COUNTER, nil,
		"Starts of an Envoy in the place of one that had died.", fromLeash},
	{"leash_config_loads_total", dto.MetricType_COUNTER, []string{"result"},
		"Configurations read: applied, or rejected by the check or by Envoy.", fromLeash},
	{"leash_config_current", dto.MetricType_GAUGE, nil,
		"1 if the configuration that was read last is in force; 0 if it was rejected and an older one goes on.", fromLeash},
	{"leash_trace_spans_total", dto.MetricType_COUNTER, []string{"result"},
		"Spans for the collector of tracing.endpoint: taken, and of these sent, or failed. The others wait, or were dropped because too many waited.", fromLeash},
	{"leash_build_info", dto.MetricType_GAUGE, []string{"version"},
		"1, with the version as a label.", fromLeash},
}

// describe finds a metric in the catalog; what modules of others count is described as that.
func describe(name string) description {
	for i := range catalog {
		if catalog[i].name == name {
			return catalog[i]
		}
	}
	return description{name: name, kind: dto.MetricType_UNTYPED, help: "A metric of a module that is not part of Leash.", from: fromModule}
}
