package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/leash-gateway/leash/host/abi"
)

// caller lets modules call the providers of their generation, by the name provider.NAME, as they call clusters in Envoy, and the module provider
// also by the way that attempts take.
// The provider's key is put into these calls too.
type caller generation

var _ abi.HTTPCaller = (*caller)(nil)

// maxCallBytes bounds what is read of an answer. A longer one is none.
const maxCallBytes = 16 << 20

var (
	errLongAnswer = errors.New("the answer is longer than a module may read")
	errNoProof    = errors.New("there is no token for the provider yet")
)

// HTTPCall makes a call and tells done its answer.
func (c *caller) HTTPCall(ctx context.Context, call *abi.HTTPCall, done func(*abi.HTTPAnswer)) error {
	if name, found := strings.CutPrefix(call.Cluster, restPrefix); found && c.providers[name] != nil {
		c.calls.Go(func() {
			limited, cancel := within(ctx, call.Timeout)
			defer cancel()
			done(c.rest(limited, call))
		})
		return nil
	}
	name, _ := strings.CutPrefix(call.Cluster, "provider.")
	p := c.providers[name]
	if p == nil || clusterName(name) != call.Cluster {
		return abi.ErrUnknownCluster
	}
	target, err := url.ParseRequestURI(call.Headers.Value(":path"))
	if err != nil || target.Host != "" {
		return fmt.Errorf("call provider %s: its path is not one", name)
	}
	target.Scheme, target.Host = p.base.Scheme, p.base.Host
	r := &http.Request{
		Method: call.Headers.Value(":method"), Host: call.Headers.Value(":authority"), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		URL: target, Header: http.Header{}, ContentLength: int64(len(call.Body)),
	}
	for name, value := range call.Headers.All() {
		if name != "" && name[0] != ':' && name != "content-length" && !isHopByHop(name) {
			r.Header.Add(name, value)
		}
	}
	if len(call.Body) > 0 {
		body := call.Body
		r.Body = io.NopCloser(bytes.NewReader(body))
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	}
	c.calls.Go(func() {
		limited, cancel := within(ctx, call.Timeout)
		defer cancel()
		if !p.prove(r, call.Body) {
			done(noAnswer(errNoProof))
			return
		}
		done(p.call(r.WithContext(limited)))
	})
	return nil
}

// within bounds a call; 0 does not.
func within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, d)
}

// call is a provider's answer, or one that says why there is none, as Envoy's.
func (p *provider) call(r *http.Request) *abi.HTTPAnswer {
	response, err := p.roundTrip(r, func() {}) // its time is bounded as a whole
	if err != nil {
		return noAnswer(err)
	}
	defer response.Body.Close() //nolint:errcheck // read to its end, or given up
	body, err := io.ReadAll(io.LimitReader(response.Body, maxCallBytes+1))
	if err == nil && len(body) > maxCallBytes {
		err = errLongAnswer
	}
	if err != nil {
		return noAnswer(err)
	}
	return &abi.HTTPAnswer{Headers: allHeaders(response.StatusCode, response.Header), Body: body, Trailers: trailersOf(response.Trailer)}
}

// allHeaders are those of an answer to a module's call: it is told all.
func allHeaders(status int, header http.Header) *abi.Headers {
	h := abi.NewHeaders(":status", strconv.Itoa(status))
	for name, values := range header {
		for _, value := range values {
			h.Add(lowerCase(name), value)
		}
	}
	return h
}

func noAnswer(err error) *abi.HTTPAnswer {
	status, text := http.StatusServiceUnavailable, "upstream connect error or disconnect/reset before headers"
	if errors.Is(err, context.DeadlineExceeded) {
		status, text = http.StatusGatewayTimeout, "upstream request timeout"
	}
	return &abi.HTTPAnswer{
		Headers: abi.NewHeaders(":status", strconv.Itoa(status), "content-type", "text/plain", "content-length", strconv.Itoa(len(text))),
		Body:    []byte(text),
	}
}
