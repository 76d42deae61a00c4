package config

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/netip"
	pathpkg "path"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Builtin are the modules that Leash brings, which need no file.
var Builtin = []string{"auth", "ratelimit", "contentfilter", "costtracker", "logger", "route"}

// IsOurs says that a module of this name is one of Leash's own, so that nobody else's may have it.
func IsOurs(module string) bool {
	return slices.Contains(Builtin, module) || module == carrierModule || module == tracerModule
}

var name = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// check looks at what the types cannot say. A section in which a mistake was found already is left out, and so are the
// references to it: what follows from a mistake would only hide it.
func (c *Config) check(d *decoder) {
	broken := map[string]bool{}
	for _, e := range d.errors {
		section, _, _ := strings.Cut(e.Path, ".")
		section, _, _ = strings.Cut(section, "[")
		if !slices.Contains(fieldNames(reflect.TypeFor[Config]()), section) {
			return // a section with a misspelled name is missing everywhere
		}
		broken[section] = true
	}
	fail := func(path, hint, format string, args ...any) {
		line, column := c.Position(path)
		d.fail(path, position{line, column}, hint, format, args...)
	}
	for _, check := range []struct {
		looksAt []string
		run     func(failer)
	}{
		{[]string{"listen", "control", "envoy"}, c.checkAddresses},
		{[]string{"trusted_proxies"}, c.checkTrustedProxies},
		{[]string{"envoy"}, c.checkEnvoy},
		{[]string{"modules"}, c.checkModules},
		{[]string{"limits"}, c.checkLimits},
		{[]string{"tracing"}, c.checkTracing},
		{[]string{"providers"}, c.checkProviders},
		{[]string{"tenants"}, c.checkKeys},
		{[]string{"tenants", "pipeline"}, c.checkOverrides},
		{[]string{"routes"}, c.checkRoutes},
		{[]string{"routes", "providers", "tenants"}, c.checkDestinations},
		{[]string{"pipeline", "allow_anonymous"}, c.checkPipeline},
	} {
		if !slices.ContainsFunc(check.looksAt, func(section string) bool { return broken[section] }) {
			check.run(fail)
		}
	}
}

type failer func(path, hint, format string, args ...any)

// badName is what is said of a name that could not stand in a metric, a log or a path.
const badName = "a name is made of letters, digits, dots, dashes and underscores, begins with a letter or digit, and has 63 at the most"

func (c *Config) checkAddresses(fail failer) {
	type taken struct {
		path string
		at   netip.AddrPort
	}
	var all []taken
	for _, a := range []struct{ path, address string }{
		{"listen", c.Listen}, {"control.listen", c.Control.Listen}, {"envoy.admin", c.Envoy.Admin},
	} {
		at, err := netip.ParseAddrPort(a.address)
		if err != nil || at.Port() == 0 {
			fail(a.path, "write it as 127.0.0.1:8080", "%q is not an IP address and port", a.address)
			continue
		}
		if a.path == "envoy.admin" && !at.Addr().IsLoopback() {
			fail(a.path, "such as 127.0.0.1:9901", "must be on the loopback: whoever reaches Envoy's admin interface can stop it")
		}
		for _, other := range all {
			if at.Port() == other.at.Port() && (at.Addr() == other.at.Addr() || at.Addr().IsUnspecified() || other.at.Addr().IsUnspecified()) {
				fail(a.path, "take another port", "%s is taken by %s already", a.address, other.path)
			}
		}
		all = append(all, taken{a.path, at})
	}
}

func (c *Config) checkTrustedProxies(fail failer) {
	for i, n := range c.TrustedProxies {
		if !n.IsValid() {
			fail("trusted_proxies["+strconv.Itoa(i)+"]", "write a network such as 10.20.0.0/16, or take it out", "is empty")
		}
	}
}

func (c *Config) checkEnvoy(fail failer) {
	if c.Envoy.Concurrency < 0 || c.Envoy.Concurrency > maxWorkers {
		fail("envoy.concurrency", "0 is one for each core", "must be 0 to %d", maxWorkers)
	}
	if !slices.Contains(logLevels, c.Envoy.LogLevel) {
		fail("envoy.log_level", Suggestion(c.Envoy.LogLevel, logLevels), "%q is not a level", c.Envoy.LogLevel)
	}
}

