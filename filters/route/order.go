package route

import (
	"slices"

	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/breaker"
)

// order is the order in which targets are tried: theirs in the configuration, neighbours with weights at random, and last those
// whose breaker is open, for they are better than nothing. A provider that may work again is first for the one exchange that
// finds it so.
func (r *Router) order(x *module.Exchange, targets []Target) []Target {
	ordered := slices.Clone(targets)
	for i := 0; i < len(ordered); {
		end := i
		for end < len(ordered) && ordered[end].Weight > 0 {
			end++
		}
		r.shuffle(ordered[i:end])
		i = max(end, i+1)
	}
	now := x.Now()
	var closed, open []Target
	for _, t := range ordered {
		s := breaker.Of(x.Shared(), t.Provider)
		if s.Open(now) || s.HalfOpen(now) && !breaker.Probe(x.Shared(), t.Provider, now) {
			open = append(open, t)
		} else {
			closed = append(closed, t)
		}
	}
	return append(closed, open...)
}

// shuffle puts targets into a random order, in which each is first as often as its weight is a part of the sum.
func (r *Router) shuffle(targets []Target) {
	for len(targets) > 1 {
		sum := uint64(0)
		for _, t := range targets {
			sum += uint64(t.Weight) //nolint:gosec // Validate has checked it
		}
		at := r.random(sum)
		for i, t := range targets {
			if at < uint64(t.Weight) { //nolint:gosec // likewise
				copy(targets[1:i+1], targets[:i])
				targets[0] = t
				break
			}
			at -= uint64(t.Weight) //nolint:gosec // likewise
		}
		targets = targets[1:]
	}
}
