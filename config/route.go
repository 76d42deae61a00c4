package config

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leash-gateway/leash/llm"
)

// MaxTargets is how many targets a route may have.
const MaxTargets = 8

// AllTargets are the targets of a route by model, of which there is at least one.
func (r *Route) AllTargets() []Target {
	if len(r.Targets) > 0 {
		return r.Targets
	}
	return []Target{{Provider: r.Provider, Model: r.UpstreamModel}}
}

// through begins the names of Envoy's routes for requests that take the step by the module provider.
const through = "~"

// names are what the module route calls Envoy's routes: the one for requests that go to the route's only provider as clients send
// them, "" where there are several or that one is not plain, and the one for all others. They say what is done, not the place in the list: modules and Envoy's
// route table are not replaced at the same instant, and in between a place could be another route's.
func (c *Config) names(r *Route) (direct, carried string) {
	own := ""
	if r.Timeouts != (RouteTimeouts{}) || len(r.Failover.On) > 0 || r.Failover.Hedge > 0 {
		encoded, _ := json.Marshal(struct { // numbers only
			T RouteTimeouts
			F []int
			H Duration `json:",omitempty"`
		}{r.Timeouts, r.Failover.On, r.Failover.Hedge})
		sum := sha256.Sum256(encoded)
		own = hex.EncodeToString(sum[:4])
	}
	if targets := r.AllTargets(); len(targets) == 1 && !r.StreamErrors && c.Providers[targets[0].Provider].Description().Plain() {
		direct = targets[0].Provider
		if own != "" {
			direct += through + own
		}
	}
	return direct, through + own
}

// A Lane is one of Envoy's routes: requests that the module route has given its name.
type Lane struct {
	Name string
	// Provider is where they go as they are; "" for those that the headers of the module route send on.
	Provider string
	Timeouts RouteTimeouts
	// On are the statuses after which the next target is asked.
	On []int
	// Hedge is after how long the next target is asked too; 0: only when one has failed.
	Hedge Duration
}

// Lanes are Envoy's routes for models, sorted by name.
func (c *Config) Lanes() []Lane {
	lanes := map[string]Lane{}
	for i := range c.Routes {
		r := &c.Routes[i]
		if r.Path != "" {
			continue
		}
		direct, carried := c.names(r)
		if direct != "" {
			lanes[direct] = Lane{Name: direct, Provider: r.AllTargets()[0].Provider, Timeouts: r.Timeouts}
		}
		lanes[carried] = Lane{Name: carried, Timeouts: r.Timeouts, On: r.Failover.On, Hedge: r.Failover.Hedge}
	}
	return slices.SortedFunc(maps.Values(lanes), func(a, b Lane) int { return cmp.Compare(a.Name, b.Name) })
}

// routeConfig is the configuration of the module route.
func (c *Config) routeConfig() Raw {
	type target struct {
		Provider string   `json:"provider"`
		Model    string   `json:"model,omitempty"`
		Weight   int      `json:"weight,omitempty"`
		Without  []string `json:"without,omitempty"`
		Context  int      `json:"context,omitempty"`
		Group    int      `json:"group,omitempty"`
	}
	type route struct {
		Name      string            `json:"name,omitempty"`
		Through   string            `json:"through"`
		Model     string            `json:"model"`
		Targets   []target          `json:"targets"`
		Tenants   []string          `json:"tenants,omitempty"`
		Headers   map[string]string `json:"headers,omitempty"`
		Attempts  int               `json:"attempts,omitempty"`
		Hedged    bool              `json:"hedged,omitempty"`
		Budget    *Budget           `json:"budget,omitempty"`
		MidStream bool              `json:"mid_stream,omitempty"`
		FirstByte string            `json:"first_byte,omitempty"`
		Fastest   bool              `json:"fastest,omitempty"`
		Affinity  string            `json:"affinity,omitempty"`
	}
	type provider struct {
		Name    string   `json:"name"`
		Formats []string `json:"formats"`
	}
	routes, used := []route{}, map[string]bool{}
	for i := range c.Routes {
		r := &c.Routes[i]
		if r.Model == "" {
			continue
		}
		one := route{Model: r.Model, Tenants: r.Tenants, Headers: r.Headers, Attempts: r.Failover.Attempts, Hedged: r.Failover.Hedge > 0, Fastest: r.Prefer == "latency", Affinity: r.Affinity}
		one.Name, one.Through = c.names(r)
		if r.Failover.Budget.Percent > 0 {
			one.Budget = &r.Failover.Budget
		}
		one.MidStream = r.Failover.MidStream
		if r.Timeouts.FirstByte > 0 {
			one.FirstByte = time.Duration(r.Timeouts.FirstByte).String()
		}
		targets := r.AllTargets()
		if r.Prefer == "cost" {
			targets = c.cheapestFirst(targets)
		}
		for _, t := range targets {
			to := target{t.Provider, t.Model, t.Weight, t.Without, t.Context, 0}
			if len(targets) == 1 {
				to.Weight = 0
			}
			if to.Weight > 0 {
				to.Group = t.group
			}
			one.Targets = append(one.Targets, to)
			used[t.Provider] = true
		}
		routes = append(routes, one)
	}
	providers := []provider{}
	for _, name := range slices.Sorted(maps.Keys(used)) {
		providers = append(providers, provider{name, c.Providers[name].Description().Formats})
	}
	encoded, _ := json.Marshal(map[string]any{"providers": providers, "routes": routes}) // strings and numbers only
	return encoded
}

