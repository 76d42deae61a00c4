package server_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	registryv1 "github.com/leash-gateway/leash/api/leash/registry/v1"
	"github.com/leash-gateway/leash/api/leash/registry/v1/registryv1connect"
	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/registry/access"
	"github.com/leash-gateway/leash/registry/access/accesstest"
	"github.com/leash-gateway/leash/registry/catalog"
	"github.com/leash-gateway/leash/registry/distribution"
	"github.com/leash-gateway/leash/registry/server"
)

// withEnvoys is a registry on the disk that also serves Envoys, at an address.
func withEnvoys(t testing.TB, change func(*server.Options)) (r *registry, envoys string) {
	t.Helper()
	var control *access.Control
	r = start(t, func(o *server.Options) {
		if change != nil {
			change(o)
		}
		control = o.Access
	})
	d := distribution.New(distribution.Options{Catalogue: r.Catalog(), Access: control})
	r.ServeEnvoys(d)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.ServeOn(ctx, l, nil) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return r, l.Addr().String()
}

// anEnvoy is one, as the registry sees it: what it was sent, it takes. The end of the test ends it.
func anEnvoy(t testing.TB, address, node string, slots ...string) (sent <-chan *discovery.Resource) {
	t.Helper()
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); _ = connection.Close() })
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(connection).DeltaAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&discovery.DeltaDiscoveryRequest{Node: &core.Node{Id: node}, TypeUrl: resource.ExtensionConfigType, ResourceNamesSubscribe: slots}); err != nil {
		t.Fatal(err)
	}
	told := make(chan *discovery.Resource, 100)
	go func() { // ends with the stream
		for {
			in, err := stream.Recv()
			if err != nil {
				return
			}
			for _, one := range in.GetResources() {
				told <- one
			}
			if stream.Send(&discovery.DeltaDiscoveryRequest{TypeUrl: in.GetTypeUrl(), ResponseNonce: in.GetNonce()}) != nil {
				return
			}
		}
	}()
	return told
}

func (r *registry) promote(t testing.TB, version string) {
	t.Helper()
	if _, err := r.Catalog().Promote(t.Context(), me, catalog.Promotion{Module: "team/hello", Version: version, Channel: "stable"}); err != nil {
		t.Fatal(err)
	}
}

// trying is a registry with an Envoy that tries a canary.
func trying(t *testing.T, change func(*server.Options)) *registry {
	t.Helper()
	r, envoys := withEnvoys(t, change)
	r.mustPush(t, "team/hello:1.0.0", module(t, "1.0.0"))
	r.mustPush(t, "team/hello:1.1.0", module(t, "1.1.0"))
	r.promote(t, "1.0.0")
	sent := anEnvoy(t, envoys, "edge-1", "leash/team/hello@stable", "leash/team/hello@stable+standby")
	if got := <-sent; !strings.HasPrefix(got.GetVersion(), "1.0.0 ") {
		t.Fatalf("it was sent %s", got.GetVersion())
	}
	trial := catalog.Trial{Module: "team/hello", Channel: "stable", Canary: catalog.Canary{Version: "1.1.0", Percent: 100}}
	if _, err := r.Catalog().StartCanary(t.Context(), me, trial); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestMetricsTellWhatEnvoysRun(t *testing.T) {
	t.Parallel()
	r := trying(t, nil)
	var text string
	for _, want := range []string{
		"leash_registry_envoys 1\n", "leash_registry_envoy_streams 1\n", "leash_registry_envoy_refusals_total 0\n", "leash_registry_envoy_taken_back_total 0\n",
		`standby="false",state="current",version="1.1.0"} 1`, `standby="true",state="current",version="1.0.0"} 1`,
		`leash_registry_canary_envoys{channel="stable",module="team/hello",version="1.1.0"} 1`,
		`leash_registry_canary_requests{channel="stable",envoys="canary",module="team/hello",version="1.1.0"} 0`,
	} {
		nettest.Eventually(t, "the metric "+want, func() bool { _, text = r.get(t, "/metrics"); return strings.Contains(text, want) })
	}
	for _, want := range []string{"leash_registry_envoy_sent_total", "leash_registry_envoy_load_seconds_count", "leash_registry_envoy_switch_seconds_count"} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no metric %s:\n%s", want, text)
		}
	}
}

// TestMetricsNameNoModulesToThoseWhoMayNotKnowThem has a registry that says who may do what.
func TestMetricsNameNoModulesToThoseWhoMayNotKnowThem(t *testing.T) {
	t.Parallel()
	control, secrets := accesstest.New(t,
		access.Grant{Role: access.Publisher, To: []string{"anonymous"}, Namespaces: []string{"*"}},
		access.Grant{Role: access.Promoter, To: []string{"token:prometheus"}, Namespaces: []string{"team/*"}},
	)
	r := trying(t, func(o *server.Options) { o.Access = control })
	if _, text := r.get(t, "/metrics"); strings.Contains(text, "team/hello") || !strings.Contains(text, "leash_registry_envoys 1\n") {
		t.Errorf("everybody is told\n%s", text)
	}
	for token, want := range map[string]string{secrets["prometheus"]: `module="team/hello"`, "leash_guess": "the credentials are not known"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.address+"/metrics", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("got %d without %q, %v:\n%s", answer.StatusCode, want, err, text)
		}
	}
}

func TestAPromotionSaysWhetherEnvoysAreServed(t *testing.T) {
	t.Parallel()
	served, _ := withEnvoys(t, nil)
	for name, tc := range map[string]struct {
		r    *registry
		want bool
	}{"they are, and none is connected": {served, true}, "they are not": {start(t, nil), false}} {
		t.Run(name, func(t *testing.T) {
			tc.r.mustPush(t, "team/hello:1.0.0", module(t, "1.0.0"))
			catalogue := registryv1connect.NewCatalogServiceClient(http.DefaultClient, "http://"+tc.r.address)
			answer, err := catalogue.PromoteVersion(t.Context(), connect.NewRequest(&registryv1.PromoteVersionRequest{Module: "team/hello", Version: "1.0.0", Channel: "stable"}))
			if err != nil {
				t.Fatal(err)
			}
			if rollout := answer.Msg.GetRollout(); (rollout != nil) != tc.want || rollout.GetSlots() != 0 {
				t.Errorf("it went on like this: %v", rollout)
			}
		})
	}
}
