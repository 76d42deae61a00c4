package envoy_test

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shirou/gopsutil/v4/process"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/envoy"
	"github.com/leash-gateway/leash/internal/nettest"
)

func TestEnvoyThatDiesIsStartedAgain(t *testing.T) {
	g := start(t, minimal, provider(t, "one").URL)
	if g.runner.Gone() {
		t.Error("an Envoy that answers is taken for gone")
	}
	g.signal(syscall.SIGKILL)
	nettest.Eventually(t, "its end to be told", g.runner.Gone)
	g.eventuallyAnswers("first")
	nettest.Eventually(t, "the one in its place to be told", func() bool { return !g.runner.Gone() })
}

func TestEnvoyThatCannotBeRunIsNotTriedAgain(t *testing.T) {
	notExecutable, otherMachine := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	for file, mode := range map[string]os.FileMode{notExecutable: 0o600, otherMachine: 0o700} {
		if err := os.WriteFile(file, []byte("\x7fELF, of another machine"), mode); err != nil {
			t.Fatal(err)
		}
	}
	c, err := config.Parse("leash.yaml", []byte("allow_anonymous: true\nproviders: {p: {base_url: 'http://127.0.0.1:1'}}\nroutes: [{model: m, provider: p}]\npipeline: []\n"), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	another := filepath.Join(t.TempDir(), "c")
	if err := os.WriteFile(another, []byte("#!/bin/sh\n"), 0o700); err != nil { //nolint:gosec // it is run
		t.Fatal(err)
	}
	for name, path := range map[string]string{"a folder": t.TempDir(), "no program": notExecutable, "of another machine": otherMachine, "another program": another} {
		t.Run(name, func(t *testing.T) {
			log := slog.New(slog.NewTextHandler(t.Output(), nil))
			server, err := envoy.Serve(t.Context(), log)
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close() //nolint:errcheck // a folder
			r := &envoy.Runner{Path: path, Config: c, Server: server, Log: log}
			if err := r.Run(t.Context()); err == nil || name != "another program" && !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "ENVOY_PATH") {
				t.Errorf("got %v, want what is wrong with %s", err, path)
			}
		})
	}
}

func TestEnvoyThatHangsIsStartedAgain(t *testing.T) {
	g := start(t, minimal, provider(t, "one").URL)
	g.signal(syscall.SIGSTOP)
	nettest.Eventually(t, "the hanging Envoy to be killed", func() bool { return strings.Contains(g.log.String(), "did not answer") })
	g.eventuallyAnswers("first")
}

func TestEnvoyEndsOnceItsExchangesHave(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "the beginning, ")
		w.(http.Flusher).Flush()
		close(begun)
		<-release
		_, _ = io.WriteString(w, "the end")
	}))
	defer slow.Close()
	g := start(t, minimal, slow.URL)
	got := make(chan string, 1)
	go func() {
		a, err := g.chat()
		got <- fmt.Sprint(a.body, " ", err)
	}()
	<-begun
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		g.stop()
	}()
	nettest.Eventually(t, "no new connection to be taken", func() bool {
		c, err := net.DialTimeout("tcp", "127.0.0.1:"+g.ports["LISTEN"], time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	close(release)
	if answer := <-got; answer != "the beginning, the end <nil>" {
		t.Errorf("the exchange that ran got %s, want all of its answer", answer)
	}
	<-ended
}

func TestRecordsAreTakenOutOfTheLog(t *testing.T) {
	g := start(t, minimal, provider(t, "one").URL)
	g.mustChat("x-probe", "log")
	nettest.Eventually(t, "the record to arrive", func() bool { return strings.Contains(g.records.String(), "\n") })
	if got, want := g.records.String(), `{"event":"exchange","who":"first"}`+"\n"; got != want {
		t.Errorf("got records %q, want %q", got, want)
	}
	nettest.Eventually(t, "the module's line to be logged", func() bool { return strings.Contains(g.log.String(), "a line of a module") })
	if strings.Contains(g.log.String(), `"who"`) {
		t.Error("the record stands in the log too")
	}
}

func TestSecretsAreNotInEnvoysLogAtAnyLevel(t *testing.T) {
	const key, credential = "sk-planted-provider-key", "sk-planted-client-key"
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("concurrency: 2", "concurrency: 2, log_level: trace", "base_url: $PROVIDER,", "base_url: $PROVIDER, api_key: {file: "+file+"},").Replace(minimal)
	g := start(t, text, provider(t, "one").URL)
	got := g.mustChat("authorization", "Bearer "+credential, "x-api-key", credential).received(t)
	if sent := got.Headers.Get("Authorization"); sent != "Bearer "+key {
		t.Fatalf("the provider received %q, want its key", sent)
	}
	g.stop()
	for _, secret := range []string{key, credential} {
		if log := g.log.String(); strings.Contains(log, secret) {
			at := strings.Index(log, secret)
			t.Errorf("%s stands in the log: %s", secret, log[max(0, at-200):at+100])
		}
	}
	if !strings.Contains(g.log.String(), "[hidden]") {
		t.Error("nothing was hidden: the log has not been looked at")
	}
}

// eventuallyAnswers waits until requests pass the module that says this.
func (g *gateway) eventuallyAnswers(say string) {
	g.t.Helper()
	nettest.Eventually(g.t, "requests to be answered", func() bool {
		a, err := g.chat()
		return err == nil && a.status == http.StatusOK && a.header.Get("x-said") == say
	})
}

// signal sends a signal to the gateway's Envoy.
func (g *gateway) signal(s syscall.Signal) {
	g.t.Helper()
	self, err := process.NewProcess(int32(os.Getpid())) //nolint:gosec // process numbers are small
	if err != nil {
		g.t.Fatal(err)
	}
	children, err := self.Children()
	if err != nil {
		g.t.Fatalf("list processes: %v", err)
	}
	for _, child := range children {
		if line, err := child.Cmdline(); err == nil && strings.Contains(line, g.server.Dir()) {
			if err := child.SendSignal(s); err != nil {
				g.t.Fatal(err)
			}
			return
		}
	}
	g.t.Fatal("Envoy does not run")
}
