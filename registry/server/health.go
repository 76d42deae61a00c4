package server

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
)

// healthz answers as long as the process does.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "ok\n")
}

// readyz says whether the registry can do its work: it is not ending, and what it is told can be written.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if !s.ready.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "it is starting or ending\n")
		return
	}
	probe, err := os.CreateTemp(filepath.Dir(s.options.CatalogFile), ".ready-")
	if err == nil {
		_, err = probe.Write(make([]byte, 4<<10)) // a block: a full disk has none
		_ = probe.Close()
		_ = os.Remove(probe.Name())
	}
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "the data folder cannot be written\n")
		return
	}
	_, _ = io.WriteString(w, "ok\n")
}
