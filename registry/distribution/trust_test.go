package distribution_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/registry/catalog"
	"github.com/leash-gateway/leash/registry/catalog/catalogtest"
	"github.com/leash-gateway/leash/registry/distribution"
	"github.com/leash-gateway/leash/registry/signing"
)

// A policy accepts everything but what it distrusts.
type policy struct{ distrusted atomic.Value }

func (p *policy) Check(_ context.Context, _ string, d digest.Digest) ([]signing.Verified, error) {
	if p.distrusted.Load() == d {
		return nil, errors.New("nobody who is trusted has signed it")
	}
	return nil, nil
}

// trusting is a registry with a trust policy that distrusts nothing yet, and with a module that is released and promoted.
func trusting(t *testing.T) (*registry, *policy) {
	t.Helper()
	p := &policy{}
	p.distrusted.Store(digest.Digest(""))
	r := newRegistry(t, p, distribution.Options{})
	r.publish(greeter(t, "1.0.0", "policy", good))
	r.promote("1.0.0")
	return r, p
}

func TestWhatMayNotRunNeverReachesAnEnvoy(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		// spoil makes what stable points at unusable, behind the catalogue's back or through it.
		spoil func(t *testing.T, r *registry, p *policy, b catalog.Build)
		want  string // in the status of an Envoy that asks for it
	}{
		"a module whose bytes were edited in the store": {func(_ *testing.T, r *registry, _ *policy, b catalog.Build) {
			for _, part := range b.Parts {
				r.Store.Put(module, part, []byte("\x00asm\x01\x00\x00\x00"))
			}
		}, "the store holds"},
		"a manifest that was replaced in the store": {func(t *testing.T, r *registry, _ *policy, b catalog.Build) {
			t.Helper()
			other := catalogtest.Put(t, r.Store, module, greeter(t, "6.6.6", "policy", good))
			text, err := r.Store.Manifest(t.Context(), module, other.Digest)
			if err != nil {
				t.Fatal(err)
			}
			r.Store.Put(module, b.Digest, text)
		}, "the store holds another manifest"},
		"a module that the store has lost": {func(_ *testing.T, r *registry, _ *policy, b catalog.Build) {
			r.Store.Put(module, b.Digest, nil)
		}, "the store holds another manifest"},
		"a module whose signer is no longer trusted": {func(_ *testing.T, _ *registry, p *policy, b catalog.Build) {
			p.distrusted.Store(b.Digest)
		}, "nobody who is trusted has signed it"},
		"a module that was yanked": {func(t *testing.T, r *registry, _ *policy, b catalog.Build) {
			t.Helper()
			if _, err := r.Catalogue.Yank(t.Context(), catalogtest.Me, module, b.Version, "it leaks"); err != nil {
				t.Fatal(err)
			}
		}, "the channel points at no version"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, p := trusting(t)
			b, err := r.Catalogue.Version(module, "1.0.0")
			if err != nil {
				t.Fatal(err)
			}
			tc.spoil(t, r, p, b)
			f := newFleet(t)
			f.connect(r, "node-0000", stable)
			nettest.Eventually(t, "the refusal", func() bool { return strings.Contains(r.status(stable).Reason, tc.want) })
			if s := r.status(stable); s.State != distribution.Empty || s.Version != "" || f.received() > 0 {
				t.Errorf("it has received %d bytes: %+v", f.received(), s)
			}
		})
	}
}

// What was verified before is verified again for the next Envoy.
func TestModuleThatIsNoLongerTrustedReachesNoOtherEnvoyAndThoseThatRunItGoOn(t *testing.T) {
	t.Parallel()
	r, p := trusting(t)
	f := newFleet(t)
	f.connect(r, "node-0000", stable)
	f.known(r, "1.0.0", 1)
	b, err := r.Catalogue.Version(module, "1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	p.distrusted.Store(b.Digest)
	before := f.received()
	f.connect(r, "node-0001", stable)
	nettest.Eventually(t, "the second to be refused", func() bool {
		for _, s := range r.Envoys() {
			if s.Node == "node-0001" && strings.Contains(s.Reason, "nobody who is trusted") {
				return s.State == distribution.Empty
			}
		}
		return false
	})
	if f.received() != before || r.status(stable).Version != "1.0.0" {
		t.Errorf("after that: %d more bytes, %+v", f.received()-before, r.Envoys())
	}
}

func TestUnsignedModuleIsNeitherPromotedNorTriedNorSent(t *testing.T) {
	t.Parallel()
	r, p := trusting(t)
	f := newFleet(t)
	f.connect(r, "node-0000", stable)
	f.known(r, "1.0.0", 1)
	unsigned := catalogtest.Put(t, r.Store, module, greeter(t, "1.1.0", "policy", good))
	p.distrusted.Store(unsigned.Digest)
	if _, err := r.Catalogue.Push(t.Context(), catalogtest.Me, module, "1.1.0", unsigned); err != nil {
		t.Fatal(err)
	}
	before := f.received()
	if _, err := r.Catalogue.Promote(t.Context(), catalogtest.Me, catalog.Promotion{Module: module, Channel: "stable", Version: "1.1.0"}); !errors.Is(err, catalog.ErrPending) {
		t.Errorf("promoted with %v, want that it waits for a signature", err)
	}
	trial := catalog.Trial{Module: module, Channel: "stable", Canary: catalog.Canary{Version: "1.1.0", Percent: 100}}
	if _, err := r.Catalogue.StartCanary(t.Context(), catalogtest.Me, trial); !errors.Is(err, catalog.ErrPending) {
		t.Errorf("tried with %v, want that it waits for a signature", err)
	}
	// Nothing comes of it: the next that may run is what is sent next.
	r.publish(greeter(t, "1.2.0", "policy", good))
	r.promote("1.2.0")
	f.known(r, "1.2.0", 1)
	if sent := f.received() - before; sent > 4<<10 {
		t.Errorf("%d bytes were sent, more than one module", sent)
	}
}
