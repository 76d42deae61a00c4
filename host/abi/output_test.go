package abi_test

import (
	"strings"
	"testing"

	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/host/abi/lastwords"
	"github.com/leash-gateway/leash/host/internal/asm"
)

// writes is a module that writes pieces to stdout (1) or stderr (2) in each request, and then does what is left.
func writes(fd uint32, pieces []string, then ...asm.Step) asm.Module {
	var do []asm.Step
	for _, piece := range pieces {
		do = append(do, asm.Store(1024, asm.Text(piece)), asm.Drop("fd_write", asm.Word(fd), asm.Word(1024), asm.Word(1), asm.Word(1032)))
	}
	return asm.Module{"proxy_on_request_headers": {Do: append(do, then...)}}
}

func TestWhatAModuleWritesIsLoggedAsLines(t *testing.T) {
	words := []string{"runtime: ", "out of memory\n", "fatal error: ", "out of memory", "\n", "\n", "goroutine ", "1", " [running]:\n", "main.a", "(", ")\n", "\t", "a.go", ":", "7", "\n"}
	tests := map[string]struct {
		fd     uint32
		pieces []string
		then   []asm.Step
		want   string
	}{
		"a line word by word":                     {1, []string{"one", " ", "two", "\n"}, nil, "info: one two\n"},
		"a line at once, to stderr":               {2, []string{"one two\n"}, nil, "error: one two\n"},
		"lines at once stay together":             {1, []string{"one\ntwo\n"}, nil, "info: one\ntwo\n"},
		"the beginning of the next":               {1, []string{"one\ntw", "o\n", "three\n"}, nil, "info: one\ninfo: two\ninfo: three\n"},
		"a line that is not ended":                {1, []string{"one", " two"}, nil, "info: one two\n"},
		"a line that never ends":                  {1, []string{strings.Repeat("x", 70<<10), "y"}, nil, "info: " + strings.Repeat("x", 70<<10) + "\ninfo: y\n"},
		"nothing":                                 {1, []string{""}, nil, ""},
		"last words":                              {2, words, []asm.Step{trap}, "error: runtime: out of memory; fatal error: out of memory, in main.a (a.go:7)\n"},
		"last words after a line":                 {2, append([]string{"hello\n"}, words...), []asm.Step{trap}, "error: hello\nerror: runtime: out of memory; fatal error: out of memory, in main.a (a.go:7)\n"},
		"more last words than are kept":           {2, []string{"panic: ", "x", "\n\n", strings.Repeat("x", lastwords.MaxBytes), "y"}, []asm.Step{trap}, "error: panic: x\n"},
		"they were not the last":                  {2, []string{"panic: ", "not at all\n", "it goes on\n"}, nil, "error: panic: not at all\nit goes on\n"},
		"it dies without a word, but for a begun": {2, []string{"so"}, []asm.Step{trap}, "error: so\n"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var lines logs
			program := compiled(t, newEngine(t, abi.Options{}), writes(tc.fd, tc.pieces, tc.then...))
			p := newPlugin(t, program, &abi.Worker{}, abi.VMConfig{Host: abi.Host{Logger: &lines}}, abi.PluginConfig{Name: "writer"})
			if err := request(p); (err != nil) != (tc.then != nil) {
				t.Fatal(err)
			}
			if got := lines.String(); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			for _, r := range lines.records {
				if r.Plugin != "writer" {
					t.Errorf("%q is of the plugin %q", r.Message, r.Plugin)
				}
			}
		})
	}
}
