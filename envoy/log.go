package envoy

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/leash-gateway/leash/config"
)

// record writes a line to where such lines go; false: they go into the log.
func (r *Runner) record(line string) bool {
	switch {
	case strings.HasPrefix(line, config.Record):
		r.records.add(r.Server.hide(line))
	case strings.HasPrefix(line, config.SpanRecord) && r.Spans != nil:
		_, _ = io.WriteString(r.Spans, r.Server.hide(line)+"\n")
	default:
		return false
	}
	return true
}

// batch writes lines together: modules give out those of many exchanges at once.
type batch struct {
	mu    sync.Mutex
	lines []byte
}

func (b *batch) add(line string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(append(b.lines, line...), '\n')
}

func (b *batch) flush(to io.Writer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.lines) > 0 {
		_, _ = to.Write(b.lines)
		b.lines = b.lines[:0]
	}
}

// knownDeprecation is in Envoy's warning of a field that inspectors need and nobody who reads the log can do anything about (translate.go).
const knownDeprecation = "'envoy.extensions.wasm.v3.PluginConfig.fail_open'"

// ofAnEnd are in what Envoy warns of when it is told to end, and whenever it does.
var ofAnEnd = []string{"caught SIGINT", "StreamAggregatedResources gRPC config stream to " + xdsCluster + " closed"}

// ofARefusal are in what Envoy says, each once for every filter that waits for a module, when it has refused it.
var ofARefusal = []string{"Plugin configured to fail", "gRPC config for "}

// repeats says whether a line tells again of the refusal that the line before has told of.
func (r *Runner) repeats(message string) bool {
	if !slices.ContainsFunc(ofARefusal, func(part string) bool { return strings.HasPrefix(message, part) }) {
		r.refusal = ""
		return false
	}
	before := r.refusal
	r.refusal = message
	return message == before
}

// line takes one line of Envoy's log: level, component and message, with tabs between.
func (r *Runner) line(line string) {
	if strings.TrimSpace(line) == "" {
		return // the end of a message that ended a line itself
	}
	if r.record(line) { // one of several that were written together
		return
	}
	if rest, ok := strings.CutPrefix(line, unreachedLine); ok {
		r.unreached(rest, time.Now())
		return
	}
	level, rest, _ := strings.Cut(line, "\t")
	component, message, ok := strings.Cut(rest, "\t")
	if !ok {
		r.Log.Warn(r.Server.hide(line), "component", "envoy")
		return
	}
	if component == "wasm" {
		if at := strings.Index(message, `{"event":"`); at >= 0 && r.record(message[at:]) {
			return
		}
		if strings.HasPrefix(message, "Function: proxy_") && strings.Contains(message, " failed: ") && r.Crashed != nil {
			r.Crashed()
		}
	}
	severity := slog.LevelInfo
	if r.repeats(message) || strings.Contains(message, knownDeprecation) || r.ending.Load() && slices.ContainsFunc(ofAnEnd, func(part string) bool { return strings.Contains(message, part) }) {
		level = "debug"
	}
	switch level {
	case "trace", "debug":
		severity = slog.LevelDebug
	case "warning":
		severity = slog.LevelWarn
	case "error", "critical":
		severity = slog.LevelError
	}
	r.Log.Log(context.Background(), severity, r.Server.hide(message), "component", "envoy/"+component)
}

// lineWriter cuts what is written to it into lines.
type lineWriter struct {
	mu   sync.Mutex
	rest []byte
	came bool // anything
	line func(string)
	done func() // with what came in one piece
}

// maxLine bounds a line that never ends, in bytes.
const maxLine = 1 << 20

// Write takes a piece of the log.
func (w *lineWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.done()
	w.rest, w.came = append(w.rest, b...), true
	for {
		line, rest, found := bytes.Cut(w.rest, []byte("\n"))
		if !found && len(line) < maxLine {
			w.rest = append(w.rest[:0], line...)
			return len(b), nil
		}
		w.line(string(line))
		w.rest = rest
	}
}

// written says whether anything has come.
func (w *lineWriter) written() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.came
}

func (w *lineWriter) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.done()
	if len(w.rest) > 0 {
		w.line(string(w.rest))
		w.rest = nil
	}
}

// hidden stands where a secret was.
const hidden = "[hidden]"

// credential is a header with a credential as Envoy writes it into its log at the levels debug and trace: in a list of
// headers, and while it is parsed.
var credential = regexp.MustCompile(`(?i)((?:'|key=)(?:authorization|proxy-authorization|cookie|set-cookie|x-api-key|api-key|x-goog-api-key)(?:', '| value=))[^']*`)

// inQuery is a credential where some clients of Google's put theirs, at the same levels.
var inQuery = regexp.MustCompile(`(?i)([?&](?:key|api[-_]?key|access_token)=)[^&#'" ]*`)

// hide takes out of a line of Envoy's log what must not be in any: the providers' keys, and what clients prove
// themselves with.
func (s *Server) hide(line string) string {
	s.mu.Lock()
	keys := s.keys
	s.mu.Unlock()
	for _, key := range keys {
		line = strings.ReplaceAll(line, key, hidden)
	}
	if strings.Contains(line, "', '") || strings.Contains(line, " value=") {
		line = credential.ReplaceAllString(line, "${1}"+hidden)
		line = inQuery.ReplaceAllString(line, "${1}"+hidden)
	}
	return line
}
