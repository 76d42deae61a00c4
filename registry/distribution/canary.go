package distribution

import (
	"context"
	"fmt"
	"time"

	"github.com/leash-gateway/leash/registry/catalog"
)

// A trial is what is known of a canary while it is tried.
type trial struct {
	// since is when the first Envoy ran it, as this server has seen.
	since time.Time
	// began is what each Envoy had counted when it was first looked at with what it ran then.
	began map[began]traffic
	// Progress is how it stands, for people to read.
	progress Progress
}

type began struct{ node, version string }

// Progress is how a canary stands.
type Progress struct {
	Module  string `json:"module"`
	Channel string `json:"channel"`
	// Version is the one that is tried, Against the one that the channel points at.
	Version string `json:"version"`
	Against string `json:"against"`
	// Envoys is how many run it.
	Envoys int `json:"envoys"`
	// Canary and Others are what both kinds of Envoys have served since the canary began.
	Canary Served `json:"canary"`
	Others Served `json:"others"`
	// Waiting says for what it waits.
	Waiting string `json:"waiting,omitempty"`
}

// Served is what Envoys have served.
type Served struct {
	Requests int64 `json:"requests"`
	// ErrorRate is the share of answers with 5xx, RefusalRate that with 4xx.
	ErrorRate   float64 `json:"error_rate"`
	RefusalRate float64 `json:"refusal_rate"`
	// Latency is the 95th percentile.
	Latency time.Duration `json:"latency_p95_ns"`
}

// Canaries tells how those stand that Envoys with a slot for it try.
func (s *Server) Canaries() []Progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []Progress{}
	for _, t := range s.trials {
		list = append(list, t.progress)
	}
	sortProgress(list)
	return list
}

// judgeTrials promotes the canaries that have gone well for long enough, and ends those that have not.
func (s *Server) judgeTrials(ctx context.Context) {
	var promoted []func() error
	s.mu.Lock()
	under := map[release]*catalog.Canary{}
	for _, t := range s.targets {
		if t.trial != nil && t.filter != nil && !t.slot.Standby {
			under[release{t.slot.Module, t.slot.Channel, t.trial.Digest}] = t.trial
		}
	}
	for r := range s.trials {
		if under[r] == nil {
			delete(s.trials, r)
		}
	}
	for r, c := range under {
		t := s.trials[r]
		if t == nil {
			t = &trial{began: map[began]traffic{}}
			s.trials[r] = t
		}
		switch fault, done := s.weigh(r, c, t); {
		case fault != "":
			s.accuseLocked(verdict{release: r, version: c.Version, reason: fault})
		case done && !s.judged[r]:
			s.judged[r] = true
			reason := fmt.Sprintf("the canary has gone well for %s: %d requests, %.2f%% errors, p95 %s",
				c.For, t.progress.Canary.Requests, percent(t.progress.Canary.ErrorRate), t.progress.Canary.Latency)
			promoted = append(promoted, func() error {
				_, err := s.o.Catalogue.Promote(ctx, actor, catalog.Promotion{Module: r.module, Channel: r.channel, Version: c.Version, Reason: reason})
				return err
			})
		}
	}
	s.mu.Unlock()
	for _, promote := range promoted {
		if err := promote(); err != nil {
			s.o.Log.Error("a canary that went well cannot be promoted", "error", err)
		}
	}
}

// weigh says what speaks against a canary, or that it has gone well for long enough. s.mu is held.
func (s *Server) weigh(r release, c *catalog.Canary, t *trial) (fault string, done bool) {
	p := s.count(r, t)
	p.Version = c.Version
	t.progress = p
	p.Waiting = ""
	defer func() { t.progress = p }()
	looked := c.MaxErrorRate > 0 || c.MaxLatency > 0
	enough := p.Canary.Requests >= int64(s.o.MinRequests)
	known := p.Others.Requests >= int64(s.o.MinRequests)
	if enough {
		// An outage that all Envoys see is not the canary's. What it refuses more than the others is an error of its own.
		errors := p.Canary.ErrorRate
		if known {
			errors += max(0, p.Canary.RefusalRate-p.Others.RefusalRate)
		}
		if c.MaxErrorRate > 0 && errors > c.MaxErrorRate && !(known && errors <= worse*p.Others.ErrorRate) {
			return fmt.Sprintf("the canary fails or wrongly refuses %.2f%% of %d requests, more than %.2f%%; without it %.2f%% fail",
				percent(errors), p.Canary.Requests, percent(c.MaxErrorRate), percent(p.Others.ErrorRate)), false
		}
		if c.MaxLatency > 0 && p.Canary.Latency > c.MaxLatency && !(known && float64(p.Canary.Latency) <= worse*float64(p.Others.Latency)) {
			return fmt.Sprintf("the canary's p95 is %s, more than %s; without it %s", p.Canary.Latency, c.MaxLatency, p.Others.Latency), false
		}
	}
	switch now := s.o.Now(); {
	case p.Envoys == 0:
		p.Waiting = "no envoy runs it yet"
	case looked && p.Canary.Requests == 0:
		p.Waiting = "no envoy that runs it has sent metrics of requests: see stats_sinks in docs/guides/slots.md"
	case looked && !enough:
		p.Waiting = fmt.Sprintf("%d of %d requests", p.Canary.Requests, s.o.MinRequests)
	case c.For == 0:
		p.Waiting = "it is promoted by hand"
	case now.Sub(t.since) < c.For:
		p.Waiting = (c.For - now.Sub(t.since)).Round(time.Second).String() + " to go"
	default:
		return "", true
	}
	return "", false
}

// worse is by how much a canary may be worse than Envoys without it that are over a bound themselves.
const worse = 1.5

func percent(rate float64) float64 { return 100 * rate }

// count adds up what Envoys with and without a canary have served since it began. s.mu is held.
func (s *Server) count(r release, t *trial) Progress {
	p := Progress{Module: r.module, Channel: r.channel}
	var canary, others traffic
	counted := map[string]bool{} // an Envoy with several such slots counts once
	for st := range s.streams {
		for name, sub := range st.slots {
			target := s.targets[name]
			if target.slot.Standby {
				continue
			}
			if target.slot.Module != r.module || target.slot.Channel != r.channel || target.filter == nil || counted[st.id()] {
				continue
			}
			version, running := digestOf(sub.running)
			if running != r.digest && running != target.filter.build.Digest {
				continue
			}
			counted[st.id()] = true
			into := &others
			if running == r.digest {
				into = &canary
				p.Envoys++
				if t.since.IsZero() {
					t.since = s.o.Now()
				}
			} else {
				p.Against = version
			}
			now, metered := s.meters[st.id()]
			if !metered || now.at.Before(sub.since) {
				continue // of before it ran this
			}
			key := began{st.id(), sub.running}
			before, known := t.began[key]
			if !known || now.requests < before.requests { // it has been started again
				t.began[key] = now
				continue
			}
			into.add(now.since(before))
		}
	}
	p.Canary, p.Others = canary.served(), others.served()
	return p
}
