package provider

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/llm/translate"
	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/breaker"
)

// answer is how far an answer has come.
type answer struct {
	failed   bool // the provider says so
	streams  bool
	whole    bool              // it was to be a stream, and comes in one piece
	events   *translate.Stream // nil where nothing is translated
	decoder  llm.Decoder
	encoder  llm.Encoder // of a stream that is not translated
	openings int         // events of the stream that hold nothing of it yet
	begun    bool        // the stream has shown that it is one
	ended    bool        // an event has come behind which it may end; of one that is not translated
	over     bool        // it has been ended with an error
	failure  string      // the class of what a stream ended with, where that was no good end
	held     []byte      // what has come before
	out      []byte
	errorAt  int    // where in out the error stands with which a stream ends that is not translated
	parting  []byte // that error, and what stands behind it, while another provider may go on
}

// CarryAnswer decides what becomes of the answer.
func (p *Provider) CarryAnswer(x *module.Exchange) (module.Manner, error) {
	a := module.Local[attempt](x)
	if x.Status == 0 {
		return 0, p.unreadable(x, a, "it broke off before it began")
	}
	if x.Status < 200 {
		return 0, p.unreadable(x, a, "its status is that of none")
	}
	if x.Status >= 300 && x.Status <= 399 {
		return 0, p.unreadable(x, a, "it sends on to another address")
	}
	a.answer.failed = x.Status < 200 || x.Status > 299
	if a.answer.failed {
		p.settle(x, a)
	} else {
		a.traced.pass(x)
	}
	encoding := x.ResponseHeader("content-encoding")
	plain := encoding == "" || strings.EqualFold(encoding, "identity")
	switch {
	case a.translation == nil && (a.answer.failed || a.last && !plain):
		p.settle(x, a)
		return module.Untouched, nil // there is nobody else to be asked, whatever it is
	case !plain:
		return 0, p.unreadable(x, a, "it is encoded though it was asked for plain")
	}
	if a.translation != nil {
		p.tellClient(x, a)
	}
	kind, _, _ := strings.Cut(x.ResponseHeader("content-type"), ";")
	a.answer.streams = !a.answer.failed && (strings.EqualFold(strings.TrimSpace(kind), "text/event-stream") || p.amazons(kind))
	switch {
	case a.answer.streams && a.translation != nil:
		a.answer.events = a.translation.Stream(a.framing)
		if a.framing == llm.JSONArray {
			x.SetResponseHeader("content-type", "application/json")
		} else if p.amazons(kind) {
			x.SetResponseHeader("content-type", "text/event-stream")
		}
		return module.Pieces, nil
	case a.answer.streams:
		return module.Pieces, nil
	case a.translation == nil && x.Format == llm.GoogleStream:
		a.answer.streams, a.answer.decoder.Framing, a.answer.encoder.Framing = true, llm.JSONArray, llm.JSONArray
		x.Frames(llm.JSONArray)
		return module.Pieces, nil
	case a.translation != nil:
		kind := "application/json"
		a.answer.whole = !a.answer.failed && a.translation.Streams()
		if a.answer.whole && a.framing != llm.JSONArray {
			kind = "text/event-stream"
		}
		x.SetResponseHeader("content-type", kind)
	}
	return module.Whole, nil
}

// DroppedHeader is in answers of providers that have another API: the fields of the request that were left out.
const DroppedHeader = "x-leash-dropped"

