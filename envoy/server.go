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
	"sync"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/sotw/v3"
	xds "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/proto"
)

const nodeID = "leash"

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

	mu       sync.Mutex
	versions map[string]string // by type, what was last sent
	acked    map[string]string // by type, what Envoy has taken
	refused  map[string]*Refused
	streams  int
	changed  chan struct{} // closed and renewed whenever one of the above changes
	current  *Resources
	snapshot *cache.Snapshot
}

// pushed are the types of a snapshot, in the order in which they depend on each other.
var pushed = []string{resource.SecretType, resource.ClusterType, resource.ExtensionConfigType, resource.RouteType, resource.ListenerType}

// Serve starts the server. Close ends it.
func Serve(ctx context.Context, log *slog.Logger) (*Server, error) {
	dir, err := os.MkdirTemp("", "leash-")
	if err != nil {
		return nil, fmt.Errorf("serve xDS: %w", err)
	}
	s := &Server{
		dir: dir, log: log, done: make(chan struct{}), changed: make(chan struct{}),
		cache:    cache.NewSnapshotCache(true, cache.IDHash{}, nil),
		versions: map[string]string{}, acked: map[string]string{}, refused: map[string]*Refused{},
		grpc: grpc.NewServer(grpc.MaxConcurrentStreams(100), grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute})),
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", s.Socket())
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, fmt.Errorf("serve xDS: %w", err)
	}
	callbacks := xds.CallbackFuncs{
		StreamOpenFunc:    func(context.Context, int64, string) error { s.opened(+1); return nil },
		StreamClosedFunc:  func(int64, *core.Node) { s.opened(-1) },
		StreamRequestFunc: func(_ int64, r *discovery.DiscoveryRequest) error { s.answered(r); return nil },
	}
	discovery.RegisterAggregatedDiscoveryServiceServer(s.grpc, xds.NewServer(ctx, s.cache, callbacks, sotw.WithOrderedADS()))
	go func() {
		defer close(s.done)
		if err := s.grpc.Serve(listener); err != nil {
			log.Error("xDS server ended", "error", err)
		}
	}()
	return s, nil
}

// Dir is the private folder of the server; what is put there is removed by Close.
func (s *Server) Dir() string { return s.dir }

// Socket is the Unix socket that the server listens on.
func (s *Server) Socket() string { return filepath.Join(s.dir, "xds.sock") }

// Close ends the server and removes its folder.
func (s *Server) Close() error {
	s.grpc.Stop()
	<-s.done
	return os.RemoveAll(s.dir)
}

func (s *Server) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// opened counts Envoy's streams. A new Envoy knows nothing, so nothing counts as taken any more.
func (s *Server) opened(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams += n; n > 0 {
		clear(s.acked)
	}
	s.notify()
}

// answered takes Envoy's word on what it was sent last.
func (s *Server) answered(r *discovery.DiscoveryRequest) {
	if r.GetResponseNonce() == "" {
		return // asks for the first time
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if detail := r.GetErrorDetail(); detail != nil {
		s.log.Debug("envoy refused a resource", "type", r.GetTypeUrl(), "detail", detail.GetMessage())
		s.refused[r.GetTypeUrl()] = &Refused{Type: r.GetTypeUrl(), Detail: detail.GetMessage()}
	} else {
		s.acked[r.GetTypeUrl()] = r.GetVersionInfo()
	}
	s.notify()
}

// Apply gives Envoy the resources and waits until it has taken all of them, or ctx ends. If Envoy refuses any of them the
// previous ones go on and the error is a *Refused.
func (s *Server) Apply(ctx context.Context, r *Resources) error {
	s.mu.Lock()
	previous := s.current
	s.mu.Unlock()
	if staged := stage(previous, r); staged != nil {
		if err := s.push(ctx, staged); err != nil {
			return s.undo(ctx, previous, err)
		}
	}
	if err := s.push(ctx, r); err != nil {
		return s.undo(ctx, previous, err)
	}
	return nil
}

// undo puts the previous resources back after a failure.
func (s *Server) undo(ctx context.Context, previous *Resources, failure error) error {
	if previous == nil {
		return failure
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
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
	s.versions, s.current, s.snapshot = versions, r, snapshot
	clear(s.refused)
	s.mu.Unlock()
	if err := s.cache.SetSnapshot(ctx, nodeID, snapshot); err != nil {
		return fmt.Errorf("apply configuration: %w", err)
	}
	return s.wait(ctx)
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
