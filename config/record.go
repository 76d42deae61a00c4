package config

// How lines begin that modules write for others than the reader of a log, each a JSON object: Record is how one of the module logger does,
// SpanRecord how one does that is to become a span (control/tracing).
const (
	Record     = `{"event":"exchange",`
	SpanRecord = `{"event":"span.`
)
