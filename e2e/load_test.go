package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/mock"
)

var loadTests = []sharedTest{
	{"1,000 exchanges at once are neither lost nor mixed up", testManyAtOnce},
}

func testManyAtOnce(t *testing.T, g *gateway, provider *mock.Provider) {
	const n = 1000
	counted := []string{`tenant="demo"`, `status="200"`}
	before := g.settled(`leash_requests_total{`, counted...)
	provider.SetFaults(mock.Behavior{Delay: time.Second}) // so that all of them are open at once
	transport := &http.Transport{MaxConnsPerHost: 0}
	defer transport.CloseIdleConnections()
	var all sync.WaitGroup
	errors := make(chan error, n)
	for i := range n {
		all.Go(func() {
			stream := i%2 == 0
			want := fmt.Sprintf("exchange number %d of many", i)
			response, err := transport.RoundTrip(g.request(chatBody("say: "+want, stream)))
			if err != nil {
				errors <- err
				return
			}
			defer response.Body.Close() //nolint:errcheck // read to its end
			body, err := io.ReadAll(response.Body)
			a := answer{response.StatusCode, response.Header, string(body)}
			got := ""
			switch {
			case err != nil:
			case stream:
				got = readStream(t, a).Text
			default:
				got = content(t, a)
			}
			if err != nil || got != want {
				errors <- fmt.Errorf("exchange %d: got %d %q, want %q (%w)", i, a.Status, got, want, err)
			}
		})
	}
	all.Wait()
	close(errors)
	for err := range errors {
		t.Error(err)
	}
	nettest.Eventually(t, "1,000 log lines", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		seen := map[string]bool{}
		for _, line := range g.lines {
			if _, after, ok := strings.Cut(line, "exchange number "); ok {
				number, _, _ := strings.Cut(after, " ")
				seen[number] = true
			}
		}
		return len(seen) == n
	})
	if got := g.settled(`leash_requests_total{`, counted...) - before; got != n {
		t.Errorf("the metrics count %v exchanges, want %d", got, n)
	}
}
