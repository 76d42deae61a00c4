package catalog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"go.etcd.io/bbolt"

	"github.com/leash-gateway/leash/registry/catalog"
	"github.com/leash-gateway/leash/registry/catalog/catalogtest"
	"github.com/leash-gateway/leash/registry/registrytest"
	"github.com/leash-gateway/leash/registry/signing"
)

var me = catalogtest.Me

// signed is a trust policy that lets run what a test has put into it.
type signed struct {
	mu sync.Mutex
	by map[digest.Digest]bool
}

func (s *signed) Check(_ context.Context, _ string, d digest.Digest) ([]signing.Verified, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.by[d] {
		return nil, signing.ErrUnsigned
	}
	return []signing.Verified{{By: "release"}}, nil
}

func (s *signed) sign(d digest.Digest, is bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by == nil {
		s.by = map[digest.Digest]bool{}
	}
	s.by[d] = is
}

const hello = "team/hello"

func module(t testing.TB, version string) []byte {
	t.Helper()
	return registrytest.Module(t, "hello", version, version)
}

func promote(t testing.TB, c *catalog.Catalog, version, channel string) catalog.Channel {
	t.Helper()
	now, err := c.Promote(t.Context(), me, catalog.Promotion{Module: hello, Version: version, Channel: channel})
	if err != nil {
		t.Fatal(err)
	}
	return now
}

func TestAChannelGoesForwardAndBack(t *testing.T) {
	c, s := catalogtest.Open(t, nil)
	builds := map[string]catalog.Build{}
	for _, version := range []string{"1.0.0", "1.1.0", "2.0.0"} {
		builds[version] = catalogtest.Publish(t, c, s, hello, module(t, version))
		if now := promote(t, c, version, "stable"); now.Version != version || now.Digest != builds[version].Digest {
			t.Fatalf("stable is %+v", now)
		}
	}
	for _, want := range []string{"1.1.0", "1.0.0"} {
		now, err := c.Rollback(t.Context(), me, catalog.Return{Module: hello, Channel: "stable", Reason: "errors"})
		if err != nil || now.Version != want {
			t.Fatalf("rolled back to %+v, %v, want %s", now, err, want)
		}
	}
	if _, err := c.Rollback(t.Context(), me, catalog.Return{Module: hello, Channel: "stable", Reason: "errors"}); !errors.Is(err, catalog.ErrConflict) {
		t.Errorf("there is nothing before, but: %v", err)
	}
	now, err := c.Rollback(t.Context(), me, catalog.Return{Module: hello, Channel: "stable", Version: "2.0.0", Reason: "it was not that one"})
	if err != nil || now.Version != "2.0.0" || now.Revision != 6 {
		t.Errorf("got %+v, %v", now, err)
	}
}

func TestWhoRollsBackByItselfUndoesNobodysLaterPromotion(t *testing.T) {
	c, s := catalogtest.Open(t, nil)
	first := catalogtest.Publish(t, c, s, hello, module(t, "1.0.0"))
	bad := catalogtest.Publish(t, c, s, hello, module(t, "1.1.0"))
	catalogtest.Publish(t, c, s, hello, module(t, "1.2.0"))
	for _, version := range []string{"1.0.0", "1.1.0", "1.2.0"} {
		promote(t, c, version, "stable")
	}
	r := catalog.Return{Module: hello, Channel: "stable", Reason: "Envoy refuses it", Expect: bad.Digest}
	if _, err := c.Rollback(t.Context(), me, r); !errors.Is(err, catalog.ErrConflict) {
		t.Errorf("got %v", err)
	}
	if _, err := c.Promote(t.Context(), me, catalog.Promotion{Module: hello, Version: "1.1.0", Channel: "stable", Expect: first.Digest}); !errors.Is(err, catalog.ErrConflict) {
		t.Errorf("got %v", err)
	}
}

