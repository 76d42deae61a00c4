package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leash-gateway/leash/mock"
)

// failoverName is what -only names it by.
const failoverName = "failover"

// The soak with a provider that dies: so many requests a second, evenly, to a route with two targets, of which the first, another API than the
// client's, is killed and revived in turns.
const (
	failoverRate    = 500 // requests a second
	failoverTime    = 20 * time.Second
	failoverTurn    = 5 * time.Second
	failoverMost    = 256   // under way at once: what is more waits, and is told by the rate
	goalFailed      = 0.001 // of all requests
	failoverTimeout = 30 * time.Second
)

// failedOver is what became of the requests on an engine.
type failedOver struct {
	engine       string
	sent, failed int64
	first        string // how the first one failed
	took         time.Duration
}

// measureFailover runs the soak on each engine.
func measureFailover(ctx context.Context) (all []failedOver, err error) {
	for _, engine := range []string{"envoy", "embedded"} {
		one, err := failover(ctx, engine)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", engine, err)
		}
		all = append(all, one)
	}
	return all, nil
}

func failover(ctx context.Context, engine string) (r failedOver, err error) {
	dir, err := os.MkdirTemp("", "leash-bench-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	var providers [2]*mortal
	for i := range providers {
		if providers[i], err = startMortal(ctx); err != nil {
			return r, err
		}
		defer providers[i].kill()
	}
	s, err := up(ctx, dir, engine, fmt.Sprintf(`allow_anonymous: true
providers:
  first: {kind: anthropic, base_url: "http://%s"}
  second: {kind: openai, base_url: "http://%s/v1"}
routes: [{model: either, targets: [{provider: first, model: claude-sonnet-4-5}, {provider: second, model: gpt-4o-mini}]}]
pipeline: [{module: costtracker}]
`, providers[0].address, providers[1].address))
	if err != nil {
		return r, err
	}
	defer s.stop()
	r = failedOver{engine: engine}
	dying, stop := context.WithCancel(ctx)
	var turns sync.WaitGroup
	turns.Go(func() { err = providers[0].takeTurns(dying) })
	r.run(ctx, s.url)
	stop()
	turns.Wait()
	return r, err
}

// run sends the requests at their times.
func (r *failedOver) run(ctx context.Context, url string) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: failoverMost}, Timeout: failoverTimeout}
	defer client.CloseIdleConnections()
	var failed atomic.Int64
	var first sync.Once
	var requests sync.WaitGroup
	free := make(chan struct{}, failoverMost)
	began := time.Now()
	tick := time.NewTicker(time.Second / failoverRate)
	defer tick.Stop()
	for time.Since(began) < failoverTime && ctx.Err() == nil {
		<-tick.C
		free <- struct{}{}
		r.sent++
		requests.Go(func() {
			if problem := ask(ctx, client, url); problem != "" {
				failed.Add(1)
				first.Do(func() { r.first = problem })
			}
			<-free
		})
	}
	requests.Wait()
	r.took, r.failed = time.Since(began), failed.Load()
}

// ask sends a chat, and says what is wrong with the answer.
func ask(ctx context.Context, client *http.Client, url string) string {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/chat/completions", strings.NewReader(strings.Replace(chat, "gpt-4o-mini", "either", 1)))
	if err != nil {
		return err.Error()
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return fmt.Sprintf("%d %.200s %v", response.StatusCode, body, err)
	}
	return ""
}

// A mortal is a provider that can be killed and revived. It is this process's own: what is measured are failures, not time.
type mortal struct {
	handler http.Handler
	address string
	server  *http.Server // nil while it is dead
}

func startMortal(ctx context.Context) (*mortal, error) {
	m := &mortal{handler: mock.New(mock.Options{}), address: "127.0.0.1:0"}
	return m, m.revive(ctx)
}

// revive starts it, at the address that it had before.
func (m *mortal) revive(ctx context.Context) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", m.address)
	if err != nil {
		return fmt.Errorf("revive a provider: %w", err)
	}
	m.address = l.Addr().String()
	m.server = &http.Server{Handler: m.handler, ReadHeaderTimeout: failoverTimeout}
	go m.server.Serve(l) //nolint:errcheck // it ends by kill
	return nil
}

// kill ends it as a process is killed: connections break.
func (m *mortal) kill() {
	if m.server != nil {
		_ = m.server.Close()
		m.server = nil
	}
}

// takeTurns kills and revives it until ctx ends.
func (m *mortal) takeTurns(ctx context.Context) error {
	turn := time.NewTicker(failoverTurn)
	defer turn.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-turn.C:
		}
		if m.server != nil {
			m.kill()
		} else if err := m.revive(ctx); err != nil {
			return err
		}
	}
}

// failoverGoals are the rows of the soak.
func failoverGoals(all []failedOver, row func(goal, asked, measured string, met bool)) {
	for _, r := range all {
		share := float64(r.failed) / float64(max(r.sent, 1))
		measured := fmt.Sprintf("%.2f %%: %d of %d, at %.0f a second", 100*share, r.failed, r.sent, float64(r.sent)/r.took.Seconds())
		if r.first != "" {
			measured += ", one with " + strings.ReplaceAll(r.first, "\n", " ")
		}
		row(fmt.Sprintf("failed of %d requests a second for %s while the first of two providers is killed and revived every %s, %s",
			failoverRate, failoverTime, failoverTurn, r.engine), fmt.Sprintf("< %.1f %%", 100*goalFailed), measured, share < goalFailed)
	}
}
