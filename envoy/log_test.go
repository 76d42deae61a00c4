package envoy

import (
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/config"
)

// FuzzLog reads what an Envoy writes, in whatever pieces it comes: lines are whole, and no key stays in one.
func FuzzLog(f *testing.F) {
	const key = "sk-planted-0123456789"
	f.Add("info\twasm\twasm log leash: hello\n\nwarning\tmain\tcaught SIGINT\n", 7)
	f.Add("debug\thttp\t'authorization', 'Bearer "+key+"'\n", 1)
	f.Add(config.Record+`"x":1}`+"\n"+config.Record+`"x":2}`, 3)
	f.Add("trace\thttp\tcompleted header: key=authorization value="+key, 2)
	f.Fuzz(func(t *testing.T, text string, size int) {
		server := &Server{keys: []string{key}}
		var got []string
		w := &lineWriter{line: func(line string) { got = append(got, server.hide(line)) }}
		for rest := text; rest != ""; {
			piece := rest[:min(max(size, 1), len(rest))]
			rest = rest[len(piece):]
			if n, err := w.Write([]byte(piece)); n != len(piece) || err != nil {
				t.Fatalf("wrote %d of %d bytes: %v", n, len(piece), err)
			}
		}
		w.flush()
		var want []string
		for line := range strings.Lines(text) {
			want = append(want, server.hide(strings.TrimSuffix(line, "\n")))
		}
		if !slices.Equal(got, want) {
			t.Errorf("got lines %q, want %q", got, want)
		}
		if strings.Contains(strings.Join(got, "\n"), key) {
			t.Errorf("the key stands in %q", got)
		}
	})
}

// TestRecordsAreWrittenWhateverTheKeysAre has keys as people write them where a provider wants none.
func TestRecordsAreWrittenWhateverTheKeysAre(t *testing.T) {
	const rest = `"model":"x","provider":"ollama"}`
	for key, want := range map[string]string{
		"x":        config.Record + rest,
		"EMPTY":    config.Record + rest,
		"ollama":   config.Record + `"model":"x","provider":"[hidden]"}`,
		"exchange": `{"event":"[hidden]",` + rest,
	} {
		var records, log strings.Builder
		r := &Runner{Server: &Server{}, Records: &records, Log: slog.New(slog.NewTextHandler(&log, nil))}
		r.Server.hideFromLog(&Resources{hidden: []string{key}})
		r.line("info\twasm\twasm log leash.pipeline~: " + config.Record + rest)
		r.line(config.Record + rest)
		if got := records.String(); got != want+"\n"+want+"\n" || log.Len() > 0 {
			t.Errorf("with the key %q the records are %q and the log %q, want two of %q", key, got, log.String(), want)
		}
	}
}

// TestAWarningThatNobodyCanDoAnythingAboutIsNotShown leaves all others as they are.
func TestAWarningThatNobodyCanDoAnythingAboutIsNotShown(t *testing.T) {
	const deprecated = "Deprecated field: type envoy.extensions.wasm.v3.PluginConfig Using deprecated option 'envoy.extensions.wasm.v3.PluginConfig."
	for line, want := range map[string]string{
		"warning\tmisc\t" + deprecated + "fail_open' from file wasm.proto.": "DEBUG",
		"warning\tmisc\t" + deprecated + "other' from file wasm.proto.":     "WARN",
		"error\tmain\tit is broken":                                         "ERROR",
	} {
		var log strings.Builder
		r := &Runner{Server: &Server{}, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
		if r.line(line); !strings.Contains(log.String(), "level="+want+" ") {
			t.Errorf("%q is logged as %s, want %s", line, log.String(), want)
		}
	}
}
