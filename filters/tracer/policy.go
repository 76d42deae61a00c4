// Package tracer is the module that tells where an exchange stands in a trace, and what became of it: it goes on with the trace of a client
// that sends traceparent, or begins one, and writes a record of which `leash up` makes OpenTelemetry's spans.
//
// The record holds two of them: the exchange as the client sees it, and the attempt that was answered. What other attempts there were the
// module provider has written itself. Prompts and answers stand in it only when asked for, redacted.
package tracer

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/match"
	"github.com/leash-gateway/leash/module/printf"
	"github.com/leash-gateway/leash/module/record"
	"github.com/leash-gateway/leash/module/trace"
)

func init() { module.Register("tracer", module.Inspector, New) }

// Config says what is traced, and what is told of it.
type Config struct {
	// Percent of the exchanges are traced of which the client does not say whether they are to be.
	Percent int `json:"percent"`
	// Prompts adds what the model was told, Completions what it wrote, both redacted and cut at MaxTextBytes.
	Prompts      bool `json:"prompts"`
	Completions  bool `json:"completions"`
	MaxTextBytes int  `json:"max_text_bytes"`
	// OmitAddress leaves the client's address out.
	OmitAddress bool `json:"omit_address"`
}

// SetDefaults traces everything, and sets the bound of texts.
func (c *Config) SetDefaults() { c.Percent, c.MaxTextBytes = 100, 4096 }

// Validate refuses what is no part of a hundred.
func (c *Config) Validate() error {
	switch {
	case c.Percent < 0 || c.Percent > 100:
		return printf.Errorf("percent: %d is not 0 to 100", c.Percent)
	case c.MaxTextBytes < 0:
		return errors.New("max_text_bytes: must not be negative")
	}
	return nil
}

// Tracer writes the records.
type Tracer struct {
	Config
	redact *match.Set
}

// New builds the module.
func New(c Config) (*Tracer, error) {
	var patterns []match.Pattern
	for _, name := range match.BuiltinNames() {
		p, _ := match.Builtin(name)
		patterns = append(patterns, p)
	}
	set, err := match.Compile(patterns)
	return &Tracer{Config: c, redact: set}, err
}

// ReadsUsage asks for the usage of every exchange.
func (*Tracer) ReadsUsage() bool { return true }

// exchange is what is known of one that is traced.
type exchange struct {
	traced  bool
	secure  bool          // the client speaks TLS
	context trace.Context // of the first attempt
	parent  uint64        // the client's span; 0 where the trace begins here
	state   string
	attempt trace.Attempt // that was answered, where the module provider has made it

	model            string
	maxTokens, n     int64
	stream           bool
	id, answeredBy   string
	finish           []string
	prompt, answered texts
}

// RequestHeader goes on with the client's trace, or begins one, and tells those who come later.
func (t *Tracer) RequestHeader(x *module.Exchange) error {
	e := module.Local[exchange](x)
	if parent, ok := trace.Parse(x.RequestHeader(trace.Header)); ok {
		e.context, e.parent, e.state = parent, parent.Span, x.RequestHeader(trace.StateHeader)
	} else {
		e.context = trace.Context{High: rand.Uint64(), Low: rand.Uint64() | 1, Sampled: rand.IntN(100) < t.Percent} //nolint:gosec // ids are no secrets
		x.RemoveRequestHeader(trace.StateHeader)                                                                    // of no trace
	}
	e.context.Span = rand.Uint64() | 2 //nolint:gosec // likewise; neither it nor the exchange's, which differs in the last bit, is 0
	x.SetRequestHeader(trace.Header, e.context.String())
	e.traced = e.context.Sampled
	if e.traced {
		x.SetFact(module.FactTrace, e.context.Trace())
		e.secure = x.RequestHeader(":scheme") == "https"
	}
	return nil
}

// Request takes down what is asked for.
func (t *Tracer) Request(x *module.Exchange) error {
	e := module.Local[exchange](x)
	if !e.traced || x.Request == nil {
		return nil
	}
	e.model, e.maxTokens, e.n, e.stream = strings.Clone(x.Request.Model), x.Request.MaxTokens, x.Request.N, x.Request.Stream
	if t.Prompts {
		e.prompt.add(x.Request.Texts, x.Request.Calls, t.MaxTextBytes)
	}
	return nil
}

// ResponseHeader finds out which attempt was answered.
func (*Tracer) ResponseHeader(x *module.Exchange) error {
	if attempt, ok := trace.ParseAttempt(x.ResponseHeader(trace.SpanHeader)); ok {
		module.Local[exchange](x).attempt = attempt
	}
	x.RemoveResponseHeader(trace.SpanHeader)
	return nil
}

// Response takes down a whole answer.
func (t *Tracer) Response(x *module.Exchange) error {
	e, r := module.Local[exchange](x), x.Response
	if !e.traced {
		return nil
	}
	e.id, e.answeredBy, e.finish = r.ID, r.Model, r.FinishReasons
	if t.Completions {
		e.answered.add(r.Texts, r.Calls, t.MaxTextBytes)
	}
	return nil
}