// tellClient sets the headers that the client's API has, and the provider's has not.
func (p *Provider) tellClient(x *module.Exchange, a *attempt) {
	if x.Format.Family() == llm.Anthropic {
		x.SetResponseHeader("request-id", x.ID) // which clients of OpenAI's read where the host has it
	}
	var names []string
	for _, name := range a.translation.Dropped() {
		if isField(name) {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		x.SetResponseHeader(DroppedHeader, strings.Join(names, ", "))
	}
}

// isField tells whether a name can stand in a list in a header: fields that nobody knows have whatever name the client gives them.
func isField(name string) bool {
	const longest = 100
	for i := range len(name) {
		if c := name[i]; c < ' ' || c == ',' || c > '~' {
			return false
		}
	}
	return strings.TrimSpace(name) == name && name != "" && len(name) <= longest
}

// CarryBody translates the answer, and finds out whether it is one.
func (p *Provider) CarryBody(x *module.Exchange, body []byte, end bool) (out []byte, wait bool, err error) {
	a := module.Local[attempt](x)
	switch {
	case a.answer.failed:
		p.tellWhen(x, body)
		return a.translation.Error(x.Status, body), false, nil
	case a.answer.streams:
		return p.stream(x, a, body, end)
	}
	if message, failed := failureIn(body); failed && (a.translation != nil || !a.last) {
		return nil, false, p.notAnAnswer(x, a, message)
	} else if failed {
		p.fail(x, a, llm.ErrorInAnswer) // as the provider has said it
	}
	switch {
	case a.translation == nil:
		_, err = llm.ParseResponse(x.Format, body)
		out = body
	case a.answer.whole:
		out, err = a.translation.Stream(a.framing).Whole(nil, body)
	default:
		out, err = a.translation.Response(body)
	}
	failure, failed := errors.AsType[*translate.Failure](err)
	switch {
	case failed:
		return nil, false, p.notAnAnswer(x, a, failure.Error())
	case err != nil:
		return nil, false, p.unreadable(x, a, err.Error())
	case (a.translation != nil || !a.last) && !isAnswer(a.format(x), body):
		return nil, false, p.unreadable(x, a, "it holds no answer")
	}
	p.settle(x, a)
	return out, false, nil
}

// unreadable is the error where an answer is none.
func (p *Provider) unreadable(x *module.Exchange, a *attempt, reason string) error {
	a.traced.keep(x)
	p.fail(x, a, unreadableAnswer)
	return next(module.Refuse(502, "unreadable_answer", "the provider's answer cannot be read: %s", reason))
}

// notAnAnswer is the error where the provider reports one though its status says otherwise.
func (p *Provider) notAnAnswer(x *module.Exchange, a *attempt, reason string) error {
	a.traced.keep(x)
	p.fail(x, a, llm.ErrorInAnswer)
	if reason == "" {
		reason = "without a message"
	}
	return next(module.Refuse(502, "provider_error", "the provider reports an error: %s", reason))
}

// next lets another provider be asked, whatever the route says of statuses.
func next(r *module.Refusal) *module.Refusal {
	r.Header = append(r.Header, [2]string{NextHeader, "1"})
	return r
}

// What is counted of attempts. The state of a breaker changes by the passing of time too, so what is told is until when.
var (
	attempts  = module.Counter("leash_attempts_total", "provider", "model", "status")
	errorsOf  = module.Counter("leash_attempt_errors_total", "provider", "model", "class")
	retries   = module.Counter("leash_retries_total", "provider", "model")
	resumed   = module.Counter("leash_resumed_streams_total", "provider", "model")
	firstByte = module.Histogram("leash_attempt_first_byte_milliseconds", "provider", "model")
	openUntil = module.Gauge("leash_breaker_open_until_milliseconds", "provider")
	coolUntil = module.Gauge("leash_cool_down_until_milliseconds", "provider")
)

// Classes of errors, besides those that follow from a status (llm.ErrorClass).
const (
	unreadableAnswer = "unreadable_answer"
	streamCut        = "stream_cut" // an answer that had begun well
	timedOut         = "timeout"
	canceled         = "canceled" // before its answer began: the client has left, or another provider has answered
)

// coolDown is for a provider that is asked too often and does not say for how long it wants to be left alone.
const coolDown = 5 * time.Second

// settle tells the breaker how the attempt went, once.
func (p *Provider) settle(x *module.Exchange, a *attempt) {
	switch {
	case a.settled:
		return
	case x.Status == 429:
		d := retryAfter(x)
		if d == 0 {
			d = coolDown
		}
		p.tell(x, a, llm.ErrorClass(x.Status), func(s *breaker.State) { s.Cool(x.Now(), d) })
	case x.Status >= 500, x.Status == 401, x.Status == 403, x.Status == 408:
		asked := retryAfter(x)
		p.tell(x, a, llm.ErrorClass(x.Status), func(s *breaker.State) {
			if s.Fail(x.Now(), p.breaker); asked > 0 {
				s.Cool(x.Now(), asked)
			}
		})
	default:
		used := usedUp(x)
		p.tell(x, a, llm.ErrorClass(x.Status), func(s *breaker.State) {
			if s.Succeed(x.Now(), p.breaker, x.Now().Sub(x.Started())); used > 0 {
				s.Cool(x.Now(), used)
			}
		})
	}
}

func (p *Provider) fail(x *module.Exchange, a *attempt, class string) {
	p.tell(x, a, class, func(s *breaker.State) { s.Fail(x.Now(), p.breaker) })
}

// tell tells the breaker, and counts the attempt, of which class says how it failed ("" where it did not).
func (p *Provider) tell(x *module.Exchange, a *attempt, class string, change func(*breaker.State)) {
	if a.settled {
		return
	}
	a.settled, a.traced.status, a.traced.class, a.traced.goesOn = true, x.Status, class, class == ""
	p.change(x, change)
	x.Count(attempts, 1, p.name, a.label, strconv.Itoa(x.Status))
	if class != "" {
		x.Count(errorsOf, 1, p.name, a.label, class)
	}
	if x.Status != 0 {
		x.Observe(firstByte, x.Now().Sub(x.Started()).Milliseconds(), p.name, a.label)
	}
}

// change tells the breaker, and of its state.
func (p *Provider) change(x *module.Exchange, change func(*breaker.State)) {
	var now breaker.State
	breaker.Update(x.Shared(), p.name, func(s *breaker.State) {
		change(s)
		now = *s
	})
	x.Observe(openUntil, now.OpenUntil(), p.name)
	x.Observe(coolUntil, now.CoolUntil(), p.name)
}

// retryAfter is how long the provider wants to be left alone; 0 where it does not say. OpenAI says it in milliseconds too.
func retryAfter(x *module.Exchange) time.Duration {
	if ms, err := strconv.ParseInt(x.ResponseHeader("retry-after-ms"), 10, 32); err == nil && ms > 0 {
		return time.Duration(ms) * time.Millisecond
	}
	value := x.ResponseHeader("retry-after")
	if s, err := strconv.ParseInt(value, 10, 32); err == nil && s > 0 {
		return time.Duration(s) * time.Second
	}
	const httpDate = "Mon, 02 Jan 2006 15:04:05 GMT" // https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7
	if at, err := time.Parse(httpDate, value); err == nil {
		return max(at.Sub(x.Now()), 0)
	}
	return 0
}

// tellWhen says in a header, where clients of the other APIs look for it, for how long Google wants to be left alone.
func (p *Provider) tellWhen(x *module.Exchange, body []byte) {
	if p.api != translate.Gemini || x.ResponseHeader("retry-after") != "" {
		return
	}
	if d := translate.RetryAfter(body); d > 0 {
		x.SetResponseHeader("retry-after", strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10))
		p.change(x, func(s *breaker.State) { s.Cool(x.Now(), d) })
	}
}

// giveUp counts an attempt of which nobody knows how it would have gone, but that it would not have been quicker than it was up to then.
func (p *Provider) giveUp(x *module.Exchange, a *attempt) {
	a.traced.status = x.Status
	x.Count(attempts, 1, p.name, a.label, strconv.Itoa(x.Status))
	x.Count(errorsOf, 1, p.name, a.label, canceled)
	breaker.Update(x.Shared(), p.name, func(s *breaker.State) { s.GiveUp(x.Now(), x.Now().Sub(x.Started())) })
}

// Finish looks at attempts that were given up before an answer began. Where the host has waited as long as it may, that is the
// provider's fault; else the client has left, or another provider has answered.
func (p *Provider) Finish(x *module.Exchange) {
	a := module.Local[attempt](x)
	const slack = 50 * time.Millisecond // between two clocks
	switch {
	case !a.sent || a.settled:
	case a.patience != 0 && x.Now().Sub(x.Started()) >= a.patience-slack:
		p.fail(x, a, timedOut)
	default:
		p.giveUp(x, a)
	}
	if a.sent {
		a.traced.finish(x, p.name)
	}
}
