package service_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	registryv1 "github.com/leash-gateway/leash/api/leash/registry/v1"
	"github.com/leash-gateway/leash/registry/access"
	"github.com/leash-gateway/leash/registry/access/accesstest"
	"github.com/leash-gateway/leash/registry/catalog"
	"github.com/leash-gateway/leash/registry/catalog/catalogtest"
	"github.com/leash-gateway/leash/registry/distribution"
	"github.com/leash-gateway/leash/registry/registrytest"
	"github.com/leash-gateway/leash/registry/service"
)

// api is the API of a catalogue with two versions of a module, and a token of each role.
type api struct {
	catalog *catalog.Catalog
	url     string
	grpc    registryv1.CatalogServiceClient
	tokens  map[string]string
}

func serve(t *testing.T) *api {
	t.Helper()
	c, s := catalogtest.Open(t, nil)
	for _, version := range []string{"1.0.0", "1.1.0"} {
		catalogtest.Publish(t, c, s, "team/hello", registrytest.Module(t, "hello", version, version))
	}
	catalogtest.Publish(t, c, s, "secret/other", registrytest.Module(t, "other", "1.0.0", ""))
	var grants []access.Grant
	for _, role := range []access.Role{access.Reader, access.Publisher, access.Promoter} {
		grants = append(grants, access.Grant{Role: role, To: []string{"token:" + string(role)}, Namespaces: []string{"team/*"}})
	}
	control, tokens := accesstest.New(t, grants...)
	mux := http.NewServeMux()
	mux.Handle(service.New(c, distribution.New(distribution.Options{Catalogue: c}), control, slog.New(slog.DiscardHandler)))
	web := httptest.NewUnstartedServer(mux)
	web.Config.Protocols = &http.Protocols{}
	web.Config.Protocols.SetHTTP1(true)
	web.Config.Protocols.SetUnencryptedHTTP2(true)
	web.Start()
	t.Cleanup(web.Close)
	a := &api{catalog: c, url: web.URL, tokens: tokens}
	connection, err := grpc.NewClient(strings.TrimPrefix(web.URL, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	a.grpc = registryv1.NewCatalogServiceClient(connection)
	return a
}

func TestGRPCAndJSONSayTheSame(t *testing.T) {
	t.Parallel()
	a := serve(t)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+a.tokens["promoter"])
	promoted, err := a.grpc.PromoteVersion(ctx, &registryv1.PromoteVersionRequest{Module: "team/hello", Version: "1.0.0", Channel: "stable", Reason: "first"})
	if err != nil || promoted.GetChannel().GetVersion() != "1.0.0" {
		t.Fatalf("got %v, %v", promoted, err)
	}
	code, text := a.post(t, "promoter", "PromoteVersion", `{"module":"team/hello","version":"1.1.0","channel":"stable"}`)
	if code != http.StatusOK || !strings.Contains(text, `"version":"1.1.0"`) {
		t.Fatalf("got %d %s", code, text)
	}
	code, text = a.post(t, "promoter", "RollBackChannel", `{"module":"team/hello","channel":"stable","reason":"errors"}`)
	if code != http.StatusOK || !strings.Contains(text, `"version":"1.0.0"`) {
		t.Fatalf("got %d %s", code, text)
	}
	got, err := a.grpc.GetModule(ctx, &registryv1.GetModuleRequest{Module: "team/hello"})
	if err != nil || len(got.GetVersions()) != 2 || got.GetChannels()[0].GetRevision() != 3 || got.GetVersions()[0].GetState() != registryv1.State_STATE_RELEASED {
		t.Errorf("got %v, %v", got, err)
	}
	// What only reads can be asked by GET, as for a browser.
	query := url.Values{"encoding": {"json"}, "message": {`{"module":"team/hello","pageSize":2}`}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.url+"/leash.registry.v1.CatalogService/ListEvents?"+query.Encode(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth("whoever", a.tokens["reader"])
	code, text = do(t, request)
	var events struct {
		Events []struct{ Kind, Actor, Via, Reason string }
	}
	if err := json.Unmarshal([]byte(text), &events); err != nil || code != http.StatusOK || len(events.Events) != 2 {
		t.Fatalf("got %d %s", code, text)
	}
	if e := events.Events[0]; e.Kind != "rollback" || e.Actor != "token:promoter" || e.Via != "api" || e.Reason != "errors" {
		t.Errorf("the last event is %+v", e)
	}
}

func (a *api) post(t *testing.T, role, method, body string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.url+"/leash.registry.v1.CatalogService/"+method, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if role != "" {
		request.Header.Set("Authorization", "Bearer "+a.tokens[role])
	}
	return do(t, request)
}

func do(t *testing.T, request *http.Request) (int, string) {
	t.Helper()
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func TestErrorsSayWhyToProgramsToo(t *testing.T) {
	t.Parallel()
	a := serve(t)
	if _, err := a.catalog.Yank(t.Context(), catalogtest.Me, "team/hello", "1.1.0", "leaks"); err != nil {
		t.Fatal(err)
	}
	promote := func(module, version, channel string) func() error {
		return func() error {
			ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+a.tokens["promoter"])
			_, err := a.grpc.PromoteVersion(ctx, &registryv1.PromoteVersionRequest{Module: module, Version: version, Channel: channel})
			return err
		}
	}
	tests := map[string]struct {
		do     func() error
		code   codes.Code
		reason string
	}{
		"a version that is not there":  {promote("team/hello", "9.9.9", "stable"), codes.NotFound, "NOT_FOUND"},
		"a version that was yanked":    {promote("team/hello", "1.1.0", "stable"), codes.FailedPrecondition, "YANKED"},
		"a channel that cannot be one": {promote("team/hello", "1.0.0", "1.0.0"), codes.InvalidArgument, "INVALID"},
		"another's module":             {promote("secret/other", "1.0.0", "stable"), codes.PermissionDenied, "PERMISSION_DENIED"},
		"nobody": {func() error {
			_, err := a.grpc.GetModule(t.Context(), &registryv1.GetModuleRequest{Module: "team/hello"})
			return err
		}, codes.Unauthenticated, "UNAUTHENTICATED"},
		"a token that is none": {func() error {
			_, err := a.grpc.GetModule(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer leash_x"), &registryv1.GetModuleRequest{Module: "team/hello"})
			return err
		}, codes.Unauthenticated, "UNAUTHENTICATED"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s, ok := status.FromError(tc.do())
			if !ok || s.Code() != tc.code {
				t.Fatalf("got %v", s)
			}
			for _, detail := range s.Details() {
				if info, is := detail.(*errdetails.ErrorInfo); is && info.GetReason() == tc.reason && info.GetDomain() == service.Domain {
					return
				}
			}
			t.Errorf("the details are %v", s.Details())
		})
	}
	if code, text := a.post(t, "promoter", "PromoteVersion", `{"module":"team/hello","version":"1.1.0","channel":"stable"}`); code != http.StatusBadRequest || !strings.Contains(text, `"failed_precondition"`) || !strings.Contains(text, "leaks") {
		t.Errorf("as JSON: %d %s", code, text)
	}
}

func TestRolesDecideWhoMayWhat(t *testing.T) {
	t.Parallel()
	a := serve(t)
	requests := map[string]string{
		"GetModule":        `{"module":"team/hello"}`,
		"PromoteVersion":   `{"module":"team/hello","version":"1.0.0","channel":"stable"}`,
		"DeprecateVersion": `{"module":"team/hello","version":"1.0.0","reason":"old"}`,
		"YankVersion":      `{"module":"team/hello","version":"1.1.0","reason":"bad"}`,
	}
	for role, may := range map[string]string{
		"": "", "reader": "GetModule", "publisher": "GetModule DeprecateVersion", "promoter": "GetModule PromoteVersion DeprecateVersion YankVersion",
	} {
		// What is promoted must not be deprecated yet.
		for _, method := range []string{"GetModule", "PromoteVersion", "DeprecateVersion", "YankVersion"} {
			code, text := a.post(t, role, method, requests[method])
			if got, want := code != http.StatusUnauthorized && code != http.StatusForbidden, strings.Contains(may, method); got != want {
				t.Errorf("%s as %q: %d %s", method, role, code, text)
			}
		}
	}
}

func TestASearchFindsWhatOneMayRead(t *testing.T) {
	t.Parallel()
	a := serve(t)
	for query, want := range map[string]string{"hello": "team/hello", "": "team/hello", "other": "", "module test": "team/hello", "hello nonsense": ""} {
		code, text := a.post(t, "reader", "SearchModules", `{"query":"`+query+`"}`)
		var found struct {
			Modules []struct{ Name, LatestVersion string }
		}
		if err := json.Unmarshal([]byte(text), &found); err != nil || code != http.StatusOK {
			t.Fatalf("%d %s", code, text)
		}
		if (want == "") != (len(found.Modules) == 0) || want != "" && (found.Modules[0].Name != want || found.Modules[0].LatestVersion != "1.1.0" || len(found.Modules) != 1) {
			t.Errorf("%q finds %s", query, text)
		}
	}
}
