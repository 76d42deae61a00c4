// Package ratelimit is the module that bounds requests and tokens per window, by key, tenant, user, client address or
// header, with token buckets in the data that Envoy's workers share.
package ratelimit

import (
	"errors"
	"hash/fnv"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/printf"
)

func init() { module.Register("ratelimit", module.Policy, New) }

// Config lists the limits; a request must be within all of them.
type Config struct {
	Limits []Limit `json:"limits"`
	// DefaultOutputTokens is what a request is taken to answer with when it names no maximum itself. Token limits
	// reserve the estimate and settle on the provider's count in the end.
	DefaultOutputTokens int64 `json:"default_output_tokens"`
}

// SetDefaults sets the estimate of an answer's length.
func (c *Config) SetDefaults() { c.DefaultOutputTokens = 500 }

// Limit bounds what each caller may use in a window.
type Limit struct {
	// Name stands in errors and, with the window, in the key of the bucket; limits of one name and window share their buckets.
	Name string `json:"name"`
	// By says what is counted together: key, tenant, user, address, model, all, or header:NAME. A caller without the
	// key, tenant or user that is asked for is counted by address; requests without the header are counted together.
	By string `json:"by"`
	// Requests and Tokens are what the window allows; 0 is no limit.
	Requests int64 `json:"requests"`
	Tokens   int64 `json:"tokens"`
	// Window is how long an empty bucket takes to be full again.
	Window time.Duration `json:"window"`
}

// SetDefaults sets what is counted and for how long.
func (l *Limit) SetDefaults() { l.By, l.Window = "key", time.Minute }

// notInNames is what no header's name has, so that no request could have one: https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2
const notInNames = " \t\"(),/:;<=>?@[\\]{}"

// Validate refuses a limit that limits nothing or cannot be counted.
func (l *Limit) Validate() error {
	switch l.By {
	case "key", "tenant", "user", "address", "model", "all":
	default:
		if name, ok := strings.CutPrefix(l.By, "header:"); !ok || name == "" || strings.ContainsAny(name, notInNames) {
			return printf.Errorf("by: %q is not one of key, tenant, user, address, model, all, header:NAME", l.By)
		}
	}
	switch {
	case l.Requests < 0 || l.Tokens < 0:
		return errors.New("requests and tokens must not be negative")
	case l.Requests == 0 && l.Tokens == 0:
		return errors.New("sets neither requests nor tokens")
	case l.Window < time.Second || l.Window > 31*24*time.Hour:
		return errors.New("window: must be between 1s and 744h")
	}
	return nil
}

// Limiter enforces limits.
type Limiter struct {
	limits        []limit
	defaultOutput int64
	late          bool // what is counted is known from the body only
	tokens        bool

	// What this worker knows of keys by itself: what they owe or have to get back and the shared data does not know yet,
	// and until when they have no request left.
	owed   map[account]counts
	closed map[string]time.Time
}

// limit is a Limit made ready.
type limit struct {
	Limit
	pair   pair
	prefix string // of its keys
}

// account is where something is to be settled.
type account struct {
	limit *limit
	key   string
}

// New builds the module.
func New(c Config) (*Limiter, error) {
	if c.DefaultOutputTokens < 0 {
		return nil, errors.New("default_output_tokens: must not be negative")
	}
	l := &Limiter{defaultOutput: c.DefaultOutputTokens, owed: map[account]counts{}, closed: map[string]time.Time{}}
	for i := range c.Limits {
		one := &c.Limits[i]
		if one.Name == "" {
			one.Name = one.By
		}
		for j := range c.Limits[:i] {
			if one.sharesBucket(&c.Limits[j]) {
				return nil, printf.Errorf("limits[%d].name: %q is the name of limits[%d] too, so that they would count in one bucket: name them apart", i, one.Name, j)
			}
		}
		l.tokens = l.tokens || one.Tokens > 0
		l.late = l.late || one.Tokens > 0 || one.By == "model"
		l.limits = append(l.limits, limit{
			Limit: *one, pair: pair{{one.Requests, one.Window}, {one.Tokens, one.Window}}, prefix: "ratelimit/" + one.Name + "/" + one.Window.String() + "/",
		})
	}
	return l, nil
}

func (l *Limit) sharesBucket(other *Limit) bool {
	return l.Name == other.Name && (l.Requests > 0 && other.Requests > 0 || l.Tokens > 0 && other.Tokens > 0)
}

// ReadsUsage asks for usage where tokens are limited, to settle on it.
func (l *Limiter) ReadsUsage() bool { return l.tokens }

// Needs leaves the phases out that only token limits need.
func (l *Limiter) Needs() module.Phase {
	switch {
	case len(l.limits) == 0:
		return 0
	case l.tokens:
		return module.PhaseRequestHeader | module.PhaseRequest | module.PhaseResponseHeader | module.PhaseFinish
	case l.late:
		return module.PhaseRequestHeader | module.PhaseRequest | module.PhaseResponseHeader
	default:
		return module.PhaseRequestHeader | module.PhaseResponseHeader
	}
}

