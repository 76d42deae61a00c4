package server_test

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/registry/catalog"
	"github.com/leash-gateway/leash/registry/server"
)

func TestWhatHappensToModulesIsLogged(t *testing.T) {
	t.Parallel()
	var log nettest.Log
	dropTime := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || strings.HasPrefix(a.Value.String(), "sha256:") {
			return slog.Attr{}
		}
		return a
	}
	r := start(t, func(o *server.Options) {
		o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: dropTime}))
	})
	logged := func(line string) {
		t.Helper()
		nettest.Eventually(t, line, func() bool { return strings.Contains(log.String(), line+"\n") })
	}
	r.mustPush(t, "team/hello:1.0.0", module(t, "1.0.0"))
	r.mustPush(t, "team/hello:1.1.0", module(t, "1.1.0"))
	logged(`level=INFO msg="version released" module=team/hello version=1.1.0 by=anonymous`)
	r.promote(t, "1.0.0")
	logged(`level=INFO msg="channel moved" module=team/hello version=1.0.0 channel=stable by=ada`)
	r.promote(t, "1.1.0")
	back := catalog.Return{Module: "team/hello", Channel: "stable", Reason: "it is slow"}
	itself := catalog.Actor{Name: catalog.Registry, Via: "test"}
	if _, err := r.Catalog().Rollback(t.Context(), itself, back); err != nil {
		t.Fatal(err)
	}
	logged(`level=WARN msg="channel moved back" module=team/hello version=1.0.0 channel=stable reason="it is slow" by=registry`)
	r.promote(t, "1.1.0")
	if _, err := r.Catalog().Rollback(t.Context(), me, back); err != nil {
		t.Fatal(err)
	}
	logged(`level=INFO msg="channel moved back" module=team/hello version=1.0.0 channel=stable reason="it is slow" by=ada`)
	if _, err := r.Catalog().Yank(t.Context(), me, "team/hello", "1.0.0", "it leaks"); err != nil {
		t.Fatal(err)
	}
	logged(`level=INFO msg="version yanked" module=team/hello version=1.0.0 reason="it leaks" by=ada`)
}
