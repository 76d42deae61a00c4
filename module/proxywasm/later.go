//go:build wasip1

package proxywasm

import (
	"slices"
	"time"

	"github.com/leash-gateway/leash/module"
)

// later is what a plugin does on its ticks: timers, requests that no exchange waits for, and the counts and lines that are written together, because each
// call from Wasm to the host costs some microseconds and each line a system call. What a VM has collected in the last
// tenth of a second is lost if it dies. The host ticks only while there is something to do.
type later struct {
	timers   []timer
	counts   []*module.Series // each once
	lines    []byte
	requests []request
	// send makes the calls for requests. It is set by the first one, so that a module which sends none does not import the host's function,
	// which its manifest would have to name.
	send func()
	// unflushed says that the pipeline has put something off.
	unflushed bool
	period    time.Duration
}

// request is a call that is to be made.
type request struct {
	call module.Call
	done func(module.CallResult)
}

type timer struct {
	at       int64 // by the host's clock
	exchange *exchange
	f        func()
}

const (
	// timerTick is how exactly timers fire.
	timerTick = 5 * time.Millisecond
	// flushTick is how old a count or a line may become.
	flushTick = 100 * time.Millisecond
	// maxLines is how many bytes of lines are collected at the most.
	maxLines = 32 << 10
)

// tick makes the host tick at least so often; 0 ends it.
func (l *later) tick(period time.Duration) {
	if l.period == period || period != 0 && l.period != 0 && l.period < period {
		return
	}
	l.period = period
	_ = hostSetTickPeriod(uint32(period / time.Millisecond))
}

// idle slows the ticks down, or ends them, when there is less to do.
func (l *later) idle() {
	if len(l.timers) > 0 {
		return
	}
	l.period = timerTick // so that a longer one is taken
	if l.tick(0); len(l.counts)+len(l.lines)+len(l.requests) > 0 || l.unflushed {
		l.tick(flushTick)
	}
}

func (l *later) after(at int64, x *exchange, f func()) {
	l.timers = append(l.timers, timer{at, x, f})
	l.tick(timerTick)
}

// forget takes the timers of an exchange that is over: each would keep it in memory, and the host ticking, until it is due.
func (l *later) forget(x *exchange) {
	if len(l.timers) > 0 {
		l.timers = slices.DeleteFunc(l.timers, func(one timer) bool { return one.exchange == x })
	}
}

func (l *later) count(s *module.Series, n int64) {
	if s.Pending == 0 {
		l.counts = append(l.counts, s)
		l.tick(flushTick)
	}
	s.Pending += n
}

func (l *later) line(text string) {
	if len(l.lines) > 0 {
		l.lines = append(l.lines, '\n')
	}
	l.lines = append(l.lines, text...)
	l.tick(flushTick)
}

// fire runs the timers that are due.
func (l *later) fire(now int64) {
	var due []timer
	l.timers = slices.DeleteFunc(l.timers, func(one timer) bool {
		if one.at > now {
			return false
		}
		due = append(due, one)
		return true
	})
	for _, one := range due {
		func() {
			defer contain()
			one.f()
		}()
	}
}
