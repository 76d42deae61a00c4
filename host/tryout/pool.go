package tryout

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// A Pool tries modules in processes of their own. It is safe for concurrent use.
type Pool struct {
	command []string
	timeout time.Duration
	dir     string
	idle    chan *worker // as many as there may be; nil: not started

	mu     sync.Mutex
	closed bool
}

// PoolOptions are how processes are run.
type PoolOptions struct {
	// Command is the program that calls [Work], with its arguments.
	Command []string
	// Workers is how many modules are tried at the same time. Default: 1.
	Workers int
	// Timeout bounds how long a module is tried. Default: 1 min.
	Timeout time.Duration
	// Dir is a folder for their temporary files, which are removed with them. Default: the system's.
	Dir string
}

// NewPool is a pool. Its processes are started when there is something to do. Close it once, when nothing is tried any more.
func NewPool(o PoolOptions) *Pool {
	if o.Workers <= 0 {
		o.Workers = 1
	}
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	p := &Pool{command: o.Command, timeout: o.Timeout, dir: o.Dir, idle: make(chan *worker, o.Workers)}
	for range o.Workers {
		p.idle <- nil
	}
	return p
}

// Try tries a module. A module that takes its process with it, or too long, has failed; the error is of something else.
func (p *Pool) Try(ctx context.Context, j Job) (r Result, err error) {
	var w *worker
	select {
	case w = <-p.idle:
	case <-ctx.Done():
		return r, ctx.Err()
	}
	defer func() { p.idle <- w }()
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	if closed {
		return r, errors.New("the pool is closed")
	}
	if w == nil {
		if w, err = start(p.command, p.dir); err != nil {
			return r, fmt.Errorf("start a process to try modules in: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	r, last, err := w.try(ctx, j)
	if err == nil && r.Fault == "" {
		if last {
			_ = w.end() // it ends by itself
			w = nil
		}
		return r, nil
	}
	ended := w.end()
	w = nil
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		r = Result{}
		r.fail("trying it took longer than %v", p.timeout)
		return r, nil
	case ctx.Err() != nil:
		return r, ctx.Err()
	case err != nil:
		r = Result{}
		r.fail("the process that tried it has ended: %s", ended)
		return r, nil
	}
	return r, errors.New(r.Fault)
}

// Close ends the processes.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	for range cap(p.idle) {
		if w := <-p.idle; w != nil {
			_ = w.end() // it has nothing to say any more
		}
	}
}

// worker is a process.
type worker struct {
	command *exec.Cmd
	jobs    io.WriteCloser
	results *bufio.Reader
	log     *tail
	dir     string // its own
}

// start starts a process. It gets nothing of the environment: there may be secrets in it.
func start(command []string, dir string) (*worker, error) {
	w := &worker{command: exec.Command(command[0], command[1:]...), log: &tail{}} //nolint:gosec,noctx // the program itself, which outlives requests
	var err error
	if w.dir, err = os.MkdirTemp(dir, "tryout-"); err != nil {
		return nil, err
	}
	w.command.Env = []string{"TMPDIR=" + w.dir}
	w.command.Stderr = w.log
	results, err := w.command.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(w.dir))
	}
	if w.jobs, err = w.command.StdinPipe(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(w.dir))
	}
	w.results = bufio.NewReader(results)
	if err := w.command.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(w.dir))
	}
	return w, nil
}

// answer is what a process writes of a job.
type answer struct {
	Result
	// Last says that the process ends then.
	Last bool `json:"last,omitempty"`
}

func (w *worker) try(ctx context.Context, j Job) (r Result, last bool, err error) {
	stop := context.AfterFunc(ctx, func() { _ = w.command.Process.Kill() })
	defer stop()
	if err := json.NewEncoder(w.jobs).Encode(j); err != nil {
		return r, false, err
	}
	line, err := w.results.ReadBytes('\n')
	if err != nil {
		return r, false, err
	}
	var a answer
	err = json.Unmarshal(line, &a)
	return a.Result, a.Last, err
}

// end ends the process, and says how it did.
func (w *worker) end() string {
	_ = w.jobs.Close()
	_ = w.command.Process.Kill()
	err := errors.Join(w.command.Wait(), os.RemoveAll(w.dir))
	if line := w.log.first(); line != "" {
		return line
	}
	return fmt.Sprint(err)
}

// tail keeps the beginning of what a process says when it ends in a way that it should not.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(b []byte) (int, error) {
	const most = 4 << 10
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b[:min(len(b), most-len(t.text))]...)
	return len(b), nil
}

func (t *tail) first() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	line, _, _ := strings.Cut(string(t.text), "\n")
	return line
}

// maxGrown is how much memory a process may have after a module before it is replaced, in bytes.
const maxGrown = 512 << 20

// Work is what a pool's process does: it reads jobs from in, one JSON a line, and writes their results. It ends with in, or
// when it has grown too large: then another takes its place.
func Work(ctx context.Context, in io.Reader, out io.Writer) error {
	if err := limit(); err != nil {
		return err
	}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var j Job
		if err := json.Unmarshal(line, &j); err != nil {
			return fmt.Errorf("read job: %w", err)
		}
		a := answer{Result: Run(ctx, j)}
		a.Last = grown() > maxGrown
		if err := json.NewEncoder(out).Encode(a); err != nil || a.Last {
			return err
		}
	}
}
