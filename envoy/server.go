package envoy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/sotw/v3"
	xds "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/proto"

	"github.com/leash-gateway/leash/config"
)

const nodeID = "leash"

// ListenerType is the type of a Refused listener: its address is taken, for instance.
const ListenerType = resource.ListenerType

// A Refused error says that Envoy has refused a configuration, and in what words.
type Refused struct {
	// Type is the kind of resource that it refused.
	Type string
	// Detail is Envoy's own text.
	Detail string
}

// Error holds Envoy's text.
func (e *Refused) Error() string { return "envoy refused the configuration: " + e.Detail }

// Server gives one Envoy its resources over xDS. It listens on a Unix socket in a folder that only this user can enter:
// the providers' keys travel on it.
type Server struct {
	dir   string
	log   *slog.Logger
	cache cache.SnapshotCache
	grpc  *grpc.Server
	done  chan struct{}

	applying sync.Mutex // one configuration after the other; held before mu
	cleanup  *time.Timer
	others   bool // a module that is not Leash's is in Envoy, or was: connections that are open keep it

	mu       sync.Mutex
	versions map[string]string // by type, what was last sent
	acked    map[string]string // by type, what Envoy has taken all of
	sent     map[string]answer // by type and nonce
	refused  map[string]*Refused
	changed  chan struct{} // closed and renewed whenever one of the above changes
	current  *Resources    // what is, or was last, in force
	snapshot *cache.Snapshot
	places   map[string]place // where the providers are that Envoy has been given
	keys     []string         // secrets that Envoy has been given, the last ones first: of tokens there are many in time
}

// maxKeys is how many secrets are looked for in Envoy's log.
const maxKeys = 1000

// answer is what Envoy was sent at a time.
type answer struct {
	version string
	// count is the number of resources: Envoy is sent only those that it has asked for so far.
	count int
}

// pushed are the types of a snapshot, in the order in which they depend on each other.
var pushed = []string{resource.SecretType, resource.ClusterType, resource.ExtensionConfigType, resource.RouteType, resource.ListenerType}

// Serve starts the server. Close ends it, not ctx: Envoy needs it until Envoy has ended.
func Serve(ctx context.Context, log *slog.Logger) (*Server, error) {
	sweep(ctx)
	dir, err := os.MkdirTemp("", folder)
	if err != nil {
		return nil, fmt.Errorf("serve xDS: %w", err)
	}
	s := &Server{
		dir: dir, log: log, done: make(chan struct{}), changed: make(chan struct{}),
		// Not in the cache's ADS mode, in which it leaves Envoy without an answer while Envoy still asks for something that
		// is gone, as it does for the filters of connections that are being drained.
		cache:    cache.NewSnapshotCache(false, cache.IDHash{}, nil),
		versions: map[string]string{}, acked: map[string]string{}, sent: map[string]answer{}, refused: map[string]*Refused{},
		grpc: grpc.NewServer(grpc.MaxConcurrentStreams(100), grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute})),
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", s.Socket())
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, fmt.Errorf("serve xDS: %w", err)
	}
	callbacks := xds.CallbackFuncs{
		StreamOpenFunc:    func(context.Context, int64, string) error { s.opened(); return nil },
		StreamRequestFunc: func(_ int64, r *discovery.DiscoveryRequest) error { s.answered(r); return nil },
		StreamResponseFunc: func(_ context.Context, _ int64, _ *discovery.DiscoveryRequest, r *discovery.DiscoveryResponse) {
			s.sending(r)
		},
	}
	discovery.RegisterAggregatedDiscoveryServiceServer(s.grpc, xds.NewServer(context.WithoutCancel(ctx), s.cache, callbacks, sotw.WithOrderedADS()))
	go func() {
		defer close(s.done)
		if err := s.grpc.Serve(listener); err != nil {
			log.Error("xDS server ended", "error", err)
		}
	}()
	return s, nil
}

// folder is what the names of servers' folders begin with, socket the socket in them.
const folder, socket = "leash-", "xds.sock"

// beginning is how old a folder must be: a server that begins has its socket an instant before it listens on it.
const beginning = time.Minute

