package provider

import (
	"math/rand/v2"
	"strconv"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/record"
	"github.com/leash-gateway/leash/module/trace"
)

// traced is an attempt's place in the trace of its exchange. An answer that goes on takes it along, so that the module tracer, which sees the
// whole of it, tells of both in one record; of all other attempts this module tells.
type traced struct {
	parent trace.Context
	span   uint64 // 0 where nothing is traced
	number int
	model  string
	status int    // as the provider has said it: what goes on may have another
	class  string // of what went wrong
	goesOn bool
	alone  bool // the answer goes on behind another one, which the module tracer tells of
}

// begin takes the attempt's place: the first one's has been chosen by the module tracer.
func (t *traced) begin(x *module.Exchange, number int, model string, body []byte) {
	parent, ok := trace.Parse(x.RequestHeader(trace.Header))
	if !ok || !parent.Sampled {
		return
	}
	t.parent, t.span, t.number, t.model = parent, parent.Span, max(number, 1), model
	if model == "" {
		t.model = clientModel(x, body)
	}
	if number > 1 {
		parent.Span = rand.Uint64() | 2 //nolint:gosec // ids are no secrets
		t.span = parent.Span
		x.SetRequestHeader(trace.Header, parent.String())
	}
}

// pass lets an answer that may go on take the attempt's place along.
func (t *traced) pass(x *module.Exchange) {
	if t.span != 0 && !t.alone {
		x.SetResponseHeader(trace.SpanHeader, trace.Attempt{Span: t.span, Began: x.Started().UnixNano(), Number: t.number}.String())
	}
}

// keep does not: it turned out to be none.
func (t *traced) keep(x *module.Exchange) {
	if t.span != 0 {
		x.RemoveResponseHeader(trace.SpanHeader)
	}
}

// finish writes the record of an attempt that nobody else tells of.
func (t *traced) finish(x *module.Exchange, provider string) {
	if t.span == 0 || t.goesOn && !t.alone {
		return
	}
	failed := t.class
	switch {
	case t.goesOn:
	case failed == "":
		failed = "canceled" // the client left, or somebody else has answered
	case t.status >= 400 && failed == llm.ErrorClass(t.status) && failed != timedOut:
		failed = strconv.Itoa(t.status) // as OpenTelemetry has it
	}
	w := record.Of("span.attempt").Text("trace", t.parent.Trace()).Text("parent", trace.Digits(t.parent.Exchange())).
		Text("attempt", trace.Digits(t.span)).Text("format", x.Format.String()).
		Number("attempt_start", x.Started().UnixNano()).Number("end", x.Now().UnixNano()).Number("number", int64(t.number)).
		Text("provider", provider).Text("asked_model", record.Cut(t.model)).Number("status", int64(t.status)).Text("attempt_error", failed)
	x.Log(module.Info, w.String())
}
