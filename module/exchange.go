package module

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leash-gateway/leash/llm"
)

// A Caller is who sends an exchange, as the module auth has settled it.
type Caller struct {
	Tenant, Key, User string
}

// An Exchange is one request to an LLM provider and its answer, as modules see it. Its fields are for reading unless
// said otherwise; it is valid until Finish has returned.
type Exchange struct {
	// ID is the request id that the client sees in the x-request-id header.
	ID string
	// Format is the API that the client speaks; llm.None for a path that is let through without inspection.
	Format llm.Format
	// Method and Path are the client's; Path is without the query.
	Method, Path string
	// Request is the parsed request: nil before the request phase, where the client lists the models, and for paths that are not LLM traffic.
	Request *llm.Request
	// Response is the parsed answer in the response phase; nil for streams and errors.
	Response *llm.Response
	// Status is the answer's HTTP status: 0 until there is one. In Finish it is the one that the client has read, 0 for one that left before.
	Status int
	// Streamed says that the answer came as events.
	Streamed bool
	// Usage is what the exchange used, complete in Finish; zero if no module of the pipeline reads it.
	Usage llm.Usage
	// UsageEstimated says that the provider did not tell the usage (a stream that was cut, say): Usage is then
	// llm's estimate from the text that went by.
	UsageEstimated bool
	// Completed is true in Finish if the whole answer reached the client.
	Completed bool
	// AnswerError is, in Finish, the class of an error that the answer reports in spite of its status: llm.ErrorInAnswer for a whole one, llm.StreamError
	// for an event of a stream, the provider's own or that it broke off; "" where there is none. It is known where a module of the pipeline reads answers.
	AnswerError string

	flow                *Flow
	started, firstToken moment
	ended               moment

	common  *common // with the other filters of the VM
	own     common  // of which it is the first one's
	known   bool    // the host has been asked for the caller
	address string  // of the client; "" before the host has been asked
	refused *Refusal
	locals  []any
	slot    int

	fewLocals [8]any // what locals is made of when they are few
}

type fact struct{ name, value string }

// Property names under which filters of one exchange hand facts to each other.
const (
	callerProperty   = "leash.caller"
	refusedProperty  = "leash.refused"
	usageProperty    = "leash.usage"
	factProperty     = "leash.fact."
	exchangeProperty = "leash.exchange" // of filters that share a VM
)

// Caller says who sends the exchange: the zero Caller before auth has run or if no auth is in the pipeline.
func (x *Exchange) Caller() Caller {
	if !x.known && x.flow.p.handover {
		if raw, ok := x.flow.s.Property(callerProperty); ok {
			x.common.caller, x.known = parseCaller(raw), true
		}
	}
	return x.common.caller
}

// SetCaller settles who sends the exchange, for all modules that come later and in no way that a client could forge.
func (x *Exchange) SetCaller(c Caller) {
	x.common.caller, x.known = c, true
	if x.flow.p.handover {
		x.flow.s.SetProperty(callerProperty, appendCaller(nil, c))
	}
}

// Fact returns what another module of this exchange has noted under name (SetFact), or "".
func (x *Exchange) Fact(name string) string {
	known := x.common.fact(name)
	if x.flow.p.handover && (known == nil || !x.flow.p.Shared) { // another filter may have noted it anew, but none notes what Leash's modules do
		if raw, ok := x.flow.s.Property(factProperty + name); ok {
			return string(raw)
		}
	}
	if known == nil {
		return ""
	}
	return known.value
}

// SetFact notes something about the exchange for the modules that come later, such as the cost or the provider.
func (x *Exchange) SetFact(name, value string) {
	if x.flow.p.handover {
		x.flow.s.SetProperty(factProperty+name, []byte(value))
	}
	c := x.common
	if f := c.fact(name); f != nil {
		f.value = value
		return
	}
	if c.facts == nil {
		c.facts = c.fewFacts[:0]
	}
	c.facts = append(c.facts, fact{name, value})
}

// fact finds one; nil if there is none.
func (c *common) fact(name string) *fact {
	for i := range c.facts {
		if c.facts[i].name == name {
			return &c.facts[i]
		}
	}
	return nil
}

// Refusal tells, in Finish, which module refused the exchange and with what code; "" and "" when none did.
func (x *Exchange) Refusal() (by, code string) {
	if x.common.by != "" {
		return x.common.by, x.common.code
	}
	if x.flow.p.handover {
		if raw, ok := x.flow.s.Property(refusedProperty); ok {
			by, code, _ := strings.Cut(string(raw), "\x00")
			return by, code
		}
	}
	return "", ""
}

