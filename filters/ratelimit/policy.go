// Package ratelimit is the module that bounds requests and tokens per window, by key, tenant, user, client address or
// header, with token buckets in the data that Envoy's workers share.
package ratelimit

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math/bits"
	"strconv"
	"strings"
	"time"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/module"
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
	// Name stands in metrics and in the key of the bucket; limits of one name share their buckets.
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

// Validate refuses a limit that limits nothing or cannot be counted.
func (l *Limit) Validate() error {
	switch l.By {
	case "key", "tenant", "user", "address", "model", "all":
	default:
		if name, ok := strings.CutPrefix(l.By, "header:"); !ok || name == "" {
			return fmt.Errorf("by: %q is not one of key, tenant, user, address, model, all, header:NAME", l.By)
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
	limits        []Limit
	defaultOutput int64
	tokens        bool
}

// New builds the module.
func New(c Config) (*Limiter, error) {
	if c.DefaultOutputTokens < 0 {
		return nil, errors.New("default_output_tokens: must not be negative")
	}
	l := &Limiter{limits: c.Limits, defaultOutput: c.DefaultOutputTokens}
	for i := range l.limits {
		limit := &l.limits[i]
		if limit.Name == "" {
			limit.Name = limit.By
		}
		for j := range l.limits[:i] {
			if limit.sharesBucket(&l.limits[j]) {
				return nil, fmt.Errorf("limits[%d].name: %q is the name of limits[%d] too, so that they would count in one bucket: name them apart", i, limit.Name, j)
			}
		}
		l.tokens = l.tokens || limit.Tokens > 0
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
	case l.byModel():
		return module.PhaseRequestHeader | module.PhaseRequest | module.PhaseResponseHeader
	default:
		return module.PhaseRequestHeader | module.PhaseResponseHeader
	}
}

func (l *Limiter) byModel() bool {
	for i := range l.limits {
		if l.limits[i].By == "model" {
			return true
		}
	}
	return false
}

// usage is what one exchange has taken.
type usage struct {
	taken    []taken
	requests tightest
	tokens   tightest
}

// taken is one bucket that an exchange has taken from.
type taken struct {
	bucket bucket
	key    string
	n      int64
	tokens bool
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

// RequestHeader counts the request, before its body is taken in.
func (l *Limiter) RequestHeader(x *module.Exchange) error {
	return l.takeAll(x, func(limit *Limit) (bucket, int64) {
		if limit.By == "model" {
			return bucket{}, 0
		}
		return bucket{limit.Requests, limit.Window}, 1
	}, false)
}

// Request reserves the tokens that the request is estimated to use.
func (l *Limiter) Request(x *module.Exchange) error {
	if x.Format == llm.OpenAIModels {
		return nil
	}
	if l.byModel() {
		err := l.takeAll(x, func(limit *Limit) (bucket, int64) {
			if limit.By != "model" {
				return bucket{}, 0
			}
			return bucket{limit.Requests, limit.Window}, 1
		}, false)
		if err != nil {
			return err
		}
	}
	if !l.tokens {
		return nil
	}
	estimate := l.estimate(x.Request)
	return l.takeAll(x, func(limit *Limit) (bucket, int64) {
		return bucket{limit.Tokens, limit.Window}, estimate
	}, true)
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

// takeAll takes from the bucket of each limit, or from none of them and refuses.
func (l *Limiter) takeAll(x *module.Exchange, of func(*Limit) (bucket, int64), tokens bool) error {
	u := module.Local[usage](x)
	now := x.Now()
	for i := range l.limits {
		limit := &l.limits[i]
		b, n := of(limit)
		if b.limit == 0 {
			continue
		}
		key := bucketKey(limit, x, tokens)
		s, ok, decided := b.take(x.Shared(), key, now, n)
		if !decided {
			return fmt.Errorf("count limit %s: the shared data could not be written", limit.Name)
		}
		if !ok {
			l.giveBack(x, u)
			return refusal(limit, b, n, s, tokens)
		}
		u.taken = append(u.taken, taken{bucket: b, key: key, n: n, tokens: tokens})
		if tokens {
			u.tokens.see(b, s)
		} else {
			u.requests.see(b, s)
		}
	}
	return nil
}

// giveBack returns what a refused exchange has taken, so that a refusal costs nothing.
func (l *Limiter) giveBack(x *module.Exchange, u *usage) {
	for _, t := range u.taken {
		t.bucket.settle(x.Shared(), t.key, x.Now(), -t.n)
	}
	u.taken = nil
}

func refusal(limit *Limit, b bucket, n int64, s state, tokens bool) *module.Refusal {
	unit := "requests"
	if tokens {
		unit = "tokens"
	}
	if n > b.limit {
		return module.Refuse(429, "request_exceeds_limit",
			"the request is estimated to use %d %s, more than limit %q allows in all (%d per %s): shorten it or set max_completion_tokens", n, unit, limit.Name, b.limit, limit.Window)
	}
	r := module.Refuse(429, "rate_limit_exceeded", "limit %q of %d %s per %s is reached: retry in %s",
		limit.Name, b.limit, unit, limit.Window, short(s.wait))
	r.RetryAfter = s.wait
	r.Header = headers(unit, b.limit, s)
	return r
}

func headers(unit string, limit int64, s state) [][2]string {
	return [][2]string{
		{"x-ratelimit-limit-" + unit, strconv.FormatInt(limit, 10)},
		{"x-ratelimit-remaining-" + unit, strconv.FormatInt(s.remaining, 10)},
		{"x-ratelimit-reset-" + unit, short(s.full)},
	}
}

// short writes a duration as OpenAI's headers do: 120ms, 6m0s.
func short(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

// ResponseHeader tells the client what is left, in OpenAI's headers. The provider's own, which tell about the
// operator's account, are taken out.
func (l *Limiter) ResponseHeader(x *module.Exchange) error {
	u := module.Local[usage](x)
	for _, one := range [2]struct {
		unit string
		tightest
	}{{"requests", u.requests}, {"tokens", u.tokens}} {
		for _, h := range headers(one.unit, one.limit, one.state) {
			if one.limit > 0 {
				x.SetResponseHeader(h[0], h[1])
			} else {
				x.RemoveResponseHeader(h[0])
			}
		}
	}
	return nil
}

// Finish settles the reserved tokens on what was really used. The reservation stays when the client left before the
// answer began: the provider may have been at work all the same, and leaving early must not be a way to get tokens free.
func (l *Limiter) Finish(x *module.Exchange) {
	if x.Status == 0 {
		return
	}
	for _, t := range module.Local[usage](x).taken {
		if t.tokens {
			t.bucket.settle(x.Shared(), t.key, x.Now(), x.Usage.Total()-t.n)
		}
	}
}

// slots bounds the buckets of callers that nobody has registered: addresses and header values share buckets by their
// hash, because shared data is never freed.
const slots = 1 << 16

func bucketKey(limit *Limit, x *module.Exchange, tokens bool) string {
	unit := "/r/"
	if tokens {
		unit = "/t/"
	}
	return "ratelimit/" + limit.Name + unit + subject(limit.By, x)
}

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
		return hashed(x.ClientAddress())
	}
}

func hashed(s string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(s))
	return "#" + strconv.FormatUint(uint64(h.Sum32()%slots), 16)
}
