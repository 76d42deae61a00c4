package gateway

import (
	"context"
	"io"
	"log/slog"
	"strings"

	"github.com/leash-gateway/leash/host/abi"
)

// record is how a line of the module logger begins, and span how one does that is to become a span.
const (
	record = `{"event":"exchange",`
	span   = `{"event":"span.`
)

// logger takes what modules log: records to their own place, all else to the log.
type logger Gateway

var _ abi.Logger = (*logger)(nil)

// Level is the lowest that is written.
func (*logger) Level() abi.Level { return abi.Info }

// Log writes a line, or records, of which several may come together.
func (l *logger) Log(r abi.Record) {
	if strings.HasPrefix(r.Message, record) || strings.HasPrefix(r.Message, span) {
		l.records(r.Message)
		return
	}
	level := slog.LevelInfo
	switch r.Level {
	case abi.Trace, abi.Debug:
		return
	case abi.Warn:
		level = slog.LevelWarn
	case abi.Error, abi.Critical:
		level = slog.LevelError
	}
	l.settings.Log.Log(context.Background(), level, r.Message, "component", "wasm", "module", r.Plugin)
}

// records brings each to its place. Neighbours for the same one go there together.
func (l *logger) records(lines string) {
	for lines != "" {
		to, begins, other := l.settings.Records, record, span
		if strings.HasPrefix(lines, span) {
			to, begins, other = l.settings.Spans, span, record
		}
		some := lines
		if at := strings.Index(lines[len(begins):], "\n"+other); at >= 0 {
			some = lines[:len(begins)+at]
		}
		lines = strings.TrimPrefix(lines[len(some):], "\n")
		_, _ = io.WriteString(to, strings.TrimSuffix(some, "\n")+"\n") // nobody to be told
	}
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
