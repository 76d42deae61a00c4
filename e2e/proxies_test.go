package e2e

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// proxied is a gateway that trusts what connects from 127.0.0.2, which every Linux has beside 127.0.0.1.
const proxied = head + `
trusted_proxies: [127.0.0.2/32, 10.0.0.0/8, "2001:db8:ffff::/48"]
pipeline:
  - module: logger
  - module: auth
    config: {unknown_keys: {requests: 3, window: 1h}}
  - module: ratelimit
    config: {limits: [{by: address, requests: 100, window: 1h}]}
`

const (
	trustedPeer = "127.0.0.2"
	otherPeer   = "127.0.0.1"
)

// from is a client that connects from an address of this machine, in HTTP/2 or HTTP/1.1.
func from(t *testing.T, address string, http2 bool) *http.Transport {
	t.Helper()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	transport := &http.Transport{DialContext: dialer.DialContext, Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(!http2)
	transport.Protocols.SetUnencryptedHTTP2(http2)
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// A told is what a provider was told, header by header.
type told struct {
	mu      sync.Mutex
	headers []http.Header
}

// provider answers every chat, and notes what it is told.
func (p *told) provider(t *testing.T) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.headers = append(p.headers, r.Header)
		p.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}`)
	}))
	t.Cleanup(server.Close)
	return server.URL + "/v1"
}

func TestWhoTheClientIsBehindProxies(t *testing.T) {
	t.Parallel()
	onAllHosts(t, testWhoTheClientIsBehindProxies)
}

func testWhoTheClientIsBehindProxies(t *testing.T, p ports) {
	const client, forged = "203.0.113.9", "198.51.100.1"
	list := func(n int, address, last string) string { return strings.Repeat(address+", ", n-1) + last }
	tests := map[string]struct {
		peer      string
		forwarded []string // X-Forwarded-For
		want      string
	}{
		"nobody in between":                         {otherPeer, nil, otherPeer},
		"who is no proxy says something":            {otherPeer, []string{forged}, otherPeer},
		"and names a proxy":                         {otherPeer, []string{forged + ", 10.0.0.1"}, otherPeer},
		"a proxy that says nothing":                 {trustedPeer, nil, trustedPeer},
		"a proxy":                                   {trustedPeer, []string{client}, client},
		"a client that has said something":          {trustedPeer, []string{forged + ", " + client}, client},
		"in a header of its own":                    {trustedPeer, []string{forged, client}, client},
		"that is no address":                        {trustedPeer, []string{"unknown, " + client}, client},
		"two proxies":                               {trustedPeer, []string{forged + "," + client + " , 10.1.2.3"}, client},
		"two proxies, a header each":                {trustedPeer, []string{forged, client, "10.1.2.3"}, client},
		"a client that is among the proxies":        {trustedPeer, []string{"10.9.9.9, 10.1.2.3"}, "10.9.9.9"},
		"IPv6":                                      {trustedPeer, []string{"2001:DB8:0::9"}, "2001:db8::9"},
		"IPv6 of a proxy":                           {trustedPeer, []string{client + ", 2001:db8:ffff::1"}, client},
		"IPv4 within IPv6":                          {trustedPeer, []string{"::ffff:203.0.113.9"}, client},
		"IPv4 of a proxy within IPv6 is no proxy's": {trustedPeer, []string{client + ", ::ffff:10.1.2.3"}, "10.1.2.3"},
		"a port":                         {trustedPeer, []string{client + ":4711"}, trustedPeer},
		"IPv6 in brackets":               {trustedPeer, []string{"[2001:db8::9]"}, trustedPeer},
		"IPv4 written otherwise":         {trustedPeer, []string{"203.0.113.009"}, trustedPeer},
		"what is no address, by a proxy": {trustedPeer, []string{client + ", unknown"}, trustedPeer},
		"nothing behind a comma":         {trustedPeer, []string{client + ","}, trustedPeer},
		"nothing":                        {trustedPeer, []string{""}, trustedPeer},
		"as many as are read":            {trustedPeer, []string{list(20, forged, client)}, client},
		"one more":                       {trustedPeer, []string{list(21, forged, client)}, trustedPeer},
		"one more, a header each":        {trustedPeer, strings.Split(list(21, forged, client), ", "), trustedPeer},
		"endless":                        {trustedPeer, []string{strings.Repeat("1", 10_000)}, trustedPeer},
	}
	var provider told
	g := start(t, proxied, p.of(provider.provider(t)))
	for protocol, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		peers := map[string]*http.Transport{trustedPeer: from(t, trustedPeer, http2), otherPeer: from(t, otherPeer, http2)}
		ask := func(t *testing.T, peer string, forwarded []string) answer {
			r := g.request(chatBody("say: hi", false))
			r.Header["X-Forwarded-For"] = forwarded
			const id = "00000000-0000-4000-8000-000000000000"
			r.Header.Set("X-Request-Id", id)
			for _, name := range []string{"X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "X-Client-Ip", "X-Envoy-External-Address"} {
				r.Header.Set(name, forged)
			}
			r.Header.Set("Forwarded", "for="+forged)
			a := doOver(t, peers[peer], r)
			if a.Status != 200 || a.Header.Get("X-Request-Id") == id {
				t.Fatalf("got %d %s with the id %q, want 200 and another", a.Status, a.Body, a.Header.Get("X-Request-Id"))
			}
			return a
		}
		for name, tc := range tests {
			t.Run(protocol+": "+name, func(t *testing.T) {
				a := ask(t, tc.peer, tc.forwarded)
				if got := g.with(t).exchange(a.Header.Get("X-Request-Id"))["address"]; got != tc.want {
					t.Errorf("the client is %v, want %s", got, tc.want)
				}
			})
		}
		t.Run(protocol+": each client has a limit of its own", func(t *testing.T) {
			own := "192.0.2.1"
			if http2 {
				own = "192.0.2.2"
			}
			for i, want := range []string{"99", "98"} {
				if got := ask(t, trustedPeer, []string{own}).Header.Get("X-Ratelimit-Remaining-Requests"); got != want {
					t.Errorf("request %d leaves %s, want %s", i, got, want)
				}
			}
		})
	}
	t.Run("who tries keys is locked out, and nobody else", func(t *testing.T) { testTriedKeys(t, g.with(t), from(t, trustedPeer, false)) })
	for _, header := range provider.headers {
		for name, values := range header {
			for _, value := range values {
				if strings.Contains(value, client) || strings.Contains(value, forged) || strings.Contains(value, "127.0.0.2") {
					t.Errorf("the provider is told of the client: %s: %s", name, value)
				}
			}
		}
	}
}

// testTriedKeys asks on many connections, which Envoy's workers share out among them.
func testTriedKeys(t *testing.T, g *gateway, proxy *http.Transport) {
	for i, ask := range []struct {
		client, key, code string
	}{
		{"2001:db8:7::1", "sk-one", "invalid_api_key"},
		{"2001:db8:7::1", demoKey, ""},
		{"2001:db8:7::2", "sk-two", "invalid_api_key"},
		{"2001:db8:7::3", "sk-three", "invalid_api_key"},
		{"2001:db8:7::4", "sk-four", "too_many_unknown_keys"},
		{"2001:db8:7::5", demoKey, "too_many_unknown_keys"},
		{"2001:db8:7::5", demoKey, "too_many_unknown_keys"},
		{"2001:db8:7:1::1", demoKey, ""},
		{"2001:db8:7:1::1", "sk-five", "invalid_api_key"},
	} {
		r := g.request(chatBody("say: hi", false))
		r.Close = true
		r.Header.Set("X-Forwarded-For", ask.client)
		r.Header.Set("Authorization", "Bearer "+ask.key)
		if a := doOver(t, proxy, r); a.errorCode() != ask.code || ask.code == "" && a.Status != 200 {
			t.Errorf("request %d, of %s with %s: got %d %s, want %s", i, ask.client, ask.key, a.Status, a.Body, ask.code)
		}
	}
}

// The peer of an IPv6 listener, and what holds when the proxies are named while the gateway runs.
func TestWhoTheClientIsOverIPv6(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, p ports) {
		var provider told
		url := provider.provider(t)
		listen := strings.Replace(head, "listen: 127.0.0.1:{{.Listen}}", `listen: "[::1]:{{.Listen}}"`, 1) + "pipeline: [{module: logger}, {module: auth}, {module: ratelimit}]\n"
		g := start(t, listen, p.of(url))
		g.URL = strings.Replace(g.URL, "127.0.0.1", "[::1]", 1)
		for _, step := range []struct{ proxies, want string }{
			{"", "::1"},
			{`trusted_proxies: ["2001:db8:ffff::/48"]`, "::1"},
			{`trusted_proxies: ["::1/128"]`, "2001:db8::9"},
			{"", "::1"},
		} {
			g.change(listen+step.proxies+"\n", url)
			r := g.request(chatBody("say: hi", false))
			r.Header.Set("X-Forwarded-For", "2001:db8:0:0::9")
			a := do(t, r)
			if got := g.exchange(a.Header.Get("X-Request-Id"))["address"]; got != step.want {
				t.Errorf("with %q the client is %v, want %s", step.proxies, got, step.want)
			}
		}
	})
}
