package harness

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/leash-gateway/leash/host/abi"
)

// callouts answers modules' HTTP and gRPC calls from a script.
type callouts struct {
	script map[string][]Answer
	clock  *clock

	mu      sync.Mutex
	count   map[string]int
	made    []Callout
	waiting []func() // answers that can come at once
}

var _ abi.HTTPCaller = (*callouts)(nil)

// HTTPCall remembers the call; its answer comes when the harness lets it.
func (c *callouts) HTTPCall(ctx context.Context, call *abi.HTTPCall, done func(*abi.HTTPAnswer)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	answer, known := c.next(call.Cluster)
	if !known {
		return abi.ErrUnknownCluster
	}
	c.made = append(c.made, Callout{
		Upstream: call.Cluster, Timeout: call.Timeout,
		Message: Message{Headers: fromABI(call.Headers), Body: string(call.Body), Trailers: fromABI(call.Trailers), Ended: true},
	})
	reply, after := answer.toCallout(call.Timeout)
	deliver := func() {
		if ctx.Err() == nil {
			done(reply)
		}
	}
	if after > 0 {
		c.clock.AfterFunc(after, deliver)
	} else if after == 0 {
		c.waiting = append(c.waiting, deliver)
	}
	return nil
}

// toCallout is what a module sees of an answer, and after how long; negative: never.
func (a Answer) toCallout(timeout time.Duration) (*abi.HTTPAnswer, time.Duration) {
	after := a.Delay
	for range max(len(Pieces(a.Body, a.Chunks, a.ChunkSize))-1, 0) {
		after += a.Pace
	}
	if timeout > 0 && after >= timeout || a.Failure == Timeout {
		if timeout <= 0 {
			return nil, -1
		}
		return local(504, "upstream request timeout"), timeout
	}
	switch a.Failure {
	case Unreachable:
		return local(503, "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"), after
	case Cut:
		return nil, after
	}
	body := strings.Join(Pieces(a.Body, a.Chunks, a.ChunkSize), "")
	h := abi.NewHeaders(":status", strconv.Itoa(a.status()))
	for _, entry := range a.Headers {
		h.Add(strings.ToLower(entry[0]), entry[1])
	}
	return &abi.HTTPAnswer{Headers: h, Body: []byte(body), Trailers: toABI(a.Trailers)}, after
}

// local is an answer as Envoy makes it where there is none.
func local(status int, body string) *abi.HTTPAnswer {
	return &abi.HTTPAnswer{
		Headers: abi.NewHeaders(":status", strconv.Itoa(status), "content-length", strconv.Itoa(len(body)), "content-type", "text/plain"),
		Body:    []byte(body),
	}
}

// take gives the answers that can come, and forgets them.
func (c *callouts) take() []func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	waiting := c.waiting
	c.waiting = nil
	return waiting
}

// since are the calls that were made after the first n.
func (c *callouts) since(n int) []Callout {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.made[n:len(c.made):len(c.made)]
}

func (a Answer) status() int {
	if a.Status == 0 {
		return 200
	}
	return a.Status
}

func toABI(h Headers) *abi.Headers {
	if len(h) == 0 {
		return nil
	}
	out := abi.NewHeaders()
	for _, entry := range h {
		out.Add(strings.ToLower(entry[0]), entry[1])
	}
	return out
}

func fromABI(h *abi.Headers) Headers {
	var out Headers
	if h == nil {
		return nil
	}
	for name, value := range h.All() {
		out = append(out, [2]string{name, value})
	}
	return out
}
