package gateway

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leash-gateway/leash/internal/nettest"
)

// hurried is two whose route asks the second provider too, practically at once.
var hurried = strings.Replace(two, "first_byte: 2s}", "total: 1m}, failover: {hedge: 1ms}", 1)

func TestTheFirstOfSeveralAnswersGoesOn(t *testing.T) {
	var asked, ended, turn atomic.Int64
	b := start(t, setup{config: hurried}, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		defer ended.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		pace := time.NewTimer(time.Duration(turn.Add(1)%7) * time.Millisecond) // who is the first is a matter of luck
		defer pace.Stop()
		select {
		case <-pace.C:
		case <-r.Context().Done():
			return
		}
		w.Header().Set("Content-Type", "application/json")
		body := fromSecond
		switch first := strings.HasPrefix(r.URL.Path, "/v1/first/"); {
		case first && turn.Load()%5 == 0:
			w.WriteHeader(http.StatusServiceUnavailable)
		case first:
			body = strings.Replace(fromSecond, "second", "first", 1)
		}
		_, _ = io.WriteString(w, body)
	})
	var all sync.WaitGroup
	var by [2]atomic.Int64
	for range 8 {
		all.Go(func() {
			for range 25 {
				a := b.do(b.request("POST", "/v1/chat/completions", chat))
				switch {
				case a.status == http.StatusOK && a.body == fromSecond:
					by[1].Add(1)
				case a.status == http.StatusOK && a.body == strings.Replace(fromSecond, "second", "first", 1):
					by[0].Add(1)
				default:
					t.Errorf("got %d %s", a.status, a.body)
				}
			}
		})
	}
	all.Wait()
	nettest.Eventually(t, "all attempts to end", func() bool { return ended.Load() == asked.Load() && b.metrics.active.Load() == 0 })
	if by[0].Load() == 0 || by[1].Load() == 0 {
		t.Errorf("%d answers are of the first and %d of the second, want some of both", by[0].Load(), by[1].Load())
	}
}

func TestAClientThatLeavesEndsAllAttempts(t *testing.T) {
	asked, ended := make(chan struct{}, 2), make(chan struct{}, 2)
	b := start(t, setup{config: hurried}, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		asked <- struct{}{}
		<-r.Context().Done()
		ended <- struct{}{}
	})
	leave, left := b.askInVain(t)
	receive(t, asked, "the first provider")
	receive(t, asked, "the second provider")
	leave()
	receive(t, left, "the client")
	receive(t, ended, "the end of one attempt")
	receive(t, ended, "the end of the other one")
	nettest.Eventually(t, "the exchange to end", func() bool { return b.metrics.active.Load() == 0 })
}