// usage is what one exchange has taken.
type usage struct {
	taken   []taken
	few     [2]taken // what taken is made of when it is little
	counted bool     // as a request, before its body was taken in
	tight   [units]tightest
}

// taken is what an exchange has taken from one limit.
type taken struct {
	limit *limit
	key   string
	n     counts
}

// tightest is the limit with the least left, which the x-ratelimit headers tell about.
type tightest struct {
	limit int64
	state state
}

func (t *tightest) see(b bucket, s state) {
	if t.limit == 0 || lessProduct(s.remaining, t.limit, t.state.remaining, b.limit) {
		t.limit, t.state = b.limit, s
	}
}

// lessProduct says whether a*b < c*d, of numbers that are not negative and whose products may be too large for an int64.
func lessProduct(a, b, c, d int64) bool {
	high1, low1 := bits.Mul64(uint64(a), uint64(b)) //nolint:gosec // not negative
	high2, low2 := bits.Mul64(uint64(c), uint64(d)) //nolint:gosec // not negative
	return high1 < high2 || high1 == high2 && low1 < low2
}

// RequestHeader counts the request, before its body is taken in, unless what is counted is known from the body only: then
// both are taken at once in the next phase, but for those that are known to have nothing left.
func (l *Limiter) RequestHeader(x *module.Exchange) error {
	if l.late && x.Format != llm.None && !l.isClosed(x) {
		return nil
	}
	module.Local[usage](x).counted = true
	return l.takeAll(x, func(one *limit) counts {
		if one.By == "model" {
			return counts{}
		}
		return counts{requests: 1}
	})
}

// isClosed says whether a limit was found without a request left, and must still be.
func (l *Limiter) isClosed(x *module.Exchange) bool {
	if len(l.closed) == 0 {
		return false
	}
	now := x.Now()
	for i := range l.limits {
		one := &l.limits[i]
		if one.Requests == 0 || one.By == "model" {
			continue
		}
		key := one.key(x)
		if now.Before(l.closed[key]) {
			return true
		}
		delete(l.closed, key)
	}
	return false
}

// Request reserves the tokens that the request is estimated to use, and counts it if that has not been done.
func (l *Limiter) Request(x *module.Exchange) error {
	var estimate int64
	if l.tokens && x.Request != nil {
		if x.Request.Background && x.Request.MaxTokens == 0 { // what it takes may never be told, and its reservation is all that counts
			return module.Refuse(400, "background_without_limit", "tokens are limited, and what an answer takes that is made in the background is not known: set max_output_tokens")
		}
		estimate = l.estimate(x.Request)
	}
	counted := module.Local[usage](x).counted
	return l.takeAll(x, func(one *limit) counts {
		switch {
		case one.By == "model" && x.Request == nil:
			return counts{}
		case counted && one.By != "model":
			return counts{tokens: estimate}
		default:
			return counts{requests: 1, tokens: estimate}
		}
	})
}

func (l *Limiter) estimate(r *llm.Request) int64 {
	output := r.MaxTokens
	if output == 0 {
		output = l.defaultOutput
	}
	high, low := bits.Mul64(uint64(output), uint64(max(r.N, 1))) //nolint:gosec // not negative
	if high > 0 || low > most {
		low = most
	}
	return r.EstimateTokens() + int64(low) //nolint:gosec // bounded
}

// most is more tokens than any limit has reason to be; sums with it are still far from an int64's end.
const most = 1 << 61

// takeAll takes from the buckets of each limit, or from none of them and refuses.
func (l *Limiter) takeAll(x *module.Exchange, of func(*limit) counts) error {
	u := module.Local[usage](x)
	if u.taken == nil {
		u.taken = u.few[:0]
	}
	now := x.Now()
	for i := range l.limits {
		one := &l.limits[i]
		n := of(one)
		for unit := range n {
			if one.pair[unit].limit == 0 {
				n[unit] = 0
			}
		}
		if n == (counts{}) {
			continue
		}
		key := one.key(x)
		s, short, decided := one.pair.take(x.Shared(), key, now, n, l.owed[account{one, key}])
		if !decided {
			return printf.Errorf("count limit %s: the shared data could not be written", one.Name)
		}
		if short != none {
			l.giveBack(x, u)
			if short == requests {
				l.close(key, now.Add(s[short].wait))
			}
			return refusal(one, short, n[short], s[short])
		}
		delete(l.owed, account{one, key})
		u.taken = append(u.taken, taken{one, key, n})
		for unit, b := range one.pair {
			if n[unit] > 0 {
				u.tight[unit].see(b, s[unit])
			}
		}
	}
	return nil
}

// maxClosed bounds what a worker remembers of keys without a request left.
const maxClosed = 1024

func (l *Limiter) close(key string, until time.Time) {
	if len(l.closed) >= maxClosed {
		clear(l.closed)
	}
	l.closed[key] = until
}

// giveBack returns what a refused exchange has taken, so that a refusal costs nothing.
func (l *Limiter) giveBack(x *module.Exchange, u *usage) {
	for _, t := range u.taken {
		t.limit.pair.settle(x.Shared(), t.key, x.Now(), counts{-t.n[requests], -t.n[tokens]})
	}
	u.taken = nil
}

