package config

import (
	"encoding/hex"
	"net"
	"regexp"
	"strconv"
	"strings"
)

// Builtin are the modules that Leash brings, which need no file.
var Builtin = []string{"auth", "ratelimit", "contentfilter", "costtracker", "logger", "route"}

var name = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// check looks at what the types cannot say.
func (c *Config) check(d *decoder) {
	fail := func(path, hint, format string, args ...any) {
		line, column := c.Position(path)
		d.fail(path, position{line, column}, hint, format, args...)
	}
	c.checkAddresses(fail)
	c.checkProviders(fail)
	c.checkTenants(fail)
	c.checkRoutes(fail)
	c.checkPipeline(fail)
}

type failer func(path, hint, format string, args ...any)

func (c *Config) checkAddresses(fail failer) {
	for _, a := range []struct{ path, address string }{
		{"listen", c.Listen}, {"control.listen", c.Control.Listen}, {"envoy.admin", c.Envoy.Admin},
	} {
		host, port, err := net.SplitHostPort(a.address)
		number, notNumber := strconv.Atoi(port)
		if err != nil || notNumber != nil || number < 1 || number > 65535 || net.ParseIP(host) == nil {
			fail(a.path, "write it as 127.0.0.1:8080", "%q is not an IP address and port", a.address)
		} else if a.path == "envoy.admin" && !net.ParseIP(host).IsLoopback() {
			fail(a.path, "", "must be on the loopback: whoever reaches Envoy's admin interface can stop it")
		}
	}
	if c.Envoy.Concurrency < 0 {
		fail("envoy.concurrency", "", "must not be negative")
	}
	switch c.Envoy.LogLevel {
	case "trace", "debug", "info", "warning", "error":
	default:
		fail("envoy.log_level", "", "%q is not one of trace, debug, info, warning, error", c.Envoy.LogLevel)
	}
}

func (c *Config) checkProviders(fail failer) {
	if len(c.Providers) == 0 {
		fail("providers", "name at least one", "are missing")
	}
	for n, p := range c.Providers {
		path := "providers." + n
		if !name.MatchString(n) {
			fail(path, "", "a name is made of letters, digits, dots, dashes and underscores, 63 at the most")
		}
		if p.BaseURL.Host == "" {
			fail(path, "such as https://api.openai.com/v1", "base_url is missing")
		}
		if p.APIKey != nil && (p.APIKey.Env == "") == (p.APIKey.File == "") {
			fail(path+".api_key", "", "must name either env or file")
		}
		if p.MockWithoutKey && p.APIKey == nil {
			fail(path+".mock_without_key", "", "needs an api_key that may be missing")
		}
	}
}

func (c *Config) checkTenants(fail failer) {
	owner := map[string]string{}
	for n, t := range c.Tenants {
		path := "tenants." + n
		if !name.MatchString(n) {
			fail(path, "", "a name is made of letters, digits, dots, dashes and underscores, 63 at the most")
		}
		for i, k := range t.Keys {
			at := path + ".keys[" + strconv.Itoa(i) + "]"
			sum := strings.ToLower(k.SHA256)
			switch _, err := hex.DecodeString(sum); {
			case err != nil || len(sum) != 64:
				fail(at+".sha256", `make it with printf %s "$KEY" | sha256sum`, "must be the key's SHA-256, 64 hexadecimal digits")
			case k.Name == "":
				fail(at, "", "name is missing")
			case owner[sum] != "":
				fail(at+".sha256", "", "stands twice: the key is also %s", owner[sum])
			}
			owner[sum] = at
		}
		for m := range t.Modules {
			if !c.hasModule(m) {
				fail(path+".modules."+m, "", "the pipeline has no module %q to override", m)
			}
		}
	}
}

func (c *Config) hasModule(module string) bool {
	for _, m := range c.Pipeline {
		if m.Module == module {
			return true
		}
	}
	return false
}

func (c *Config) checkRoutes(fail failer) {
	if len(c.Routes) == 0 {
		fail("routes", "such as {model: gpt-4o-mini, provider: openai}", "are missing")
	}
	for i, r := range c.Routes {
		path := "routes[" + strconv.Itoa(i) + "]"
		if (r.Model == "") == (r.Path == "") {
			fail(path, "", "must name either a model or a path")
		}
		if r.Path != "" && (!strings.HasPrefix(r.Path, "/") || strings.ContainsAny(r.Path, "?#%*") || strings.Contains(r.Path, "//")) {
			fail(path+".path", "such as /v1/embeddings", "%q is not a plain path", r.Path)
		}
		if r.Path != "" && r.UpstreamModel != "" {
			fail(path+".upstream_model", "", "is for routes by model")
		}
		if r.Path == "/v1/chat/completions" || r.Path == "/v1/models" {
			fail(path+".path", "", "this path is routed by model")
		}
		if c.Providers[r.Provider] == nil {
			known := make([]string, 0, len(c.Providers))
			for n := range c.Providers {
				known = append(known, n)
			}
			fail(path+".provider", suggestion(r.Provider, known), "there is no provider %q", r.Provider)
		}
	}
}

func (c *Config) checkPipeline(fail failer) {
	seen := map[string]bool{}
	for i, m := range c.Pipeline {
		path := "pipeline[" + strconv.Itoa(i) + "]"
		builtin := isBuiltin(m.Module)
		switch {
		case m.Module == "":
			fail(path, "", "module is missing")
		case !name.MatchString(m.Module):
			fail(path+".module", "", "a name is made of letters, digits, dots, dashes and underscores, 63 at the most")
		case seen[m.Module]:
			fail(path+".module", "", "%q stands twice", m.Module)
		case m.File == "" && !builtin:
			fail(path+".module", suggestion(m.Module, Builtin), "%q is none of Leash's modules, so it needs a file", m.Module)
		case m.File != "" && builtin:
			fail(path+".module", "", "%q is the name of one of Leash's own modules: name yours otherwise", m.Module)
		case m.File != "" && m.Kind != "policy" && m.Kind != "inspector":
			fail(path, "policy: a failure refuses the request; inspector: it does not", "kind must be policy or inspector")
		case m.File == "" && m.Kind != "":
			fail(path+".kind", "", "is only for modules with a file: %s knows its own", m.Module)
		case len(m.Config) > 0 && (m.Module == "auth" || m.Module == "route"):
			fail(path+".config", "", "the configuration of %s is made from tenants and routes", m.Module)
		case m.Module == "route" && i != len(c.Pipeline)-1:
			fail(path, "", "route must be the last module")
		}
		seen[m.Module] = true
	}
	switch {
	case !seen["auth"] && !c.AllowAnonymous:
		fail("pipeline", "add {module: auth}, or set allow_anonymous: true", "has no auth, so whoever reaches the gateway could use it")
	case seen["auth"] && c.AllowAnonymous:
		fail("allow_anonymous", "", "contradicts the module auth in the pipeline")
	}
}

func isBuiltin(module string) bool {
	for _, b := range Builtin {
		if b == module {
			return true
		}
	}
	return false
}
