package route

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/breaker"
	"github.com/leash-gateway/leash/module/moduletest"
)

const several = `{"providers":[{"name":"a","formats":["openai-chat"]},{"name":"b","formats":["anthropic-messages"]}],"routes":[
	{"through":"~x","model":"best","first_byte":"1500ms","targets":[{"provider":"a","model":"m-a"},{"provider":"b","model":"m-b"},{"provider":"c"}]},
	{"model":"few","attempts":2,"targets":[{"provider":"a"},{"provider":"b"},{"provider":"c"}]},
	{"model":"able","targets":[{"provider":"a","without":["tools"],"context":100},{"provider":"b","without":["media"]}]},
	{"name":"a","model":"one","provider":"a"},
	{"name":"b","model":"other","provider":"b","upstream_model":"m-b"},
	{"name":"a","model":"ours","tenants":["acme"],"provider":"a"},
	{"name":"b","model":"teams","headers":{"x-team":"red-*"},"provider":"b"}]}`

// sent is what Envoy is told of an exchange: the route, the attempts after the first, and the targets with their models.
func sent(got moduletest.Result) string {
	told := got.SentHeader[Header] + " " + got.SentHeader[RetriesHeader]
	for _, n := range []string{"1", "2", "3", "4"} {
		if target := got.SentHeader[TargetHeader+n]; target != "" {
			told += " " + target + "=" + got.SentHeader[ModelHeader+n]
		}
	}
	return told
}

func TestEnvoyIsToldTheTargetsInTheirOrder(t *testing.T) {
	tests := map[string]struct{ body, want string }{
		"several":                       {chat("best"), "~x 2 a=m-a b=m-b c="},
		"no more than may be asked":     {chat("few"), "~ 1 a= b="},
		"one that takes it as it is":    {chat("one"), "a "},
		"one with another API":          {chat("other"), "~ 0 b=m-b"},
		"one is left that can use tool": {`{"model":"able","messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f"}}]}`, "~ 0 b="},
		"one is left that is long enough": {`{"model":"able","messages":[{"role":"user","content":"` + strings.Repeat("word ", 200) + `"}]}`,
			"~ 0 b="},
		"the answer counts too": {`{"model":"able","max_tokens":200,"messages":[{"role":"user","content":"x"}]}`, "~ 0 b="},
		"all can do it":         {chat("able"), "~ 1 a= b="},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := newHost(t, several).Do(moduletest.Exchange{Request: tc.body, Answer: `{}`})
			if told := sent(got); !got.Sent || told != tc.want {
				t.Errorf("got %q, want %q", told, tc.want)
			}
		})
	}
	got := newHost(t, several).Do(moduletest.Exchange{Request: chat("best"), Answer: `{}`})
	if got.SentHeader[PatienceHeader] != "1500" || got.SentBody != chat("best") {
		t.Errorf("got %v %s", got.SentHeader, got.SentBody)
	}
}

func TestRoutesAreForTenantsAndHeaders(t *testing.T) {
	withAuth := func(tenant string) *moduletest.Host {
		return moduletest.New(t, `{"handover":true,"modules":[{"name":"caller","config":{"tenant":"`+tenant+`"}},{"name":"route","config":`+several+`}]}`)
	}
	tests := map[string]struct {
		tenant, model, team string
		status              int
	}{
		"the tenant":       {"acme", "ours", "", 200},
		"another one":      {"other", "ours", "", 404},
		"nobody":           {"", "ours", "", 404},
		"the header":       {"", "teams", "red-1", 200},
		"another header":   {"", "teams", "blue", 404},
		"without a header": {"", "teams", "", 404},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := withAuth(tc.tenant).Do(moduletest.Exchange{Request: chat(tc.model), Header: map[string]string{"x-team": tc.team}, Answer: `{}`})
			if got.Status != tc.status {
				t.Errorf("got %d %s, want %d", got.Status, got.Body, tc.status)
			}
			listed := withAuth(tc.tenant).Do(moduletest.Exchange{Method: "GET", Path: "/v1/models", Header: map[string]string{"x-team": tc.team}})
			if has := strings.Contains(listed.Body, `"`+tc.model+`"`); has != (tc.status == 200) {
				t.Errorf("the list has it: %t, though the status is %d: %s", has, tc.status, listed.Body)
			}
		})
	}
}

