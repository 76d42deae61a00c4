package cli

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os/signal"
	"sync"
	"syscall"
)

// lines writes lines from anywhere, in the background: whoever reads them may stand still or end, and the exchanges that they are of go on. What
// is too much by then is lost, and told.
type lines struct {
	w   io.Writer
	log *slog.Logger

	mu      sync.Mutex
	waiting []byte
	lost    int           // lines
	written chan struct{} // closed when nothing waits any more; nil where nothing does

	// Of what writes in the background.
	broken  bool
	torn    bool // the last line has not gone out whole
	missing int  // lines that were lost since it was told
}

// maxWaiting is how many bytes may wait to be written: the lines of some ten thousand exchanges.
const maxWaiting = 8 << 20

// Write takes whole lines.
func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting)+len(b) > maxWaiting {
		l.lost += bytes.Count(b, newline)
		return len(b), nil
	}
	l.waiting = append(l.waiting, b...)
	if l.written == nil {
		l.written = make(chan struct{})
		go l.write()
	}
	return len(b), nil
}

var newline = []byte("\n")

// flush waits until all is written, or ctx ends.
func (l *lines) flush(ctx context.Context) {
	l.mu.Lock()
	written := l.written
	l.mu.Unlock()
	if written == nil {
		return
	}
	select {
	case <-written:
	case <-ctx.Done():
	}
}

// write writes what waits until nothing does.
func (l *lines) write() {
	var spare []byte
	for {
		l.mu.Lock()
		b, lost := l.waiting, l.lost
		l.waiting, l.lost = spare[:0], 0
		if len(b) == 0 && lost == 0 {
			close(l.written)
			l.written = nil
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		l.missing += lost
		l.put(b)
		spare = b
	}
}

func (l *lines) put(b []byte) {
	n, err := 0, error(nil)
	if l.torn {
		_, err = l.w.Write(newline)
		l.torn = err != nil
	}
	if err == nil {
		n, err = l.w.Write(b)
		l.torn = n > 0 && b[n-1] != '\n'
	}
	if err != nil {
		l.missing += bytes.Count(b[n:], newline)
		if !l.broken {
			l.broken = true
			l.log.Error("the lines of exchanges cannot be written, and are lost", "error", err)
		}
		return
	}
	l.broken = false
	if l.missing > 0 {
		l.log.Warn("lines of exchanges were lost: nobody took them", "lines", l.missing)
		l.missing = 0
	}
}

// outliveReaders keeps a service going when the program that reads what it prints has ended: by default that ends it, at its next line and with all that is under way.
func outliveReaders() { signal.Ignore(syscall.SIGPIPE) }