func TestVersionsNeverChange(t *testing.T) {
	c, s := catalogtest.Open(t, nil)
	one := catalogtest.Publish(t, c, s, hello, module(t, "1.0.0"))
	other := catalogtest.Put(t, s, hello, registrytest.Module(t, "hello", "1.0.0", "something else"))
	if _, err := c.Push(t.Context(), me, hello, "1.0.0", other); !errors.Is(err, catalog.ErrExists) {
		t.Errorf("another content: %v", err)
	}
	if _, err := c.Push(t.Context(), me, hello, "v1.0.0", other); !errors.Is(err, catalog.ErrExists) {
		t.Errorf("the same version, written with a v: %v", err)
	}
	seq := c.Seq()
	if _, err := c.Push(t.Context(), me, hello, "1.0.0", one); err != nil || c.Seq() != seq {
		t.Errorf("the same content again: %v, and %d events more", err, c.Seq()-seq)
	}
	if err := c.Remove(t.Context(), me, hello, "1.0.0"); !errors.Is(err, catalog.ErrExists) {
		t.Errorf("removed: %v", err)
	}
}

func TestOneOfManyPushersOfAVersionWins(t *testing.T) {
	c, s := catalogtest.Open(t, nil)
	var wait sync.WaitGroup
	var mu sync.Mutex
	won := map[digest.Digest]bool{}
	for i := range 16 {
		b := catalogtest.Put(t, s, hello, registrytest.Module(t, "hello", "1.0.0", fmt.Sprint(i)))
		wait.Go(func() {
			_, err := c.Push(context.Background(), me, hello, "1.0.0", b)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won[b.Digest] = true
			} else if !errors.Is(err, catalog.ErrExists) {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	got, err := c.Version(hello, "1.0.0")
	if err != nil || len(won) != 1 || !won[got.Digest] {
		t.Errorf("%d won, and the version is %s, %v", len(won), got.Digest, err)
	}
}

func TestWhatIsNotSignedWaitsAndIsReleasedByItsSignature(t *testing.T) {
	trust := &signed{}
	c, s := catalogtest.Open(t, trust)
	b := catalogtest.Publish(t, c, s, hello, module(t, "1.0.0"))
	if b.State != catalog.Pending {
		t.Errorf("it is %s", b.State)
	}
	if _, err := c.Promote(t.Context(), me, catalog.Promotion{Module: hello, Version: "1.0.0", Channel: "stable"}); !errors.Is(err, catalog.ErrPending) {
		t.Errorf("promoted: %v", err)
	}
	if _, err := c.Read(t.Context(), hello, b.Digest); !errors.Is(err, catalog.ErrPending) {
		t.Errorf("read: %v", err)
	}
	attachment := catalog.Attachment{Digest: digest.FromString("signature"), Subject: b.Digest}
	if err := c.Attach(t.Context(), me, hello, "", attachment); err != nil {
		t.Fatal(err)
	}
	if b, _ = c.Version(hello, "1.0.0"); b.State != catalog.Pending {
		t.Errorf("a signature that nobody trusts made it %s", b.State)
	}
	trust.sign(b.Digest, true)
	attachment.Digest = digest.FromString("another signature")
	if err := c.Attach(t.Context(), me, hello, "", attachment); err != nil {
		t.Fatal(err)
	}
	if b, _ = c.Version(hello, "1.0.0"); b.State != catalog.Released || b.Released.IsZero() {
		t.Errorf("the signature made it %s", b.State)
	}
	promote(t, c, "1.0.0", "stable")
	read, err := c.Read(t.Context(), hello, b.Digest)
	if err != nil || len(read.Signatures) != 1 || digest.FromBytes(read.Bytes) != b.Wasm || read.Manifest.Name != "hello" {
		t.Errorf("read %+v, %v", read, err)
	}
}

func TestNothingIsReadThatIsNotWhatWasPushed(t *testing.T) {
	tests := map[string]func(t *testing.T, s *catalogtest.Store, trust *signed, b catalog.Build){
		"the signature no longer holds": func(_ *testing.T, _ *catalogtest.Store, trust *signed, b catalog.Build) { trust.sign(b.Digest, false) },
		"another manifest": func(t *testing.T, s *catalogtest.Store, _ *signed, b catalog.Build) {
			t.Helper()
			text, _ := s.Manifest(t.Context(), hello, b.Digest)
			s.Put(hello, b.Digest, append(slices.Clone(text), ' '))
		},
		"another .wasm": func(t *testing.T, s *catalogtest.Store, _ *signed, b catalog.Build) {
			t.Helper()
			other := module(t, "1.0.0")
			other[len(other)-1] ^= 1
			s.Put(hello, b.Wasm, other)
		},
		"a .wasm that is cut off": func(t *testing.T, s *catalogtest.Store, _ *signed, b catalog.Build) {
			t.Helper()
			whole := module(t, "1.0.0")
			s.Put(hello, b.Wasm, whole[:len(whole)-1])
		},
	}
	for name, tamper := range tests {
		t.Run(name, func(t *testing.T) {
			trust := &signed{}
			c, s := catalogtest.Open(t, trust)
			b := catalogtest.Put(t, s, hello, module(t, "1.0.0"))
			trust.sign(b.Digest, true)
			catalogtest.Publish(t, c, s, hello, module(t, "1.0.0"))
			if _, err := c.Read(t.Context(), hello, b.Digest); err != nil {
				t.Fatal(err)
			}
			tamper(t, s, trust, b)
			if _, err := c.Read(t.Context(), hello, b.Digest); !errors.Is(err, catalog.ErrRefused) {
				t.Errorf("read: %v", err)
			}
			if _, err := c.Promote(t.Context(), me, catalog.Promotion{Module: hello, Version: "1.0.0", Channel: "stable"}); !errors.Is(err, catalog.ErrRefused) {
				t.Errorf("promoted: %v", err)
			}
		})
	}
}

func TestAModuleUnderAnotherNameIsRefused(t *testing.T) {
	c, s := catalogtest.Open(t, nil)
	b := catalogtest.Publish(t, c, s, "team/other", module(t, "1.0.0"))
	if _, err := c.Read(t.Context(), "team/other", b.Digest); !errors.Is(err, catalog.ErrRefused) {
		t.Errorf("got %v", err)
	}
}

func TestAYankedVersionLeavesItsChannels(t *testing.T) {
	c, s := catalogtest.Open(t, nil)
	catalogtest.Publish(t, c, s, hello, module(t, "1.0.0"))
	bad := catalogtest.Publish(t, c, s, hello, module(t, "1.1.0"))
	promote(t, c, "1.0.0", "stable")
	promote(t, c, "1.1.0", "stable")
	promote(t, c, "1.1.0", "edge")
	promote(t, c, "1.0.0", "canaries")
	if _, err := c.StartCanary(t.Context(), me, catalog.Trial{Module: hello, Channel: "canaries", Canary: catalog.Canary{Version: "1.1.0", Percent: 10}}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Yank(t.Context(), me, hello, "1.1.0", ""); !errors.Is(err, catalog.ErrInvalid) {
		t.Errorf("without a reason: %v", err)
	}
	if b, err := c.Yank(t.Context(), me, hello, "1.1.0", "leaks"); err != nil || b.State != catalog.Yanked || b.Reason != "leaks" {
		t.Fatalf("got %+v, %v", b, err)
	}
	want := map[string]string{"stable": "1.0.0", "edge": "", "canaries": "1.0.0"}
	channels, _ := c.Channels(hello)
	for _, channel := range channels {
		if channel.Version != want[channel.Name] || channel.Canary != nil {
			t.Errorf("%s points at %q (canary %v)", channel.Name, channel.Version, channel.Canary)
		}
	}
	if _, err := c.Read(t.Context(), hello, bad.Digest); !errors.Is(err, catalog.ErrYanked) || !strings.Contains(err.Error(), "leaks") {
		t.Errorf("read: %v", err)
	}
	if _, err := c.Push(t.Context(), me, hello, "1.1.0", bad); !errors.Is(err, catalog.ErrYanked) {
		t.Errorf("pushed again: %v", err)
	}
	if _, err := c.Rollback(t.Context(), me, catalog.Return{Module: hello, Channel: "stable", Version: "1.1.0", Reason: "no"}); !errors.Is(err, catalog.ErrYanked) {
		t.Errorf("rolled back to it: %v", err)
	}
}

func TestADeprecatedVersionIsServedAndNotPromoted(t *testing.T) {
	c, s := catalogtest.Open(t, nil)
	b := catalogtest.Publish(t, c, s, hello, module(t, "1.0.0"))
	promote(t, c, "1.0.0", "stable")
	if _, err := c.Deprecate(t.Context(), me, hello, "1.0.0", "slow"); err != nil {
		t.Fatal(err)
	}
	if err := c.Usable(t.Context(), hello, b.Digest); err != nil {
		t.Errorf("it cannot be had: %v", err)
	}
	if _, err := c.Promote(t.Context(), me, catalog.Promotion{Module: hello, Version: "1.0.0", Channel: "edge"}); err == nil || !strings.Contains(err.Error(), "slow") {
		t.Errorf("promoted: %v", err)
	}
	if _, err := c.Undeprecate(t.Context(), me, hello, "1.0.0", "it was the network"); err != nil {
		t.Fatal(err)
	}
	promote(t, c, "1.0.0", "edge")
}

func TestWatchersSeeEveryChangeInItsOrder(t *testing.T) {
	c, s := catalogtest.Open(t, nil)
	catalogtest.Publish(t, c, s, hello, module(t, "1.0.0"))
	catalogtest.Publish(t, c, s, hello, module(t, "1.1.0"))
	const promotions = 600 // more than are read at once
	_, seq := c.AllChannels()
	go func() {
		for i := range promotions {
			if _, err := c.Promote(context.Background(), me, catalog.Promotion{Module: hello, Version: []string{"1.0.0", "1.1.0"}[i%2], Channel: "stable"}); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	seen := 0
	for e, err := range c.Watch(ctx, seq) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Seq != seq+1 || e.Kind != catalog.Promote {
			t.Fatalf("after %d comes %d, %s", seq, e.Seq, e.Kind)
		}
		if seq, seen = e.Seq, seen+1; seen == promotions {
			break
		}
	}
}

func TestAnOpenedCatalogueIsWhatItWas(t *testing.T) {
	file, s := filepath.Join(t.TempDir(), "catalog.db"), &catalogtest.Store{}
	c, err := catalog.Open(catalog.Options{File: file, Store: s})
	if err != nil {
		t.Fatal(err)
	}
	first := catalogtest.Publish(t, c, s, hello, module(t, "1.0.0"))
	catalogtest.Publish(t, c, s, hello, module(t, "1.10.0"))
	catalogtest.Publish(t, c, s, hello, module(t, "1.9.0"))
	promote(t, c, "1.0.0", "stable")
	if _, err := c.Deprecate(t.Context(), me, hello, "1.0.0", "old"); err != nil {
		t.Fatal(err)
	}
	c.Downloaded(hello, first.Digest)
	before := state(t, c)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if c, err = catalog.Open(catalog.Options{File: file, Store: s}); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := state(t, c); got != before {
		t.Errorf("it was\n%s\nand is\n%s", before, got)
	}
	if n, err := c.Downloads(hello, first.Digest); n != 1 || err != nil {
		t.Errorf("%d downloads, %v", n, err)
	}
	if versions, _ := c.Versions(hello); versions[0].Version != "1.10.0" || versions[2].Version != "1.0.0" {
		t.Errorf("the newest is %s", versions[0].Version)
	}
	if _, err := catalog.Open(catalog.Options{File: file, Store: s}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("opened twice: %v", err)
	}
}

// state is everything that a catalogue tells.
func state(t *testing.T, c *catalog.Catalog) string {
	t.Helper()
	versions, err := c.Versions(hello)
	if err != nil {
		t.Fatal(err)
	}
	channels, seq := c.AllChannels()
	history, err := c.History(catalog.Query{Module: hello, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	tags, err := c.Tags(hello, true)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%+v\n%+v %d\n%+v\n%v", versions, channels, seq, history[0].Chain, tags)
}

func TestALogThatSomebodyEditedIsNotOpened(t *testing.T) {
	key := []byte{0, 0, 0, 0, 0, 0, 0, 3}
	tests := map[string]func(log *bbolt.Bucket) error{
		"a reason": func(log *bbolt.Bucket) error {
			return log.Put(key, bytes.Replace(log.Get(key), []byte("leaks"), []byte("leeks"), 1))
		},
		"a yank is gone":  func(log *bbolt.Bucket) error { return log.Delete(key) },
		"a yank is empty": func(log *bbolt.Bucket) error { return log.Put(key, nil) },
	}
	for name, edit := range tests {
		t.Run(name, func(t *testing.T) {
			file, s := filepath.Join(t.TempDir(), "catalog.db"), &catalogtest.Store{}
			c, err := catalog.Open(catalog.Options{File: file, Store: s})
			if err != nil {
				t.Fatal(err)
			}
			catalogtest.Publish(t, c, s, hello, module(t, "1.0.0"))
			if _, err := c.Yank(t.Context(), me, hello, "1.0.0", "leaks"); err != nil {
				t.Fatal(err)
			}
			catalogtest.Publish(t, c, s, hello, module(t, "1.0.1"))
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			db, err := bbolt.Open(file, 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(db.Update(func(tx *bbolt.Tx) error { return edit(tx.Bucket([]byte("log"))) }), db.Close()); err != nil {
				t.Fatal(err)
			}
			if _, err := catalog.Open(catalog.Options{File: file, Store: s}); err == nil || !strings.Contains(err.Error(), "event 3 of the log is not what was written") {
				t.Errorf("opened: %v", err)
			}
		})
	}
}

func TestAChangeThatCannotBeWrittenHasNotHappened(t *testing.T) {
	c, s := catalogtest.Open(t, nil)
	catalogtest.Publish(t, c, s, hello, module(t, "1.0.0"))
	before := state(t, c)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Promote(t.Context(), me, catalog.Promotion{Module: hello, Version: "1.0.0", Channel: "stable"}); err == nil {
		t.Error("promoted after the end")
	}
	if channels, _ := c.AllChannels(); len(channels) > 0 || before == "" {
		t.Errorf("half of it is there: %+v", channels)
	}
}

func TestHistoryTellsWhoDidWhatPageByPage(t *testing.T) {
	c, s := catalogtest.Open(t, nil)
	catalogtest.Publish(t, c, s, hello, module(t, "1.0.0"))
	catalogtest.Publish(t, c, s, "team/other", registrytest.Module(t, "other", "1.0.0", ""))
	promote(t, c, "1.0.0", "stable")
	if err := c.Record(t.Context(), catalog.Actor{Name: "registry", Via: "distribution"}, catalog.Event{Module: hello, Channel: "stable", Reason: "an Envoy refuses it"}); err != nil {
		t.Fatal(err)
	}
	var kinds []string
	q := catalog.Query{Module: hello, Limit: 2}
	for {
		page, err := c.History(q)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			kinds = append(kinds, e.Actor+" "+string(e.Kind))
		}
		q.Before = page[len(page)-1].Seq
	}
	if got, want := strings.Join(kinds, ", "), "registry note, ada promote, ada release, ada push"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if all, err := c.History(catalog.Query{}); err != nil || len(all) != 6 {
		t.Errorf("%d events, %v", len(all), err)
	}
}

func TestNamesOfChannelsAreNoVersionsAndNoTags(t *testing.T) {
	c, s := catalogtest.Open(t, nil)
	b := catalogtest.Publish(t, c, s, hello, module(t, "1.0.0"))
	if _, err := c.Push(t.Context(), me, hello, "latest", b); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "1.0.0", "v2.0.0", "Stable", "a b", "sha256-abc", strings.Repeat("a", 64)} {
		if _, err := c.Promote(t.Context(), me, catalog.Promotion{Module: hello, Version: "1.0.0", Channel: name}); !errors.Is(err, catalog.ErrInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := c.Promote(t.Context(), me, catalog.Promotion{Module: hello, Version: "1.0.0", Channel: "latest"}); !errors.Is(err, catalog.ErrExists) {
		t.Errorf("a tag: %v", err)
	}
	promote(t, c, "1.0.0", "stable")
	if _, err := c.Push(t.Context(), me, hello, "stable", b); !errors.Is(err, catalog.ErrExists) {
		t.Errorf("pushed to a channel: %v", err)
	}
	if tags, _ := c.Tags(hello, false); strings.Join(tags, " ") != "1.0.0 latest stable" {
		t.Errorf("the tags are %v", tags)
	}
}

func TestTheFileIsNobodyElses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "catalog.db")
	c, err := catalog.Open(catalog.Options{File: file, Store: &catalogtest.Store{}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestALogThatIsDamagedSaysWhatToDo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "catalog.db")
	if err := os.WriteFile(file, bytes.Repeat([]byte("no log"), 4<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := catalog.Open(catalog.Options{File: file, Store: &catalogtest.Store{}}); err == nil || !strings.Contains(err.Error(), "the file is damaged: restore it from a backup") {
		t.Errorf("opened: %v", err)
	}
}