const maxWorkers = 1024

func (c *Config) checkModules(fail failer) {
	if layouts := []string{Together, Layered, Files}; !slices.Contains(layouts, c.Modules.Layout) {
		fail("modules.layout", Suggestion(c.Modules.Layout, layouts), "%q is not a layout", c.Modules.Layout)
	}
}

var logLevels = []string{"trace", "debug", "info", "warning", "error"}

// maxBody is the most that a module can be given at once: a .wasm has 4 GiB in all, and needs a body several times.
const maxBody = 512 << 20

func (c *Config) checkLimits(fail failer) {
	for _, l := range []struct {
		path string
		size Size
	}{{"limits.request_bytes", c.Limits.RequestBytes}, {"limits.response_bytes", c.Limits.ResponseBytes}} {
		if l.size > maxBody {
			fail(l.path, "", "must be 512MiB at the most: modules hold a body in memory")
		}
	}
}

func (c *Config) checkProviders(fail failer) {
	if len(c.Providers) == 0 {
		fail("providers", "such as openai: {kind: openai, api_key: {env: OPENAI_API_KEY}}", "name at least one")
	}
	for n, p := range c.Providers {
		path := "providers." + n
		if !name.MatchString(n) {
			fail(path, badName, "%q cannot be a name", n)
		}
		if kind := p.Description(); kind == nil {
			fail(path+".kind", Suggestion(p.Kind, Kinds()), "there is no kind of provider %q", p.Kind)
		} else {
			switch {
			case p.BaseURL.Host != "" || strings.Contains(kind.BaseURL, "{"):
			case kind.BaseURL != "": // a kind that was named has given it
				fail(path, "such as kind: openai, or base_url: https://api.openai.com/v1", "kind and base_url are missing: name one of them")
			default:
				fail(path, "such as https://api.openai.com/v1", "base_url is missing: providers of the kind %s have each their own", p.Kind)
			}
			p.checkParts(path, kind, fail)
			p.checkCredentials(path, kind, fail)
		}
		for i, k := range p.APIKeys {
			c.checkWeight(path+".api_keys["+strconv.Itoa(i)+"].weight", k.Weight, fail)
		}
		if p.CAFile != "" && p.BaseURL.Scheme == "http" {
			fail(path+".ca_file", "", "is for https, but base_url is http")
		}
		c.checkHealth(path, p, fail)
	}
}

// checkCredentials looks at what requests to the provider are proved with: one of a few ways, and some kinds have their own.
func (p *Provider) checkCredentials(path string, k *Kind, fail failer) {
	ways := []struct {
		field string
		given bool
		may   bool
		kinds func(*Kind) bool
	}{
		{"api_key", p.APIKey != nil, true, nil},
		{"api_keys", len(p.APIKeys) > 0, true, nil},
		{"aws", p.AWS != nil, k.Auth.SigV4 != "", func(k *Kind) bool { return k.Auth.SigV4 != "" }},
		{"service_account", p.ServiceAccount != nil, k.Auth.Google, func(k *Kind) bool { return k.Auth.Google }},
	}
	first := ""
	var may []string
	for _, way := range ways {
		if way.may {
			may = append(may, way.field)
		}
		switch at := path + "." + way.field; {
		case !way.given:
		case !way.may:
			fail(at, "give an api_key", "is for providers of the kind %s, not of %s", strings.Join(kindsThat(way.kinds), ", "), p.Kind)
		case first != "":
			fail(at, "remove one of them", "stands beside %s, in whose place it is", first)
		default:
			first = way.field
		}
	}
	switch {
	case first == "" && (k.Auth.SigV4 != "" || k.Auth.Google):
		fail(path, "one of "+strings.Join(may, ", "), "has no credentials, which requests to the kind %s must have", p.Kind)
	case p.MockWithoutKey && (first == "" || first == "api_keys"):
		fail(path+".mock_without_key", "", "needs an api_key that may be missing")
	}
	if p.APIKey != nil {
		checkKey(path+".api_key", p.APIKey, fail)
	}
	for i := range p.APIKeys {
		at := path + ".api_keys[" + strconv.Itoa(i) + "]"
		checkKey(at+".key", &p.APIKeys[i].Key, fail)
	}
	if p.ServiceAccount != nil {
		checkKey(path+".service_account", p.ServiceAccount, fail)
	}
	if p.AWS != nil {
		p.AWS.check(path+".aws", fail)
	}
}

