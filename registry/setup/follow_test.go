package setup_test

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/registry/access"
)

// statusAs is the status of a request with a token.
func (p *process) statusAs(secret, path string) int {
	p.t.Helper()
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://"+p.address+path, http.NoBody)
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+secret)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode
}

// logs waits until the log says something.
func (p *process) logs(want string) {
	p.t.Helper()
	nettest.Succeeds(p.t, fmt.Sprintf("%q in the log", want), func() error {
		if logged := p.logged(); !strings.Contains(logged, want) {
			return errors.New(logged)
		}
		return nil
	})
}

// becomes waits until what is asked for has this status.
func becomes(t *testing.T, want int, status func() int) {
	t.Helper()
	nettest.Succeeds(t, fmt.Sprintf("status %d", want), func() error {
		if got := status(); got != want {
			return fmt.Errorf("it is %d", got)
		}
		return nil
	})
}

func TestChangedGrantsHoldAtOnceUnlessTheyAreWrong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	secret, kept, err := access.NewToken("ci", time.Time{})
	if err == nil {
		err = access.Add(filepath.Join(dir, "tokens.yaml"), kept)
	}
	if err != nil {
		t.Fatal(err)
	}
	grants := func(text string) {
		t.Helper()
		write(t, dir, map[string]string{"registry.yaml": "name: registry.test\naccess:\n  tokens: tokens.yaml\n" + text})
	}
	const reader = "  grants: [{role: reader, to: [token:ci], namespaces: [team/*]}]\n"
	const nobody = "  grants: [{role: reader, to: [token:other], namespaces: [team/*]}]\n"
	grants(reader)
	p := &process{t: t, address: open(t, dir)}
	const path, may, mayNot = "/v2/team/hello/tags/list", http.StatusOK, http.StatusForbidden
	becomes := func(want int) {
		t.Helper()
		becomes(t, want, func() int { return p.statusAs(secret, path) })
	}
	becomes(may)
	grants(nobody)
	becomes(mayNot)
	for _, wrong := range []string{"  grants: [{role: king, to: [token:ci], namespaces: [team/*]}]\n", "  oidc: [{issuer: nowhere}]\n" + reader, reader + "misspelled: true\n", "\t"} {
		grants(wrong) // what was said before goes on to hold
		<-time.After(200 * time.Millisecond)
		becomes(mayNot)
	}
	grants("  oidc: [{issuer: https://accounts.example.com, audience: leash}]\n" + reader)
	becomes(may)
}

func TestHangupReadsWhoMayDoWhatAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{"registry.yaml": "access: {grants: [{role: reader, to: [anonymous], namespaces: ['*']}]}\nlimits: {burst: 10}\n"})
	p := serveWith(t, filepath.Join(dir, "data"), "--config", filepath.Join(dir, "registry.yaml"))
	p.logs("the registry is ready")
	if err := p.command.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.logs("who may do what was read again and holds")
	write(t, dir, map[string]string{"registry.yaml": "access: {grants: [{role: reader, to: [anonymous], namespaces: ['*']}]}\nlimits: {burst: 20}\n"})
	p.logs("some of it holds only when the registry is started again")
	p.logs("[limits]")
	if p.status("/healthz") != http.StatusOK {
		t.Error("it has ended")
	}
}

func TestGrantsToTokensThatAreNotThereAreTold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	add := func(name string, expires time.Time) {
		t.Helper()
		_, kept, err := access.NewToken(name, expires)
		if err == nil {
			err = access.Add(filepath.Join(dir, "tokens.yaml"), kept)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	add("ci", time.Time{})
	add("old", time.Now().Add(-time.Hour))
	write(t, dir, map[string]string{"registry.yaml": "access:\n  tokens: tokens.yaml\n  grants:\n" +
		"  - {role: reader, to: [token:ci, 'token:*', anonymous], namespaces: ['*']}\n" +
		"  - {role: publisher, to: [token:cj, token:old, token:cj], namespaces: ['*']}\n"})
	p := serveWith(t, filepath.Join(dir, "data"), "--config", filepath.Join(dir, "registry.yaml"))
	p.logs("tokens=\"[token:cj token:old]\"")
	add("cj", time.Time{})
	if err := p.command.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.logs("tokens=[token:old]")
}