// Local returns this module's own state of the exchange, a zero T at first. A module may keep several, each of a type of its own.
func Local[T any](x *Exchange) *T {
	if x.locals == nil {
		if x.locals = x.fewLocals[:]; len(x.flow.p.slots) > len(x.locals) {
			x.locals = make([]any, len(x.flow.p.slots))
		}
	}
	if t, ok := x.locals[x.slot].(*T); ok {
		return t
	}
	kept := &x.locals[x.slot]
	for {
		switch k := (*kept).(type) {
		case nil:
			t := new(T)
			*kept = t
			return t
		case *T:
			return k
		case *severalLocals:
			if t, ok := k.first.(*T); ok {
				return t
			}
			kept = &k.others
		default:
			*kept = &severalLocals{first: k}
		}
	}
}

// severalLocals are what a module keeps of an exchange where that is of more than one type.
type severalLocals struct{ first, others any }

// RequestHeader returns a header of the request, values joined with commas; "" when it is absent. The case of header
// names makes no difference.
func (x *Exchange) RequestHeader(name string) string {
	return x.flow.header(Requests, lower(name))
}

// RequestHeaders returns all headers of the request, with names in lower case and pseudo headers such as ":path".
func (x *Exchange) RequestHeaders() [][2]string {
	return slices.Clone(x.flow.headersOf(Requests).pairs)
}

// SetRequestHeader sets a header of the request that goes to the provider. After the request phase it has no effect. It panics, and the module fails,
// where no HTTP message could have such a header: the value may hold no line break.
func (x *Exchange) SetRequestHeader(name, value string) {
	x.flow.setOwnHeader(Requests, name, value)
}

// RemoveRequestHeader removes a header from the request that goes to the provider. After the request phase it has no effect.
func (x *Exchange) RemoveRequestHeader(name string) {
	if x.flow.mayChange(Requests, name) {
		x.flow.removeHeader(Requests, lower(name))
	}
}

// RemoveRequestHeaders removes all headers from the request that goes to the provider whose names begin with one of the prefixes.
func (x *Exchange) RemoveRequestHeaders(prefixes ...string) {
	x.removeHeaders(Requests, prefixes)
}

// ResponseHeader returns a header of the answer; "" before there is one.
func (x *Exchange) ResponseHeader(name string) string {
	if x.flow.phase < PhaseResponseHeader {
		return ""
	}
	return x.flow.header(Responses, lower(name))
}

// SetResponseHeader sets a header of the answer, in the response header phase and in the response phase. In others it has no effect. It panics as
// SetRequestHeader does.
func (x *Exchange) SetResponseHeader(name, value string) {
	x.flow.setOwnHeader(Responses, name, value)
}

// RemoveResponseHeader removes a header from the answer, where SetResponseHeader sets one.
func (x *Exchange) RemoveResponseHeader(name string) {
	if x.flow.mayChange(Responses, name) {
		x.flow.removeHeader(Responses, lower(name))
	}
}

// RemoveResponseHeaders removes all headers from the answer whose names begin with one of the prefixes, where SetResponseHeader sets one.
func (x *Exchange) RemoveResponseHeaders(prefixes ...string) {
	x.removeHeaders(Responses, prefixes)
}

func (x *Exchange) removeHeaders(side Side, prefixes []string) {
	if len(prefixes) == 0 || !x.flow.mayChange(side, prefixes[0]) {
		return
	}
	for _, prefix := range prefixes {
		x.flow.removeHeaders(side, lower(prefix))
	}
}

// RequestBody returns the whole body of a request, in the request phase and in the body phase, with what modules have changed so far.
func (x *Exchange) RequestBody() []byte {
	if x.flow.phase == PhaseRequest && x.Request != nil {
		return x.Request.Bytes()
	}
	return x.flow.body
}

// SetRequestBody replaces the body of a request, in the request phase and in the body phase: for what the methods of x.Request cannot change, such as
// tools. A request to an LLM is read anew, and x.Request is another one then, which this module and those behind it see. A body that cannot
// be read is an error, and nothing has changed.
func (x *Exchange) SetRequestBody(body []byte) error { return x.flow.setRequestBody(body) }

// AddSystemPrompt puts a system prompt ahead of those that a request to an LLM has, in the request phase: a message, a block or a paragraph of them, as
// the client's API has it. x.Request is another one then, as after SetRequestBody; those that are there are among its Texts, with the role llm.System.
// It is false where that cannot be: the API has no system prompts, as that of embeddings, or there is no request.
func (x *Exchange) AddSystemPrompt(text string) bool {
	if x.Request == nil {
		return false
	}
	body, ok := llm.WithSystemPrompt(x.Format, x.Request.Bytes(), text)
	return ok && x.SetRequestBody(body) == nil
}

// Property reads a property of the host, as Envoy documents them as attributes.
func (x *Exchange) Property(path ...string) (value []byte, ok bool) {
	return x.flow.s.Property(path...)
}

