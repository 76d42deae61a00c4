package gateway

import (
	"bytes"
	"strconv"
	"sync"
	"time"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/host/abi"
)

// A race is an exchange of which several attempts may be under way: the next one begins when the latest has failed, and also when that has
// not begun its answer after a time. The first answer that may go on does, and the other attempts are given up.
// (In Envoy there is an internal listener for it: docs/decisions/107-hedged-attempts-by-a-step-between.md.)
type race struct {
	x       *exchange
	to      target
	headers *abi.Headers // of the request
	body    []byte
	targets int

	begun, running int // attempts
	ended          chan ended
	all            sync.WaitGroup

	// Only on the worker.
	attempts []*attempt
	winner   *attempt
	won      chan struct{} // closed when there is one
}

// ended is an attempt that is over, and whether the client has a whole answer of it.
type ended struct {
	*attempt

	whole bool
}

// hedge brings a request to its targets, and is true when the client has a whole answer.
func (x *exchange) hedge(headers *abi.Headers, to target) bool {
	r := &race{x: x, to: to, headers: headers, body: x.kept, won: make(chan struct{})}
	x.kept = nil
	for headers.Value(config.TargetHeader+strconv.Itoa(r.targets+1)) != "" {
		r.targets++
	}
	r.ended = make(chan ended, r.targets)
	if !r.begin() {
		x.reply(unknownURL)
		return x.await()
	}
	defer r.end()
	timer := time.NewTimer(to.hedge)
	defer timer.Stop()
	won := r.won
	for {
		var over <-chan struct{}
		if r.running == 0 { // else they see to it themselves
			over = x.ctx.Done()
		}
		select {
		case <-timer.C:
			if r.begin() {
				timer.Reset(to.hedge)
			}
		case <-won:
			won, r.body = nil, nil
			r.giveUp()
		case a := <-r.ended:
			if r.running--; !a.isMissed() {
				return a.whole
			}
			if a.number == r.begun {
				timer.Reset(jitter(a.number))
			}
		case <-over:
			return x.gaveUp()
		}
	}
}

// begin asks the next target. It is false where there is none, or no need.
func (r *race) begin() bool {
	a := r.x.newAttempt(r.headers, r.to, r.begun+1)
	if a == nil {
		return false
	}
	a.race = r
	needed := false
	r.x.do(func() {
		if needed = r.winner == nil; needed {
			r.attempts = append(r.attempts, a)
		}
	})
	if !needed {
		a.cancel(errOver)
		return false
	}
	r.begun++
	r.running++
	headers, body := r.headers.Clone(), bytes.Clone(r.body)
	r.all.Go(func() {
		whole, _ := a.run(headers, body)
		r.ended <- ended{a, whole}
	})
	return true
}

// settle lets the first answer go on, and no other. It runs on the worker, and is true for an attempt that has missed.
func (r *race) settle(a *attempt, missed bool) bool {
	if missed || r.winner != nil {
		return true
	}
	r.winner = a
	r.x.attempt, r.x.attributes.provider = a, a.provider
	close(r.won)
	return false
}

// alone tells, on the worker, that nobody but the attempt can answer any more.
func (r *race) alone(a *attempt) bool {
	for _, other := range r.attempts {
		if other != a && !other.isMissed() {
			return false
		}
	}
	return len(r.attempts) == r.targets
}

// giveUp ends all attempts but the one whose answer goes on.
func (r *race) giveUp() {
	r.x.do(func() {
		for _, a := range r.attempts {
			if a == r.winner {
				continue
			}
			if !a.isMissed() {
				a.decide(true)
			}
			a.close()
		}
	})
}

// end leaves nothing behind.
func (r *race) end() {
	r.giveUp()
	r.all.Wait()
}
