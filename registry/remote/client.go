package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"oras.land/oras-go/v2/errdef"
	oras "oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
	"oras.land/oras-go/v2/registry/remote/errcode"
	"oras.land/oras-go/v2/registry/remote/retry"

	"github.com/leash-gateway/leash/registry/blobs"
	"github.com/leash-gateway/leash/registry/outbound"
)

// Options are how registries are spoken to. The zero value speaks TLS, without credentials.
type Options struct {
	// Credentials gives those of a registry, nil for none. See [Docker].
	Credentials credentials.Store
	// CAFile holds certificates (PEM) that vouch for registries, besides the system's.
	CAFile string
	// PlainHTTP speaks HTTP without TLS. To a registry on the loopback that has no TLS it is spoken anyway.
	PlainHTTP bool
	// UserAgent names the program to the registry.
	UserAgent string
	// Blobs keeps what is downloaded. Default: blobs.DefaultDir.
	Blobs *blobs.Folder
	// IdleTimeout is how long a transfer may stand still until it is tried again. Default: 30 s.
	IdleTimeout time.Duration
	// Local are registries that are in this process, by their address: requests to them do not go through the network.
	Local map[string]http.RoundTripper
	// Progress is told of bytes that went by; nil tells nobody.
	Progress func(Progress)
	// Warn is told what a registry says of a push that it has taken, such as what is still to be done; nil tells nobody.
	Warn func(text string)
}

// Progress is how far the transfer of a part has come.
type Progress struct {
	// Name is what is transferred, Done how many of its Total bytes. Known says that the other side had it already.
	Name        string
	Done, Total int64
	Known       bool
}

// Docker is docker's store of credentials: the file config.json in $DOCKER_CONFIG or ~/.docker, and the helpers that it
// names. Where there is neither helper nor permission to write plain text, Put says so.
func Docker(allowPlaintext bool) (credentials.Store, error) {
	store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{AllowPlaintextPut: allowPlaintext, DetectDefaultNativeStore: true})
	if err != nil {
		return nil, fmt.Errorf("open docker's credentials: %w", err)
	}
	return store, nil
}

// A Client speaks to registries. It is safe for concurrent use.
type Client struct {
	options Options
	blobs   blobs.Folder
	auth    *auth.Client
	service http.RoundTripper // of other APIs

	mu    sync.Mutex
	plain map[string]bool // by registry: it speaks HTTP
}

// New is a client.
func New(o Options) (*Client, error) {
	transport, err := outbound.Transport(o.CAFile)
	if err != nil {
		return nil, err
	}
	if o.IdleTimeout <= 0 {
		o.IdleTimeout = 30 * time.Second
	}
	patient := transport.Clone()
	patient.ResponseHeaderTimeout = serviceTimeout
	transport.ResponseHeaderTimeout = o.IdleTimeout
	c := &Client{service: routed{o.Local, patient}, options: o, blobs: blobs.In(blobs.DefaultDir()), plain: map[string]bool{}}
	if o.Blobs != nil {
		c.blobs = *o.Blobs
	}
	c.auth = &auth.Client{
		Client: &http.Client{Transport: &retry.Transport{Base: routed{o.Local, tried{transport, patient}}, Policy: func() retry.Policy { return retries }}},
		Header: http.Header{"User-Agent": {o.UserAgent}},
		Cache:  auth.NewCache(),
	}
	if o.Credentials != nil {
		c.auth.Credential = credentials.Credential(o.Credentials)
	}
	return c, nil
}

// retries are oras' own, but for a registry whose disk is full: somebody has to make room first, and a publisher to be told.
var retries = &retry.GenericPolicy{
	Retryable: func(response *http.Response, err error) (bool, error) {
		if response != nil && response.StatusCode == http.StatusInsufficientStorage {
			return false, nil
		}
		return retry.DefaultPredicate(response, err)
	},
	Backoff: retry.DefaultBackoff, MinWait: 200 * time.Millisecond, MaxWait: 3 * time.Second, MaxRetry: 5,
}

// routed sends requests to registries in this process, and the others to the network.
type routed struct {
	local   map[string]http.RoundTripper
	network http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t routed) RoundTrip(r *http.Request) (*http.Response, error) {
	if local := t.local[r.URL.Host]; local != nil {
		return local.RoundTrip(r)
	}
	return t.network.RoundTrip(r)
}

// tried waits longer for the answer to a manifest, at which Leash's registry tries the module.
type tried struct {
	http.RoundTripper
	manifests http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t tried) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/") {
		return t.manifests.RoundTrip(r)
	}
	return t.RoundTripper.RoundTrip(r)
}

// repository is a reference's, over HTTP or TLS as the registry speaks.
func (c *Client) repository(ctx context.Context, r Reference) (*oras.Repository, error) {
	repository, err := oras.NewRepository(r.Name())
	if err != nil {
		return nil, err
	}
	repository.Client = c.auth
	repository.SkipReferrersGC = true // many registries do not let anybody delete
	repository.PlainHTTP, err = c.speaksPlain(ctx, r.Registry)
	return repository, err
}

