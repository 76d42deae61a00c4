package setup_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/registry/setup"
	"github.com/leash-gateway/leash/registry/signing"
)

// write writes files into a folder, and returns the name of the first.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// open opens the registry of a folder's registry.yaml, and serves it until the test ends.
func open(t *testing.T, dir string) (address string) {
	t.Helper()
	c, err := setup.Load(filepath.Join(dir, "registry.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	o := setup.Options{Data: t.TempDir(), Env: os.LookupEnv, Log: slog.New(slog.DiscardHandler)}
	s, err := c.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	secured, err := c.ServerTLS(o.Log)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- s.Serve(ctx, l, secured) }()
	go func() { ended <- c.Follow(ctx, s, o) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, <-ended, s.Close()); err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func TestTLSWantsClientsCertificatesWhereItIsTold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	servers, clients := nettest.NewAuthority(t), nettest.NewAuthority(t)
	cert, key := servers.IssueFiles(t, dir, "127.0.0.1")
	write(t, dir, map[string]string{"registry.yaml": fmt.Sprintf("tls: {cert: %s, key: %s, client_ca: %s}\n", filepath.Base(cert), filepath.Base(key), clients.File)})
	address := open(t, dir)
	for name, tc := range map[string]struct {
		certificates []tls.Certificate
		served       bool
	}{"with one": {[]tls.Certificate{clients.Issue(t, nettest.Validity{}, "client")}, true}, "without": {nil, false}} {
		web := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: servers.Pool(), Certificates: tc.certificates, MinVersion: tls.VersionTLS12}}}
		answer, err := web.Get("https://" + address + "/healthz")
		if err == nil {
			answer.Body.Close()
		}
		if (err == nil) != tc.served {
			t.Errorf("%s: %v", name, err)
		}
		web.CloseIdleConnections()
	}
}

func TestAChangedTrustPolicyHoldsAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, public, err := signing.GenerateKey([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	const unsigned, signed = "rules: [{match: ['*'], unsigned: true}]\n", "rules: [{match: ['*'], keys: [{file: key.pub}]}]\n"
	write(t, dir, map[string]string{"registry.yaml": "name: registry.test\ntrust: trust.yaml\n", "trust.yaml": signed, "key.pub": string(public)})
	p := &process{t: t, address: open(t, dir)}
	if _, err := p.push(t.Context(), client(t), "1.0.0", "x"); err != nil {
		t.Fatal(err)
	}
	// Who may push sees a manifest that is pending, to sign it, so what counts is the .wasm.
	wasm := func() int {
		if manifest := p.status("/v2/team/hello/manifests/1.0.0"); manifest != http.StatusOK {
			return manifest
		}
		return p.status("/v2/team/hello/blobs/" + p.wasm("1.0.0").String())
	}
	becomes := func(want int) {
		t.Helper()
		becomes(t, want, wasm)
	}
	becomes(http.StatusForbidden)
	write(t, dir, map[string]string{"trust.yaml": unsigned})
	becomes(http.StatusOK)
	write(t, dir, map[string]string{"trust.yaml": "rules: wrong"}) // the one before goes on to hold
	<-time.After(200 * time.Millisecond)
	becomes(http.StatusOK)
	write(t, dir, map[string]string{"trust.yaml": signed})
	becomes(http.StatusForbidden)
}
