package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/mock"
)

// listed are prices of models in picodollars a token: of input, cached input and output.
var listed = map[string][3]int64{
	"gpt-4o-mini": {150_000, 75_000, 600_000}, "claude-sonnet-4-5": {3_000_000, 300_000, 15_000_000}, "gemini-2.5-flash": {300_000, 30_000, 2_500_000},
}

// A line is what the logger tells of an exchange that is billed.
type line struct {
	ID        string `json:"request_id"`
	Model     string
	Upstream  string `json:"upstream_model"`
	Outcome   string
	Estimated bool  `json:"usage_estimated"`
	Input     int64 `json:"input_tokens"`
	Cached    int64 `json:"cached_input_tokens"`
	Output    int64 `json:"output_tokens"`
	Reasoning int64 `json:"output_reasoning_tokens"`
	Cost      int64 `json:"cost_picodollars"`
}

// asked is the model that the provider was asked for.
func (l *line) asked() string { return cmp.Or(l.Upstream, l.Model) }

// heard is what a client has read of an exchange.
type heard struct {
	whole         bool
	input, output int64
}

var (
	inputTold  = regexp.MustCompile(`"(?:prompt_tokens|input_tokens|cache_read_input_tokens|promptTokenCount)":\s*(\d+)`)
	outputTold = regexp.MustCompile(`"(?:completion_tokens|output_tokens|candidatesTokenCount|thoughtsTokenCount)":\s*(\d+)`)
)

// TestLinesMetricsAndClientsTellTheSameOfWhatIsBilled asks in every dialect for models of every provider while these fail in many ways and clients leave: each
// request has one line, whose cost is its tokens' to the picodollar, the metrics are the lines' sums, and what a client reads of its usage is what it is billed.
func TestLinesMetricsAndClientsTellTheSameOfWhatIsBilled(t *testing.T) {
	t.Parallel()
	onEngines(t, testLinesMetricsAndClientsTellTheSameOfWhatIsBilled)
}

func testLinesMetricsAndClientsTellTheSameOfWhatIsBilled(t *testing.T, p ports) {
	p.Fleet = startFleet(t, "openai", "anthropic", "google")
	g := start(t, pairs(), p)
	usual := mock.Behavior{CachedTokens: 3, ReasoningTokens: 5}
	var mu sync.Mutex
	clients, sent := map[string]heard{}, 0
	for i, fault := range []mock.Behavior{
		usual, {}, {CachedTokens: 2, Gzip: mock.GzipAccepted}, {ReasoningTokens: 4, Write: 5}, {OmitUsage: true}, {Status: 503}, {Status: 429, Every: 2},
		{Drop: true, Every: 2}, {Reset: true}, {CutAfter: 5}, {CutBytes: 300, Every: 2}, {ErrorAfter: 4}, {InvalidJSON: true}, {AsOK: true, Status: 500}, {HangAfter: 4},
		{Pace: 5 * time.Millisecond},
	} {
		for _, m := range p.Fleet {
			m.SetFaults(usual)
		}
		p.Fleet[[]string{"openai", "anthropic", "google"}[i%3]].SetFaults(fault)
		random := rand.New(rand.NewPCG(uint64(i), 1)) //nolint:gosec // it chooses what is asked
		var asked sync.WaitGroup
		for range 80 {
			request := randomRequest(g, random)
			leaves := fault.HangAfter > 0 || random.IntN(6) == 0
			after := random.IntN(500)
			sent++
			asked.Go(func() {
				id, what := ask(t, request, leaves, after)
				mu.Lock()
				defer mu.Unlock()
				if id != "" {
					clients[id] = what
				}
			})
		}
		asked.Wait()
	}

	nettest.Eventually(t, "a line of each exchange that a client has read of", func() bool {
		missing := maps.Clone(clients)
		for _, l := range g.billed(t) {
			delete(missing, l.ID)
		}
		return len(missing) == 0
	})
	compared, estimated, ids := 0, 0, map[string]bool{}
	for _, l := range g.billed(t) {
		if ids[l.ID] {
			t.Errorf("two lines of %s", l.ID)
		}
		ids[l.ID] = true
		price := listed[l.asked()]
		if want := (l.Input-l.Cached)*price[0] + l.Cached*price[1] + l.Output*price[2]; l.Cost != want {
			t.Errorf("the cost is %d, want %d: %+v", l.Cost, want, l)
		}
		if l.Estimated {
			estimated++
		} else if c := clients[l.ID]; c.whole && l.Outcome == "ok" && c.input+c.output > 0 {
			compared++
			if c.input != l.Input || c.output != l.Output {
				t.Errorf("the client reads %d and %d tokens: %+v", c.input, c.output, l)
			}
		}
	}
	if compared < sent/4 || estimated == 0 {
		t.Errorf("of %d exchanges %d are compared with what clients have read, and %d estimated", sent, compared, estimated)
	}
	wrong := ""
	defer func() {
		if t.Failed() {
			t.Log(wrong)
		}
	}()
	nettest.Eventually(t, "the metrics to be the sums of the lines", func() bool {
		sums := map[[2]string]int64{} // lines of those that left before an answer may still come
		for _, l := range g.billed(t) {
			for kind, n := range map[string]int64{"input": l.Input, "cached_input": l.Cached, "output": l.Output, "output_reasoning": l.Reasoning, "": l.Cost} {
				sums[[2]string{l.asked(), kind}] += n
			}
		}
		page := get(t, g.Control+"/metrics").Body
		for of, want := range sums {
			metric := []string{"leash_cost_picodollars_total{", `model="` + of[0] + `"`}
			if of[1] != "" {
				metric = []string{"leash_tokens_total{", `model="` + of[0] + `"`, `kind="` + of[1] + `"`}
			}
			if got := sum(t, page, metric[0], metric[1:]...); got != float64(want) {
				wrong = fmt.Sprintf("%v: %.0f, want %d", metric, got, want)
				return false
			}
		}
		return true
	})
}

