package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/mock"
)

var routeTests = []changeTest{
	{"paths of routes are let through", testPathsOfRoutesAreLetThrough},
	{"request ids are not the client's", testRequestIDsAreNotTheClients},
}

// testPathsOfRoutesAreLetThrough has a route by path: nothing looks at its content, but key and limits hold.
func testPathsOfRoutesAreLetThrough(t *testing.T, g *gateway) {
	_, url := startProvider(t, mock.Options{Control: true, Key: upstreamKey})
	g.change(strings.Replace(policies, "routes:", "routes:\n  - {path: /v1/embeddings, provider: openai}", 1), url)
	embed := func(path, key string) answer {
		r := g.request(`{"model":"text-embedding-3-small","input":"` + forbidden + `"}`)
		r.URL.Path, r.URL.RawPath = path, ""
		r.Header.Set("Authorization", "Bearer "+key)
		return do(t, r)
	}
	if a := embed("/v1/embeddings", demoKey); a.Status != http.StatusOK || !strings.Contains(a.Body, `"embedding"`) {
		t.Errorf("got %d %s, want the provider's answer", a.Status, a.Body)
	}
	if got := received(t, url); !strings.Contains(got, upstreamKey) || strings.Contains(got, demoKey) {
		t.Error("the provider did not read its own key, or read the client's")
	}
	if a := embed("/v1/embeddings", "sk-wrong"); a.Status != http.StatusUnauthorized {
		t.Errorf("a wrong key: got %d %s, want 401", a.Status, a.Body)
	}
	for _, path := range []string{"/v1/embeddings/", "/v1/embeddings/x", "/v1/embeddingsx", "/v1/Embeddings", "/v1"} {
		if a := embed(path, demoKey); a.Status != http.StatusNotFound || a.errorCode() != "unknown_url" {
			t.Errorf("%s: got %d %s, want 404 unknown_url", path, a.Status, a.Body)
		}
	}
	for _, method := range []string{"TRACE", "CONNECT"} { // who answers these repeats the request, with the provider's key
		got := g.raw(strings.Replace(post("/v1/embeddings", "", ""), "POST", method, 1))
		if !strings.HasPrefix(got, "HTTP/1.1 404") && !strings.HasPrefix(got, "HTTP/1.1 400") {
			t.Errorf("%s: got %s, want it refused", method, got)
		}
	}
	if got := received(t, url); strings.Contains(got, `"TRACE"`) || strings.Contains(got, `"CONNECT"`) {
		t.Error("such a request has reached the provider")
	}
	wantBlocked(t, "a chat beside it", g.chat(forbidden))
	for range 3 {
		embed("/v1/embeddings", trialKey)
	}
	if a := embed("/v1/embeddings", trialKey); a.Status != http.StatusTooManyRequests {
		t.Errorf("past the limit: got %d %s, want 429", a.Status, a.Body)
	}
}
