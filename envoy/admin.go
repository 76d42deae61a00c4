package envoy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// admin speaks to Envoy's admin interface: https://www.envoyproxy.io/docs/envoy/v1.40.0/operations/admin
type admin struct {
	address string
	// ended is closed when Envoy has ended.
	ended <-chan struct{}
}

// watch looks whether Envoy answers, until ctx or Envoy ends. It is false if Envoy did not answer for that long.
func (a admin) watch(ctx context.Context, patience time.Duration) bool {
	ticks := time.NewTicker(patience / 6)
	defer ticks.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return true
		case <-a.ended:
			return true
		case <-ticks.C:
		}
		// Not whether it is ready: one that still compiles modules is not.
		if _, err := a.do(ctx, http.MethodGet, "/ready", patience/6); err == nil || ctx.Err() != nil {
			last = time.Now()
		} else if time.Since(last) > patience {
			return false
		}
	}
}

// answers waits for Envoy to say anything. It is false if ctx or Envoy has ended before.
func (a admin) answers(ctx context.Context) bool {
	return a.comesTo(ctx, func(string) bool { return true })
}

// live waits for Envoy to take requests. It is false if ctx or Envoy has ended before.
func (a admin) live(ctx context.Context) bool {
	return a.comesTo(ctx, func(state string) bool { return state == "LIVE" })
}

// comesTo waits for a state of Envoy's.
func (a admin) comesTo(ctx context.Context, wanted func(state string) bool) bool {
	const poll = 100 * time.Millisecond
	for a.pause(ctx, poll) {
		if state, err := a.do(ctx, http.MethodGet, "/ready", endTimeout); err == nil && wanted(strings.TrimSpace(state)) {
			return true
		}
	}
	return false
}

// pollActive is how often running exchanges are counted while Envoy ends.
const pollActive = 50 * time.Millisecond

// quit lets Envoy take no more connections, waits for the running exchanges, and then for Envoy's end.
func (a admin) quit(grace time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	// Errors: an Envoy that does not do what it is asked for is killed in the end.
	if _, err := a.do(ctx, http.MethodPost, "/drain_listeners", grace); err == nil {
		for a.active(ctx) && a.pause(ctx, pollActive) {
		}
	}
	last, stop := context.WithTimeout(context.Background(), endTimeout)
	defer stop()
	_, _ = a.do(last, http.MethodPost, "/quitquitquit", endTimeout)
	a.pause(last, endTimeout)
}

// endTimeout is how long Envoy itself may take to end.
const endTimeout = 3 * time.Second

// active says whether exchanges are running.
func (a admin) active(ctx context.Context) bool {
	const name = "http." + listenerName + ".downstream_rq_active"
	stats, err := a.do(ctx, http.MethodGet, "/stats?filter="+url.QueryEscape("^"+name+"$"), endTimeout)
	value, found := strings.CutPrefix(strings.TrimSpace(stats), name+": ")
	return err == nil && found && value != "0"
}

// pause waits. It is false if Envoy or ctx has ended.
func (a admin) pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-a.ended:
	case <-ctx.Done():
	}
	return false
}

// maxPage bounds what is read of a page, in bytes.
const maxPage = 1 << 20

func (a admin) do(ctx context.Context, method, path string, timeout time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, "http://"+a.address+path, nil)
	if err != nil {
		return "", fmt.Errorf("ask envoy: %w", err)
	}
	request.Close = true // nothing is left open when Envoy ends
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", fmt.Errorf("ask envoy: %w", err)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxPage))
	return string(body), errors.Join(err, response.Body.Close())
}
