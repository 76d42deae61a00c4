package gateway

import (
	"context"
	"io"
	"log/slog"
	"strings"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/host/abi"
)

// logger takes what modules log: records to their own place, all else to the log.
type logger Gateway

var _ abi.Logger = (*logger)(nil)

// Level is the lowest that is written.
func (*logger) Level() abi.Level { return abi.Info }

// Log writes a line, or records, of which several may come together.
func (l *logger) Log(r abi.Record) {
	if strings.HasPrefix(r.Message, config.Record) || strings.HasPrefix(r.Message, config.SpanRecord) {
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
		to, begins, other := l.settings.Records, config.Record, config.SpanRecord
		if strings.HasPrefix(lines, config.SpanRecord) {
			to, begins, other = l.settings.Spans, config.SpanRecord, config.Record
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
