package envoy

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// written are words of a module as Envoy logs them, of a thread.
func written(thread, module string, words ...string) (lines []string) {
	for _, word := range words {
		lines = append(lines, "error "+thread+"\twasm\twasm log "+module+" "+module+": "+word)
	}
	return lines
}

// dump is what Go's runtime writes when there is no more memory, as Envoy has it: without the newlines that end words.
var dump = []string{
	"runtime: out of memory: cannot allocate ", "67108864", "-byte block (", "1007517696", " in use)", "fatal error: ", "out of memory", "", "",
	"goroutine ", "1", " gp=", "0x2821c0", " [", "running", "]:", "runtime.throw", "(", "{", "0x3ad2b", ", ", "0xd", "}", ")", "\t", "runtime/panic.go", ":", "1229", " +", "0x3", "",
	"main.crash.Request", "(", "{", "}", ", ", "0x2f4e20", ")", "\t", "example.com/crash/main.go", ":", "49", " +", "0x5a", "", "runtime.goexit", "(", "{", "}", ")", "\t", "runtime/asm_wasm.s", ":", "428", "", "",
	"goroutine ", "2", " [", "idle", "]:", "main.other", "(", ")", "\t", "main.go", ":", "1", "",
}

const told = "runtime: out of memory: cannot allocate 67108864-byte block (1007517696 in use); fatal error: out of memory, in main.crash.Request (example.com/crash/main.go:49)"

func TestLastWordsOfAModuleAreALineAndNameIt(t *testing.T) {
	const died = "\twasm\tFunction: proxy_on_request_body failed: Uncaught RuntimeError: unreachable"
	a, b := append(written("7", "a", dump...), "error 7"+died), append(written("8", "b", dump...), "error 8"+died)
	var mixed []string
	for i := range a {
		mixed = append(mixed, a[i], b[i])
	}
	tests := map[string]struct{ lines, want []string }{
		"a module dies": {a, []string{"error\twasm\twasm log a a: " + told, "error" + died + " (a)"}},
		"two at once": {mixed, []string{
			"error\twasm\twasm log a a: " + told, "error" + died + " (a)", "error\twasm\twasm log b b: " + told, "error" + died + " (b)",
		}},
		"one dies without a word": {[]string{"error 7" + died}, []string{"error" + died}},
		"it did not die": {
			append(written("7", "a", "panic: not at all", "it goes on"), "info 7\tmain\tnext", "error 7"+died),
			[]string{"error\twasm\twasm log a a: panic: not at all", "error\twasm\twasm log a a: it goes on", "info\tmain\tnext", "error" + died},
		},
		"another module on its thread": {
			append(written("7", "a", "panic: not at all"), written("7", "b", "hello")...),
			[]string{"error\twasm\twasm log a a: panic: not at all", "error\twasm\twasm log b b: hello"},
		},
		"Envoy ends":    {written("7", "a", "fatal error: ", "so"), []string{"error\twasm\twasm log a a: fatal error: ", "error\twasm\twasm log a a: so"}},
		"no thread":     {[]string{"second line", "", "a b\tc"}, []string{"second line", "", "a b\tc"}},
		"what it means": {[]string{"info 7\twasm\twasm log a a: panic: at info"}, []string{"info\twasm\twasm log a a: panic: at info"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			w := &lastWords{tell: func(line string) { got = append(got, line) }}
			for _, line := range tc.lines {
				w.line(line)
			}
			w.flush()
			if !slices.Equal(got, tc.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tc.want, "\n"))
			}
		})
	}
}

func TestWhatOnlyLooksLikeLastWordsIsToldWhenNoMoreCome(t *testing.T) {
	lines := make(chan string, 2)
	w := &lastWords{tell: func(line string) { lines <- line }, silent: time.Millisecond}
	w.line(written("7", "a", "panic: not at all")[0])
	select {
	case got := <-lines:
		if want := "error\twasm\twasm log a a: panic: not at all"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	case <-time.After(3 * time.Minute):
		t.Error("it was never told")
	}
}
