package config

// Headers by which the modules route and provider and whoever carries an exchange tell each other what is to be done. The modules have the
// same names: what they import is little.
const (
	// RouteHeader carries the name of the lane (Lanes) that the module route has picked.
	RouteHeader = "x-leash-route"
	// TargetHeader and the number of an attempt, from 1 on, is the header with the provider that the attempt goes to.
	TargetHeader = "x-leash-target-"
	// ModelHeader and that number is the header with the model that the provider is asked for.
	ModelHeader = "x-leash-model-"
	// AttemptHeader is where the module provider reads that number.
	AttemptHeader = "x-envoy-attempt-count"
	// RetriesHeader is how many targets there are but the first. Only Envoy needs it.
	RetriesHeader = "x-envoy-max-retries"
	// LabelHeader is what the model is counted as where it is the client's.
	LabelHeader = "x-leash-label"
	// PatienceHeader is how many milliseconds an attempt may take until its answer begins, where that is bounded.
	PatienceHeader = "x-leash-patience"
	// BudgetHeader is what attempts after the first are counted as, where they are bounded.
	BudgetHeader = "x-leash-budget"
	// HedgeHeader says that several attempts may be under way.
	HedgeHeader = "x-leash-hedge"
	// MidStreamHeader is there where a stream that breaks off is to go on at the next target.
	MidStreamHeader = "x-leash-mid-stream"
	// RestHeader is in a request for the rest of an answer that another provider has begun.
	RestHeader = "x-leash-rest"
	// NextHeader is in an answer that another provider may do better on, whatever its status says.
	NextHeader = "x-leash-next"
	// SpanHeader tells the module tracer which attempt an answer is of. A provider's own is no such.
	SpanHeader = "x-leash-span"
	// AnsweredHeader tells the module route which attempt an answer is of, where several may be under way: Envoy tells modules only how many
	// there were. A provider's own is no such.
	AnsweredHeader = "x-leash-answered"
)

// Headers that end at the gateway.
var (
	// ClientHeaders are those with which clients prove who they are, and those that tell of them, or say who pays or that a request is
	// another than it is: no provider gets them.
	ClientHeaders = []string{
		"authorization", "x-api-key", "api-key", "x-goog-api-key", "proxy-authorization", "cookie",
		"openai-organization", "openai-project", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256", "x-forwarded-for", "x-forwarded-proto",
		"x-goog-user-project", "ocp-apim-subscription-key",
		"forwarded", "x-forwarded-host", "x-forwarded-port", "x-forwarded-client-cert", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip",
		"x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url",
	}
	// AccountHeaders are those in which providers tell of the operator's account, and where else they are: no client gets them. One that
	// followed a provider's location would take its prompt and its key of Leash there.
	AccountHeaders = []string{"openai-organization", "openai-project", "anthropic-organization-id", "set-cookie", "location", "refresh"}
	// TraceHeaders are those of W3C's trace context: they end here unless tracing is propagated.
	TraceHeaders = []string{"traceparent", "tracestate", "baggage"}
)
