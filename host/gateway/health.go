package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leash-gateway/leash/config"
)

// A checker asks a provider, beside all requests, whether it is there, as Envoy does. While it does not answer it is sent nothing.
type checker struct {
	name     string
	request  *http.Request
	client   *http.Client
	interval time.Duration
	log      *slog.Logger
	absent   *atomic.Bool // it does not answer
}

// failuresUntilAbsent is how many checks must fail in a row, but the first of all, which nothing was known before.
const failuresUntilAbsent = 2

// checks are those that run for the generation that is in force. The zero value runs none.
type checks struct {
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// startChecks begins to check the generation's providers, of which nothing is known that is elsewhere than in the one before.
func (n *generation) startChecks(before *generation) {
	for name, p := range n.providers {
		checked := slices.ContainsFunc(n.checkers, func(c *checker) bool { return c.name == name })
		if old := before.provider(name); !checked || old == nil || old.base.String() != p.base.String() {
			p.counts.absent.Store(false)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.checks.cancel = cancel
	for _, c := range n.checkers {
		n.checks.running.Go(func() { c.run(ctx) })
	}
}

// provider is one by name; nil where there is none, or no generation.
func (n *generation) provider(name string) *provider {
	if n == nil {
		return nil
	}
	return n.providers[name]
}

func (c *checks) stop() {
	if c.cancel != nil {
		c.cancel()
	}
	c.running.Wait()
}

// newChecker is that of a provider; nil where there is nothing that it could be asked for.
func newChecker(name string, c *config.Provider, p *provider, log *slog.Logger) *checker {
	path := c.CheckPath()
	if path == "" {
		return nil
	}
	target := *p.base
	target = *target.JoinPath(path)
	transport := p.transport.Clone() // on a connection of its own: that requests wait for theirs says nothing
	transport.MaxConnsPerHost, transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 0, 1, 1
	transport.DialContext = (&net.Dialer{}).DialContext
	return &checker{
		name:     name,
		request:  &http.Request{Method: http.MethodGet, URL: &target, Host: p.host, Header: http.Header{"User-Agent": {"leash"}}},
		client:   &http.Client{Transport: transport, Timeout: time.Duration(c.HealthCheck.Timeout), CheckRedirect: asItIs},
		interval: time.Duration(c.HealthCheck.Interval), log: log, absent: &p.counts.absent,
	}
}

func asItIs(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// run checks until ctx is done.
func (c *checker) run(ctx context.Context) {
	defer c.client.CloseIdleConnections()
	every := time.NewTicker(c.interval)
	defer every.Stop()
	failures := failuresUntilAbsent - 1
	for {
		err := c.check(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			if failures = 0; c.absent.Swap(false) {
				c.log.Info("a provider answers its health check again", "provider", c.name)
			}
		default:
			if failures++; failures >= failuresUntilAbsent && !c.absent.Swap(true) {
				c.log.Warn("a provider does not answer its health check: it is sent nothing until it does", "provider", c.name, "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}

// check asks once. An answer with a status below 500 will do.
func (c *checker) check(ctx context.Context) error {
	response, err := c.client.Do(c.request.WithContext(ctx))
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	if response.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("it answers %s", response.Status)
	}
	return nil
}
