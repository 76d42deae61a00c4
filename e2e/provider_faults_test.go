package e2e

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/mock"
)

// A fault is something that a provider does instead of answering, and what a client reads where nobody else is asked.
type fault struct {
	behavior mock.Behavior
	dead     bool // it is not there at all
	// translated are the statuses that a client may read that has another API than the provider, native those that its own client
	// may; broken stands for a connection that ends before the answer does.
	translated, native []int
	// late says that a stream has begun before: it cannot go on elsewhere.
	late bool
}

const broken = -1

// matrix is what is promised of providers that fail. With failover every row is 200.
var matrix = map[string]fault{
	"dead":                     {dead: true, translated: []int{503}, native: []int{503}},
	"hanging":                  {behavior: mock.Behavior{Hang: true}, translated: []int{504}, native: []int{504}},
	"closing the connection":   {behavior: mock.Behavior{Drop: true}, translated: []int{503}, native: []int{503}},
	"resetting the connection": {behavior: mock.Behavior{Reset: true}, translated: []int{503}, native: []int{503}},
	"slow":                     {behavior: mock.Behavior{Delay: 200 * time.Millisecond}, translated: []int{200}, native: []int{200}},
	"sending garbage":          {behavior: mock.Behavior{Garbage: mock.GarbageBody}, translated: []int{502}, native: []int{502}},
	"speaking no HTTP":         {behavior: mock.Behavior{Garbage: mock.GarbageHTTP}, translated: []int{502}, native: []int{502}},
	"breaking its JSON":        {behavior: mock.Behavior{InvalidJSON: true}, translated: []int{502}, native: []int{502}, late: true},
	"sending half a JSON":      {behavior: mock.Behavior{CutAfter: 20}, translated: []int{502, 503}, native: []int{502, 503}, late: true},
	"telling an error with 200": {
		// Its own client reads it as the provider has said it.
		behavior: mock.Behavior{Status: 500, AsOK: true}, translated: []int{502}, native: []int{200},
	},
	"asked too often": {behavior: mock.Behavior{Status: 429, RetryAfter: time.Second}, translated: []int{429}, native: []int{429}},
	"overloaded":      {behavior: mock.Behavior{Status: 503}, translated: []int{503}, native: []int{503}},
}

// alone is pairs with a route for each provider on which nobody else is asked, and a module that reads answers.
func alone() string {
	var routes strings.Builder
	for provider, model := range models {
		fmt.Fprintf(&routes, "  - {model: %s-alone, timeouts: {first_byte: 2s}, provider: %s, upstream_model: %s}\n", provider, provider, model)
	}
	config := strings.Replace(pairs(), "routes:\n", "routes:\n"+routes.String(), 1)
	return config + "  - {module: contentfilter, config: {rules: [{name: osprey, keywords: [osprey], in: response, action: block}]}}\n"
}

// after is who is asked when a provider fails.
var after = map[string]string{"openai": "anthropic", "anthropic": "google", "google": "openai"}

// natives are the dialects that a provider speaks.
var natives = map[string][]string{"openai": {"chat", "responses", "completions"}, "anthropic": {"messages"}, "google": {"gemini"}}

func TestFaultsOfProviders(t *testing.T) {
	t.Parallel()
	onEngines(t, testFaultsOfProviders)
}

func testFaultsOfProviders(t *testing.T, p ports) {
	p.Fleet = startFleet(t, "openai", "anthropic", "google")
	g := start(t, alone(), p)
	for name, f := range matrix {
		t.Run(name, func(t *testing.T) {
			for _, m := range p.Fleet {
				f.begin(m)
			}
			t.Run("alone", func(t *testing.T) { f.wantOwn(t, g) })
			for _, m := range p.Fleet {
				f.end(t, m)
			}
			for first, second := range after {
				f.begin(p.Fleet[first])
				t.Run(first+", then "+second, func(t *testing.T) { f.wantNone(t, g, first+"-or-"+second) })
				f.end(t, p.Fleet[first])
			}
		})
	}
	p.Fleet.wantKeysKept(t)
}

func (f fault) begin(m *member) {
	if f.dead {
		m.kill()
	} else {
		m.SetFaults(f.behavior)
	}
}

func (f fault) end(t *testing.T, m *member) {
	t.Helper()
	if f.dead {
		m.revive(t)
	} else {
		m.ClearFaults()
	}
}

// wantOwn fails where a client reads another status, or an error in another form than its own.
func (f fault) wantOwn(t *testing.T, g *gateway) {
	t.Helper()
	for provider := range models {
		for _, d := range dialects {
			t.Run(d.name+" of "+provider, func(t *testing.T) {
				t.Parallel()
				want := f.translated
				if slices.Contains(natives[provider], d.name) {
					want = f.native
				}
				status, body := outcome(d.request(g.with(t), provider+"-alone", "say: well done", false))
				if !slices.Contains(want, status) {
					t.Fatalf("got %d %s, want one of %d", status, body, want)
				}
				switch {
				case status == broken:
				case status >= 400:
					wantAll(t, body, d.failure)
				case status == 200 && !f.behavior.AsOK:
					wantAll(t, body, d.answers)
				}
			})
		}
	}
}

// wantNone fails where a client notices that the first provider of a route fails.
func (f fault) wantNone(t *testing.T, g *gateway, model string) {
	t.Helper()
	for _, d := range dialects {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			g := g.with(t)
			status, body := outcome(d.request(g, model, "say: well done", false))
			if status != 200 {
				t.Errorf("got %d %s", status, body)
			}
			wantAll(t, body, d.answers)
			if f.late {
				return
			}
			if status, body = outcome(d.request(g, model, "say: well done", true)); status != 200 {
				t.Errorf("stream: got %d %s", status, body)
			}
			wantAll(t, body, d.events)
		})
	}
}

// outcome is what a client reads: the status, or broken.
func outcome(r *http.Request) (status int, body string) {
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return broken, err.Error()
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	read, err := io.ReadAll(response.Body)
	if err != nil {
		return broken, err.Error()
	}
	return response.StatusCode, string(read)
}