// Now is the time; in Finish that at which the exchange ended.
func (x *Exchange) Now() time.Time {
	if x.flow.done {
		return x.ended.time()
	}
	return x.flow.p.now().time()
}

// Started is when the request's headers arrived.
func (x *Exchange) Started() time.Time { return x.started.time() }

// FirstToken is when the first text of a stream arrived: the zero time before, and for answers that are not streamed.
func (x *Exchange) FirstToken() time.Time {
	if x.firstToken == (moment{}) {
		return time.Time{}
	}
	return x.firstToken.time()
}

// Log writes one line. Never log what a client or a provider sent without bounding it.
func (x *Exchange) Log(level Level, message string) { x.flow.p.host.Log(level, message) }

// Shared is the data that all workers of one Envoy share. It is not shared between Envoys.
func (x *Exchange) Shared() SharedData { return x.flow.p.host.Shared() }

// Count adds n to a counter, with one value for each of its labels; an empty one stands there as none.
func (x *Exchange) Count(m *Metric, n int64, values ...string) { x.Add(x.Series(m, values...), n) }

// Observe sets a gauge to n or records n into a histogram.
func (x *Exchange) Observe(m *Metric, n int64, values ...string) { x.Add(x.Series(m, values...), n) }

// Series is a metric with one value for each of its labels, to be kept and added to. It is valid for exchanges of the same
// instance of a module.
func (x *Exchange) Series(m *Metric, values ...string) *Series {
	if len(values) != len(m.labels) {
		x.flow.tell("counts " + m.name + " with " + strconv.Itoa(len(values)) + " values, and it has " + strconv.Itoa(len(m.labels)) +
			" labels: what is more is dropped, and what is missing is none")
	}
	return x.flow.p.families.series(m, values)
}

// Add does what Count and Observe do. Hosts know no negative values: they are dropped.
func (x *Exchange) Add(s *Series, n int64) {
	if n > 0 || n == 0 && s.Kind != CounterMetric { // Envoy calls a counter that is incremented by 0 a bad argument
		x.flow.p.host.Metric(s, n)
	}
}

// FlushLater asks for the module's Flush to be called (see [Flusher]).
func (x *Exchange) FlushLater() { x.flow.p.flushSoon() }

// errTooLate says that an asynchronous call was made in a phase that cannot wait.
var errTooLate = errors.New("an exchange waits for calls and timers in the request header, request, body and response phases only; Send is possible in all")

// errUndecided says that an exchange would wait and nobody decide how it goes on.
var errUndecided = errors.New("Call and After need a function that decides how the exchange goes on; Send does without")

// Call sends a request to another service while the exchange waits. done decides like a handler: its error refuses.
// The exchange goes on to the next module when every Call and After of this one is done. An error is of a call that is not sent, such as
// to an upstream that the host does not know, and done is not called: a handler returns it, and a policy refuses.
func (x *Exchange) Call(call Call, done func(CallResult) error) error {
	err := x.call(call, done)
	if err != nil {
		x.flow.unsent = err
	}
	return err
}

func (x *Exchange) call(call Call, done func(CallResult) error) error {
	if err := call.prepare(); err != nil {
		return err
	}
	if done == nil {
		return errUndecided
	}
	resolve, err := x.flow.wait()
	if err != nil {
		return err
	}
	err = x.flow.s.Call(call, func(result CallResult) { resolve(func() error { return done(result) }) })
	if err != nil {
		x.flow.pending--
	}
	return err
}

// Send sends a request to another service within a tenth of a second, in any phase, Finish too. The exchange does not wait for it and may be
// long over when done, which may be nil, is told what came of it: done must not use x. Each instance of a plugin has at most 256 such
// requests on their way; of one more, done is told that it could not be sent. What is on its way when the VM dies or gets another configuration is
// lost. An error is the call's own, of which nothing is sent.
func (x *Exchange) Send(call Call, done func(CallResult)) error {
	return x.flow.p.hostOf(&x.flow.p.slots[x.slot]).Send(call, done)
}

// After calls f once d has passed, while the exchange waits. f decides like a handler: its error refuses.
func (x *Exchange) After(d time.Duration, f func() error) error {
	if f == nil {
		return errUndecided
	}
	resolve, err := x.flow.wait()
	if err != nil {
		return err
	}
	x.flow.s.After(d, func() { resolve(f) })
	return nil
}

func appendCaller(dst []byte, c Caller) []byte {
	dst = append(append(dst, c.Tenant...), 0)
	dst = append(append(dst, c.Key...), 0)
	return append(dst, c.User...)
}

func parseCaller(raw []byte) Caller {
	tenant, rest, _ := strings.Cut(string(raw), "\x00")
	key, user, _ := strings.Cut(rest, "\x00")
	return Caller{Tenant: tenant, Key: key, User: user}
}