// sweep removes the folders that servers left behind when they were killed: nobody listens on their sockets any more. Envoy ended with them.
func sweep(ctx context.Context) {
	sockets, _ := filepath.Glob(filepath.Join(os.TempDir(), folder+"*", socket)) // whose pattern is right
	for _, one := range sockets {
		if info, err := os.Stat(filepath.Dir(one)); err != nil || time.Since(info.ModTime()) < beginning {
			continue
		}
		c, err := (&net.Dialer{}).DialContext(ctx, "unix", one)
		switch {
		case err == nil:
			_ = c.Close()
		case errors.Is(err, syscall.ECONNREFUSED):
			_ = os.RemoveAll(filepath.Dir(one)) // else the next one does
		}
	}
}

// Dir is the private folder of the server; what is put there is removed by Close.
func (s *Server) Dir() string { return s.dir }

// Socket is the Unix socket that the server listens on.
func (s *Server) Socket() string { return filepath.Join(s.dir, socket) }

// Close ends the server and removes its folder.
func (s *Server) Close() error {
	s.applying.Lock()
	defer s.applying.Unlock()
	s.forget()
	s.grpc.Stop()
	<-s.done
	return os.RemoveAll(s.dir)
}

func (s *Server) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// opened begins anew: a new Envoy knows nothing, so nothing counts as taken any more.
func (s *Server) opened() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.acked)
	clear(s.sent)
	s.notify()
}

// sending notes which version an answer holds, to know what Envoy speaks of when it refuses one.
func (s *Server) sending(r *discovery.DiscoveryResponse) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent[r.GetTypeUrl()+" "+r.GetNonce()] = answer{r.GetVersionInfo(), len(r.GetResources())}
}