// Event takes down a piece of a streamed answer.
func (t *Tracer) Event(x *module.Exchange, event *module.Event) error {
	e := module.Local[exchange](x)
	if !e.traced {
		return nil
	}
	if e.id == "" {
		e.id = strings.Clone(event.ID)
	}
	if e.answeredBy == "" {
		e.answeredBy = strings.Clone(event.Model)
	}
	const most = 128 // choices
	for _, f := range event.Finish {
		if f.Choice >= 0 && f.Choice < most {
			for len(e.finish) <= f.Choice {
				e.finish = append(e.finish, "")
			}
			e.finish[f.Choice] = strings.Clone(f.Reason)
		}
	}
	if t.Completions {
		e.answered.addPieces(event.Texts, event.Calls, t.MaxTextBytes)
	}
	return nil
}

// FinishesLate says that nothing waits for Finish.
func (*Tracer) FinishesLate() {}

// Finish writes the record.
func (t *Tracer) Finish(x *module.Exchange) {
	e := module.Local[exchange](x)
	if !e.traced {
		return
	}
	caller := x.Caller()
	refusedBy, code := x.Refusal()
	w := record.Of("span.exchange").
		Text("trace", e.context.Trace()).Text("span", trace.Digits(e.context.Exchange())).Text("state", record.Cut(e.state)).
		Number("start", x.Started().UnixNano()).Number("end", x.Now().UnixNano())
	if e.parent != 0 {
		w = w.Text("parent", trace.Digits(e.parent))
	}
	w = w.Text("request_id", record.Cut(x.ID)).Text("tenant", caller.Tenant).Text("key", caller.Key).Text("user", caller.User)
	if !t.OmitAddress {
		w = w.Text("address", record.Cut(x.ClientAddress()))
	}
	w = w.Text("method", record.Cut(x.Method)).Text("path", record.Cut(x.Path)).Flag("secure", e.secure).Text("format", x.Format.String()).
		Text("model", record.Cut(e.model)).Number("status", int64(x.Status)).
		Text("refused_by", refusedBy).Text("code", code).Text("error", errorOf(x, refusedBy, code)).Flag("stream", e.stream)
	if amount, err := strconv.ParseInt(x.Fact(module.FactCost), 10, 64); err == nil {
		w = w.Number("cost_picodollars", amount)
	}
	x.Log(module.Info, t.attempt(w, x, e).String())
}

// errorOf is what went wrong with an exchange; "" where nothing did.
func errorOf(x *module.Exchange, refusedBy, code string) string {
	switch {
	case refusedBy != "":
		return code
	case x.Status == 0:
		return canceled
	case x.Status >= 400:
		return strconv.Itoa(x.Status)
	case x.AnswerError != "":
		return x.AnswerError
	case !x.Completed:
		return interrupted
	}
	return ""
}

// What is said of exchanges that have no good end.
const (
	canceled    = "canceled"    // the client left before the answer
	interrupted = "interrupted" // the client or the provider left in the middle of it
)

// attempt adds the attempt that was answered, or that goes to the only provider as it is.
func (t *Tracer) attempt(w record.Line, x *module.Exchange, e *exchange) record.Line {
	direct := x.Fact(module.FactRoute) != "" && x.Fact(module.FactCarried) == ""
	switch {
	case direct:
		e.attempt = trace.Attempt{Span: e.context.Span, Began: x.Started().UnixNano(), Number: 1}
	case e.attempt.Span == 0:
		return w
	}
	model := x.Fact(module.FactUpstreamModel)
	if model == "" {
		model = e.model
	}
	w = w.Text("attempt", trace.Digits(e.attempt.Span)).Number("attempt_start", e.attempt.Began).Number("number", int64(e.attempt.Number)).
		Text("provider", x.Fact(module.FactProvider)).Text("asked_model", record.Cut(model)).
		Positive("max_tokens", e.maxTokens).Positive("choices", e.n).
		Text("id", record.Cut(e.id)).Text("answer_model", record.Cut(e.answeredBy))
	if !slices.Contains(e.finish, "") {
		w = w.Texts("finish", e.finish)
	}
	if !x.FirstToken().IsZero() {
		w = w.Number("first", x.FirstToken().UnixNano())
	}
	if x.Usage != (llm.Usage{}) && !x.UsageEstimated {
		w = w.Number("input", x.Usage.Input).Number("output", x.Usage.Output).Positive("cached", x.Usage.CachedInput).
			Positive("cache_write", x.Usage.CacheWrite+x.Usage.CacheWrite1h).Positive("reasoning", x.Usage.OutputReasoning).
			Positive("input_audio", x.Usage.InputAudio).Positive("output_audio", x.Usage.OutputAudio)
	}
	w = w.Text("attempt_error", attemptError(x))
	if t.Prompts {
		w = w.Text("prompt", e.prompt.messages(t.redact, t.MaxTextBytes, nil))
	}
	if t.Completions {
		w = w.Text("completion", e.answered.messages(t.redact, t.MaxTextBytes, e.ending))
	}
	return w
}

// ending is why a choice ended; where nobody has said so, that it did not as it should.
func (e *exchange) ending(choice int) string {
	if choice < len(e.finish) && e.finish[choice] != "" {
		return e.finish[choice]
	}
	return "error"
}

// attemptError is what went wrong with the attempt. That a module of ours has refused the answer is not among it.
func attemptError(x *module.Exchange) string {
	by, code := x.Refusal()
	switch {
	case x.AnswerError != "":
		return x.AnswerError
	case by == "border" && code == "unreadable_answer":
		return code
	case by != "":
		return ""
	default:
		return errorOf(x, "", "")
	}
}
