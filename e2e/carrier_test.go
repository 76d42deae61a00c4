package e2e

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"testing"
)

// carriers are ways in which one and the same request can be sent. What a policy decides must not depend on them.
var carriers = map[string]func(r *http.Request) http.RoundTripper{
	"HTTP/1.1": func(*http.Request) http.RoundTripper { return http.DefaultTransport },
	"HTTP/2":   func(*http.Request) http.RoundTripper { return overHTTP2 },
	"Expect: 100-continue": func(r *http.Request) http.RoundTripper {
		r.Header.Set("Expect", "100-continue")
		return http.DefaultTransport
	},
	"single bytes over HTTP/1.1": func(r *http.Request) http.RoundTripper {
		inBytes(r)
		return http.DefaultTransport
	},
	"single bytes over HTTP/2": func(r *http.Request) http.RoundTripper {
		inBytes(r)
		return overHTTP2
	},
}

// overHTTP2 speaks HTTP/2 without TLS to who is known to speak it.
var overHTTP2 = func() http.RoundTripper {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Transport{Protocols: protocols}
}()

// inBytes sends the body of a request in chunks of one byte, without telling its length.
func inBytes(r *http.Request) {
	body := r.Body
	reader, writer := io.Pipe()
	r.Body, r.ContentLength = reader, -1
	go func() {
		defer body.Close() //nolint:errcheck // read from memory
		one := make([]byte, 1)
		for {
			if _, err := body.Read(one); err != nil {
				_ = writer.Close()
				return
			}
			if _, err := writer.Write(one); err != nil {
				return // it was answered before its end
			}
		}
	}()
}

// onCarriers sends a request in each of the ways. The request itself stays as it is.
func onCarriers(t *testing.T, r *http.Request, check func(how string, a answer)) {
	t.Helper()
	for _, how := range slices.Sorted(maps.Keys(carriers)) {
		one := r.Clone(t.Context())
		body, err := r.GetBody()
		if err != nil {
			t.Fatal(err)
		}
		one.Body = body
		check(how, doOver(t, carriers[how](one), one))
	}
}