// randomRequest asks for any model in any dialect.
func randomRequest(g *gateway, random *rand.Rand) *http.Request {
	names := []string{"gpt-4o-mini", "claude-sonnet-4-5", "gemini-2.5-flash", "sonnet", "flash", "openai-or-google", "google-or-anthropic", "anthropic-or-openai"}
	d := dialects[random.IntN(len(dialects))]
	return d.request(g, names[random.IntN(len(names))], "lorem: "+strconv.Itoa(5+random.IntN(40)), random.IntN(2) == 0)
}

// ask sends a request, and either reads the whole answer or leaves after so many bytes of it, or tenths of a millisecond.
func ask(t *testing.T, r *http.Request, leaves bool, after int) (id string, what heard) {
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	if leaves {
		defer time.AfterFunc(time.Duration(after)*100*time.Microsecond, leave).Stop()
	}
	response, err := http.DefaultTransport.RoundTrip(r.WithContext(ctx))
	if err != nil {
		return "", heard{}
	}
	defer response.Body.Close() //nolint:errcheck // read to its end, or left
	var body io.Reader = response.Body
	if leaves {
		body = io.LimitReader(body, int64(after))
	}
	text, err := io.ReadAll(body)
	what = heard{whole: err == nil && !leaves && response.StatusCode == http.StatusOK}
	what.input, what.output = most(inputTold, text), most(outputTold, text)
	return response.Header.Get("X-Request-Id"), what
}

// most is the sum of the greatest counts of each name.
func most(names *regexp.Regexp, text []byte) (sum int64) {
	of := map[string]int64{}
	for _, m := range names.FindAllSubmatch(text, -1) {
		n, _ := strconv.ParseInt(string(m[1]), 10, 64)
		name, _, _ := strings.Cut(string(m[0]), ":")
		of[name] = max(of[name], n)
	}
	for _, n := range of {
		sum += n
	}
	return sum
}

// billed are the lines of the access log.
func (g *gateway) billed(t *testing.T) (lines []line) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, text := range g.lines {
		if !strings.Contains(text, `"event":"exchange"`) {
			continue
		}
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		lines = append(lines, l)
	}
	return lines
}
