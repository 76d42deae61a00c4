package harness_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/host/harness"
	"github.com/leash-gateway/leash/host/internal/asm"
)

// built is a module that `make modules` builds. A missing build fails a test, it never skips it.
func built(name string) string { return filepath.Join("../../build/modules", name+".wasm") }

const (
	keys = `{"keys":[{"sha256":"dab3d8f1dd8779081d1d3d277bce527d52ab534b88700d61f3d3ed54fb16e8b3","tenant":"demo","name":"web"}]}`
	chat = `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hi"}]}`
)

func TestAKnownKeyPassesAndAnUnknownOneIsTurnedOff(t *testing.T) {
	p := harness.Load(t, built("auth")).Pipeline(keys)
	tests := map[string]struct {
		key     string
		status  int
		reaches bool
	}{
		"known":   {"sk-leash-demo", 200, true},
		"unknown": {"sk-other", 401, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := p.Do(harness.Request{
				Headers: harness.Headers{{"Authorization", "Bearer " + tc.key}}, Body: chat, Answer: harness.Answer{Body: `{"choices":[]}`},
			})
			if got.Status != tc.status || (got.Provider != nil) != tc.reaches || got.Outcome != harness.Answered {
				t.Errorf("got %+v, want %+v", got, tc)
			}
			if got.Provider != nil && strings.Contains(got.Provider.Headers.Get("authorization"), "sk-") {
				t.Error("the client's key reached the provider")
			}
		})
	}
}

func TestAnAnswerThatIsHeldIsHeldAlsoWhereTheProviderFailed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "holds.wasm")
	if err := os.WriteFile(file, asm.Module{"proxy_on_response_headers": {Return: 1}, "proxy_on_response_body": {Return: 1}}.Build(), 0o600); err != nil {
		t.Fatal(err)
	}
	p := harness.Load(t, file).Pipeline()
	tests := map[harness.Failure]harness.Outcome{"": harness.Held, harness.Unreachable: harness.Held, harness.Timeout: harness.Held, harness.Cut: harness.BrokenOff}
	for failure, want := range tests {
		if got := p.Do(harness.Request{Answer: harness.Answer{Chunks: []string{"a", "b"}, Failure: failure}}); got.Outcome != want {
			t.Errorf("%q: got %s, want %s", failure, got.Outcome, want)
		}
	}
}

func TestAModuleThatDiesSaysSoInALine(t *testing.T) {
	var do []asm.Step
	for _, word := range []string{"fatal error: ", "out of memory", "\n", "\n", "goroutine ", "1", " [running]:\n", "main.a", "(", ")\n", "\t", "a.go", ":", "7", "\n"} {
		do = append(do, asm.Store(1024, asm.Text(word)), asm.Drop("fd_write", asm.Word(2), asm.Word(1024), asm.Word(1), asm.Word(1032)))
	}
	file := filepath.Join(t.TempDir(), "dies.wasm")
	if err := os.WriteFile(file, asm.Module{"proxy_on_request_headers": {Do: append(do, asm.Raw(0x00))}}.Build(), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := harness.Load(t, file).Pipeline().Exchange(t.Context(), harness.Request{})
	if err != nil {
		t.Fatal(err)
	}
	if want := "fatal error: out of memory, in main.a (a.go:7)"; len(got.Logs) != 1 || got.Logs[0].Message != want {
		t.Errorf("got %+v, want one line, %s", got.Logs, want)
	}
}
