package distribution

import (
	"cmp"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
)

// A State says how an Envoy's slot stands to what it should run.
type State string

// The states.
const (
	// Current: it runs what it should.
	Current State = "current"
	// Loading: it has been sent another version and has not answered.
	Loading State = "loading"
	// Refused: it has refused what it should run, for the reason in Status.Reason, and goes on with what it ran.
	Refused State = "refused"
	// Empty: there is nothing for the slot, which then does what its default says: a policy's refuses, an inspector's passes.
	Empty State = "empty"
	// Gone: it is no longer connected. If it lives, it goes on with what it ran.
	Gone State = "gone"
)

// A Status is what an Envoy runs in a slot.
type Status struct {
	// Node is the id that the Envoy's bootstrap says, Cluster too; Address is where it connects from, Envoy its version.
	Node    string `json:"node"`
	Cluster string `json:"cluster,omitempty"`
	Address string `json:"address"`
	Envoy   string `json:"envoy,omitempty"`
	Slot    string `json:"slot"`
	// Version and Digest are what it runs, "" for nothing, since Since.
	Version string        `json:"version,omitempty"`
	Digest  digest.Digest `json:"digest,omitempty"`
	Since   time.Time     `json:"since"`
	// Wanted is the version that it should run; Canary says that it is one that is being tried.
	Wanted string `json:"wanted,omitempty"`
	Canary bool   `json:"canary,omitempty"`
	State  State  `json:"state"`
	// Reason is why it does not run what it should.
	Reason string `json:"reason,omitempty"`
	// Seen is when it was last heard of, if it is gone.
	Seen time.Time `json:"seen,omitzero"`
}

// Envoys tells which Envoy runs what, by node and slot, those that are gone for up to ten minutes.
func (s *Server) Envoys() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []Status{}
	there := map[subject]bool{}
	for st := range s.streams {
		for name, sub := range st.slots {
			list = append(list, s.status(st, name, sub))
			there[subject{st.id(), name}] = true
		}
	}
	for who, past := range s.past {
		if !there[who] {
			past.State = Gone
			list = append(list, past)
		}
	}
	slices.SortFunc(list, func(a, b Status) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Slot, b.Slot), cmp.Compare(a.Address, b.Address))
	})
	return list
}

// status is that of one slot. s.mu is held.
func (s *Server) status(st *stream, name string, sub *subscription) Status {
	one := Status{
		Node: st.id(), Cluster: st.node.GetCluster(), Address: st.address, Slot: name, Since: sub.since, Seen: s.o.Now(), State: Empty,
	}
	if v := st.node.GetUserAgentBuildVersion().GetVersion(); v != nil {
		one.Envoy = versionText(v.GetMajorNumber(), v.GetMinorNumber(), v.GetPatch())
	}
	one.Version, one.Digest = digestOf(sub.running)
	t := s.targets[name]
	if t.problem != nil {
		one.Reason = t.problem.Error()
	}
	if sub.denied {
		one.Reason = sub.reason
		return one
	}
	f := t.filterFor(st.id())
	if f == nil {
		return one
	}
	one.Wanted, one.Canary = f.build.Version, f == t.canary && !t.slot.Standby
	switch f.version {
	case sub.running:
		one.State = Current
	case sub.refused:
		one.State, one.Reason = Refused, sub.reason
	default:
		one.State = Loading
	}
	return one
}
