package envoy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	func_e "github.com/tetratelabs/func-e"
	"github.com/tetratelabs/func-e/api"

	"github.com/leash-gateway/leash/config"
)

// A Runner runs Envoy on what a Server gives it, and starts it again when it dies.
type Runner struct {
	// Path is the binary; "" lets func-e download it.
	Path string
	// Config says which admin address and how many workers; changes of these need a new Runner.
	Config *config.Config
	// Server is where Envoy gets everything else from.
	Server *Server
	// Log takes Envoy's own log; Records the lines of the module logger, each a JSON object.
	Log     *slog.Logger
	Records io.Writer
	// Crashed is called when a VM has died; it must not block.
	Crashed func()
	// Restarted is called when Envoy has died and is about to be started again.
	Restarted func()
}

// A restart that comes soon after the last one waits longer, up to maxBackoff.
const (
	minBackoff = 200 * time.Millisecond
	maxBackoff = 10 * time.Second
)

// Run runs Envoy until ctx ends, and returns when it has ended.
func (r *Runner) Run(ctx context.Context) error {
	backoff := minBackoff
	for {
		began := time.Now()
		err := r.once(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was told to end, in whatever way it did
		}
		if time.Since(began) > time.Minute {
			backoff = minBackoff
		}
		r.Log.Error("envoy ended; it is started again", "error", err, "in", backoff)
		if r.Restarted != nil {
			r.Restarted()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

func (r *Runner) once(ctx context.Context) error {
	bootstrap, err := dynamicBootstrap(r.Config, r.Server.Socket())
	if err != nil {
		return fmt.Errorf("make bootstrap: %w", err)
	}
	file := filepath.Join(r.Server.Dir(), "bootstrap.json")
	if err := os.WriteFile(file, bootstrap, 0o600); err != nil {
		return fmt.Errorf("write bootstrap: %w", err)
	}
	home := filepath.Join(r.Server.Dir(), "func-e")
	if err := withoutLogFiles(home); err != nil {
		return err
	}
	args := []string{
		"-c", file, "--disable-hot-restart", "--log-format", "%l\t%n\t%v",
		"-l", r.Config.Envoy.LogLevel, "--component-log-level", "wasm:info",
		// Ending waits for running exchanges, but not for long.
		"--drain-time-s", "5", "--drain-strategy", "immediate",
	}
	if n := r.Config.Envoy.Concurrency; n > 0 {
		args = append(args, "--concurrency", strconv.Itoa(n))
	}
	lines := &lineWriter{line: r.line}
	defer lines.flush()
	options := []api.RunOption{
		api.StateHome(home), api.RuntimeDir(home), api.RunID(runID),
		api.Out(io.Discard), api.EnvoyOut(lines), api.EnvoyErr(lines),
	}
	if r.Path != "" {
		options = append(options, api.EnvoyPath(r.Path))
	} else {
		options = append(options, api.EnvoyVersion(Version))
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ended := make(chan struct{})
	go func() {
		select {
		case <-ended:
		case <-ctx.Done():
			r.quit(ended)
			stop()
		}
	}()
	err = func_e.Run(running, args, options...)
	close(ended)
	return err
}

// quit asks Envoy to end and waits a little for it.
func (r *Runner) quit(ended <-chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+r.Config.Envoy.Admin+"/quitquitquit", nil)
	if err != nil {
		return
	}
	if response, err := http.DefaultClient.Do(request); err == nil {
		_ = response.Body.Close()
	}
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

const runID = "envoy"

// withoutLogFiles keeps func-e from writing Envoy's log to disk a second time, without bound.
func withoutLogFiles(home string) error {
	dir := filepath.Join(home, "envoy-runs", runID)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("prepare func-e: %w", err)
	}
	for _, name := range []string{"stdout.log", "stderr.log"} {
		link := filepath.Join(dir, name)
		if err := os.Symlink(os.DevNull, link); err != nil && !os.IsExist(err) {
			return fmt.Errorf("prepare func-e: %w", err)
		}
	}
	return nil
}

// record is how a line of the module logger begins.
const record = `{"event":"exchange",`

// line takes one line of Envoy's log: level, component and message, with tabs between.
func (r *Runner) line(line string) {
	if strings.HasPrefix(line, record) { // one of several that were written together
		_, _ = io.WriteString(r.Records, line+"\n")
		return
	}
	level, rest, _ := strings.Cut(line, "\t")
	component, message, ok := strings.Cut(rest, "\t")
	if !ok {
		r.Log.Warn(line, "component", "envoy")
		return
	}
	if component == "wasm" {
		if at := strings.Index(message, record); at >= 0 {
			_, _ = io.WriteString(r.Records, message[at:]+"\n")
			return
		}
		if strings.HasPrefix(message, "Function: proxy_") && strings.Contains(message, " failed: ") && r.Crashed != nil {
			r.Crashed()
		}
	}
	severity := slog.LevelInfo
	switch level {
	case "trace", "debug":
		severity = slog.LevelDebug
	case "warning":
		severity = slog.LevelWarn
	case "error", "critical":
		severity = slog.LevelError
	}
	r.Log.Log(context.Background(), severity, message, "component", "envoy/"+component)
}

// lineWriter cuts what is written to it into lines.
type lineWriter struct {
	mu   sync.Mutex
	rest []byte
	line func(string)
}

// maxLine bounds a line that never ends, in bytes.
const maxLine = 1 << 20

// Write takes a piece of the log.
func (w *lineWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rest = append(w.rest, b...)
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

func (w *lineWriter) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.rest) > 0 {
		w.line(string(w.rest))
		w.rest = nil
	}
}