// answered takes Envoy's word on what it was sent.
func (s *Server) answered(r *discovery.DiscoveryRequest) {
	if r.GetResponseNonce() == "" {
		return // asks for the first time
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	kind, key := r.GetTypeUrl(), r.GetTypeUrl()+" "+r.GetResponseNonce()
	about := s.sent[key]
	switch detail := r.GetErrorDetail(); {
	case about.version != s.versions[kind]: // it is about something that was taken back already
	case detail != nil:
		s.log.Debug("envoy refused a resource", "type", kind, "detail", detail.GetMessage())
		s.refused[kind] = &Refused{Type: kind, Detail: strings.TrimSpace(detail.GetMessage())}
	case about.count == len(s.snapshot.GetResources(kind)):
		s.acked[kind] = about.version
	}
	delete(s.sent, key)
	s.notify()
}

// linger is how long what a new configuration no longer has is still there for requests that came in under the old one.
// It is the time that Envoy gives a request to arrive (requestTimeout): past it, none can be on its way to a provider.
const linger = requestTimeout

// Apply gives Envoy the resources and waits until it has taken all of them, or ctx ends. If Envoy refuses any of them the
// previous ones go on and the error is a *Refused.
//
// Envoy takes each type of resource for itself, at another instant. So that every request finds all that it needs, what
// is new comes first, then modules and listener change over, and what is old goes last:
// https://www.envoyproxy.io/docs/envoy/v1.40.0/api-docs/xds_protocol#eventual-consistency-considerations
func (s *Server) Apply(ctx context.Context, r *Resources) error {
	s.applying.Lock()
	defer s.applying.Unlock()
	s.forget()
	s.others = s.others || r.others
	if s.others {
		kept := *r
		kept.Routes = r.apart
		r = &kept
	}
	s.mu.Lock()
	previous := s.current
	s.mu.Unlock()
	both := together(previous, r)
	for _, step := range []*Resources{stage(previous, r), both.before, both.after} {
		if step == nil {
			continue
		}
		if err := s.push(ctx, step); err != nil {
			return s.undo(ctx, previous, err)
		}
	}
	s.mu.Lock()
	s.current = r
	s.mu.Unlock()
	if previous != nil {
		s.cleanup = time.AfterFunc(linger, func() { s.tidy(r) })
	}
	return nil
}

// forget keeps what was to be removed later: the next configuration sees to it.
func (s *Server) forget() {
	if s.cleanup != nil {
		s.cleanup.Stop()
		s.cleanup = nil
	}
}

// tidy removes what only requests under an older configuration needed.
func (s *Server) tidy(r *Resources) {
	s.applying.Lock()
	defer s.applying.Unlock()
	if s.cleanup == nil {
		return // another configuration, or the end, came first
	}
	s.cleanup = nil
	ctx, cancel := context.WithTimeout(context.Background(), undoTimeout)
	defer cancel()
	if err := s.push(ctx, r); err != nil {
		s.log.Warn("what the configuration no longer has stays in envoy", "error", err)
	}
}

const undoTimeout = 10 * time.Second

// undo puts the previous resources back after a failure, or none if there are no previous ones: whatever Envoy refused it
// would else be given again and again.
func (s *Server) undo(ctx context.Context, previous *Resources, failure error) error {
	if previous == nil {
		s.cache.ClearSnapshot(nodeID)
		return failure
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	if err := s.push(limited, previous); err != nil {
		return errors.Join(failure, fmt.Errorf("put the previous configuration back: %w", err))
	}
	return failure
}

// push gives Envoy the resources and waits until it has taken them.
func (s *Server) push(ctx context.Context, r *Resources) error {
	snapshot, versions, err := snapshotOf(r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.versions, s.snapshot = versions, snapshot
	clear(s.refused)
	s.hideFromLog(r)
	s.places = r.places
	s.mu.Unlock()
	if err := s.cache.SetSnapshot(ctx, nodeID, snapshot); err != nil {
		return fmt.Errorf("apply configuration: %w", err)
	}
	return s.wait(ctx)
}

// place is that of a provider that Envoy has been given; false where there is none of that name.
func (s *Server) place(provider string) (place, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, found := s.places[provider]
	return p, found
}

// hideFromLog notes the secrets that Envoy is given, before those that it was given earlier.
func (s *Server) hideFromLog(r *Resources) {
	var keys []string
	add := func(key string) {
		if len(key) >= config.MinSecret && len(keys) < maxKeys && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	for _, secret := range r.Secrets {
		add(secret.GetGenericSecret().GetSecret().GetInlineString())
	}
	for _, key := range slices.Concat(r.hidden, s.keys) {
		add(key)
	}
	s.keys = keys
}

// wait waits until Envoy has taken every type of the current snapshot that has resources, or refused one.
func (s *Server) wait(ctx context.Context) error {
	for {
		s.mu.Lock()
		changed := s.changed
		var refused *Refused
		missing := ""
		for _, kind := range pushed {
			if refused == nil {
				refused = s.refused[kind]
			}
			if len(s.snapshot.GetResources(kind)) > 0 && s.acked[kind] != s.versions[kind] {
				missing = kind
			}
		}
		s.mu.Unlock()
		switch {
		case refused != nil:
			return refused
		case missing == "":
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for envoy to take %s: %w", missing, ctx.Err())
		}
	}
}

// snapshotOf versions each type by its content, so that Envoy is sent only what has changed.
func snapshotOf(r *Resources) (*cache.Snapshot, map[string]string, error) {
	byType := map[string][]types.Resource{
		resource.ListenerType: {r.Listener},
		resource.RouteType:    {r.Routes},
	}
	for _, l := range r.Carriers {
		byType[resource.ListenerType] = append(byType[resource.ListenerType], l)
	}
	if r.stage != nil {
		byType[resource.ListenerType] = append(byType[resource.ListenerType], r.stage)
	}
	for _, c := range r.Clusters {
		byType[resource.ClusterType] = append(byType[resource.ClusterType], c)
	}
	for _, e := range r.Extensions {
		byType[resource.ExtensionConfigType] = append(byType[resource.ExtensionConfigType], e)
	}
	for _, secret := range r.Secrets {
		byType[resource.SecretType] = append(byType[resource.SecretType], secret)
	}
	snapshot, versions := &cache.Snapshot{}, map[string]string{}
	for _, kind := range pushed {
		version, err := versionOf(byType[kind])
		if err != nil {
			return nil, nil, fmt.Errorf("version %s: %w", kind, err)
		}
		versions[kind] = version
		snapshot.Resources[cache.GetResponseType(kind)] = cache.NewResources(version, byType[kind])
	}
	return snapshot, versions, nil
}

func versionOf(resources []types.Resource) (string, error) {
	sum := sha256.New()
	for _, one := range resources {
		encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(one)
		if err != nil {
			return "", err
		}
		_, _ = fmt.Fprintf(sum, "%d ", len(encoded))
		_, _ = sum.Write(encoded)
	}
	return hex.EncodeToString(sum.Sum(nil)[:8]), nil
}
