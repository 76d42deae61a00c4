package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/mock"
)

// testOwnModules has modules of one's own before and behind Leash's: what they make of a request is what the content filter judges and what
// the provider reads, and a service is told of each exchange when it is over.
func testOwnModules(t *testing.T, g *gateway) {
	file, err := buildOwn()
	if err != nil {
		t.Fatalf("build the module own: %v\n%s", err, file)
	}
	_, url := startProvider(t, mock.Options{Control: true, Key: upstreamKey})
	var mu sync.Mutex
	var records []string
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		records = append(records, r.Method+" "+r.URL.Path+" "+string(body))
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(service.Close)
	g.change(strings.Replace(head, "providers:\n", "providers:\n  collector: {base_url: \""+service.URL+"\"}\n", 1)+`
pipeline:
  - {module: tell, file: `+file+`, kind: inspector}
  - module: costtracker
  - module: logger
  - module: auth
  - {module: ratelimit, config: {limits: [{by: key, requests: 100000, window: 1m}]}}
  - {module: instruct, file: `+file+`, kind: policy}
  - module: contentfilter
    config: {rules: [{name: house, keywords: [house rule], action: redact, replacement: peace}, {name: bluebird, keywords: [project bluebird], action: block}]}
`, url)
	g.chat("say: hi")
	g.stream("say: hello")
	g.chat("about project bluebird")
	got := received(t, url)
	if n := strings.Count(got, "keep the peace"); n != 2 || strings.Contains(got, "house rule") {
		t.Errorf("the provider received the system prompt %d times, want 2:\n%s", n, got)
	}
	want := []string{"POST /records demo 200 true", "POST /records demo 200 true", "POST /records demo 400 false"}
	nettest.Eventually(t, "the service to be told of all exchanges", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(records) >= len(want)
	})
	mu.Lock()
	defer mu.Unlock()
	if slices.Sort(records); !slices.Equal(records, want) {
		t.Errorf("the service was told %q, want %q", records, want)
	}
}
