package distribution

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/opencontainers/go-digest"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/leash-gateway/leash/registry/access"
)

// A stream is an Envoy's subscription. An Envoy has one for each slot, or with ADS one for all. What is in it is guarded
// by the server's mu.
type stream struct {
	who     *access.Principal
	delta   bool
	address string
	node    *core.Node
	slots   map[string]*subscription
	// sent are the answers on their way, by their nonce.
	sent  map[string]*answer
	nonce uint64
	// claim is what an Envoy that comes back says that it runs, until that is understood.
	claim string
	woken chan struct{} // has room for one
}

// A subscription is what one stream knows of one slot.
type subscription struct {
	// running is the version that Envoy runs, as it has said; "" for none.
	running string
	since   time.Time
	// last is the last answer, nil for none on this stream.
	last *answer
	// refused is the version that it has refused last, reason why.
	refused, reason string
	// denied says that this Envoy may not have the module.
	denied bool
	// verified says that what the slot is filled with has been verified since this Envoy asked for it.
	verified bool
}

// An answer is a filter that was sent.
type answer struct {
	slot   string
	filter *filter
	at     time.Time
	// before is what Envoy ran then.
	before string
	// done says that Envoy has answered, or that its silence has been told.
	done bool
}

// A request is what Envoy says, in either form of the protocol.
type request struct {
	node *core.Node
	kind string
	// nonce is that of the answer that it is about, "" for none; refusal is set if it refuses that.
	nonce   string
	refusal *status.Status
	// subscribe and unsubscribe are names of slots.
	subscribe, unsubscribe []string
	// running says, by slot, what it runs already when it comes back after a connection has ended.
	running map[string]string
	// version is the same of all slots together, in the form that knows no more.
	version string
}

// id is the node's id; "" until it is known.
func (st *stream) id() string { return st.node.GetId() }

func (st *stream) wake() {
	select {
	case st.woken <- struct{}{}:
	default:
	}
}

// run serves a stream until it ends.
func (s *Server) run(ctx context.Context, delta bool, receive func() (*request, error), send func(*message) error) error {
	who, err := s.authenticate(ctx)
	if err != nil {
		return err
	}
	st := &stream{who: who, delta: delta, slots: map[string]*subscription{}, sent: map[string]*answer{}, woken: make(chan struct{}, 1)}
	if p, found := peer.FromContext(ctx); found {
		st.address = p.Addr.String()
	}
	s.mu.Lock()
	s.streams[st] = true
	s.mu.Unlock()
	defer s.ended(st)
	requests, failed := make(chan *request), make(chan error, 1)
	go func() { // ends with the stream
		for {
			r, err := receive()
			if err != nil {
				failed <- err
				return
			}
			select {
			case requests <- r:
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-failed:
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return err
		case r := <-requests:
			s.take(st, r)
		case <-st.woken:
		}
		for m, err := s.next(st); m != nil || err != nil; m, err = s.next(st) {
			if err == nil {
				err = send(m)
			}
			if err != nil {
				return err
			}
		}
	}
}

// authenticate finds out who an Envoy is.
func (s *Server) authenticate(ctx context.Context) (*access.Principal, error) {
	r := &http.Request{Header: http.Header{}}
	if md, found := metadata.FromIncomingContext(ctx); found {
		r.Header["Authorization"] = md.Get("authorization")
	}
	who, err := s.o.Access.Authenticate(r.WithContext(ctx))
	switch {
	case errors.Is(err, access.ErrUnknown):
		return nil, grpcstatus.Error(codes.Unauthenticated, "the token in the metadata authorization is not known")
	case err != nil:
		s.o.Log.Error("an envoy's token cannot be judged", "error", err)
		return nil, grpcstatus.Error(codes.Unavailable, "the token cannot be judged now: try again later")
	}
	return who, nil
}

// ended forgets a stream, but not what its Envoy ran, nor that it went away while it loaded something.
func (s *Server) ended(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, st)
	if delete(s.nodes[st.id()], st); len(s.nodes[st.id()]) == 0 {
		delete(s.nodes, st.id())
	}
	for name, sub := range st.slots {
		who := subject{st.id(), name}
		if len(s.past) < maxPast {
			s.past[who] = s.status(st, name, sub)
		}
		if _, d := digestOf(sub.refused); d != "" { // it is asked again when it comes back
			s.spend(name, d)
			s.wake()
		}
		if sub.last != nil && !sub.last.done {
			// One that comes back and goes away again has been trying since the first time, and knows no more what it ran then.
			if before, gone := s.away[who]; !gone || before.filter.version != sub.last.filter.version {
				s.away[who] = away{sub.last, s.o.Now()}
			}
		}
	}
}

