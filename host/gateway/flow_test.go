package gateway

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/leash-gateway/leash/host/abi"
)

func newFlow(passed func()) *flow {
	f := &flow{}
	f.init(nil, passed)
	return f
}

func TestAFlowIsReadAsItComes(t *testing.T) {
	f := newFlow(nil)
	go func() {
		f.Headers(abi.NewHeaders(":status", "200"), false)
		for _, piece := range []string{"one ", "two ", "three"} {
			f.Data([]byte(piece), false)
		}
		f.Data(nil, true)
	}()
	if got, err := io.ReadAll(iotest.OneByteReader(f)); err != nil || string(got) != "one two three" {
		t.Errorf("read %q (%v)", got, err)
	}
	if h, whole := f.begun(); h.Value(":status") != "200" || !whole {
		t.Errorf("the headers are %v, whole %v", h, whole)
	}
}

func TestAFlowThatFailsIsReadToWhereItFailed(t *testing.T) {
	f, broken := newFlow(nil), errors.New("broken")
	f.Data([]byte("some"), false)
	f.fail(broken)
	if got, err := io.ReadAll(f); !errors.Is(err, broken) || string(got) != "some" {
		t.Errorf("read %q (%v), want what had come and %v", got, err, broken)
	}
}

func TestTrailersEndAFlow(t *testing.T) {
	calls := 0
	f := newFlow(func() { calls++ })
	f.Data([]byte("a"), false)
	f.Data([]byte("b"), false)
	f.Trailers(abi.NewHeaders("x-sum", "1"))
	data, trailers, ended := f.take()
	if string(data) != "ab" || trailers.Value("x-sum") != "1" || !ended || calls != 3 {
		t.Errorf("took %q, %v, %v after %d calls", data, trailers, ended, calls)
	}
}

func TestWhoFillsAFlowWaitsForWhoEmptiesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlow(nil)
		f.Data([]byte(strings.Repeat("x", 100)), false)
		drained := false
		go func() {
			f.drained(50)
			drained = true
		}()
		synctest.Wait()
		if drained {
			t.Fatal("100 bytes are taken for 50")
		}
		if _, err := io.ReadFull(f, make([]byte, 60)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !drained {
			t.Error("40 bytes are taken for more than 50")
		}
	})
}

func TestNobodyWaitsForAFlowThatIsOver(t *testing.T) {
	over := make(chan struct{})
	f := &flow{}
	f.init(over, nil)
	f.Data([]byte("xx"), false)
	close(over)
	f.drained(1) // returns
	if got, err := io.ReadAll(f); err == nil || string(got) != "xx" {
		t.Errorf("read %q (%v), want what had come and an error", got, err)
	}
}

func TestAWatchBoundsSilenceAndAll(t *testing.T) {
	tests := map[string]struct {
		total, idle time.Duration
		touches     []time.Duration // after the start
		want        time.Duration
	}{
		"silence from the start":       {time.Hour, time.Second, nil, time.Second},
		"silence after a sign of life": {time.Hour, time.Second, []time.Duration{800 * time.Millisecond}, 1800 * time.Millisecond},
		"all of it":                    {2 * time.Second, time.Second, []time.Duration{900 * time.Millisecond, 1800 * time.Millisecond}, 2 * time.Second},
		"no bound for all":             {0, time.Second, []time.Duration{900 * time.Millisecond}, 1900 * time.Millisecond},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w watch
				began := time.Now()
				late := make(chan time.Duration, 2)
				w.start(func() { late <- time.Since(began) })
				w.bound(tc.total, tc.idle)
				for _, at := range tc.touches {
					time.AfterFunc(at, w.touch)
				}
				if got := <-late; got != tc.want {
					t.Errorf("late after %s, want %s", got, tc.want)
				}
				w.bound(time.Second, time.Second) // it has been called, and will not be again
				w.end()
				time.AfterFunc(time.Hour, func() { close(late) })
				if _, again := <-late; again {
					t.Error("late was called twice")
				}
			})
		})
	}
}

func TestAWatchIsBoundAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w watch
		late := make(chan time.Duration, 1)
		began := time.Now()
		w.start(func() { late <- time.Since(began) })
		w.bound(0, time.Second)
		time.AfterFunc(500*time.Millisecond, func() { w.bound(10*time.Second, time.Minute) })
		if got, want := <-late, 10500*time.Millisecond; got != want {
			t.Errorf("late after %s, want %s", got, want)
		}
	})
}

func TestAWatchThatHasEndedIsNeverLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w watch
		w.start(func() { t.Error("it is late") })
		w.bound(time.Second, time.Second)
		w.end()
		done := make(chan struct{})
		time.AfterFunc(time.Hour, func() { close(done) })
		<-done
	})
}