// speaksPlain finds out, once, whether a registry speaks HTTP without TLS. Only on the loopback that is good enough
// without being asked for.
func (c *Client) speaksPlain(ctx context.Context, registry string) (bool, error) {
	if c.options.Local[registry] != nil {
		return true, nil
	}
	if c.options.PlainHTTP || !OnLoopback(registry) {
		return c.options.PlainHTTP, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if plain, known := c.plain[registry]; known {
		return plain, nil
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+registry+"/v2/", http.NoBody)
	if err != nil {
		return false, err
	}
	response, err := c.auth.Client.Transport.RoundTrip(request)
	if err == nil {
		_ = response.Body.Close()
	}
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	_, isHTTP := errors.AsType[tls.RecordHeaderError](err)
	isHTTP = isHTTP || err != nil && strings.Contains(err.Error(), "server gave HTTP response to HTTPS client")
	c.plain[registry] = isHTTP
	return isHTTP, nil
}

// OnLoopback says that a registry is on this machine, of whose port nobody else sees what goes by.
func OnLoopback(registry string) bool {
	host, _, err := net.SplitHostPort(registry)
	if err != nil {
		host = registry
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Login checks a user's credentials at a registry and keeps them in the store.
func (c *Client) Login(ctx context.Context, registry, user, password string) error {
	r, err := c.registry(ctx, registry)
	if err != nil {
		return err
	}
	r.Client = &auth.Client{Client: c.auth.Client, Header: c.auth.Header} // without what is known of it so far
	credential := auth.Credential{Username: user, Password: password}
	if err := credentials.Login(ctx, c.options.Credentials, r, credential); err != nil {
		if errors.Is(err, credentials.ErrPlaintextPutDisabled) {
			return fmt.Errorf("log in to %s: there is no credential helper on this machine, so the password would stand readable in docker's config.json: --plaintext allows it", registry)
		}
		if answer, ok := errors.AsType[*errcode.ErrorResponse](err); ok && answer.StatusCode == http.StatusUnauthorized {
			return fmt.Errorf("log in to %s: %w", registry, once(err, answer.Errors)) // it has just been given some
		}
		return Explain(fmt.Errorf("log in to %s: %w", registry, err))
	}
	return nil
}

// Logout forgets the credentials of a registry.
func (c *Client) Logout(ctx context.Context, registry string) error {
	if err := credentials.Logout(ctx, c.options.Credentials, registry); err != nil {
		return fmt.Errorf("log out of %s: %w", registry, err)
	}
	return nil
}

func (c *Client) registry(ctx context.Context, name string) (*oras.Registry, error) {
	r, err := oras.NewRegistry(name)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", name, err)
	}
	r.Client = c.auth
	r.PlainHTTP, err = c.speaksPlain(ctx, name)
	return r, err
}

// errIdle says that a transfer stood still.
var errIdle = errors.New("the connection stands still")

// idle is a context that ends when touch has not been called for too long. stop frees what it takes.
func (c *Client) idle(ctx context.Context) (watched context.Context, touch, stop func()) {
	watched, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(c.options.IdleTimeout, func() { cancel(errIdle) })
	return watched, func() { timer.Reset(c.options.IdleTimeout) }, func() {
		timer.Stop()
		cancel(nil)
	}
}

// Unreachable says whether an error is that the registry was not reached, or was not able to answer: it has not said no.
func Unreachable(err error) bool {
	if answer, ok := errors.AsType[*errcode.ErrorResponse](err); ok {
		return answer.StatusCode >= http.StatusInternalServerError
	}
	if _, forged := errors.AsType[*tls.CertificateVerificationError](err); forged {
		return false
	}
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, errIdle) || errors.Is(err, io.ErrUnexpectedEOF)
}

// Explain adds what to do to errors that a person can do something about.
func Explain(err error) error {
	if err == nil {
		return nil
	}
	var hint string
	if answer, ok := errors.AsType[*errcode.ErrorResponse](err); ok {
		err = once(err, answer.Errors)
		switch answer.StatusCode {
		case http.StatusUnauthorized:
			hint = "leash module login " + answer.URL.Host + " gives it credentials"
		case http.StatusForbidden:
			if len(answer.Errors) == 0 { // else it says why, which need not be the credentials
				hint = "these credentials may not do that"
			}
		case http.StatusNotFound:
			hint = "leash module list REPOSITORY shows what is there"
		case http.StatusTooManyRequests:
			hint = "the registry wants less: try again later"
		}
	}
	if errors.Is(err, errdef.ErrNotFound) {
		hint = "leash module list REPOSITORY shows what is there"
	}
	if _, unknown := errors.AsType[x509.UnknownAuthorityError](err); unknown {
		hint = "--ca-file FILE names the certificate that vouches for it"
	}
	if strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		hint = "the registry speaks no TLS: --plain-http allows that"
	}
	if hint == "" {
		return err
	}
	return fmt.Errorf("%w (%s)", err, hint)
}

// told is an error in other words.
type told struct {
	error

	text string
}

func (t told) Error() string { return t.text }

func (t told) Unwrap() error { return t.error }

// once leaves out the details of a registry's errors that their messages hold already, as those of Leash's registry do.
func once(err error, answers errcode.Errors) error {
	text := err.Error()
	for _, answer := range answers {
		details, list := answer.Detail.([]any)
		if !list || slices.ContainsFunc(details, func(detail any) bool { return !strings.Contains(answer.Message, fmt.Sprint(detail)) }) {
			continue
		}
		short := errcode.Error{Code: answer.Code, Message: answer.Message}
		text = strings.ReplaceAll(text, answer.Error(), short.Error())
	}
	return told{err, text}
}
