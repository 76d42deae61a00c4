package distribution

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
)

const (
	// ping is how often a connection on which nothing happens is looked at, silence how long it may then be silent. Together they are
	// longer than Options.Patience: a module that keeps an Envoy busy for ever is found out first.
	ping    = time.Minute
	silence = 20 * time.Second
	// maxStreams bounds what one connection may open: a stream for each slot, and one for metrics.
	maxStreams = 1000
)

// ServeOn serves Envoys on l, and runs [Server.Serve], until ctx ends. secured is nil for no TLS.
func (s *Server) ServeOn(ctx context.Context, l net.Listener, secured *tls.Config) error {
	options := []grpc.ServerOption{
		grpc.ForceServerCodecV2(Codec()), grpc.MaxConcurrentStreams(maxStreams),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: ping, Timeout: silence}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
	}
	if secured != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(secured)))
	}
	g := grpc.NewServer(options...)
	s.Register(g)
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	all.Go(func() {
		<-ctx.Done()
		g.Stop() // streams never end by themselves
	})
	var following error
	all.Go(func() {
		defer cancel()
		following = s.Serve(ctx)
	})
	err := g.Serve(l)
	cancel()
	all.Wait()
	switch {
	case err != nil:
		return fmt.Errorf("serve envoys: %w", err)
	case following != nil:
		return fmt.Errorf("serve envoys: %w", following)
	}
	return nil
}
