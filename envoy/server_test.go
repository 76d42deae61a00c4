package envoy_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/envoy"
)

func TestRequestsReachTheProviderThroughTheModules(t *testing.T) {
	one := provider(t, "one")
	g := start(t, minimal, one.URL+"/base")
	a := g.mustChat("x-leash-tenant", "forged")
	got := a.received(t)
	if a.header.Get("x-said") != "first" || got.Path != "/base/chat/completions" || got.Host != strings.TrimPrefix(one.URL, "http://") {
		t.Errorf("got %+v, %v", got, a.header)
	}
}

func TestChangesApplyToTheRunningEnvoy(t *testing.T) {
	one, two := provider(t, "one"), provider(t, "two")
	g := start(t, minimal, one.URL)
	g.ports["TWO"] = two.URL
	changed := strings.NewReplacer("say: first", "say: second", "routes: [{model: \"*\", provider: one}]", "  two: {base_url: $TWO}\nroutes: [{model: \"*\", provider: two}]").
		Replace(strings.Replace(minimal, "allow_anonymous: true\nroutes:", "routes:", 1)) + "allow_anonymous: true\n"
	if err := g.apply(changed); err != nil {
		t.Fatal(err)
	}
	if a := g.mustChat(); a.header.Get("x-said") != "second" || a.header.Get("x-provider") != "two" {
		t.Errorf("got %d %v %s", a.status, a.header, a.body)
	}
}

func TestWhatEnvoyRefusesIsNotDeployed(t *testing.T) {
	one := provider(t, "one")
	g := start(t, minimal, one.URL)
	for name, tc := range map[string]struct{ old, changed string }{
		"a module that refuses its configuration": {"say: first", "refuse: true"},
		"a certificate that is not there":         {"base_url: $PROVIDER,", "base_url: https://localhost, ca_file: /nowhere.pem,"},
	} {
		t.Run(name, func(t *testing.T) {
			err := g.apply(strings.Replace(minimal, tc.old, tc.changed, 1))
			if _, ok := errors.AsType[*envoy.Refused](err); !ok {
				t.Fatalf("got %v, want that Envoy refuses it", err)
			}
			t.Log(err)
			if a := g.mustChat(); a.status != http.StatusOK || a.header.Get("x-said") != "first" {
				t.Errorf("got %d %v, want the old configuration", a.status, a.header)
			}
		})
	}
	if err := g.apply(strings.Replace(minimal, "say: first", "say: third", 1)); err != nil {
		t.Fatalf("a right one after the wrong ones: %v", err)
	}
	if a := g.mustChat(); a.header.Get("x-said") != "third" {
		t.Errorf("got %d %v, want the right one", a.status, a.header)
	}
}

func TestFoldersOfServersThatWereKilledAreRemoved(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	other, err := envoy.Serve(context.Background(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	killed, strange := filepath.Join(temporary, "leash-1"), filepath.Join(temporary, "leash-notes")
	for _, dir := range []string{killed, strange} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(killed, "xds.sock"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	yesterday := time.Now().Add(-24 * time.Hour)
	if err := os.Chtimes(killed, yesterday, yesterday); err != nil {
		t.Fatal(err)
	}
	next, err := envoy.Serve(context.Background(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = next.Close() })
	for dir, want := range map[string]bool{killed: false, strange: true, other.Dir(): true, next.Dir(): true} {
		if _, err := os.Stat(dir); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", filepath.Base(dir), err == nil, want)
		}
	}
}
