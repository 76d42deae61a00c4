package service_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"connectrpc.com/connect"

	registryv1 "github.com/leash-gateway/leash/api/leash/registry/v1"
	"github.com/leash-gateway/leash/api/leash/registry/v1/registryv1connect"
	"github.com/leash-gateway/leash/registry/access"
	"github.com/leash-gateway/leash/registry/access/accesstest"
	"github.com/leash-gateway/leash/registry/distribution"
	"github.com/leash-gateway/leash/registry/service"
)

// someEnvoys are two Envoys, with a slot each.
type someEnvoys struct{}

func (someEnvoys) Envoys() []distribution.Status {
	return []distribution.Status{
		{Node: "edge-1", Slot: "leash/acme/greeter@stable", Version: "1.0.0", Wanted: "1.1.0", State: distribution.Refused, Reason: "it does not load"},
		{Node: "edge-2", Slot: "leash/other/thing@stable", State: distribution.Empty},
		{Node: "edge-3", Slot: "no slot at all"},
	}
}

func (someEnvoys) Canaries() []distribution.Progress {
	return []distribution.Progress{{Module: "acme/greeter", Channel: "stable", Canary: distribution.Served{Requests: 7, Latency: time.Second}}, {Module: "other/thing"}}
}

func TestEnvoysAreToldToThoseWhoMayPromoteTheirModules(t *testing.T) {
	control, secrets := accesstest.New(t,
		access.Grant{Role: access.Reader, To: []string{"token:reader"}, Namespaces: []string{"*"}},
		access.Grant{Role: access.Promoter, To: []string{"token:promoter"}, Namespaces: []string{"acme/*"}},
		access.Grant{Role: access.Admin, To: []string{"token:admin"}, Namespaces: []string{"*"}},
	)
	mux := http.NewServeMux()
	mux.Handle(service.NewEnvoys(someEnvoys{}, control))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	client := registryv1connect.NewEnvoyServiceClient(server.Client(), server.URL)
	for name, want := range map[string]struct {
		slots, canaries int
		module          connect.Code // of asking for acme/greeter alone
	}{
		"":         {0, 0, connect.CodeUnauthenticated},
		"reader":   {0, 0, connect.CodePermissionDenied},
		"promoter": {1, 1, 0},
		"admin":    {2, 2, 0},
	} {
		t.Run("as "+name, func(t *testing.T) {
			envoys, canaries := connect.NewRequest(&registryv1.ListEnvoysRequest{}), connect.NewRequest(&registryv1.ListCanariesRequest{})
			one := connect.NewRequest(&registryv1.ListEnvoysRequest{Module: "acme/greeter"})
			if name != "" {
				for _, header := range []http.Header{envoys.Header(), canaries.Header(), one.Header()} {
					header.Set("Authorization", "Bearer "+secrets[name])
				}
			}
			got, err := client.ListEnvoys(t.Context(), envoys)
			if err != nil {
				t.Fatal(err)
			}
			tried, err := client.ListCanaries(t.Context(), canaries)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Msg.GetSlots()) != want.slots || len(tried.Msg.GetCanaries()) != want.canaries {
				t.Errorf("got %v and %v", got.Msg, tried.Msg)
			}
			if want.slots > 0 {
				if s := got.Msg.GetSlots()[0]; s.GetState() != registryv1.SlotState_SLOT_STATE_REFUSED || s.GetReason() != "it does not load" || s.GetVersion() != "1.0.0" {
					t.Errorf("got %v", s)
				}
			}
			answer, err := client.ListEnvoys(t.Context(), one)
			if (err == nil) != (want.module == 0) || err != nil && connect.CodeOf(err) != want.module {
				t.Errorf("of one module: %v", err)
			}
			if err == nil && len(answer.Msg.GetSlots()) != 1 {
				t.Errorf("of one module: %v", answer.Msg)
			}
		})
	}
}
