package server

import (
	"context"
	"log/slog"

	"github.com/leash-gateway/leash/registry/catalog"
)

// told are the events of the catalogue that have their line in the log from here, and the line. What is pushed and removed has it where that is
// done, where more is known of it.
var told = map[catalog.Kind]string{
	catalog.Release:     "version released",
	catalog.Promote:     "channel moved",
	catalog.Rollback:    "channel moved back",
	catalog.Clear:       "channel points at nothing",
	catalog.StartCanary: "canary started",
	catalog.EndCanary:   "canary ended",
	catalog.Deprecate:   "version deprecated",
	catalog.Undeprecate: "version no longer deprecated",
	catalog.Yank:        "version yanked",
}

// tell logs events as they come, until the catalogue ends. What the registry has taken back by itself is a warning.
func (s *Server) tell(after uint64) {
	for e, err := range s.catalog.Watch(context.Background(), after) {
		if err != nil {
			return // it is closed
		}
		text, known := told[e.Kind]
		if !known {
			continue
		}
		level := slog.LevelInfo
		if e.Actor == catalog.Registry && (e.Kind == catalog.Rollback || e.Kind == catalog.Clear || e.Kind == catalog.EndCanary) {
			level = slog.LevelWarn
		}
		about := []any{"module", e.Module, "version", e.Version}
		for _, more := range []struct{ key, value string }{{"channel", e.Channel}, {"digest", e.Digest.String()}, {"previous", e.Previous.String()}, {"reason", e.Reason}} {
			if more.value != "" {
				about = append(about, more.key, more.value)
			}
		}
		s.log.Log(context.Background(), level, text, append(about, "by", e.Actor)...)
	}
}
