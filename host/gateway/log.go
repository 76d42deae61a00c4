package gateway

import (
	"context"
	"io"
	"log/slog"
	"strings"

	"github.com/leash-gateway/leash/host/abi"
)

// record is how a line of the module logger begins.
const record = `{"event":"exchange",`

// logger takes what modules log: records to their own place, all else to the log.
type logger Gateway

var _ abi.Logger = (*logger)(nil)

// Level is the lowest that is written.
func (*logger) Level() abi.Level { return abi.Info }

// Log writes a line, or records, of which several may come together.
func (l *logger) Log(r abi.Record) {
	if strings.HasPrefix(r.Message, record) {
		_, _ = io.WriteString(l.settings.Records, strings.TrimSuffix(r.Message, "\n")+"\n") // nobody to be told
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

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
