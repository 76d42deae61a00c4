package distribution

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/mod/semver"

	"github.com/leash-gateway/leash/registry/access"
	"github.com/leash-gateway/leash/registry/catalog"
)

// What does a slot on standby load? What its channel will point at next, as far as that is known:
//
//  1. a version whose promotion is under way;
//  2. while there is a canary, what this Envoy does not run of the two;
//  3. the newest version that is released, if it is newer than the channel's, and whoever has pushed it may promote it: a module runs in an
//     Envoy as soon as it is loaded, so nobody's is loaded who could not have it run anyway;
//  4. for an hour, what the channel pointed at before: a rollback is not to take seconds either;
//  5. what the channel points at, which costs nothing, as both slots name the same VM.
//
// An Envoy's slot on standby is filled when the slot beside it runs what it should: never does the one wait for the other's module.

// keepBefore is how long the version before is kept loaded.
const keepBefore = time.Hour

// A line is a channel of a module.
type line struct{ module, channel string }

func (s Slot) line() line { return line{s.Module, s.Channel} }

// lookAhead finds out what a slot on standby is to be filled with.
func (s *Server) lookAhead(ctx context.Context, t, before *target, slots *Slots) {
	channel, err := s.o.Catalogue.Channel(t.slot.Module, t.slot.Channel)
	if err != nil && !errors.Is(err, catalog.ErrNotFound) {
		t.problem = err
		return
	}
	next := s.ahead(t.slot, channel)
	if t.ahead = next; next == "" {
		t.problem = errNothing
		return
	}
	config, err := slots.config(t.slot)
	if err == nil {
		t.filter, err = s.filterOf(ctx, t.slot, next, config, before.filter)
	}
	if err != nil {
		t.problem = err
		s.o.Log.Warn("a slot on standby is not filled", "slot", t.slot.String(), "digest", next.String(), "error", err)
		return
	}
	if channel.Canary == nil || next != channel.Canary.Digest {
		return
	}
	if t.canary, err = s.filterOf(ctx, t.slot, channel.Digest, config, before.canary); err != nil {
		t.canary = nil // those that try the canary keep what they have
		return
	}
	t.trial = channel.Canary
}

// ahead is the version that is to be loaded, "" for none.
func (s *Server) ahead(slot Slot, c catalog.Channel) digest.Digest {
	s.mu.Lock()
	coming := s.coming[slot.line()]
	s.mu.Unlock()
	switch newest := s.newest(slot, c); {
	case coming != "":
		return coming
	case c.Canary != nil:
		return c.Canary.Digest
	case newest != "":
		return newest
	}
	if b, err := s.o.Catalogue.Build(slot.Module, c.Before()); err == nil && b.State != catalog.Yanked && s.fit(slot, b.Digest) && s.o.Now().Sub(c.Changed) < keepBefore {
		return b.Digest
	}
	return c.Digest
}

// newest is the newest version, if it may be loaded before somebody promotes it.
func (s *Server) newest(slot Slot, c catalog.Channel) digest.Digest {
	versions, err := s.o.Catalogue.Versions(slot.Module)
	if err != nil {
		return "" // there is no such module
	}
	for _, b := range versions {
		if b.State != catalog.Released || semver.Prerelease("v"+b.Version) != "" {
			continue
		}
		if c.Version != "" && semver.Compare("v"+b.Version, "v"+c.Version) <= 0 || !s.fit(slot, b.Digest) || !s.o.Access.Named(b.By).May(access.Promote, slot.Module) {
			return ""
		}
		return b.Digest
	}
	return ""
}

// fit says whether nothing is known against loading a version.
func (s *Server) fit(slot Slot, d digest.Digest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := release{slot.Module, slot.Channel, d}
	return d != "" && s.unfit[r] == "" && !s.judged[r]
}

// shelve has slots looked up anew that have a version on standby. s.mu is held.
func (s *Server) shelve(r release) {
	for name, t := range s.targets {
		if t.slot.Standby && t.slot.Module == r.module && t.slot.Channel == r.channel {
			s.dirty[name] = true
		}
	}
	s.wake()
}

// beside are a node's subscriptions to the slot that one on standby is for, which all have the same name. s.mu is held.
func (s *Server) beside(node string, standby Slot) iter.Seq2[string, *subscription] {
	standby.Standby = false
	name := standby.String()
	return func(yield func(string, *subscription) bool) {
		for st := range s.nodes[node] {
			if sub := st.slots[name]; sub != nil && !yield(name, sub) {
				return
			}
		}
	}
}

// settled says whether a node has, in the slot beside one on standby, what it should, or has refused it. s.mu is held.
func (s *Server) settled(node string, standby Slot) bool {
	there := false
	for name, sub := range s.beside(node, standby) {
		there = true
		if !sub.verified {
			return false
		}
		if f := s.targets[name].filterFor(node); f != nil && !sub.denied && f.version != sub.running && f.version != sub.refused {
			return false
		}
	}
	return there
}

// runs is the version that a node runs in the slot beside one on standby, or did when it was last connected; "" for none. s.mu is held.
func (s *Server) runs(node string, standby Slot) digest.Digest {
	for _, sub := range s.beside(node, standby) {
		if sub.running != "" {
			_, d := digestOf(sub.running)
			return d
		}
	}
	standby.Standby = false
	return s.past[subject{node, standby.String()}].Digest
}

// wakeNode wakes all streams of an Envoy: what is due on one may depend on what another has heard. s.mu is held.
func (s *Server) wakeNode(st *stream) {
	st.wake()
	for other := range s.nodes[st.id()] {
		other.wake()
	}
}
