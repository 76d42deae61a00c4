package route

import (
	"cmp"
	"hash/fnv"
	"slices"

	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/breaker"
)

// order is the order in which targets are tried: theirs in the configuration, neighbours with weights at random, and last those
// whose breaker is open, for they are better than nothing. A provider that may work again is first for the one exchange that
// finds it so, if that may be asked of it: probes.
func (r *Router) order(x *module.Exchange, route *Route, targets []Target, probes bool) []Target {
	ordered, random := slices.Clone(targets), r.random
	if value := x.RequestHeader(route.Affinity); route.Affinity != "" && value != "" {
		random = always(value)
	}
	for i := 0; i < len(ordered); {
		end := i
		for end < len(ordered) && ordered[end].Weight > 0 && ordered[end].Group == ordered[i].Group {
			end++
		}
		shuffle(ordered[i:end], random)
		i = max(end, i+1)
	}
	now := x.Now()
	if route.Fastest {
		slices.SortStableFunc(ordered, func(a, b Target) int {
			first, second := breaker.Of(x.Shared(), a.Provider), breaker.Of(x.Shared(), b.Provider)
			return cmp.Compare(first.FirstByte(now), second.FirstByte(now))
		})
	}
	var closed, open []Target
	for _, t := range ordered {
		s := breaker.Of(x.Shared(), t.Provider)
		if s.Open(now) || s.HalfOpen(now) && (!probes || !breaker.Probe(x.Shared(), t.Provider, now)) {
			open = append(open, t)
		} else {
			closed = append(closed, t)
		}
	}
	return append(closed, open...)
}

// shuffle puts targets into a random order, in which each is first as often as its weight is a part of the sum.
func shuffle(targets []Target, random func(below uint64) uint64) {
	for len(targets) > 1 {
		sum := uint64(0)
		for _, t := range targets {
			sum += uint64(t.Weight) //nolint:gosec // Validate has checked it
		}
		at := random(sum)
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

// always is a source of numbers that are the same for the same value.
func always(value string) func(below uint64) uint64 {
	sum := fnv.New64a()
	return func(below uint64) uint64 {
		_, _ = sum.Write([]byte(value)) // never fails
		n := sum.Sum64()
		return (n ^ n>>32) % below
	}
}
