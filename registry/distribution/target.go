package distribution

import (
	"context"
	"errors"
	"hash/fnv"

	"github.com/opencontainers/go-digest"

	"github.com/leash-gateway/leash/registry/catalog"
	"github.com/leash-gateway/leash/registry/wildcard"
)

// A target is what a slot is to be filled with. It is never changed, but replaced.
type target struct {
	slot Slot
	// filter is what the channel points at, nil for nothing.
	filter *filter
	// canary is what some Envoys get instead, as trial says.
	canary *filter
	trial  *catalog.Canary
	// ahead is, of a slot on standby, the version that it was looked up for.
	ahead digest.Digest
	// problem says why the slot is not filled with what its channel points at.
	problem error
}

// lookUp finds out what a slot is to be filled with now. What the catalogue no longer lets through is left out, so that no other
// Envoy gets it; those that run it go on with it.
func (s *Server) lookUp(ctx context.Context, before *target, slots *Slots) *target {
	t := &target{slot: before.slot}
	if t.slot.Module == "" {
		t.problem = before.problem // no slot
		return t
	}
	if t.slot.Standby {
		s.lookAhead(ctx, t, before, slots)
		return t
	}
	channel, err := s.o.Catalogue.Channel(t.slot.Module, t.slot.Channel)
	switch {
	case errors.Is(err, catalog.ErrNotFound) || err == nil && channel.Digest == "":
		t.problem = errNothing
		return t
	case err != nil:
		t.problem = err
		return t
	}
	config, err := slots.config(t.slot)
	if err != nil {
		t.filter, t.problem = before.filter, err
		s.o.Log.Error("a slot is not filled", "slot", t.slot.String(), "error", err)
		return t
	}
	t.filter, err = s.filterOf(ctx, t.slot, channel.Digest, config, before.filter)
	if errors.Is(err, errConfig) {
		// The version that Envoys run goes on. A new version that does not take the configuration goes back as if an Envoy had said so.
		if before.filter != nil && before.filter.build.Digest != channel.Digest {
			s.accuse(verdict{release: release{t.slot.Module, t.slot.Channel, channel.Digest}, version: channel.Version, reason: err.Error()})
		}
		t.filter = before.filter
	}
	if err != nil {
		t.problem = err
		s.o.Log.Error("a slot is not filled with what its channel points at", "slot", t.slot.String(), "version", channel.Version, "error", err)
	}
	if channel.Canary == nil {
		return t
	}
	t.canary, err = s.filterOf(ctx, t.slot, channel.Canary.Digest, config, before.canary)
	if err != nil {
		t.canary = nil
		s.accuse(verdict{release: release{t.slot.Module, t.slot.Channel, channel.Canary.Digest}, version: channel.Canary.Version, reason: err.Error()})
		return t
	}
	t.trial = channel.Canary
	return t
}

var errNothing = errors.New("the channel points at no version")

// filterOf makes the filter of a version, or takes the one from before, after it has been verified anew.
func (s *Server) filterOf(ctx context.Context, slot Slot, d digest.Digest, config []byte, before *filter) (*filter, error) {
	module, err := s.o.Catalogue.Read(ctx, slot.Module, d)
	if err != nil {
		return nil, err
	}
	if before != nil && !before.spent.Load() && before.version == versionOf(module.Version, d, config) {
		return before, nil
	}
	return newFilter(slot, module, config, s.made.Add(1))
}

// filterFor is what a node is to run: nil for nothing.
func (t *target) filterFor(node string) *filter {
	if t.canary != nil && tries(t.slot.Module, t.trial, node) {
		return t.canary
	}
	return t.filter
}

// tries says whether a node is among those that try a canary. A node's place in the share depends on its id and the module alone, so one that
// has tried one version is not spared the next; other modules find other nodes.
func tries(module string, c *catalog.Canary, node string) bool {
	for _, pattern := range c.Nodes {
		if wildcard.Match(pattern, node) {
			return true
		}
	}
	const whole = 100
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(module + "\x00" + node))
	return int(sum.Sum32()%whole) < c.Percent
}
