package envoy_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leash-gateway/leash/envoy"
	"github.com/leash-gateway/leash/internal/nettest"
)

// separate is minimal with a filter for each module.
var separate = strings.Replace(minimal, "pipeline:", "modules: {layout: files}\npipeline:", 1)

func TestFiltersComeGoAndChangeAtOnce(t *testing.T) {
	one := provider(t, "one")
	g := start(t, strings.Replace(separate, "pipeline: [", "pipeline: [{module: logger, config: {say: logger}}, ", 1), one.URL)
	for _, step := range []struct {
		name, pipeline, want string
	}{
		{"one goes and one changes", "[{module: contentfilter, config: {say: second}}]", "second"},
		{"one comes and one changes", "[{module: ratelimit, config: {say: limit}}, {module: contentfilter, config: {say: third}}]", "third limit"},
		{"all change places", "[{module: contentfilter, config: {say: third}}, {module: ratelimit, config: {say: limit}}]", "limit third"},
		{"all are others", "[{module: logger, config: {say: logger}}]", "logger"},
	} {
		before := strings.Index(separate, "pipeline: ")
		if err := g.apply(separate[:before] + "pipeline: " + step.pipeline + "\n"); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		nettest.Eventually(t, step.name+": "+step.want, func() bool {
			return strings.Join(g.mustChat().header.Values("x-said"), " ") == step.want
		})
	}
}

// TestModelsMoveBetweenProvidersUnderLoad looks for requests that fail, or that go to a provider that neither the old nor
// the new configuration names for them.
func TestModelsMoveBetweenProvidersUnderLoad(t *testing.T) {
	var lastProvider [3]*httptest.Server
	for i := range lastProvider {
		lastProvider[i] = provider(t, fmt.Sprint("p", i))
	}
	text := func(i int) string {
		return strings.NewReplacer("one: {base_url: $PROVIDER", fmt.Sprintf("p%d: {base_url: %s", i, lastProvider[i].URL), "provider: one", fmt.Sprintf("provider: p%d", i),
			"say: first", fmt.Sprintf("say: p%d", i)).Replace(minimal)
	}
	g := start(t, text(0), "")
	var sent, failed atomic.Int64
	var problems sync.Map
	done := make(chan struct{})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			keep := &http.Client{Transport: transport, Timeout: 20 * time.Second}
			for {
				select {
				case <-done:
					return
				default:
				}
				sent.Add(1)
				response, err := keep.Post(g.url()+"/v1/chat/completions", "application/json", strings.NewReader(`{"model":"m"}`))
				if err != nil {
					failed.Add(1)
					problems.Store(err.Error(), true)
					continue
				}
				body, _ := io.ReadAll(response.Body)
				_ = response.Body.Close()
				if said, from := response.Header.Get("x-said"), response.Header.Get("x-provider"); response.StatusCode != http.StatusOK || said != from {
					failed.Add(1)
					problems.Store(fmt.Sprintf("%d, module of %s, answered by %s: %.200s", response.StatusCode, said, from, body), true)
				}
			}
		})
	}
	for i := range 12 {
		if err := g.apply(text((i + 1) % 3)); err != nil {
			t.Error(err)
			break
		}
	}
	nettest.Eventually(t, "requests", func() bool { return sent.Load() >= 100 })
	close(done)
	clients.Wait()
	if failed.Load() > 0 {
		t.Errorf("%d of %d requests failed", failed.Load(), sent.Load())
		problems.Range(func(k, _ any) bool { t.Log(k); return true })
	}
}

func TestStreamsGoOnWhenTheListenerChanges(t *testing.T) {
	stream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "data: 1\n\n")
		w.(http.Flusher).Flush()
		for i := range 16 { // longer than Envoy would let old connections live by the settings for ending
			select {
			case <-r.Context().Done():
				return
			case <-time.After(500 * time.Millisecond):
			}
			_, _ = fmt.Fprintf(w, "data: %d\n\n", i+2)
			w.(http.Flusher).Flush()
		}
	}))
	defer stream.Close()
	patient := strings.Replace(minimal, "total: 5s", "total: 1m", 1)
	g := start(t, patient, stream.URL)
	response, err := client.Post(g.url()+"/v1/chat/completions", "application/json", strings.NewReader(`{"model":"m"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	for _, text := range []string{
		strings.Replace(patient, "pipeline: [", "pipeline: [{module: logger}, ", 1),
		strings.Replace(patient, "pipeline:", "limits: {request_bytes: 1MiB}\npipeline:", 1),
	} {
		if err := g.apply(text); err != nil {
			t.Fatal(err)
		}
	}
	body, err := io.ReadAll(response.Body)
	if got := strings.Count(string(body), "data: "); err != nil || got != 17 {
		t.Errorf("got %d of 17 events, then %v", got, err)
	}
}

func TestFirstConfigurationThatIsRefusedIsToldOnce(t *testing.T) {
	one := provider(t, "one")
	g := prepare(t, minimal, one.URL)
	err := g.apply(strings.Replace(minimal, "say: first", "refuse: true", 1))
	if _, ok := errors.AsType[*envoy.Refused](err); !ok {
		t.Fatalf("got %v, want that Envoy refuses it", err)
	}
	said := strings.Count(g.log.String(), "as it was told to")
	<-time.After(time.Second)
	if again := strings.Count(g.log.String(), "as it was told to"); again > said+1 {
		t.Errorf("Envoy was given it %d times more in a second", again-said)
	}
	if err := g.apply(minimal); err != nil {
		t.Fatalf("a right one afterwards: %v", err)
	}
	g.waitListening()
	if a := g.mustChat(); a.header.Get("x-said") != "first" {
		t.Errorf("got %d %v", a.status, a.header)
	}
}