func refusal(l *limit, short unit, n int64, s state) *module.Refusal {
	b := l.pair[short]
	if n > b.limit {
		return module.Refuse(429, "request_exceeds_limit",
			"the request is estimated to use %d %s, more than limit %q allows in all (%d per %s): shorten it or set max_completion_tokens", n, short, l.Name, b.limit, l.Window)
	}
	r := module.Refuse(429, "rate_limit_exceeded", "limit %q of %d %s per %s is reached: retry in %s",
		l.Name, b.limit, short, l.Window, brief(s.wait))
	r.RetryAfter = s.wait
	names := &headerNames[short]
	r.Header = [][2]string{{names[0], strconv.FormatInt(b.limit, 10)}, {names[1], strconv.FormatInt(s.remaining, 10)}, {names[2], brief(s.full)}}
	return r
}

// headerNames are OpenAI's headers of each unit: what the limit is, what remains, and when it is full again.
var headerNames = [units][3]string{
	{"x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"},
	{"x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"},
}

// foreign is what the headers begin with in which providers tell of limits, those of the operator's account:
//   - x-ratelimit-: OpenAI and most that speak its API, https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers
//   - anthropic-: https://docs.anthropic.com/en/api/rate-limits#response-headers
//   - x-ratelimitbysize-, ratelimitbysize-: Mistral
//   - x-tokenlimit-: Together
//   - ratelimit, ratelimit-: https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers
var foreign = [...]string{"x-ratelimit", "anthropic-ratelimit-", "anthropic-priority-", "x-tokenlimit-", "ratelimit"}

// brief writes a duration as OpenAI's headers do: 120ms, 6m0s.
func brief(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

// ResponseHeader tells the client what is left, in OpenAI's headers. The provider's own, which tell about the
// operator's account, are taken out.
func (l *Limiter) ResponseHeader(x *module.Exchange) error {
	x.RemoveResponseHeaders(foreign[:]...)
	u := module.Local[usage](x)
	for unit := range u.tight {
		names, tight := &headerNames[unit], &u.tight[unit]
		if tight.limit == 0 {
			continue
		}
		x.SetResponseHeader(names[0], strconv.FormatInt(tight.limit, 10))
		x.SetResponseHeader(names[1], strconv.FormatInt(tight.state.remaining, 10))
		x.SetResponseHeader(names[2], brief(tight.state.full))
	}
	return nil
}

// Finish settles the reserved tokens on what was really used. The reservation stays when the client left before the
// answer began, or the answer is made in the background and has not said what it took: the provider may have been at work all the same, and
// leaving early must not be a way to get tokens free.
//
// The difference goes into the shared data with the next request of the same key, or with Flush.
func (l *Limiter) Finish(x *module.Exchange) {
	if x.Status == 0 || x.Request != nil && x.Request.Background && x.UsageEstimated {
		return
	}
	for _, t := range module.Local[usage](x).taken {
		difference := x.Usage.Total() - t.n[tokens]
		if t.n[tokens] == 0 || difference == 0 {
			continue
		}
		at := account{t.limit, t.key}
		n := l.owed[at]
		n[tokens] = sum(n[tokens], difference)
		l.owed[at] = n
		x.FlushLater()
	}
}

// sum is a+b, at the ends of an int64 the nearest that it holds.
func sum(a, b int64) int64 {
	switch c := a + b; {
	case a > 0 && b > 0 && c < 0:
		return math.MaxInt64
	case a < 0 && b < 0 && c >= 0:
		return -math.MaxInt64
	default:
		return c
	}
}

// Flush settles what is owed.
func (l *Limiter) Flush(h module.Host) {
	for at, n := range l.owed {
		at.limit.pair.settle(h.Shared(), at.key, time.Unix(h.Unix()), n)
	}
	clear(l.owed)
}

// slots bounds the buckets of callers that nobody has registered: addresses and header values share buckets by their
// hash, because shared data is never freed.
const slots = 1 << 16

func (l *limit) key(x *module.Exchange) string { return l.prefix + subject(l.By, x) }

// subject is who shares a bucket. Names hold no control characters, so no two callers have the same subject.
func subject(by string, x *module.Exchange) string {
	caller := x.Caller()
	switch {
	case by == "all":
		return ""
	case by == "tenant" && caller.Tenant != "":
		return "=" + caller.Tenant
	case by == "user" && caller.User != "":
		return "=" + caller.Tenant + "\x00user\x00" + caller.User
	case by == "key" && caller.Tenant != "", by == "user" && caller.Tenant != "":
		return "=" + caller.Tenant + "\x00" + caller.Key
	case by == "model" && x.Request != nil:
		return hashed(x.Request.Model)
	case strings.HasPrefix(by, "header:"):
		return hashed(x.RequestHeader(by[len("header:"):]))
	default: // who is not known by name is counted by address
		return hashed(x.ClientNetwork())
	}
}

func hashed(s string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(s))
	return "#" + strconv.FormatUint(uint64(h.Sum32()%slots), 16)
}