// caller says who calls.
type caller struct{ tenant string }

func (c caller) RequestHeader(x *module.Exchange) error {
	x.SetCaller(module.Caller{Tenant: c.tenant})
	return nil
}

func init() {
	module.Register("caller", module.Policy, func(c struct {
		Tenant string `json:"tenant"`
	}) (caller, error) {
		return caller{c.Tenant}, nil
	})
}

func TestWhoHasAnsweredIsToldToLaterModules(t *testing.T) {
	tests := map[string]struct{ count, provider, model string }{
		"the first":            {"\x01\x00\x00\x00\x00\x00\x00\x00", "a", "m-a"},
		"the second":           {"\x02\x00\x00\x00\x00\x00\x00\x00", "b", "m-b"},
		"the third":            {"\x03\x00\x00\x00\x00\x00\x00\x00", "c", ""},
		"more than there were": {"\x09\x00\x00\x00\x00\x00\x00\x00", "a", "m-a"},
		"a host without it":    {"", "a", "m-a"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e := moduletest.Exchange{Request: chat("best"), Answer: `{}`}
			if tc.count != "" {
				e.Properties = map[string]string{"upstream.request_attempt_count": tc.count}
			}
			got := newHost(t, several).Do(e)
			provider, model := got.Properties["leash.fact."+module.FactProvider], got.Properties["leash.fact."+module.FactUpstreamModel]
			if provider != tc.provider || model != tc.model && tc.model != "" {
				t.Errorf("got %s %s, want %s %s", provider, model, tc.provider, tc.model)
			}
		})
	}
}

func TestFailoversAreExchangesThatAnotherProviderHasServed(t *testing.T) {
	const routes = `{"routes":[{"model":"best","targets":[{"provider":"a","model":"m-a"},{"provider":"a#1","model":"m-a"},{"provider":"b","model":"m-b"}],"through":"~x"}]}`
	tests := map[string]struct {
		attempt string
		status  int
		want    uint64
	}{
		"another one":                      {"\x03", 200, 1},
		"another one, that refuses":        {"\x03", 400, 1},
		"another one, that fails too":      {"\x03", 503, 0},
		"another one, that is asked often": {"\x03", 429, 0},
		"another key of the first":         {"\x02", 200, 0},
		"the first":                        {"\x01", 200, 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, routes)
			h.Do(moduletest.Exchange{
				Request: chat("best"), Status: tc.status, Answer: `{}`, Properties: map[string]string{"upstream.request_attempt_count": tc.attempt + "\x00\x00\x00\x00\x00\x00\x00"},
			})
			var got uint64
			for series, n := range h.Metrics {
				if strings.HasPrefix(series, "leash_failovers_total.") {
					got += uint64(n) //nolint:gosec // a counter
				}
			}
			if got != tc.want {
				t.Errorf("counted %d, want %d: %v", got, tc.want, h.Metrics)
			}
		})
	}
}

var quick = breaker.Settings{Consecutive: 1, Open: time.Second, MaxOpen: time.Second, Window: time.Second}

// shared is a Host's data as a breaker's Store.
type shared struct{ *moduletest.Host }

func (s shared) Get(key string) ([]byte, uint32) { return s.Shared().Get(key) }
func (s shared) Set(key string, value []byte, version uint32) bool {
	return s.Shared().Set(key, value, version)
}

