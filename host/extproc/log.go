package extproc

import (
	"context"
	"io"
	"log/slog"
	"strings"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/host/abi"
)

// moduleLog takes what modules write: records to one place, everything else to the log.
type moduleLog struct {
	log      *slog.Logger
	records  io.Writer
	pipeline string
}

var _ abi.Logger = (*moduleLog)(nil)

// Log writes a line, or several that a module has collected.
func (l *moduleLog) Log(r abi.Record) {
	for line := range strings.Lines(r.Message) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, config.Record) {
			_, _ = io.WriteString(l.records, line+"\n")
			continue
		}
		l.log.Log(context.Background(), severity(r.Level), line, "pipeline", l.pipeline, "plugin", r.Plugin)
	}
}

// Level is what modules may ask for, so that they write no line for nothing.
func (l *moduleLog) Level() abi.Level {
	for level := abi.Trace; level < abi.Critical; level++ {
		if l.log.Enabled(context.Background(), severity(level)) {
			return min(level, abi.Info) // records are at info, whatever the log wants
		}
	}
	return abi.Info
}

func severity(l abi.Level) slog.Level {
	switch l {
	case abi.Trace, abi.Debug:
		return slog.LevelDebug
	case abi.Info:
		return slog.LevelInfo
	case abi.Warn:
		return slog.LevelWarn
	default:
		return slog.LevelError
	}
}
