package distribution

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/leash-gateway/leash/registry/catalog"
)

// When does a version go back by itself? When an Envoy that ran another version of the module in this slot
//
//   - refuses the new one: its VM does not start, or the module does not take its configuration or traps on it;
//   - stays connected and does not answer for as long as Options.Patience: the module keeps it busy for ever;
//   - goes away while it loads the new one, does not come back with it in that time, and nobody else has loaded it: it crashes;
//
// and when the version does not take the configuration of one of its slots. What an Envoy refuses that has never run any
// version is its own matter (it may be built without Wasm), and is only told in its status.

// A release is a version in a channel.
type release struct {
	module, channel string
	digest          digest.Digest
}

// A verdict is that a version is to go back.
type verdict struct {
	release
	version string
	reason  string
}

// subject is an Envoy's slot.
type subject struct{ node, slot string }

// away is an answer that an Envoy has left without a word, and when.
type away struct {
	*answer
	since time.Time
}

// actor does what the registry does by itself.
var actor = catalog.Actor{Name: catalog.Registry, Via: "distribution"}

// refuses is called when an Envoy has refused a, or has not answered it. s.mu is held.
func (s *Server) refuses(st *stream, a *answer, reason string) {
	s.o.Log.Warn("an envoy refuses a module", "node", st.id(), "slot", a.slot, "version", a.filter.build.Version, "reason", reason)
	s.metrics.refusals.Inc()
	s.convict(st.id(), a, "refuses it: "+reason)
}

// convict decides what comes of a failure: nothing, unless the Envoy ran another version. s.mu is held.
func (s *Server) convict(node string, a *answer, reason string) {
	slot, err := ParseSlot(a.slot)
	if err != nil {
		return
	}
	_, ran := digestOf(a.before)
	if slot.Standby {
		ran = s.runs(node, slot)
	}
	if ran == "" || ran == a.filter.build.Digest {
		return
	}
	if r := (release{slot.Module, slot.Channel, a.filter.build.Digest}); slot.Standby {
		s.unfit[r] = fmt.Sprintf("envoy %q %s", node, reason)
		s.shelve(r)
		return
	}
	s.accuseLocked(verdict{
		release: release{slot.Module, slot.Channel, a.filter.build.Digest}, version: a.filter.build.Version, reason: fmt.Sprintf("envoy %q %s", node, reason),
	})
}

// accuse asks Serve to take a version back, once.
func (s *Server) accuse(v verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accuseLocked(v)
}

func (s *Server) accuseLocked(v verdict) {
	if s.judged[v.release] {
		return
	}
	s.judged[v.release] = true
	s.verdicts = append(s.verdicts, v)
	s.wake()
}

// took is called when an Envoy has taken a. s.mu is held.
func (s *Server) took(st *stream, a *answer) {
	delete(s.away, subject{st.id(), a.slot})
	s.metrics.loads.Observe(s.o.Now().Sub(a.at).Seconds())
	s.o.Log.Debug("an envoy runs a module", "node", st.id(), "slot", a.slot, "version", a.filter.build.Version, "took", s.o.Now().Sub(a.at))
}

// overdue looks for Envoys that have not answered in time.
func (s *Server) overdue() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Now()
	for st := range s.streams {
		for _, sub := range st.slots {
			if a := sub.last; a != nil && !a.done && now.Sub(a.at) > s.o.Patience {
				a.done = true
				sub.refused, sub.reason = a.filter.version, fmt.Sprintf("no answer for %s", s.o.Patience)
				s.refuses(st, a, sub.reason)
				s.wakeNode(st)
			}
		}
	}
	for who, left := range s.away {
		switch {
		case now.Sub(left.since) <= s.o.Patience:
			continue
		case s.loadedByAnother(who, left.filter):
			s.o.Log.Warn("an envoy went away while it loaded a module, which others run", "node", who.node, "slot", who.slot, "version", left.filter.build.Version)
		default:
			s.convict(who.node, left.answer, fmt.Sprintf("went away while it loaded it, and has not been back with it for %s", s.o.Patience))
		}
		delete(s.away, who)
	}
	for who, status := range s.past {
		if now.Sub(status.Seen) > forget {
			delete(s.past, who)
			delete(s.meters, who.node)
		}
	}
}

// forget is how long an Envoy that is no longer connected is still listed.
const forget = 10 * time.Minute

// loadedByAnother says whether some other Envoy runs a filter. s.mu is held.
func (s *Server) loadedByAnother(who subject, f *filter) bool {
	for st := range s.streams {
		if sub := st.slots[who.slot]; sub != nil && st.id() != who.node && sub.running == f.version {
			return true
		}
	}
	return false
}

// execute takes versions back.
func (s *Server) execute(ctx context.Context) {
	s.mu.Lock()
	verdicts := s.verdicts
	s.verdicts = nil
	s.mu.Unlock()
	for _, v := range verdicts {
		err := s.takeBack(ctx, v)
		log := s.o.Log.With("module", v.module, "channel", v.channel, "version", v.version, "reason", v.reason)
		switch {
		case errors.Is(err, catalog.ErrConflict):
			log.Warn("a version is refused, but the channel has moved meanwhile, or there is nothing to go back to", "error", err)
		case err != nil:
			log.Error("a version cannot be taken back", "error", err)
		default:
			s.metrics.takenBack.Inc() // the catalogue's event tells of it
		}
		if err != nil {
			note := catalog.Event{Module: v.module, Channel: v.channel, Version: v.version, Digest: v.digest, Reason: v.reason}
			if err := s.o.Catalogue.Record(ctx, actor, note); err != nil {
				log.Error("a refusal cannot be noted", "error", err)
			}
		}
	}
}

// takeBack rolls a channel back, or ends a canary.
func (s *Server) takeBack(ctx context.Context, v verdict) error {
	channel, err := s.o.Catalogue.Channel(v.module, v.channel)
	if err != nil {
		return err
	}
	if channel.Canary != nil && channel.Canary.Digest == v.digest {
		_, err = s.o.Catalogue.AbortCanary(ctx, actor, v.module, v.channel, v.digest, v.reason)
		return err
	}
	_, err = s.o.Catalogue.Rollback(ctx, actor, catalog.Return{Module: v.module, Channel: v.channel, Reason: v.reason, Expect: v.digest})
	return err
}
