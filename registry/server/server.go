// Package server is the registry as one http.Handler: the OCI distribution API, the catalogue's API, the token service of
// docker's clients, pages for people, health and metrics.
//
// The OCI API is a gate before a [Store]. Modules go through it by the catalogue: a push is looked at before it is
// acknowledged, a tag is what the catalogue says, and what may not be used is not given away. In namespaces that take any
// content, everything that is no module goes by as in any registry.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/semaphore"

	"github.com/leash-gateway/leash/registry/access"
	"github.com/leash-gateway/leash/registry/blobs"
	"github.com/leash-gateway/leash/registry/catalog"
	"github.com/leash-gateway/leash/registry/distribution"
	"github.com/leash-gateway/leash/registry/remote"
	"github.com/leash-gateway/leash/registry/service"
	"github.com/leash-gateway/leash/registry/trust"
	"github.com/leash-gateway/leash/registry/web"
	"github.com/leash-gateway/leash/registry/wildcard"
)

// A Store holds the bytes. As a handler it is the OCI distribution API without any judgement.
type Store interface {
	http.Handler
	catalog.Store
	// Open is a blob, verified. The caller closes it.
	Open(ctx context.Context, repository string, d digest.Digest) (*os.File, error)
	// Keep makes a manifest and its parts survive the loss of power.
	Keep(ctx context.Context, repository string, manifest digest.Digest, parts []digest.Digest) error
	Close() error
}

// Options are what a registry is made of.
type Options struct {
	// Name is what clients call the registry, such as registry.example.com: what trust policies match.
	Name string
	// CatalogFile is the catalogue's log.
	CatalogFile string
	// Store holds the bytes. The registry closes it.
	Store Store
	// Cache keeps signatures that have been read.
	Cache blobs.Folder
	// Trust says who must have signed modules; nil: nobody must.
	Trust *trust.Policy
	// Access says who may do what; nil: everybody everything.
	Access *access.Control
	// Namespaces are rules for repositories; the first that matches decides. What none matches takes modules only where
	// Trust is set, and anything else.
	Namespaces []Namespace
	// Sandbox runs the scenarios of what is pushed; nil: they are not run.
	Sandbox Sandbox
	// Scratch is a folder for files that are needed for a moment. Default: the system's.
	Scratch string
	// Limits bound what clients may take.
	Limits Limits
	// Log is told of what happens. Default: nobody.
	Log *slog.Logger
	// Version is the program's, for its metrics.
	Version string
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// Limits bound what clients may take. The zero value has the defaults.
type Limits struct {
	// BlobBytes bounds a blob. Default: 256 MiB, as much as a module may have.
	BlobBytes int64 `yaml:"blob_bytes"`
	// RequestsPerSecond is how many requests may come from one address, Burst how many at once. Default: 2000 and 4000.
	RequestsPerSecond int `yaml:"requests_per_second"`
	Burst             int `yaml:"burst"`
	// AdmissionBytes bounds how many bytes of modules are looked at at the same time, as they are in memory for it. Default: 512 MiB.
	AdmissionBytes int64 `yaml:"admission_bytes"`
}

// withDefaults fills in what is not set.
func (l Limits) withDefaults() Limits {
	set := func(value *int64, otherwise int64) {
		if *value <= 0 {
			*value = otherwise
		}
	}
	set(&l.BlobBytes, 256<<20)
	set(&l.AdmissionBytes, 512<<20)
	if l.RequestsPerSecond <= 0 {
		l.RequestsPerSecond = 2000
	}
	if l.Burst <= 0 {
		l.Burst = 2 * l.RequestsPerSecond
	}
	return l
}

// A Server is a registry. It is safe for concurrent use.
type Server struct {
	options Options
	catalog *catalog.Catalog
	store   Store
	mux     *http.ServeMux
	self    *remote.Client // speaks to this registry without going through the network, or being judged
	intake  *semaphore.Weighted
	uploads uploads
	locks   locks
	telling sync.WaitGroup
	ready   atomic.Bool
	trust   atomic.Pointer[trust.Policy]
	metrics *metrics
	rates   rates
	envoys  *distribution.Server // nil: they are not served
	log     *slog.Logger
}

// New is a registry over a store. Close it once, when no request is under way any more.
func New(o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Name == "" {
		return nil, errors.New("the registry has no name")
	}
	o.Limits = o.Limits.withDefaults()
	s := &Server{options: o, store: o.Store, log: o.Log, mux: http.NewServeMux(), intake: semaphore.NewWeighted(o.Limits.AdmissionBytes)}
	var err error
	s.self, err = remote.New(remote.Options{Blobs: &o.Cache, Local: map[string]http.RoundTripper{o.Name: inProcess{http.HandlerFunc(s.unjudged)}}})
	if err != nil {
		return nil, err
	}
	c := catalog.Options{File: o.CatalogFile, Store: o.Store, Now: o.Now}
	if o.Trust != nil {
		s.trust.Store(o.Trust)
		c.Trust = trusted{s}
	}
	if s.catalog, err = catalog.Open(c); err != nil {
		return nil, err
	}
	after := s.catalog.Seq()
	s.mux.HandleFunc("/v2/", s.serveOCI)
	s.mux.HandleFunc("/token", o.Access.Token)
	s.mux.Handle(service.New(s.catalog, promoter{s}, o.Access, o.Log))
	s.mux.HandleFunc("GET /healthz", s.healthz)
	s.mux.HandleFunc("GET /readyz", s.readyz)
	if err := web.Register(s.mux, web.Options{Catalog: s.catalog, Access: o.Access, Name: o.Name, Log: o.Log}); err != nil {
		return nil, errors.Join(err, s.catalog.Close())
	}
	s.metrics = newMetrics(s)
	s.mux.HandleFunc("GET /metrics", s.metricsPage)
	s.rates = rates{perSecond: float64(o.Limits.RequestsPerSecond), burst: float64(o.Limits.Burst), buckets: map[string]*bucket{}}
	s.telling.Go(func() { s.tell(after) })
	return s, nil
}

// Catalog is the registry's catalogue. It is closed with the registry.
func (s *Server) Catalog() *catalog.Catalog { return s.catalog }

// SetTrust has another trust policy hold from now on, for a registry that has one. What waits for a signature is released if
// the new policy accepts it.
func (s *Server) SetTrust(ctx context.Context, p *trust.Policy) error {
	s.trust.Store(p)
	return s.catalog.Reconsider(ctx, catalog.Actor{Name: catalog.Registry, Via: "policy"})
}

// Local is the registry for clients in this process, who are known by this name and may do everything. They reach it by the
// registry's own name ([remote.Options]).
func (s *Server) Local(who string) map[string]http.RoundTripper {
	return map[string]http.RoundTripper{s.options.Name: inProcess{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.serveOCI(w, r.WithContext(context.WithValue(r.Context(), localKey{}, access.Local(who))))
	})}}
}

