package gateway

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/host/abi"
)

// echo answers with the headers and trailers that the provider has got, a line each.
func echo(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	for name, values := range r.Header {
		_, _ = fmt.Fprintf(w, "%s: %s\n", strings.ToLower(name), strings.Join(values, ", "))
	}
	for name, values := range r.Trailer {
		_, _ = fmt.Fprintf(w, "trailer %s: %s\n", strings.ToLower(name), strings.Join(values, ", "))
	}
}

func TestWhatClientsMayNotSayDoesNotReachTheProvider(t *testing.T) {
	b := start(t, setup{}, echo)
	for protocol, client := range clients(t) {
		t.Run(protocol, func(t *testing.T) {
			b.client = client
			r := b.request("POST", "/v1/raw", "x")
			for _, name := range []string{
				"X-Leash-Route", "X-Leash-Tenant", "X_leash_route", "X_other", "X-Envoy-Original-Path", "X-Api-Key", "Api-Key", "X-Goog-Api-Key", "Proxy-Authorization",
				"Cookie", "Openai-Organization", "Openai-Project", "X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "X-Forwarded-Client-Cert", "X-Real-Ip", "Keep-Alive", "Proxy-Connection", "X-Request-Id",
			} {
				r.Header.Set(name, "planted")
			}
			r.Header.Set("X-Kept", "kept")
			a := b.do(r)
			if strings.Contains(a.body, "planted") || strings.Contains(a.body, demoKey) {
				t.Errorf("the provider has got\n%s", a.body)
			}
			if !strings.Contains(a.body, "x-kept: kept") || !strings.Contains(a.body, "authorization: Bearer "+providerKey) {
				t.Errorf("the provider has got\n%s\nwant its own key and x-kept", a.body)
			}
		})
	}
}

func TestHeadersOfTheConnectionStayThere(t *testing.T) {
	b := start(t, setup{}, echo)
	a := b.raw("POST /v1/raw HTTP/1.1\r\nHost: leash\r\nConnection: close, X-Hop\r\nConnection: x-second\r\nX-Hop: planted\r\nX-Second: planted\r\n" +
		"TE: trailers\r\nTransfer-Encoding: chunked\r\nTrailer: X-Leash-Route, Cookie, X-Sum\r\n\r\n1\r\nx\r\n0\r\nX-Leash-Route: planted\r\nCookie: planted\r\nX-Sum: 1\r\n\r\n")
	if a.status != 200 || strings.Contains(a.body, "planted") || strings.Contains(a.body, "trailers") {
		t.Errorf("got %d, and the provider has got\n%s", a.status, a.body)
	}
}

func TestWhatIsTheProvidersAndTheOperatorsDoesNotReachTheClient(t *testing.T) {
	b := start(t, setup{}, func(w http.ResponseWriter, _ *http.Request) {
		for _, name := range []string{"Openai-Organization", "Openai-Project", "Set-Cookie", "Location", "Server", "Keep-Alive", "Proxy-Connection", "X-Request-Id"} {
			w.Header().Set(name, "planted")
		}
		w.Header()["Content-Type"] = nil
		w.Header().Set("X-Kept", "kept")
		_, _ = io.WriteString(w, "<html>")
	})
	for protocol, client := range clients(t) {
		t.Run(protocol, func(t *testing.T) {
			b.client = client
			a := b.do(b.request("POST", "/v1/raw", "x"))
			for name, values := range a.header {
				if strings.Contains(strings.Join(values, ""), "planted") {
					t.Errorf("the client reads %s", name)
				}
			}
			if a.header.Get("X-Kept") != "kept" || a.header.Get("Content-Type") != "" || len(a.header.Get("X-Request-Id")) != 36 {
				t.Errorf("the client reads %v, want x-kept, a request id, and no guessed content type", a.header)
			}
		})
	}
}

