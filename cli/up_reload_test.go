package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/author/build"
	"github.com/leash-gateway/leash/control"
	"github.com/leash-gateway/leash/control/tracing"
	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/internal/nettest"
)

// TestABuiltModuleIsLoadedIntoTheRunningGateway changes the source under build --watch and up, on a real Envoy, and tells
// how long it takes from the end of the compiler to the first request that the new module has seen.
func TestABuiltModuleIsLoadedIntoTheRunningGateway(t *testing.T) {
	t.Setenv("ENVOY_PATH", nettest.Envoy(t))
	modules, err := filepath.Abs("../build/modules")
	if err != nil {
		t.Fatal(err)
	}
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `{"choices":[],"greeting":%q}`, r.Header.Get("x-greeting"))
	}))
	defer provider.Close()
	dir := t.TempDir()
	t.Setenv("LEASH_BLOBS", filepath.Join(dir, "blobs"))
	project := filepath.Join(dir, "p")
	must(t, "module", "new", "greeter", "--dir", project)
	listen := nettest.FreeAddress(t)
	text := fmt.Sprintf("listen: %s\ncontrol: {listen: %s}\nenvoy: {admin: %s, concurrency: 1}\nmodules: {dir: %s}\nproviders: {a: {base_url: %s}}\nroutes: [{model: '*', provider: a}]\n"+
		"allow_anonymous: true\npipeline: [{module: greeter, file: p/build/modules/greeter.wasm}]\n", listen, nettest.FreeAddress(t), nettest.FreeAddress(t), modules, provider.URL)
	file := filepath.Join(dir, "leash.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	g := &gateway{log: slog.New(slog.NewTextHandler(t.Output(), nil)), stdout: &lines{w: io.Discard, log: slog.New(slog.DiscardHandler)}, stderr: t.Output(), path: file, cache: abi.DefaultCacheDir(), metrics: control.NewRegistry("test"), tracer: &tracing.Tracer{}}
	ended := make(chan error, 2)
	built := make(chan time.Time, 4)
	go func() {
		ended <- build.Watch(ctx, build.Options{Dir: project}, func(*build.Result, error) { built <- time.Now() })
	}()
	<-built
	go func() { ended <- g.run(ctx, engineEnvoy) }()
	waitForAnswer(t, listen, "hello from")
	source := filepath.Join(project, "module.go")
	code, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(source, []byte(strings.Replace(string(code), "hello from", "greetings from", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	compiled := <-built
	waitForAnswer(t, listen, "greetings from")
	t.Logf("the new module answers %s after it was built", time.Since(compiled).Round(time.Millisecond))
	stop()
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// TestAFileThatARefusedConfigurationNamesIsTakenWhenItComes names a secret that is not there yet, as where a configuration and a secret are
// brought by two hands. Then the configuration is taken away, and comes back with another address.
func TestAFileThatARefusedConfigurationNamesIsTakenWhenItComes(t *testing.T) {
	modules, err := filepath.Abs("../build/modules")
	if err != nil {
		t.Fatal(err)
	}
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `{"choices":[],"key":%q}`, r.Header.Get("Authorization"))
	}))
	defer provider.Close()
	dir, listen := t.TempDir(), nettest.FreeAddress(t)
	file, key := filepath.Join(dir, "leash.yaml"), filepath.Join(dir, "key")
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := fmt.Sprintf("listen: %s\ncontrol: {listen: %s}\nenvoy: {admin: %s, concurrency: 1}\nmodules: {dir: %s}\nroutes: [{model: '*', provider: a}]\n"+
		"allow_anonymous: true\npipeline: []\nproviders: {a: {base_url: %s", listen, nettest.FreeAddress(t), nettest.FreeAddress(t), modules, provider.URL)
	write(file, text+"}}\n")
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	told, log := make(told, 16), &nettest.Log{}
	g := &gateway{log: slog.New(slog.NewTextHandler(log, nil)), stdout: &lines{w: io.Discard, log: slog.New(slog.DiscardHandler)}, stderr: told, path: file, cache: abi.DefaultCacheDir(), metrics: control.NewRegistry("test"), tracer: &tracing.Tracer{}}
	ended := make(chan error, 1)
	go func() { ended <- g.run(ctx, engineEmbedded) }()
	told.wait(t, "Leash is ready")
	write(file, text+", api_key: {file: key}}}\n")
	told.wait(t, "secret is not set")
	write(key, "sk-that-came-late")
	waitForAnswer(t, listen, "sk-that-came-late")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	told.wait(t, "leash.yaml: no such file or directory")
	elsewhere := nettest.FreeAddress(t)
	write(file, strings.Replace(text, listen, elsewhere, 1)+", api_key: {file: key}}}\n")
	waitForAnswer(t, elsewhere, "sk-that-came-late")
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if moved := "listen=" + elsewhere + " before=" + listen; !strings.Contains(log.String(), moved) {
		t.Errorf("the log does not say %s:\n%s", moved, log.String())
	}
}

// told is what was written for people.
type told chan string

func (t told) Write(b []byte) (int, error) {
	t <- string(b)
	return len(b), nil
}

// wait waits for a text.
func (t told) wait(test *testing.T, want string) {
	test.Helper()
	late := time.After(3 * time.Minute)
	for {
		select {
		case got := <-t:
			if strings.Contains(got, want) {
				return
			}
		case <-late:
			test.Fatalf("%q has not been said", want)
		}
	}
}

// waitForAnswer asks until the answer holds a text.
func waitForAnswer(t *testing.T, address, want string) {
	t.Helper()
	nettest.Succeeds(t, fmt.Sprintf("%q in an answer", want), func() error {
		response, err := http.Post("http://"+address+"/v1/chat/completions", "application/json", strings.NewReader(`{"model":"m","messages":[{"role":"user","content":"Hi"}]}`))
		if err != nil {
			return err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err == nil && !strings.Contains(string(body), want) {
			err = errors.New(string(body))
		}
		return err
	})
}
