package distribution_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/metadata"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/registry/access"
	"github.com/leash-gateway/leash/registry/access/accesstest"
	"github.com/leash-gateway/leash/registry/distribution"
)

func TestEnvoyGetsOnlyModulesThatItsTokenMayPull(t *testing.T) {
	t.Parallel()
	control, tokens := accesstest.New(t,
		access.Grant{Role: access.Reader, To: []string{"token:edge"}, Namespaces: []string{"acme/*"}},
		access.Grant{Role: access.Reader, To: []string{"token:elsewhere"}, Namespaces: []string{"other/*"}},
	)
	r := newRegistry(t, nil, distribution.Options{Access: control})
	r.publish(greeter(t, "1.0.0", "policy", good))
	r.promote("1.0.0")
	f := newFleet(t)
	connect := func(node, token string) {
		t.Helper()
		ctx := f.ctx
		if token != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
		}
		f.connectAs(ctx, r, node, stable)
	}
	connect("edge", tokens["edge"])
	connect("elsewhere", tokens["elsewhere"])
	connect("nobody", "")
	connect("stranger", "leash-of-somebody-else")
	state := func(node string) (s distribution.Status) {
		for _, one := range r.Envoys() {
			if one.Node == node {
				s = one
			}
		}
		return s
	}
	nettest.Eventually(t, "the one that may", func() bool { return state("edge").State == distribution.Current })
	for node, who := range map[string]string{"elsewhere": "token:elsewhere", "nobody": "anonymous"} {
		nettest.Eventually(t, node+" to be told", func() bool { return strings.Contains(state(node).Reason, who+" may not pull "+module) })
		if s := state(node); s.State != distribution.Empty || s.Version != "" {
			t.Errorf("%s is %+v", node, s)
		}
	}
	nettest.Eventually(t, "the stranger to be sent away", func() bool { return f.failed("stranger") })
	if f.runs("1.0.0") != 1 {
		t.Errorf("%d envoys run it, want 1", f.runs("1.0.0"))
	}
}