// cheapestFirst orders targets by what their models cost after Leash's own table, a token that is read and one that is written
// together. Those without a price come last.
func (c *Config) cheapestFirst(targets []Target) []Target {
	prices := llm.DefaultPrices()
	cost := func(t Target) llm.Picodollars {
		price, known := prices.Find(c.Providers[t.Provider].Kind, t.Model)
		if !known {
			return math.MaxInt64
		}
		return price.Cost(llm.Usage{Input: 1_000_000, Output: 1_000_000})
	}
	ordered := slices.Clone(targets)
	slices.SortStableFunc(ordered, func(a, b Target) int { return cmp.Compare(cost(a), cost(b)) })
	return ordered
}

func (c *Config) checkRoutes(fail failer) {
	if len(c.Routes) == 0 {
		fail("routes", "such as {model: gpt-4o-mini, provider: openai}", "name at least one")
	}
	taken := takenRoutes{exactly: map[string]int{}}
	for i := range c.Routes {
		r, path := &c.Routes[i], "routes["+strconv.Itoa(i)+"]"
		switch {
		case (r.Model == "") == (r.Path == ""):
			fail(path, "", "must name either a model or a path")
			continue
		case r.Path != "" && !plainPath(r.Path):
			fail(path+".path", "such as /v1/files", "%q is not a plain path", r.Path)
		case r.Path == "/v1/chat/completions" || r.Path == "/v1/models":
			fail(path+".path", "", "this path is routed by model")
		case r.Path != "" && r.UpstreamModel != "":
			fail(path+".upstream_model", "", "is for routes by model")
		case r.Path != "" && (len(r.Targets) > 0 || len(r.Tenants) > 0 || len(r.Headers) > 0 || !r.Failover.none() || r.StreamErrors):
			fail(path, "", "a path leads to one provider, for everybody: targets, tenants, headers, failover and stream_errors are for routes by model")
		}
		c.checkTargets(r, path, fail)
		if first, ok := taken.by(r); ok {
			fail(path, "", "is never taken: routes[%d] matches all that it does", first)
		}
		taken.add(i, r)
	}
}

// takenRoutes are the routes so far that everybody may take.
type takenRoutes struct {
	exactly  map[string]int // by model or path: no model begins with a slash and is a path too
	patterns []takenPattern
}

// takenPattern is the model of a route, with stars.
type takenPattern struct {
	route int
	model *regexp.Regexp
}

func (t *takenRoutes) add(route int, r *Route) {
	if len(r.Tenants) > 0 || len(r.Headers) > 0 {
		return // the same model may have another route for others
	}
	t.exactly[r.Model+r.Path] = route
	if strings.Contains(r.Model, "*") {
		pattern := strings.ReplaceAll(regexp.QuoteMeta(r.Model), `\*`, ".*")
		t.patterns = append(t.patterns, takenPattern{route, regexp.MustCompile("(?s)^" + pattern + "$")})
	}
}

// by is a route that takes all requests for another one. What stands between the stars of its model also stands in the other's, whatever the other's stars
// stand for.
func (t *takenRoutes) by(r *Route) (route int, ok bool) {
	route, ok = t.exactly[r.Model+r.Path]
	if ok || r.Model == "" {
		return route, ok
	}
	i := slices.IndexFunc(t.patterns, func(p takenPattern) bool { return p.model.MatchString(r.Model) })
	if i < 0 {
		return 0, false
	}
	return t.patterns[i].route, true
}

// checkWeight refuses 0 where it is written: it would be taken for no weight, so that requests come, of targets even first, where none were wanted.
func (c *Config) checkWeight(path string, weight int, fail failer) {
	if weight < 0 || weight > maxNumber || weight == 0 && c.Given(path) {
		fail(path, "what is to get no requests is taken out", "must be 1 to %d", maxNumber)
	}
}

