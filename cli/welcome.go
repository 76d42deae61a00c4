package cli

import (
	"bytes"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/leash-gateway/leash/config"
)

// reachable is where a client on this machine reaches an address: one that listens everywhere is no address to ask.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsUnspecified() {
		return address
	}
	return net.JoinHostPort("127.0.0.1", port)
}

// demoSum is the SHA-256 of sk-leash-demo, the key that is printed because everybody knows it.
const (
	demoSum  = "dab3d8f1dd8779081d1d3d277bce527d52ab534b88700d61f3d3ed54fb16e8b3"
	trialSum = "f2e7a4a84b6b512c5575b48f883ef61715cbd061591865bd9aef26b85d91350b"
)

// welcome tells what to try.
func welcome(c *config.Config, by engine, mock *url.URL) string {
	var b strings.Builder
	listen := reachable(c.Listen)
	fmt.Fprintf(&b, "\nLeash is ready: gateway http://%s (%s)   metrics http://%s/metrics", listen, by, reachable(c.Control.Listen))
	if _, ok := by.(*envoyEngine); ok {
		fmt.Fprintf(&b, "   Envoy's admin http://%s", c.Envoy.Admin)
	}
	fmt.Fprintln(&b)
	if mock != nil {
		fmt.Fprintln(&b, "The built-in mock answers for providers without a key. Set what is named above as missing and start again for real answers.")
	}
	keys := map[string]bool{}
	for _, t := range c.Tenants {
		for _, k := range t.Keys {
			keys[k.SHA256] = true
		}
	}
	model := modelToTry(c)
	if !keys[demoSum] || model == "" {
		return b.String() + "\n"
	}
	chat := func(key, flags, body string) string {
		return fmt.Sprintf("curl %shttp://%s/v1/chat/completions -H 'Authorization: Bearer %s' -H 'Content-Type: application/json' -d '%s'",
			flags, listen, key, body)
	}
	ask := func(content, more string) string {
		return fmt.Sprintf(`{"model":"%s","messages":[{"role":"user","content":"%s"}]%s}`, model, content, more)
	}
	fmt.Fprintf(&b, "\n# a chat\n%s\n", chat("sk-leash-demo", "", ask("Say hello", "")))
	fmt.Fprintf(&b, "\n# a stream\n%s\n", chat("sk-leash-demo", "-N ", ask("Count to five", `,"stream":true`)))
	if slices.ContainsFunc(c.Pipeline, func(m config.Module) bool {
		return m.Module == "contentfilter" && bytes.Contains(m.Config, []byte("project bluebird"))
	}) {
		fmt.Fprintf(&b, "\n# blocked by the content filter\n%s\n", chat("sk-leash-demo", "", ask("Tell me about Project Bluebird", "")))
	}
	if keys[trialSum] {
		fmt.Fprintf(&b, "\n# the third hits a limit\nfor i in 1 2 3; do %s; echo; done\n", chat("sk-leash-trial", "", ask("Hi", "")))
	}
	return b.String() + "\nCtrl-C ends it.\n\n"
}

// modelToTry is a model that whoever has a key may ask for; "" where no route is for all of them.
func modelToTry(c *config.Config) string {
	for _, r := range c.Routes {
		switch {
		case r.Model == "" || len(r.Tenants) > 0 || len(r.Headers) > 0:
		case r.Model == "*":
			return "gpt-4o-mini"
		case !strings.Contains(r.Model, "*"):
			return r.Model
		}
	}
	return ""
}
