// Package mock is a provider that needs no key and no model, and speaks the APIs of OpenAI, Anthropic, Google (the Gemini API and
// Vertex AI), Azure OpenAI and Amazon Bedrock.
//
// It serves each API under its own paths, so that an official client or a gateway only needs another base URL. It refuses what
// does not fit the provider's published schema. Its answers are deterministic, a request can say what it wants to hear (see
// [Answers]), and it misbehaves on demand (see [Behavior]).
//
// It shares no code with the rest of Leash: a provider that read requests the way the gateway does would not notice
// what both get wrong.
//
// # Answers
//
// The last user message decides what the answer is:
//
//	say: TEXT           TEXT, exactly
//	lorem: 200          that many words
//	call: NAME {JSON}   a call of the tool NAME with these arguments, if the request has such a tool; several lines, several calls
//	refuse: WHY         a refusal, in the API's form
//	look                what images and files there were: type, size, checksum, or the address
//	anything else       "You said: " and the message; a JSON value that fits, if the request has a schema for its answer
//
// A first line "think: TEXT" makes the model think so before; a conversation that ends with what tools returned is answered with
// "The tools said: " and that.
//
// max_completion_tokens (or max_tokens) and stop cut the answer as they do at OpenAI. Tokens are words: see [Tokens].
package mock

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Options configure a [Provider]. The zero value answers every model, at full speed, without faults.
type Options struct {
	// Behavior is how every request is answered, unless the request or the control endpoint says otherwise.
	Behavior Behavior
	// Models are the models there are; others are not found. Empty: a few well-known names are listed, and every name is
	// answered.
	Models []string
	// Key, when it is not empty, is the only API key that is accepted. For Bedrock it is "ACCESS_KEY_ID:SECRET".
	Key string
	// Open takes requests also where they show no key at all, which those of some providers must.
	Open bool
	// Control serves /mock/faults and /mock/requests. Whoever reaches the provider can then make it fail, and read what
	// others have sent to it with their credentials: it is for tests.
	Control bool
	// Lax does without the check of requests by the providers' published schemas.
	Lax bool
	// KeepRequests bounds how many requests /mock/requests remembers; 1000 when it is zero.
	KeepRequests int
	// Now is the clock that answers are dated by; time.Now when it is nil.
	Now func() time.Time
}

// maxBody bounds a request's body, in bytes.
const maxBody = 64 << 20

// A Provider is the mock, an [http.Handler]. It is safe for concurrent use and needs no closing; an answer that hangs ends
// with the request's context, that is when its client leaves or the server is closed.
type Provider struct {
	options  Options
	models   []string
	open     bool // every model name is answered
	served   atomic.Int64
	faults   atomic.Pointer[faults]
	throttle throttle
	listener atomic.Pointer[listener]
	requests recorder
	buffers  sync.Pool
}

var _ http.Handler = (*Provider)(nil)

// New returns a Provider.
func New(options Options) *Provider {
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.KeepRequests == 0 {
		options.KeepRequests = 1000
	}
	p := &Provider{options: options, models: options.Models, open: len(options.Models) == 0}
	if p.open {
		p.models = []string{"gpt-4o", "gpt-4o-mini", "gpt-4.1", "o4-mini", "text-embedding-3-small", "text-embedding-3-large",
			"claude-sonnet-4-5", "gemini-2.5-flash"}
	}
	p.requests.keep = options.KeepRequests
	p.buffers.New = func() any { return new(buffers) }
	return p
}

// ServeHTTP answers one request.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p.options.Control && isControlPath(r.URL.Path) {
		p.serveControl(w, r)
		return
	}
	buf := p.buffers.Get().(*buffers)
	defer p.buffers.Put(buf)

	buf.reset()
	body, tooLarge := buf.read(r.Body)
	if p.options.Control {
		p.requests.add(r, body, p.options.Now())
	}
	x := &exchange{p: p, w: w, r: r, buf: buf, body: body, number: p.served.Add(1), api: apiOf(r)}

	var fault *apiError
	x.behavior, fault = p.behavior(r)
	x.setHeader()
	switch {
	case tooLarge:
		fault = &apiError{status: 413, message: "The request body is too large.", kind: invalidRequest}
	case fault != nil:
	default:
		if fault = x.api.refusal(x, p.options.Key); fault == nil {
			fault = x.route()
		}
	}
	if fault != nil {
		x.refuse(fault)
	}
}

// behavior is how this request is to be answered, as far as that is known before its body is read: what the options say,
// then what was set at run time, then what the request's header says.
func (p *Provider) behavior(r *http.Request) (Behavior, *apiError) {
	b := p.options.Behavior
	if f := p.faults.Load(); f != nil && f.take(p.options.Now()) {
		b = f.behavior
	}
	if wanted := r.Header.Get(behaviorHeader); wanted != "" {
		if err := b.set(wanted); err != nil {
			return b, badBehavior(err)
		}
	}
	return b, nil
}

// SetFaults makes b the behavior of the requests to come: of b.Times of them, or of all when that is zero. It takes the
// place of what was set before, and of Options.Behavior.
func (p *Provider) SetFaults(b Behavior) { p.faults.Store(newFaults(b, p.options.Now())) }

// ClearFaults goes back to Options.Behavior.
func (p *Provider) ClearFaults() { p.faults.Store(nil) }

// faults is a Behavior that was set at run time.
type faults struct {
	behavior Behavior
	until    time.Time // zero: without end
	seen     atomic.Int64
	taken    atomic.Int64
}

func newFaults(b Behavior, now time.Time) *faults {
	f := &faults{behavior: b}
	if b.Lasts > 0 {
		f.until = now.Add(b.Lasts)
	}
	return f
}

// over says whether they concern no request any more.
func (f *faults) over(now time.Time) bool {
	return !f.until.IsZero() && !now.Before(f.until) || f.behavior.Times > 0 && f.taken.Load() >= int64(f.behavior.Times)
}

// take says whether the faults are for this request too.
func (f *faults) take(now time.Time) bool {
	if f.over(now) {
		return false
	}
	if every := int64(f.behavior.Every); every > 1 && f.seen.Add(1)%every != 0 {
		return false
	}
	return f.taken.Add(1) <= int64(f.behavior.Times) || f.behavior.Times == 0
}