// abilities are what targets may be without.
var abilities = []string{"tools", "media"}

func (c *Config) checkTargets(r *Route, path string, fail failer) {
	attempts := 0
	for _, t := range r.AllTargets() {
		attempts += c.keyCount(t)
	}
	switch {
	case r.Prefer != "" && r.Prefer != "cost" && r.Prefer != "latency":
		fail(path+".prefer", Suggestion(r.Prefer, []string{"cost", "latency"}), "%q is no order", r.Prefer)
	case r.Affinity != "" && !headerName(r.Affinity):
		fail(path+".affinity", "such as x-session-id", "%q is not the name of a header", r.Affinity)
	}
	switch {
	case attempts > MaxTargets:
		fail(path+".targets", "each key of a provider counts", "are more than %d", MaxTargets)
	case len(r.Targets) > 0 && (r.Provider != "" || r.UpstreamModel != ""):
		fail(path+".targets", "", "stand in the place of provider and upstream_model: name them there")
	case len(r.Targets) == 0 && !printable(r.UpstreamModel):
		fail(path+".upstream_model", "", "holds other than printable ASCII characters")
	}
	for i, t := range r.Targets {
		at := path + ".targets[" + strconv.Itoa(i) + "]"
		if !printable(t.Model) {
			fail(at+".model", "", "holds other than printable ASCII characters")
		}
		if t.Context < 0 || t.Context > maxNumber {
			fail(at+".context", "", "must be 0 to %d", maxNumber)
		}
		c.checkWeight(at+".weight", t.Weight, fail)
		for j, what := range t.Without {
			if !slices.Contains(abilities, what) {
				fail(at+".without["+strconv.Itoa(j)+"]", Suggestion(what, abilities), "%q is nothing that a model may be without", what)
			}
		}
	}
	for name := range r.Headers {
		if !headerName(name) {
			fail(path+".headers."+name, "such as x-team", "%q is not the name of a header", name)
		}
	}
	r.Failover.check(path+".failover", attempts, r.Timeouts.FirstByte, fail)
	c.checkBudget(r.Failover.Budget, path+".failover.budget", fail)
}

// check looks at the failover of a route with so many attempts, which have so long to begin their answer.
func (f *Failover) check(path string, attempts int, firstByte Duration, fail failer) {
	for i, status := range f.On {
		if status < 400 || status > 599 {
			fail(path+".on["+strconv.Itoa(i)+"]", "", "%d is not a status of errors, 400 to 599", status)
		}
	}
	switch h := f.Hedge; {
	case h > 0 && (attempts < 2 || f.Attempts == 1):
		fail(path+".hedge", "", "needs another target to ask")
	case h > 0 && firstByte > 0 && h >= firstByte:
		fail(path+".hedge", "", "is not less than timeouts.first_byte, after which the attempt is given up")
	}
	if f.MidStream && attempts < 2 {
		fail(path+".mid_stream", "name further targets", "has no other target to go on at")
	}
	if f.Attempts < 0 || f.Attempts > MaxTargets {
		fail(path+".attempts", "", "must be 0 to %d", MaxTargets)
	}
}

const maxNumber = 1 << 20

// separators may not stand in the name of a header: https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2
const separators = `()<>@,;:\"/[]?={}`

func headerName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c >= 0x7f || strings.ContainsRune(separators, c) })
}

// printable says that a text can stand in a header.
func printable(text string) bool {
	return !strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c > '~' })
}

func (c *Config) checkDestinations(fail failer) {
	known := slices.Collect(maps.Keys(c.Providers))
	check := func(path, at, provider string) {
		switch {
		case provider == "":
			fail(path, Suggestion("", known), "provider is missing")
		case c.Providers[provider] == nil:
			fail(at, Suggestion(provider, known), "there is no provider %q", provider)
		}
	}
	for i := range c.Routes {
		path := "routes[" + strconv.Itoa(i) + "]"
		if len(c.Routes[i].Targets) == 0 {
			check(path, path+".provider", c.Routes[i].Provider)
		}
		for j, t := range c.Routes[i].Targets {
			at := path + ".targets[" + strconv.Itoa(j) + "]"
			check(at, at+".provider", t.Provider)
		}
		for j, tenant := range c.Routes[i].Tenants {
			if c.Tenants[tenant] == nil {
				fail(path+".tenants["+strconv.Itoa(j)+"]", Suggestion(tenant, slices.Collect(maps.Keys(c.Tenants))), "there is no tenant %q", tenant)
			}
		}
	}
}
