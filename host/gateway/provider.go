package gateway

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/host/outage"
)

// A provider is where exchanges end. It holds the key, which no module ever sees.
type provider struct {
	name      string
	base      *url.URL
	host      string            // the Host header
	proof     proof             // of who asks; nil where the provider wants none
	needed    map[string]string // headers that every request needs which does not say otherwise
	total     time.Duration
	idle      time.Duration
	transport *http.Transport
	counts    *upstreamCounts
	told      outage.Provider // to the operator, where it cannot be reached
	propagate bool            // passes the trace context on
	largest   int64           // bytes of an error
	most      int64           // requests that may be under way; 0: any number
	underWay  atomic.Int64
	budget    config.Budget // of those that are sent once more
	again     atomic.Int64  // of those under way: sent once more
}

const (
	idleConnections     = 1024 // kept open for a provider
	idleConnectionsTime = 90 * time.Second
	// maxAnswerHeaderBytes bounds the headers of an answer, as Envoy does; maxHeaders their number.
	maxAnswerHeaderBytes = 80 << 10
)

func newProvider(name string, c *config.Config, o Options, m *metrics, log *slog.Logger) (*provider, error) {
	configured := c.Providers[name]
	base, kind := baseURL(name, c, o), configured.Description()
	host, port := config.HostPort(base)
	p := &provider{
		told: outage.Provider{Name: name, Address: net.JoinHostPort(host, strconv.Itoa(int(port))), Log: log},
		name: name, base: base, host: authority(base), counts: m.upstream(name), proof: newProof(configured, o, name), needed: kind.Headers,
		total: time.Duration(configured.Timeouts.Total), idle: time.Duration(configured.Timeouts.Idle), most: int64(configured.Limits.Requests),
		largest:   int64(c.Limits.ResponseBytes),
		propagate: c.Tracing.Propagate, budget: configured.Limits.RetryBudget,
	}
	to := &dialer{connect: time.Duration(configured.Timeouts.Connect), failures: &p.counts.connectFailures}
	p.transport = &http.Transport{
		DialContext: to.dial, DialTLSContext: to.dialTLS, DisableCompression: true, ForceAttemptHTTP2: true,
		MaxConnsPerHost: configured.Limits.Connections, MaxIdleConns: idleConnections, MaxIdleConnsPerHost: idleConnections, IdleConnTimeout: idleConnectionsTime,
		MaxResponseHeaderBytes: maxAnswerHeaderBytes, WriteBufferSize: 16 << 10, ReadBufferSize: 16 << 10,
	}
	if base.Scheme != "https" {
		return p, nil
	}
	file := configured.CAFile
	if file == "" {
		file = o.CAFile
	}
	pool, err := config.Certificates(file)
	if err != nil {
		return nil, err
	}
	to.tls = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool, ServerName: base.Hostname(), NextProtos: []string{"h2", "http/1.1"}}
	return p, nil
}

// begin takes a request into account, until end. An error says that it may not be sent: errBusy or errAbsent.
func (p *provider) begin() error {
	if p.counts.absent.Load() {
		return errAbsent
	}
	if n := p.underWay.Add(1); p.most == 0 || n <= p.most {
		return nil
	}
	p.end()
	return errBusy
}

func (p *provider) end() { p.underWay.Add(-1) }

// roundTrip sends a request, and tells alive when its answer begins and of each piece of it. An error that comes back does not hold the
// credential that the request was sent with.
func (p *provider) roundTrip(r *http.Request, alive func()) (*http.Response, error) {
	response, err := p.send(r)
	if err != nil {
		return nil, err
	}
	if !readable(response.Header) {
		_ = response.Body.Close()
		return nil, errHeaders
	}
	p.counts.outage.Reached(p.told)
	alive()
	response.Body = &heard{response.Body, alive} // below what reads an answer in whole
	if p.proof != nil {
		redact(response, p.proof.credential(r), p.largest)
	}
	return response, nil
}

// readable tells whether Envoy would read these headers too. net/http lets names pass that are none ("Content-Length " is not the length, and the
// answer then has no end), and as many as there are.
func readable(h http.Header) bool {
	count := 0
	for name, values := range h {
		if !httpguts.ValidHeaderFieldName(name) {
			return false
		}
		count += len(values)
	}
	return count <= maxHeaders
}

// heard is a body of whose pieces somebody is told.
type heard struct {
	io.ReadCloser

	piece func()
}

// Read tells of what it has read.
func (h *heard) Read(p []byte) (int, error) {
	n, err := h.ReadCloser.Read(p)
	h.piece()
	return n, err
}

// send does so. Only what has certainly not reached the provider is sent again, once: a chat is not
// idempotent, and it costs. Where no connection came about nothing of the body was read either. (net/http sends again what it could not
// write to a connection that the provider was just closing.)
func (p *provider) send(r *http.Request) (*http.Response, error) {
	response, err := p.transport.RoundTrip(r)
	if _, unreached := errors.AsType[dialError](err); !unreached || r.Context().Err() != nil {
		return response, err
	}
	if !p.mayAgain() {
		p.counts.refusedRetries.Add(1)
		return response, err
	}
	defer p.again.Add(-1)
	p.counts.retries.Add(1)
	return p.transport.RoundTrip(r)
}

// mayAgain takes a request that is sent once more into account, as Envoy does. It is false where there are as many as may be.
func (p *provider) mayAgain() bool {
	n := p.again.Add(1)
	if p.budget.Percent == 0 || n <= max(int64(p.budget.Least), p.underWay.Load()*int64(p.budget.Percent)/100) {
		return true
	}
	p.again.Add(-1)
	return false
}