func TestRequestsThatCanBeReadInTwoWaysAreRefused(t *testing.T) {
	b := start(t, setup{}, echo)
	const head = "POST /v1/raw HTTP/1.1\r\nHost: leash\r\n"
	tests := map[string]struct {
		request string
		want    int
	}{
		"two lengths":               {head + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400},
		"a negative length":         {head + "Content-Length: -1\r\n\r\n", 400},
		"a length with a sign":      {head + "Content-Length: +1\r\n\r\nx", 400},
		"an unknown encoding":       {head + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501},
		"two encodings":             {head + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
		"a space before the colon":  {head + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400},
		"a space in a name":         {head + "X Y: z\r\n\r\n", 400},
		"no name":                   {head + ": z\r\n\r\n", 400},
		"a null byte":               {head + "X-A: a\x00b\r\n\r\n", 400},
		"two hosts":                 {head + "Host: other\r\n\r\n", 400},
		"no host":                   {"POST /v1/raw HTTP/1.1\r\n\r\n", 400},
		"HTTP/1.0":                  {"POST /v1/raw HTTP/1.0\r\nHost: leash\r\n\r\n", 426},
		"HTTP/1.2":                  {"POST /v1/raw HTTP/1.2\r\nHost: leash\r\n\r\n", 426},
		"a path taken away":         {head + "Connection: close, :path\r\n\r\n", 400},
		"a proxy's word taken away": {head + "Connection: close, X-Forwarded-For\r\n\r\n", 400},
		"another protocol":          {head + "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n", 403},
		"a hidden slash":            {strings.Replace(head, "/v1/raw", "/v1%2fraw", 1) + "\r\n", 400},
		"a tunnel":                  {"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n", 400},
		"a tunnel to a path":        {"CONNECT /v1/raw HTTP/1.1\r\nHost: leash\r\n\r\n", 400},
		"a method of nobody's":      {"BREW /v1/raw HTTP/1.1\r\nHost: leash\r\n\r\n", 400},
		"a method, small":           {"get /v1/raw HTTP/1.1\r\nHost: leash\r\n\r\n", 400},
		"a method of WebDAV's":      {"PROPFIND /v1/raw HTTP/1.1\r\nHost: leash\r\n\r\n", 200},
		"to be repeated":            {"TRACE /v1/raw HTTP/1.1\r\nHost: leash\r\n\r\n", 404},
		"about the server":          {"OPTIONS * HTTP/1.1\r\nHost: leash\r\n\r\n", 400},
		"101 headers":               {head + strings.Repeat("X-A: 1\r\n", 101) + "\r\n", 431},
		"long headers":              {head + "X-A: " + strings.Repeat("a", 64<<10) + "\r\n\r\n", 431},
		"a broken chunk":            {head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			a := b.raw(tc.request)
			if a.status != tc.want {
				t.Errorf("got %d %s, want %d", a.status, a.body, tc.want)
			}
		})
	}
}

func TestAnOfferOfHTTP2IsDeclined(t *testing.T) {
	b := start(t, setup{}, echo)
	a := b.raw("POST /v1/raw HTTP/1.1\r\nHost: leash\r\nConnection: close, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nContent-Length: 1\r\n\r\nx")
	if a.status != 200 || strings.Contains(a.body, "upgrade") || strings.Contains(a.body, "http2-settings") {
		t.Errorf("got %d %s", a.status, a.body)
	}
}

func TestAnEmptyQueryIsAQuery(t *testing.T) {
	b := start(t, setup{}, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RequestURI) })
	for _, query := range []string{"", "?", "??", "?a=b?"} {
		if a := b.do(b.request("GET", "/v1/raw"+query, "")); a.body != "/v1/raw"+query {
			t.Errorf("%q: the provider is asked for %q", query, a.body)
		}
	}
}

// A module can set any name, also one that no header has.
func TestHeadersThatModulesMakeDoNotBreakTheGateway(t *testing.T) {
	h := abi.NewHeaders(":path", "/v1/raw?a=b", ":method", "POST", "", "nameless", "x-a", "1", "x-a", "2")
	base, err := url.Parse("http://provider.test/v1")
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{base: base}
	r := p.upstreamRequest(h, "/v1/raw")
	if got := r.Header["x-a"]; len(got) != 2 || r.URL.RawQuery != "a=b" || len(r.Header) != 2 { //nolint:staticcheck // names go out in lower case
		t.Errorf("made %v %v", r.URL, r.Header)
	}
}

func TestForwardedForIsTheClientsOwnAddress(t *testing.T) {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://leash/v1/models", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.RequestURI, r.RemoteAddr = "/v1/models", "192.0.2.7:1234"
	r.Header.Set("X-Forwarded-For", "10.0.0.1")
	h, refused := requestHeaders(r)
	if refused != nil {
		t.Fatal(refused)
	}
	if got, want := h.Value("x-forwarded-for"), "10.0.0.1,192.0.2.7"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
