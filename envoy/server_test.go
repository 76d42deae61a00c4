package envoy_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

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
