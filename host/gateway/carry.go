package gateway

import (
	"bytes"
	"math/rand/v2"
	"time"

	"github.com/leash-gateway/leash/host/abi"
)

// A request that is to be translated, or may have to go to several providers, takes a step of its own to each of them: through the module
// provider, which makes of it what this provider reads, and of the answer what the client does. Each attempt begins with the
// request as the other modules have left it, so what one provider was sent, its key above all, is nowhere for the next one to see.
// (In Envoy these are internal listeners: docs/decisions/070-attempts-by-internal-listeners.md.)

// carry brings a request to its targets, one after the other, until one of them has an answer that may go on.
func (x *exchange) carry(headers *abi.Headers, to target) bool {
	if !x.keep() {
		return x.gaveUp()
	}
	// An attempt is bounded likewise, and has to be the first: it can still end a stream with an error.
	const slack = time.Second
	x.clock.bound(to.timeouts.total+slack, to.timeouts.idle+slack)
	if to.hedge > 0 {
		return x.hedge(headers, to)
	}
	for number := 1; ; number++ {
		a := x.newAttempt(headers, to, number)
		if a == nil { // only the first can be missing: who would have asked for the next one?
			x.reply(unknownURL)
			return x.await()
		}
		body := x.kept
		if !a.last {
			body = bytes.Clone(body) // it becomes the chain's
		}
		whole, next := a.run(headers.Clone(), body)
		if !next {
			return whole
		}
		if !x.pause(number) {
			return x.gaveUp()
		}
	}
}

// pause keeps many requests from coming to the next provider at the same instant, as in Envoy. It is false when the exchange is over meanwhile.
func (x *exchange) pause(attempt int) bool {
	timer := time.NewTimer(jitter(attempt))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-x.ctx.Done():
		return false
	}
}

func jitter(attempt int) time.Duration {
	const base, most = 5 * time.Millisecond, 50 * time.Millisecond
	return rand.N(min(base<<(attempt-1), most)) //nolint:gosec // not a secret
}

// keep waits until the whole body of the request is there, and keeps it for the attempts. It is false when something else has ended the
// exchange.
func (x *exchange) keep() bool {
	for {
		data, _, whole := x.up.take()
		if len(x.kept) == 0 {
			x.kept = data
		} else {
			x.kept = append(x.kept, data...)
		}
		if whole {
			return true
		}
		select {
		case <-x.up.came:
		case <-x.down.came:
			if x.deliver() {
				return false
			}
		case <-x.ctx.Done():
			return false
		}
	}
}
