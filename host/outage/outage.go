// Package outage tells the operator why a provider cannot be reached, in the same words whatever carries the traffic: once when it begins and
// not with each request. Clients are not told: what is behind the gateway is none of their business.
package outage

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Causes, as the log has them. What is known besides stands behind them.
const (
	Refused     = "it refuses connections"
	NoRoute     = "there is no way to its address"
	UnknownName = "its name is not known in the DNS"
	Unhealthy   = "it does not answer its health check"
	NoAddress   = "its name is not known in the DNS, or it does not answer its health check"
	Late        = "no connection comes about within timeouts.connect"
	Untrusted   = "nobody who is trusted vouches for its certificate: see ca_file"
	Expired     = "its certificate has expired, or is not valid yet"
	OtherName   = "its certificate is for another name"
	Certificate = "its certificate is not valid"
	NoTLS       = "it does not speak TLS on this port"
	Closed      = "it closes connections before it answers"
	Broken      = "it breaks off before it answers, or does not speak HTTP"
)

// Pause is how long a cause that goes on is not told again.
const Pause = time.Minute

// maxCauses bounds how many causes are told of a provider within Pause.
const maxCauses = 8

// A Provider is who cannot be reached.
type Provider struct {
	Name    string
	Address string // host and port
	Log     *slog.Logger
}

// A Teller knows what has been told of one provider. Its zero value has told nothing; it is safe for concurrent use.
type Teller struct {
	out atomic.Bool // told, and no request has got through since

	mu   sync.Mutex
	told map[string]time.Time // by the cause
}

// Unreached tells that a request did not get through, unless that has been told.
func (t *Teller) Unreached(p Provider, cause string, now time.Time) {
	if !t.isNew(cause, now) {
		return
	}
	t.out.Store(true)
	p.Log.Warn("a provider cannot be reached", "provider", p.Name, "address", p.Address, "cause", cause)
}

// isNew is false for what has been told within Pause.
func (t *Teller) isNew(cause string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for cause, at := range t.told {
		if now.Sub(at) >= Pause {
			delete(t.told, cause)
		}
	}
	if _, told := t.told[cause]; told || len(t.told) >= maxCauses {
		return false
	}
	if t.told == nil {
		t.told = map[string]time.Time{}
	}
	t.told[cause] = now
	return true
}

// Reached tells that a request has got through, where it was told last that none does. Else it costs a look at a flag (BenchmarkReached).
func (t *Teller) Reached(p Provider) {
	if t.out.Load() && t.out.Swap(false) {
		p.Log.Info("a provider can be reached again", "provider", p.Name, "address", p.Address)
	}
}