func checkKey(path string, key *Secret, fail failer) {
	switch {
	case (key.Env == "") == (key.File == ""):
		fail(path, "", "must name either env or file")
	case key.Env != "" && !variableName.MatchString(key.Env):
		// It may be the key itself.
		fail(path+".env", "such as OPENAI_API_KEY", "is not the name of an environment variable")
	}
}

func (c *Config) checkHealth(path string, p *Provider, fail failer) {
	b := p.Breaker
	for _, n := range []struct {
		field       string
		value, most int
	}{{"consecutive", b.Consecutive, maxNumber}, {"percent", b.Percent, 100}, {"volume", b.Volume, maxNumber}} {
		if n.value < 1 || n.value > n.most {
			fail(path+".breaker."+n.field, "", "must be 1 to %d", n.most)
		}
	}
	if b.MaxOpen < b.Open {
		fail(path+".breaker.max_open", "", "is less than open, %s", time.Duration(b.Open))
	}
	if h := p.HealthCheck; h.Path != "" && !plainPath(h.Path) {
		fail(path+".health_check.path", "such as /models", "%q is not a plain path", h.Path)
	}
	c.checkBudget(p.Limits.RetryBudget, path+".limits.retry_budget", fail)
	for _, l := range []struct {
		field string
		value int
	}{{"connections", p.Limits.Connections}, {"requests", p.Limits.Requests}} {
		if l.value < 0 || l.value > maxNumber {
			fail(path+".limits."+l.field, "0 is no limit", "must be 0 to %d", maxNumber)
		}
	}
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (c *Config) checkKeys(fail failer) {
	owner := map[string]string{}
	for _, n := range slices.Sorted(maps.Keys(c.Tenants)) {
		path := "tenants." + n
		if !name.MatchString(n) {
			fail(path, badName, "%q cannot be a name", n)
		}
		names := map[string]bool{}
		for i, k := range c.Tenants[n].Keys {
			at := path + ".keys[" + strconv.Itoa(i) + "]"
			sum := strings.ToLower(k.SHA256)
			switch _, err := hex.DecodeString(sum); {
			case err != nil || len(sum) != 64:
				fail(at+".sha256", `make it with: printf %s "$KEY" | sha256sum`, "must be the key's SHA-256, 64 hexadecimal digits")
			case owner[sum] != "":
				fail(at+".sha256", "", "stands twice: it is also that of %s", owner[sum])
			}
			owner[sum] = at
			switch {
			case k.Name == "":
				fail(at, "it tells the key apart in logs and limits", "name is missing")
			case names[k.Name]:
				fail(at+".name", "", "stands twice among the keys of tenant %q", n)
			}
			names[k.Name] = true
			for _, text := range []struct{ field, value string }{{"name", k.Name}, {"user", k.User}} {
				if strings.ContainsFunc(text.value, unicode.IsControl) {
					fail(at+"."+text.field, "", "holds a control character")
				}
			}
		}
	}
}

func (c *Config) checkOverrides(fail failer) {
	var known []string
	for _, m := range c.Pipeline {
		if !fromTenants(m.Module) {
			known = append(known, m.Module)
		}
	}
	for n, t := range c.Tenants {
		for m := range t.Modules {
			path := "tenants." + n + ".modules." + m
			switch {
			case fromTenants(m):
				fail(path, "", "the configuration of %s is made from tenants and routes, so there is nothing to override", m)
			case !slices.Contains(known, m):
				fail(path, Suggestion(m, known), "the pipeline has no module %q to override", m)
			}
		}
	}
}

// checkEarlyLimits looks at limits that stand ahead of auth, where nobody knows yet who calls.
func (c *Config) checkEarlyLimits(path string, limiter Raw, fail failer) {
	const hint = "put auth ahead of ratelimit"
	var of struct {
		Limits []struct {
			By string `json:"by"`
		} `json:"limits"`
	}
	_ = json.Unmarshal(limiter, &of) // what is wrong with it the module tells
	for i, limit := range of.Limits {
		if by := cmp.Or(limit.By, "key"); slices.Contains([]string{"key", "tenant", "user"}, by) {
			fail(path+".config.limits["+strconv.Itoa(i)+"]", hint, "counts by %s ahead of auth, where nobody knows who calls yet: it would count by address", by)
		}
	}
	for n, t := range c.Tenants {
		if _, own := t.Modules["ratelimit"]; own {
			fail("tenants."+n+".modules.ratelimit", hint, "is for a tenant that is not known yet, since ratelimit stands ahead of auth")
		}
	}
}

// fromTenants says of a module that its configuration is made from other parts of leash.yaml.
func fromTenants(module string) bool { return module == "auth" || module == "route" }

func (c *Config) hasModule(module string) bool {
	for _, m := range c.Pipeline {
		if m.Module == module {
			return true
		}
	}
	return false
}

// plainPath says that a path is written as Envoy normalizes it, so that it can match.
func plainPath(path string) bool {
	return path[0] == '/' && !strings.ContainsAny(path, "?#%*\\ ") && !strings.Contains(path, "//") && pathpkg.Clean(path) == strings.TrimSuffix(path, "/")
}

func (c *Config) checkPipeline(report failer) {
	seen, wrong := map[string]bool{}, false
	fail := func(path, hint, format string, args ...any) {
		wrong = true
		report(path, hint, format, args...)
	}
	for i, m := range c.Pipeline {
		path := "pipeline[" + strconv.Itoa(i) + "]"
		builtin := slices.Contains(Builtin, m.Module)
		switch {
		case m.Module == "":
			fail(path, "", "module is missing")
		case !name.MatchString(m.Module):
			fail(path+".module", badName, "%q cannot be a name", m.Module)
		case seen[m.Module]:
			fail(path+".module", "", "%q stands twice", m.Module)
		case !m.Own() && !IsOurs(m.Module):
			fail(path+".module", Suggestion(m.Module, Builtin), "%q is none of Leash's modules, so it needs a file or a ref", m.Module)
		case m.Module == tracerModule:
			fail(path+".module", "", "%q is the name of the module that Leash runs itself where there is a tracing", m.Module)
		case m.Module == carrierModule:
			fail(path+".module", "", "%q is the name of the module that Leash runs for each provider itself", m.Module)
		case m.Own() && builtin:
			fail(path+".module", "", "%q is the name of one of Leash's own modules: name yours otherwise", m.Module)
		case m.File != "" && m.Ref != "":
			fail(path+".ref", "", "there is a file too: name one of them")
		case m.Own() && m.Kind != "" && m.Kind != "policy" && m.Kind != "inspector":
			fail(path, "policy: a failure refuses the request; inspector: it does not", "kind must be policy or inspector")
		case !m.Own() && m.Kind != "":
			fail(path+".kind", "", "is only for modules with a file or a ref: %s knows its own", m.Module)
		case m.Module == "auth" && c.Given(path+".config.keys"):
			fail(path+".config.keys", "", "the keys of auth are made from tenants")
		case len(m.Config) > 0 && m.Module == "route":
			fail(path+".config", "", "the configuration of %s is made from tenants and routes", m.Module)
		case m.Module == "route" && i != len(c.Pipeline)-1:
			fail(path, "", "route must be the last module")
		case m.Module == "ratelimit" && !seen["auth"] && c.hasModule("auth"):
			c.checkEarlyLimits(path, m.Config, fail)
		}
		seen[m.Module] = true
	}
	switch {
	case wrong: // perhaps auth is there, misspelled
	case !seen["auth"] && !c.AllowAnonymous:
		fail("pipeline", "add {module: auth}, or set allow_anonymous: true", "has no auth, so whoever reaches the gateway could use it")
	case seen["auth"] && c.AllowAnonymous:
		fail("allow_anonymous", "", "contradicts the module auth in the pipeline")
	}
}
