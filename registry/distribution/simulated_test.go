package distribution_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/registry/distribution"
)

// A fleet are Envoys as the registry sees them: real ADS streams, each over a connection of its own, that take what they are sent.
type fleet struct {
	t   testing.TB
	ctx context.Context
	all sync.WaitGroup
	// answer decides what becomes of a module; nil takes everything.
	answer func(node, version string) reaction

	mu       sync.Mutex
	running  map[string]string // by node, the version in the slot that is not on standby
	failures map[string]bool   // nodes whose streams have ended by themselves
	last     map[string][]byte // by node and slot, what it was sent last
	bytes    int64
}

// A reaction is what an Envoy does with a module.
type reaction int

const (
	takes reaction = iota
	refuses
	isSilent
	goesAway
)

// simulate connects n Envoys with slots. The end of the test ends them.
func simulate(t testing.TB, r *registry, n int, slots ...string) *fleet {
	t.Helper()
	f := newFleet(t)
	for i := range n {
		f.connect(r, fmt.Sprintf("node-%04d", i), slots...)
	}
	return f
}

func newFleet(t testing.TB) *fleet {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	f := &fleet{t: t, ctx: ctx, running: map[string]string{}, failures: map[string]bool{}, last: map[string][]byte{}}
	t.Cleanup(func() { cancel(); f.all.Wait() })
	return f
}

// connect connects one, with one stream for all slots.
func (f *fleet) connect(r *registry, node string, slots ...string) {
	f.t.Helper()
	f.connectAs(f.ctx, r, node, slots...)
}

// connectAs connects one with the metadata of ctx, which must be of the fleet's.
func (f *fleet) connectAs(ctx context.Context, r *registry, node string, slots ...string) {
	f.t.Helper()
	connection, err := grpc.NewClient(r.Address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		f.t.Fatal(err)
	}
	f.all.Go(func() {
		defer connection.Close() //nolint:errcheck // of a client
		f.serve(ctx, connection, node, slots)
	})
}

// failed says whether an Envoy's stream has ended by itself.
func (f *fleet) failed(node string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failures[node]
}

func (f *fleet) serve(ctx context.Context, connection grpc.ClientConnInterface, node string, slots []string) {
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(connection).DeltaAggregatedResources(ctx)
	if err == nil {
		err = stream.Send(&discovery.DeltaDiscoveryRequest{
			Node: &core.Node{Id: node, Cluster: "simulated"}, TypeUrl: resource.ExtensionConfigType, ResourceNamesSubscribe: slots,
		})
	}
	for err == nil {
		var in *discovery.DeltaDiscoveryResponse
		if in, err = stream.Recv(); err != nil {
			break
		}
		out := &discovery.DeltaDiscoveryRequest{TypeUrl: in.GetTypeUrl(), ResponseNonce: in.GetNonce()}
		for _, one := range in.GetResources() {
			version, _, _ := strings.Cut(one.GetVersion(), " ")
			reaction := takes
			if again := f.sent(node+one.GetName(), one.GetResource().GetValue()); f.answer != nil && !again {
				reaction = f.answer(node, version)
			}
			switch reaction {
			case refuses:
				out.ErrorDetail = &status.Status{Code: 13, Message: "it does not load"}
			case isSilent:
				out = nil
			case goesAway:
				f.sent(node+one.GetName(), nil) // one that is started in its place knows nothing
				return
			case takes:
				f.mu.Lock()
				if !strings.HasSuffix(one.GetName(), "+standby") {
					f.running[node] = version
				}
				f.bytes += int64(len(one.GetResource().GetValue()))
				f.mu.Unlock()
			}
		}
		if out != nil {
			err = stream.Send(out)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failures[node] = ctx.Err() == nil
}

// sent notes what a slot is sent, and says whether it is the same as the last: Envoy takes that without a look at it, though it may have refused it.
func (f *fleet) sent(slot string, resource []byte) (again bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	again = bytes.Equal(f.last[slot], resource)
	f.last[slot] = resource
	return again
}

// runs is how many Envoys run a version.
func (f *fleet) runs(version string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, v := range f.running {
		if v == version {
			n++
		}
	}
	return n
}

// waitAll waits until n Envoys, which are all, run a version.
func (f *fleet) waitAll(n int, version string) {
	f.t.Helper()
	nettest.Eventually(f.t, "all envoys to run "+version, func() bool { return f.runs(version) == n })
}

// received is how many bytes of modules all have received together.
func (f *fleet) received() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bytes
}

// count is how many slots run a version and should.
func (*fleet) count(r *registry, version string) (n int) {
	for _, s := range r.Envoys() {
		if s.Version == version && s.State == distribution.Current {
			n++
		}
	}
	return n
}

// settled says whether all of so many slots run what they should.
func (*fleet) settled(r *registry, n int) bool {
	all := r.Envoys()
	for _, s := range all {
		if s.State != distribution.Current {
			return false
		}
	}
	return len(all) == n
}

// known waits until the registry knows of all Envoys that they run a version.
func (f *fleet) known(r *registry, version string, n int) {
	f.t.Helper()
	nettest.Eventually(f.t, fmt.Sprintf("%d envoys known to run %s", n, version), func() bool {
		return f.count(r, version) == n
	})
}

// promotions measures promotions to n Envoys, the best of several, and what an Envoy costs in memory.
func promotions(t testing.TB, n, times int) (best time.Duration, memory int64) {
	t.Helper()
	r := newRegistry(t, nil, distribution.Options{})
	r.publish(greeter(t, "1.0.0", "policy", good), greeter(t, "1.1.0", "policy", good))
	r.promote("1.0.0")
	const slots = 2
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f := simulate(t, r, n, stable, onStandby)
	f.waitAll(n, "1.0.0")
	nettest.Eventually(t, "the slots on standby", func() bool { return f.count(r, "1.1.0") == n })
	runtime.GC()
	runtime.ReadMemStats(&after)
	best = time.Hour
	for i := 0; i < times || best > time.Second && i < 20; i++ { // others may keep the machine busy
		version := []string{"1.1.0", "1.0.0"}[i%2]
		began := time.Now()
		r.promote(version)
		nettest.Eventually(t, "the last envoy", func() bool { return f.runs(version) == n })
		best = min(best, time.Since(began))
		nettest.Eventually(t, "all slots to be settled", func() bool { return f.settled(r, slots*n) })
	}
	return best, int64(after.HeapAlloc+after.StackInuse-before.HeapAlloc-before.StackInuse) / int64(n)
}

func TestPromotionReachesManyEnvoysAtOnce(t *testing.T) {
	const n = 250
	best, memory := promotions(t, n, 3)
	t.Logf("%d envoys: a promotion took %s; an envoy takes %d bytes, at both ends together", n, best, memory)
	if best > time.Second {
		t.Errorf("a promotion to %d envoys took %s, want at most 1s", n, best)
	}
}

// BenchmarkPromotionToAThousandEnvoys is in docs/benchmarks.md.
func BenchmarkPromotionToAThousandEnvoys(b *testing.B) {
	for range b.N {
		best, memory := promotions(b, 1000, 5)
		b.ReportMetric(best.Seconds(), "s/promotion")
		b.ReportMetric(float64(memory), "B/envoy")
		if best > 2*time.Second {
			b.Errorf("a promotion to 1,000 envoys took %s, want at most 2s", best)
		}
	}
}
