// Package credential keeps credentials fresh that expire, such as the access tokens of Google's Vertex AI. They are replaced ahead of need
// and off the way of requests: what a request needs is there, or the provider is asked without it and says so.
package credential

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// A Token is a secret that expires. In texts, logs and JSON only its place is seen; Reveal gives it.
type Token struct {
	value   string
	Expires time.Time
}

const hidden = "[hidden]"

// NewToken makes a token of a secret.
func NewToken(value string, expires time.Time) Token { return Token{value, expires} }

// Reveal gives the secret. Whoever calls it keeps it out of all that people read.
func (t Token) Reveal() string { return t.value }

// String hides the secret.
func (Token) String() string { return hidden }

// Format hides the secret from all verbs of package fmt, %#v among them.
func (Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// MarshalText hides the secret from what writes JSON, YAML and XML.
func (Token) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// LogValue hides the secret from package slog.
func (Token) LogValue() slog.Value { return slog.StringValue(hidden) }

// A Source makes tokens. Token may take until ctx is done; its error holds nothing secret.
type Source interface {
	Token(ctx context.Context) (Token, error)
}

// Options of a Keeper. The zero value is ready for use.
type Options struct {
	// Ahead is how long before its end a token is replaced; 10 minutes when zero. Of one that lives less than twice as long it
	// is half of its life.
	Ahead time.Duration
	// Timeout bounds one attempt to get a token; 15 s when zero.
	Timeout time.Duration
	// Retry is the pause after a first failure, which doubles with each one more up to MaxRetry; 1 s and 1 min when zero. Half of it is random.
	Retry, MaxRetry time.Duration
	// OnChange is called with each new token, one call after the other.
	OnChange func(Token)
	// Log is told of failures, and of success after them; nobody is when nil.
	Log *slog.Logger
}

// A Keeper keeps a token that is fresh. First Run in a goroutine of its own; Token then gives what there is.
type Keeper struct {
	source Source
	o      Options

	mu    sync.Mutex
	token Token
	err   error // of the last attempt
}

// NewKeeper makes a keeper that gets its tokens from a source.
func NewKeeper(source Source, o Options) *Keeper {
	def := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	def(&o.Ahead, 10*time.Minute)
	def(&o.Timeout, 15*time.Second)
	def(&o.Retry, time.Second)
	def(&o.MaxRetry, time.Minute)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Keeper{source: source, o: o, err: errNotYet}
}

// ErrNoToken says that there is no token that is still good.
var ErrNoToken = errors.New("there is no token")

var errNotYet = errors.New("none was got yet")

// Token is the token that there is. The error is ErrNoToken, with the reason why none could be got.
func (k *Keeper) Token() (Token, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.token.value == "" || !time.Now().Before(k.token.Expires) {
		return Token{}, fmt.Errorf("%w: %w", ErrNoToken, k.err)
	}
	return k.token, nil
}

// Run gets tokens until ctx is done, whose error it returns.
func (k *Keeper) Run(ctx context.Context) error {
	failures := 0
	for {
		pause, err := k.renew(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			pause = k.backOff(failures)
			failures++
			k.o.Log.Warn("a provider's token could not be renewed", "error", err, "attempt", failures, "next_in", pause)
		case failures > 0:
			k.o.Log.Info("a provider's token was renewed", "attempts", failures+1)
			failures = 0
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// renew gets a token and tells how long it is until the next one is due.
func (k *Keeper) renew(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, k.o.Timeout)
	defer cancel()
	began := time.Now()
	token, err := k.source.Token(ctx)
	life := token.Expires.Sub(began)
	if err == nil && (token.value == "" || life <= 0) {
		err = errors.New("the token that was got has expired")
	}
	k.mu.Lock()
	if k.err = err; err == nil {
		k.token = token
	}
	k.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if k.o.OnChange != nil {
		k.o.OnChange(token)
	}
	return life - min(k.o.Ahead, life/2), nil
}

// backOff is the pause after a number of failures before this one.
func (k *Keeper) backOff(failures int) time.Duration {
	pause := k.o.MaxRetry
	if failures < 30 { // beyond which it would not fit
		pause = min(k.o.Retry<<failures, k.o.MaxRetry)
	}
	return pause/2 + rand.N(pause/2+1) //nolint:gosec // so that many do not come at once
}