func TestProvidersThatFailComeLast(t *testing.T) {
	h := newHost(t, several)
	ask := func() string { return sent(h.Do(moduletest.Exchange{Request: chat("best"), Answer: `{}`})) }
	breaker.Update(shared{h}, "a", func(s *breaker.State) { s.Fail(h.Clock, quick) })
	if got, want := ask(), "~x 2 b=m-b c= a=m-a"; got != want {
		t.Errorf("open: got %q, want %q", got, want)
	}
	h.Clock = h.Clock.Add(2 * time.Second)
	if got, want := ask(), "~x 2 a=m-a b=m-b c="; got != want {
		t.Errorf("half open: got %q, want %q", got, want)
	}
	if got, want := ask(), "~x 2 b=m-b c= a=m-a"; got != want {
		t.Errorf("while one tries: got %q, want %q", got, want)
	}
	breaker.Update(shared{h}, "a", func(s *breaker.State) { s.Succeed(h.Clock, quick, time.Millisecond) })
	if got, want := ask(), "~x 2 a=m-a b=m-b c="; got != want {
		t.Errorf("closed: got %q, want %q", got, want)
	}
	for _, provider := range []string{"a", "b", "c"} {
		breaker.Update(shared{h}, provider, func(s *breaker.State) { s.Cool(h.Clock, time.Minute) })
	}
	if got, want := ask(), "~x 2 a=m-a b=m-b c="; got != want {
		t.Errorf("all of them open: got %q, want %q", got, want)
	}
}

func TestTheFastestProviderComesFirst(t *testing.T) {
	h := newHost(t, `{"routes":[{"model":"best","fastest":true,"targets":[{"provider":"a"},{"provider":"b"},{"provider":"c"}]}]}`)
	for provider, took := range map[string]time.Duration{"a": 3 * time.Second, "b": time.Second, "c": 2 * time.Second} {
		breaker.Update(shared{h}, provider, func(s *breaker.State) { s.Succeed(h.Clock, quick, took) })
	}
	if got := sent(h.Do(moduletest.Exchange{Request: chat("best"), Answer: `{}`})); got != "~ 2 b= c= a=" {
		t.Errorf("got %q", got)
	}
}

func TestTheSameValueComesToTheSameTarget(t *testing.T) {
	h := newHost(t, `{"routes":[{"model":"best","affinity":"x-session","targets":[{"provider":"a","weight":1},{"provider":"b","weight":1},{"provider":"c"}]}]}`)
	ask := func(session string) string {
		return h.Do(moduletest.Exchange{Request: chat("best"), Header: map[string]string{"x-session": session}, Answer: `{}`}).SentHeader[TargetHeader+"1"]
	}
	all := map[string]int{}
	for i := range 64 {
		session := strings.Repeat("s", i+1)
		first := ask(session)
		for range 3 {
			if again := ask(session); again != first {
				t.Fatalf("session %d came to %s and to %s", i, first, again)
			}
		}
		all[first]++
	}
	if all["a"] < 16 || all["b"] < 16 || all["c"] > 0 {
		t.Errorf("got %v, want both with a weight about as often", all)
	}
}

func TestGroupsOfWeightsAreNotMixed(t *testing.T) {
	h := newHost(t, `{"routes":[{"model":"best","targets":[{"provider":"a","weight":1,"group":1},{"provider":"a#2","weight":1,"group":1},`+
		`{"provider":"b","weight":9,"group":2},{"provider":"b#2","weight":9,"group":2}]}]}`)
	for range 50 {
		got := h.Do(moduletest.Exchange{Request: chat("best"), Answer: `{}`})
		if first := got.SentHeader[TargetHeader+"1"]; !strings.HasPrefix(first, "a") {
			t.Fatalf("%s came first", first)
		}
		if provider := got.Properties["leash.fact."+module.FactProvider]; provider != "a" {
			t.Fatalf("the provider is said to be %s", provider)
		}
	}
}

func TestWeightsShareRequestsOut(t *testing.T) {
	targets := []Target{{Provider: "first"}, {Provider: "a", Weight: 6}, {Provider: "b", Weight: 3}, {Provider: "c", Weight: 1}, {Provider: "last"}}
	orders := map[string]int{}
	for one := range uint64(10) {
		for two := range uint64(10) {
			calls := 0
			random := func(below uint64) uint64 {
				if calls++; calls == 1 {
					return one % below
				}
				return two % below
			}
			got := slices.Clone(targets)
			shuffle(got[1:4], random)
			if got[0].Provider != "first" || got[4].Provider != "last" {
				t.Fatalf("what has no weight has moved: %v", got)
			}
			orders[got[1].Provider]++
		}
	}
	if orders["a"] != 60 || orders["b"] != 30 || orders["c"] != 10 {
		t.Errorf("got %v, want 60, 30 and 10 of a hundred", orders)
	}
}
