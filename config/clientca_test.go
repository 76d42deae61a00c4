package config_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/internal/nettest"
)

func TestWhoVouchesForClientsIsReadAgain(t *testing.T) {
	before, after, logged := nettest.NewAuthority(t), nettest.NewAuthority(t), &bytes.Buffer{}
	of := func(a *nettest.Authority) string {
		t.Helper()
		text, err := os.ReadFile(a.File)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	ca := &config.ClientCA{File: filepath.Join(t.TempDir(), "clients.pem"), Log: slog.New(slog.NewTextHandler(logged, nil))}
	replace(t, ca.File, of(before))
	server := &tls.Config{Certificates: []tls.Certificate{before.Issue(t, nettest.Validity{}, "localhost")}, MinVersion: tls.VersionTLS12}
	if err := ca.Require(server); err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "hello") // behind the handshake, if it succeeds
			c.Close()
		}
	}()
	sessions := tls.NewLRUClientSessionCache(0) // which no session may outlive its authority in
	taken := func(by *nettest.Authority) bool {
		t.Helper()
		c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{
			RootCAs: before.Pool(), ServerName: "localhost", ClientSessionCache: sessions, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12,
			Certificates: []tls.Certificate{by.Issue(t, nettest.Validity{}, "client")},
		})
		if err != nil {
			return false
		}
		defer c.Close()
		if got := c.ConnectionState().NegotiatedProtocol; got != "h2" {
			t.Errorf("it speaks %q, want h2", got)
		}
		text, _ := io.ReadAll(c)
		return string(text) == "hello"
	}
	for _, step := range []struct {
		what, content     string
		oldToo, newAsWell bool
	}{
		{"at first", of(before), true, false},
		{"half a file", of(after)[:100], true, false},
		{"both", of(before) + of(after), true, true},
		{"the new one", of(after), false, true},
	} {
		replace(t, ca.File, step.content)
		if got := taken(before); got != step.oldToo {
			t.Errorf("%s: clients of the old authority are taken: %v", step.what, got)
		}
		if got := taken(after); got != step.newAsWell {
			t.Errorf("%s: clients of the new authority are taken: %v", step.what, got)
		}
	}
	if got := strings.Count(logged.String(), `level=WARN msg="who vouches for clients was replaced by what cannot be used: those before go on" file=`+ca.File); got != 1 {
		t.Errorf("it is told %d times:\n%s", got, logged)
	}
}
