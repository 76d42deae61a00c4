package remote

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"time"

	"oras.land/oras-go/v2/registry/remote/auth"
)

// serviceTimeout is how long an answer may take: a promotion waits until Envoys have loaded a module, and a push until it has been tried.
const serviceTimeout = 5 * time.Minute

// Service is how a registry's other APIs are spoken to: a client that sends the credentials of the registry, and the
// address. It does not try anything again by itself.
func (c *Client) Service(ctx context.Context, registry string) (client *http.Client, url string, err error) {
	plain, err := c.speaksPlain(ctx, registry)
	if err != nil {
		return nil, "", fmt.Errorf("speak to %s: %w", registry, err)
	}
	scheme := "https"
	if plain {
		scheme = "http"
	}
	credential := auth.EmptyCredential
	if c.auth.Credential != nil {
		if credential, err = c.auth.Credential(ctx, registry); err != nil {
			return nil, "", fmt.Errorf("find the credentials of %s: %w", registry, err)
		}
	}
	return &http.Client{Transport: &withCredential{c.service, registry, credential, c.options.UserAgent}}, scheme + "://" + registry, nil
}

// withCredential sends a credential to one registry, and nowhere else.
type withCredential struct {
	transport  http.RoundTripper
	registry   string
	credential auth.Credential
	userAgent  string
}

// RoundTrip implements http.RoundTripper.
func (t *withCredential) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if t.userAgent != "" {
		r.Header.Set("User-Agent", t.userAgent)
	}
	if r.URL.Host == t.registry {
		switch c := t.credential; {
		case c.AccessToken != "":
			r.Header.Set("Authorization", "Bearer "+c.AccessToken)
		case c.RefreshToken != "":
			r.Header.Set("Authorization", "Bearer "+c.RefreshToken)
		case c.Password != "":
			r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(c.Username+":"+c.Password)))
		}
	}
	return t.transport.RoundTrip(r)
}