// Name is what clients call the registry.
func (s *Server) Name() string { return s.options.Name }

type localKey struct{}

// ServeEnvoys adds the API that tells what Envoys run, and has promotions prepared there. It is called before anything is served, at most once.
func (s *Server) ServeEnvoys(d *distribution.Server) {
	s.envoys = d
	s.mux.Handle(service.NewEnvoys(d, s.options.Access))
	s.metrics.all.MustRegister(d.Totals())
}

// promoter promotes through the distribution, if Envoys are served.
type promoter struct{ s *Server }

// Promote implements service.Promoter.
func (p promoter) Promote(ctx context.Context, a catalog.Actor, what catalog.Promotion, immediately bool) (now catalog.Channel, r distribution.Rollout, err error) {
	if p.s.envoys != nil {
		return p.s.envoys.Promote(ctx, a, what, immediately)
	}
	now, err = p.s.catalog.Promote(ctx, a, what)
	return now, r, err
}

// Access says who may do what; nil: everybody everything.
func (s *Server) Access() *access.Control { return s.options.Access }

// ServeHTTP serves everything.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.gate(w, r) }

// Close closes catalogue and store.
func (s *Server) Close() error {
	err := s.catalog.Close()
	s.telling.Wait()
	return errors.Join(err, s.store.Close())
}

// A Namespace is rules for repositories.
type Namespace struct {
	// Match are patterns of repositories, such as team/*; * stands for any characters.
	Match []string `yaml:"match"`
	// Content is what may be pushed: modules, or any.
	Content Content `yaml:"content"`
	// RequireScenarios refuses modules that bring no scenarios.
	RequireScenarios bool `yaml:"require_scenarios"`
	// P95 bounds the time that the module may add to an exchange, at the 95th percentile of its bench. 0: it is not measured.
	P95 time.Duration `yaml:"p95"`
}

// Content is what a namespace takes.
type Content string

// The contents. Unset is what the registry's default is.
const (
	Modules Content = "modules"
	Any     Content = "any"
)

// Check says what is wrong with a rule.
func (n *Namespace) Check() error {
	switch {
	case len(n.Match) == 0:
		return errors.New("match is missing: \"*\" matches everything")
	case n.Content != "" && n.Content != Modules && n.Content != Any:
		return fmt.Errorf("content: it is modules or any, not %q", n.Content)
	case n.P95 < 0:
		return errors.New("p95 is negative")
	}
	return nil
}

// namespace is the rule for a repository.
func (s *Server) namespace(repository string) Namespace {
	found := Namespace{}
search:
	for _, n := range s.options.Namespaces {
		for _, pattern := range n.Match {
			if wildcard.Match(pattern, repository) {
				found = n
				break search
			}
		}
	}
	if found.Content == "" {
		found.Content = Any
		if s.options.Trust != nil {
			found.Content = Modules
		}
	}
	return found
}