// take notes what Envoy says.
func (s *Server) take(st *stream, r *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.node != nil && st.node == nil {
		st.node = r.node
		if s.nodes[st.id()] == nil {
			s.nodes[st.id()] = map[*stream]bool{}
		}
		s.nodes[st.id()][st] = true
	}
	if r.kind != resource.ExtensionConfigType {
		return // an Envoy may ask over ADS for more than there is here
	}
	for _, name := range r.unsubscribe {
		delete(st.slots, name)
	}
	for _, name := range r.subscribe {
		s.subscribe(st, name, r.running[name])
	}
	if r.nonce == "" {
		if !st.delta && len(st.sent) == 0 {
			st.claim = r.version
		}
		return
	}
	a := st.sent[r.nonce]
	delete(st.sent, r.nonce)
	if a == nil {
		return
	}
	a.done = true
	sub := st.slots[a.slot]
	if sub == nil {
		return
	}
	s.wakeNode(st)
	if r.refusal != nil {
		sub.refused, sub.reason = a.filter.version, strings.TrimSpace(r.refusal.GetMessage())
		s.refuses(st, a, sub.reason)
		return
	}
	sub.running, sub.since, sub.refused, sub.reason = a.filter.version, s.o.Now(), "", ""
	s.took(st, a)
}

// subscribe begins to fill a slot.
func (s *Server) subscribe(st *stream, name, running string) {
	if st.slots[name] != nil || len(st.slots) >= maxSlots {
		return
	}
	slot, err := ParseSlot(name)
	if err != nil {
		s.o.Log.Warn("an envoy asks for what is no slot", "node", st.id(), "error", err)
	}
	sub := &subscription{running: running, since: s.o.Now()}
	st.slots[name] = sub
	if s.targets[name] == nil {
		s.targets[name] = &target{slot: slot, problem: err}
	}
	if err == nil && !st.who.May(access.Pull, slot.Module) {
		sub.denied, sub.reason = true, fmt.Sprintf("%s may not pull %s", st.who.Name, slot.Module)
		s.o.Log.Warn("an envoy asks for a module that it may not have", "node", st.id(), "slot", name, "principal", st.who.Name)
	}
	s.dirty[name] = true
	s.wake()
}

// resume believes an Envoy that comes back, and says in one word for all slots what it runs: when all are looked up, so that
// it is known what that word should be.
func (s *Server) resume(st *stream) {
	if st.claim == "" {
		return
	}
	for _, sub := range st.slots {
		if !sub.verified {
			return
		}
	}
	same := st.claim == s.together(st, nil)
	for name, sub := range st.slots {
		f := s.targets[name].filterFor(st.id())
		switch _, d := digestOf(st.claim); {
		case same && f != nil:
			sub.running = f.version
		case len(st.slots) == 1 && d != "":
			sub.running = st.claim
		}
	}
	st.claim = ""
}

// together is the version of a stream as a whole once it has taken a, in the form of the protocol that knows only such: the
// version itself where there is one slot.
func (s *Server) together(st *stream, a *answer) string {
	names := slices.Sorted(maps.Keys(st.slots))
	if len(names) == 1 {
		if f := s.targets[names[0]].filterFor(st.id()); f != nil {
			return f.version
		}
		return ""
	}
	sum := sha256.New()
	for _, name := range names {
		version := st.slots[name].running
		if a == nil || a.slot == name {
			if f := s.targets[name].filterFor(st.id()); f != nil {
				version = f.version
			}
		}
		_, _ = fmt.Fprintf(sum, "%s %s\n", name, version)
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

// next is the next answer that is due on a stream, nil for none. Each holds one slot, so that a refusal says of which.
func (s *Server) next(st *stream) (*message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resume(st)
	for _, name := range slices.Sorted(maps.Keys(st.slots)) {
		sub, t := st.slots[name], s.targets[name]
		if !sub.verified || t.slot.Standby && !s.settled(st.id(), t.slot) {
			continue
		}
		f := t.filterFor(st.id())
		if f == nil || f.spent.Load() || sub.denied {
			// Envoy 1.40 that is told so, in the form that can say it, no longer waits for its own timeout and is unready for ever.
			continue
		}
		last := sub.running
		if sub.last != nil && !sub.last.done {
			last = sub.last.filter.version
		}
		if f.version == last || f.version == sub.refused {
			continue
		}
		return s.answer(st, name, sub, f)
	}
	return nil, nil //nolint:nilnil // nothing is due
}

func (st *stream) newNonce() string {
	st.nonce++
	return strconv.FormatUint(st.nonce, 10)
}

func (s *Server) answer(st *stream, name string, sub *subscription, f *filter) (*message, error) {
	a := &answer{slot: name, filter: f, at: s.o.Now(), before: sub.running}
	if sub.last != nil {
		sub.last.done = true // what comes of it no longer matters
	}
	sub.last = a
	s.metrics.sent.Inc()
	nonce := st.newNonce()
	st.sent[nonce] = a
	if st.delta {
		return deltaAnswer(name, f, nonce)
	}
	return wholeAnswer(s.together(st, a), f, nonce)
}

// digestOf takes apart what versionOf has put together, as an Envoy has said it: "" where it has not.
func digestOf(said string) (version string, d digest.Digest) {
	version, rest, _ := strings.Cut(said, " ")
	text, _, _ := strings.Cut(rest, " ")
	if d = digest.Digest(text); d.Validate() != nil {
		return "", ""
	}
	return version, d
}
