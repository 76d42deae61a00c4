package distribution

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/leash-gateway/leash/registry/catalog"
)

// A Rollout is how a promotion has gone on in the Envoys that are connected.
type Rollout struct {
	// Prepared is how many had loaded the version on standby before it was promoted, PrepareTime how long they were waited for.
	Prepared    int
	PrepareTime time.Duration
	// Slots is how many slots there are for the channel, Running how many of them run the version, SwitchTime how long that took from the promotion.
	Slots, Running int
	SwitchTime     time.Duration
}

const (
	// prepareWithin bounds, in multiples of Options.Patience, how long Envoys are waited for until they have loaded a version: each may be busy
	// with another one first.
	prepareWithin = 3
	// lookEvery is how often it is looked how many have: counting thousands of Envoys at each answer would take longer than the answers do.
	lookEvery = 10 * time.Millisecond
	// switchWithin is how long it is looked, after a promotion, whether Envoys run the version.
	switchWithin = 5 * time.Second
)

// Promote makes a channel point at a version as [catalog.Catalog.Promote] does, once Envoys with a slot on standby have loaded it: the promotion
// itself then takes them no time. If one refuses it that runs another version, it is not promoted: [catalog.ErrRefused]. immediately does not wait
// for them. A channel that was moved while they were waited for, as by a rollback, stays where it is: [catalog.ErrConflict].
func (s *Server) Promote(ctx context.Context, a catalog.Actor, p catalog.Promotion, immediately bool) (now catalog.Channel, r Rollout, err error) {
	b, err := s.o.Catalogue.Version(p.Module, p.Version)
	if err != nil {
		return now, r, err
	}
	to := release{p.Module, p.Channel, b.Digest}
	if !immediately {
		if err := s.o.Catalogue.Promotable(ctx, p); err != nil { // nobody is made to load what is refused anyway
			return now, r, err
		}
		if before, err := s.o.Catalogue.Channel(p.Module, p.Channel); err == nil && p.Expect == "" {
			p.Expect = before.Digest
		}
		if err := s.announce(to); err != nil {
			return now, r, err
		}
		defer s.withdraw(to)
		began := s.o.Now()
		r.Prepared, err = s.prepare(ctx, to)
		r.PrepareTime = s.o.Now().Sub(began)
		if err != nil {
			s.o.Log.Warn("a version is not promoted", "module", p.Module, "channel", p.Channel, "version", b.Version, "reason", err, "by", a.Name)
			err = fmt.Errorf("promote %s %s to %s: %w", p.Module, b.Version, p.Channel, err)
			note := catalog.Event{Module: p.Module, Channel: p.Channel, Version: b.Version, Digest: b.Digest, Reason: err.Error()}
			if failed := s.o.Catalogue.Record(context.WithoutCancel(ctx), actor, note); failed != nil {
				s.o.Log.Error("a refusal cannot be noted", "error", failed)
			}
			return now, r, err
		}
	}
	began := s.o.Now()
	if now, err = s.o.Catalogue.Promote(ctx, a, p); err != nil {
		return now, r, err
	}
	r.Slots, r.Running = s.follow(ctx, to)
	r.SwitchTime = s.o.Now().Sub(began)
	s.metrics.switches.Observe(r.SwitchTime.Seconds())
	return now, r, nil
}

// announce has slots on standby filled with a version.
func (s *Server) announce(to release) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := line{to.module, to.channel}
	if s.coming[l] != "" {
		return fmt.Errorf("channel %s of %s: %w: another promotion is under way", to.channel, to.module, catalog.ErrConflict)
	}
	s.coming[l] = to.digest
	s.pardon(to)
	s.shelve(to)
	return nil
}

// withdraw ends what announce has begun.
func (s *Server) withdraw(to release) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.coming, line{to.module, to.channel})
	s.shelve(to)
}

// prepare waits until all Envoys with a slot on standby have loaded a version, and says how many that are.
func (s *Server) prepare(ctx context.Context, to release) (ready int, err error) {
	asked := ctx
	ctx, cancel := context.WithTimeout(ctx, prepareWithin*s.o.Patience)
	defer cancel()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		s.mu.Lock()
		ready, waiting, reason := s.prepared(to)
		s.mu.Unlock()
		switch {
		case reason != "":
			return ready, fmt.Errorf("%w: %s", catalog.ErrRefused, reason)
		case waiting == 0:
			return ready, nil
		}
		select {
		case <-look.C:
		case <-asked.Done():
			return ready, fmt.Errorf("whoever asked for it did not wait until slots on standby had loaded it: %w", asked.Err())
		case <-ctx.Done():
			return ready, fmt.Errorf("%d slots on standby have not loaded it, %d have (leash registry status tells which; --immediately does not wait for them): %w", waiting, ready, ctx.Err())
		}
	}
}

// prepared counts slots on standby that have loaded a version, and those that are waited for. reason says why it is not to be promoted. s.mu is held.
func (s *Server) prepared(to release) (ready, waiting int, reason string) {
	if reason := s.unfit[to]; reason != "" {
		return 0, 0, reason
	}
	for st, name := range s.slotsOf(to, true) {
		sub, t := st.slots[name], s.targets[name]
		_, running := digestOf(sub.running)
		_, refused := digestOf(sub.refused)
		switch {
		case running == to.digest:
			ready++
		case refused == to.digest: // by an Envoy that is no witness
		case t.ahead == to.digest && t.problem != nil:
			return ready, waiting, t.problem.Error()
		case s.isBeside(st.id(), t.slot):
			waiting++
		}
	}
	for who, left := range s.away {
		if t := s.targets[who.slot]; t != nil && t.slot.Standby && t.slot.line() == (line{to.module, to.channel}) && left.filter.build.Digest == to.digest {
			waiting++ // it may be what has ended that Envoy
		}
	}
	return ready, waiting, ""
}

// slotsOf are the slots of connected Envoys for a channel, those on standby or the others, but for what is denied them. s.mu is held.
func (s *Server) slotsOf(to release, standby bool) iter.Seq2[*stream, string] {
	return func(yield func(*stream, string) bool) {
		for st := range s.streams {
			for name, sub := range st.slots {
				slot := s.targets[name].slot
				if slot.Standby == standby && slot.line() == (line{to.module, to.channel}) && !sub.denied && !yield(st, name) {
					return
				}
			}
		}
	}
}

// isBeside says whether a node has the slot that one on standby is for: without it, it is never filled. s.mu is held.
func (s *Server) isBeside(node string, standby Slot) bool {
	for range s.beside(node, standby) {
		return true
	}
	return false
}

// follow waits until all Envoys run a version that was promoted, but not long.
func (s *Server) follow(ctx context.Context, to release) (slots, running int) {
	ctx, cancel := context.WithTimeout(ctx, switchWithin)
	defer cancel()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		s.mu.Lock()
		slots, running = s.running(to)
		s.mu.Unlock()
		if slots == running {
			return slots, running
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return slots, running
		}
	}
}

// running counts slots of a channel, and those that run a version. s.mu is held.
func (s *Server) running(to release) (slots, running int) {
	for st, name := range s.slotsOf(to, false) {
		slots++
		if _, d := digestOf(st.slots[name].running); d == to.digest {
			running++
		}
	}
	return slots, running
}
