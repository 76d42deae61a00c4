package e2e

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/mock"
)

// TestWhatIsKeptForAnotherAttemptIsGivenBack sends large requests that their first provider refuses, so that each is kept until the second one
// has answered. Nothing of them is left then: what is in use grows by far less than went through.
func TestWhatIsKeptForAnotherAttemptIsGivenBack(t *testing.T) {
	t.Parallel()
	onEngines(t, testWhatIsKeptForAnotherAttemptIsGivenBack)
}

func testWhatIsKeptForAnotherAttemptIsGivenBack(t *testing.T, p ports) {
	p.Fleet = startFleet(t, "openai", "anthropic", "google")
	// The first one stays the first, however often it fails.
	config := strings.Replace(pairs(), "{kind: openai,", "{kind: openai, breaker: {consecutive: 1000000, volume: 1000000},", 1)
	g := start(t, config, p)
	p.Fleet["openai"].SetFaults(mock.Behavior{Status: http.StatusServiceUnavailable})
	large := strings.Repeat("a word and another one, ", 1<<20/24)
	ask := func(n int) {
		t.Helper()
		for range n {
			r := dialectNamed("chat").request(g, "openai-or-google", large+"say: hi", false)
			if a := do(t, r); a.Status != http.StatusOK {
				t.Fatalf("got %d %.300s", a.Status, a.Body)
			}
		}
	}
	ask(30) // from then on what modules have for themselves does not grow
	const more, mebibyte = 100, 1 << 20
	before := g.inUse()
	ask(more)
	t.Logf("%d MiB in use before, %d MiB after", before/mebibyte, g.inUse()/mebibyte)
	nettest.Eventually(t, "what was kept of the requests to be given back", func() bool { return g.inUse() < before+more*mebibyte/3 })
}

// inUse is the memory that the engine holds things in, in bytes.
func (g *gateway) inUse() int64 {
	g.t.Helper()
	if g.ports.engine() == "embedded" {
		for line := range strings.Lines(get(g.t, g.Control+"/metrics").Body) {
			if value, found := strings.CutPrefix(line, "go_memstats_heap_alloc_bytes "); found {
				bytes, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
				if err != nil {
					g.t.Fatal(err)
				}
				return int64(bytes)
			}
		}
		g.t.Fatal("the metrics do not tell of the heap")
	}
	var memory struct{ Allocated string }
	page := get(g.t, g.Admin+"/memory").Body
	if err := json.Unmarshal([]byte(page), &memory); err != nil {
		g.t.Fatalf("%v in %s", err, page)
	}
	bytes, err := strconv.ParseInt(memory.Allocated, 10, 64)
	if err != nil {
		g.t.Fatal(err)
	}
	return bytes
}
