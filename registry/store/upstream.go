package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"

	"github.com/leash-gateway/leash/registry/catalog"
	"github.com/leash-gateway/leash/registry/outbound"
)

// UpstreamOptions say where a registry is that is there already.
type UpstreamOptions struct {
	// URL is its address, with the path below which repositories are.
	URL string
	// User and Password are what it knows this registry by. "": docker's credentials for it.
	User, Password string
	// CAFile holds certificates (PEM) that vouch for it, besides the system's.
	CAFile string
	// Cache is a folder for what has been read of it, CacheBytes its bound. Default: 10 GiB.
	Cache      string
	CacheBytes int64
	// UserAgent names this program to it.
	UserAgent string
	// Log is told when the cache cannot be kept in its bound. Default: nobody.
	Log *slog.Logger
}

// An Upstream is a store in another OCI registry. What has been read of it is kept, and goes on to be served while it
// cannot be reached.
type Upstream struct {
	base   *url.URL // without a path
	prefix string   // of repositories, with a slash behind it, or ""
	auth   *auth.Client
	cache  *cache

	mu       sync.Mutex
	sessions map[string]session
}

// session is an upload that is under way, by the id that clients know.
type session struct {
	at   *url.URL
	last time.Time
}

// sessionLife is how long an upload may rest.
const sessionLife = time.Hour

// OpenUpstream makes a store. It does not speak to the registry yet.
func OpenUpstream(o UpstreamOptions) (*Upstream, error) {
	at, err := url.Parse(o.URL)
	if err != nil {
		return nil, fmt.Errorf("open upstream: %w", err)
	}
	u := &Upstream{base: &url.URL{Scheme: at.Scheme, Host: at.Host}, sessions: map[string]session{}}
	if u.prefix = strings.Trim(at.Path, "/"); u.prefix != "" {
		u.prefix += "/"
	}
	transport, err := outbound.Transport(o.CAFile)
	if err != nil {
		return nil, fmt.Errorf("open upstream: %w", err)
	}
	transport.ResponseHeaderTimeout = time.Minute
	u.auth = &auth.Client{Client: &http.Client{Transport: transport}, Header: http.Header{"User-Agent": {o.UserAgent}}, Cache: auth.NewCache()}
	if o.User != "" {
		u.auth.Credential = auth.StaticCredential(u.base.Host, auth.Credential{Username: o.User, Password: o.Password})
	} else {
		known, err := credentials.NewStoreFromDocker(credentials.StoreOptions{})
		if err != nil {
			return nil, fmt.Errorf("open upstream: open docker's credentials: %w", err)
		}
		u.auth.Credential = credentials.Credential(known)
	}
	u.cache = newCache(o)
	return u, nil
}

// Close ends nothing: requests end by themselves.
func (u *Upstream) Close() error {
	u.auth.Client.CloseIdleConnections()
	return nil
}

// KeepsTags says that others look at the tags.
func (u *Upstream) KeepsTags() bool { return true }

// Keep leaves it to the other registry.
func (u *Upstream) Keep(context.Context, string, digest.Digest, []digest.Digest) error { return nil }

// Headers that go to the other registry, and that come back.
var (
	asked    = []string{"Accept", "Content-Range", "Content-Type", "If-None-Match", "Range"}
	answered = []string{"Content-Length", "Content-Range", "Content-Type", "Accept-Ranges", "Docker-Content-Digest", "Etag", "Oci-Subject", "Oci-Filters-Applied", "Range", "Retry-After", "Warning"}
)

// ServeHTTP passes a request to the other registry.
func (u *Upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, repository := strings.TrimPrefix(r.URL.Path, "/v2/"), ""
	at := u.base.JoinPath("/v2/", u.prefix+path)
	at.RawQuery = r.URL.RawQuery
	id := ""
	if before, rest, found := strings.Cut(path, "/blobs/uploads/"); found {
		repository, id = before, rest
	} else {
		for _, between := range []string{"/manifests/", "/blobs/", "/referrers/", "/tags/"} {
			if at := strings.LastIndex(path, between); at > 0 {
				repository = path[:at]
				break
			}
		}
	}
	query := r.URL.Query()
	switch {
	case id != "":
		known, found := u.session(id)
		if !found {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"there is no such upload, or no longer: begin again"}]}`)
			return
		}
		maps.Copy(query, known.Query())
		at = known
		at.RawQuery = query.Encode()
	case query.Get("from") != "":
		query.Set("from", u.prefix+query.Get("from"))
		at.RawQuery = query.Encode()
	}
	answer, err := u.do(r, repository, at)
	if err != nil {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, `{"errors":[{"code":"UNKNOWN","message":"the registry behind this one cannot be reached: try again later"}]}`)
		return
	}
	defer answer.Body.Close() //nolint:errcheck // only read
	u.answer(w, r, answer, repository, id)
}

// session is where an upload goes on.
func (u *Upstream) session(id string) (*url.URL, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	s, found := u.sessions[id]
	if !found {
		return nil, false
	}
	at := *s.at
	return &at, true
}

// do sends a request on. What is streamed cannot be sent twice, so the credentials are fetched before.
func (u *Upstream) do(r *http.Request, repository string, at *url.URL) (*http.Response, error) {
	actions := []string{auth.ActionPull}
	switch r.Method {
	case http.MethodPut, http.MethodPost, http.MethodPatch:
		actions = append(actions, auth.ActionPush)
	case http.MethodDelete:
		actions = append(actions, auth.ActionDelete)
	}
	ctx := r.Context()
	if repository != "" {
		ctx = auth.AppendScopesForHost(ctx, u.base.Host, auth.ScopeRepository(u.prefix+repository, actions...))
	}
	request, err := http.NewRequestWithContext(ctx, r.Method, at.String(), r.Body)
	if err != nil {
		return nil, err
	}
	for _, name := range asked {
		if values := r.Header.Values(name); len(values) > 0 {
			request.Header[name] = values
		}
	}
	request.ContentLength = r.ContentLength
	switch {
	case r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody:
		request.Body = http.NoBody
	case r.ContentLength > 0 && r.ContentLength <= MaxManifest:
		content, err := io.ReadAll(io.LimitReader(r.Body, MaxManifest))
		if err != nil {
			return nil, err
		}
		request.Body = io.NopCloser(bytes.NewReader(content))
		request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
	default:
		ping, err := http.NewRequestWithContext(ctx, http.MethodGet, u.base.JoinPath("/v2/").String(), http.NoBody)
		if err != nil {
			return nil, err
		}
		if answer, err := u.auth.Do(ping); err == nil {
			_ = answer.Body.Close()
		}
	}
	return u.auth.Do(request)
}

// answer passes an answer back. Places in the other registry become places here.
func (u *Upstream) answer(w http.ResponseWriter, r *http.Request, answer *http.Response, repository, id string) {
	for _, name := range answered {
		if values := answer.Header.Values(name); len(values) > 0 {
			w.Header()[name] = values
		}
	}
	if location, err := answer.Location(); err == nil {
		w.Header().Set("Location", u.here(location, repository, id))
	}
	if link := answer.Header.Get("Link"); link != "" {
		w.Header().Set("Link", strings.Replace(link, "/v2/"+u.prefix, "/v2/", 1))
	}
	if id != "" && (answer.StatusCode == http.StatusCreated || r.Method == http.MethodDelete) {
		u.mu.Lock()
		delete(u.sessions, id)
		u.mu.Unlock()
	}
	w.WriteHeader(answer.StatusCode)
	if r.Method != http.MethodHead {
		_, _ = io.Copy(w, answer.Body)
	}
}

// here is a place in the other registry as clients are told it: an upload by an id of our own.
func (u *Upstream) here(location *url.URL, repository, id string) string {
	rest, found := strings.CutPrefix(location.Path, "/v2/"+u.prefix)
	if found && !strings.Contains(rest, "/blobs/uploads/") {
		return "/v2/" + rest
	}
	if id == "" {
		const random = 16
		raw := make([]byte, random)
		_, _ = rand.Read(raw) // never fails
		id = hex.EncodeToString(raw)
	}
	now := time.Now()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sessions[id] = session{location, now}
	for other, s := range u.sessions {
		if now.Sub(s.last) > sessionLife {
			delete(u.sessions, other)
		}
	}
	return "/v2/" + repository + "/blobs/uploads/" + id
}

// Manifest is a manifest.
func (u *Upstream) Manifest(ctx context.Context, repository string, of digest.Digest) ([]byte, error) {
	in, err := u.open(ctx, repository, "manifests", of)
	if err != nil {
		return nil, err
	}
	defer in.Close() //nolint:errcheck // only read
	return readManifest(in, repository, of)
}

// Blob is a blob, verified.
func (u *Upstream) Blob(ctx context.Context, repository string, of digest.Digest) (io.ReadCloser, error) {
	return u.Open(ctx, repository, of)
}

// Open is a blob, verified. The caller closes it.
func (u *Upstream) Open(ctx context.Context, repository string, of digest.Digest) (*os.File, error) {
	return u.open(ctx, repository, "blobs", of)
}

// open is something by its digest: out of the cache, or fetched into it.
func (u *Upstream) open(ctx context.Context, repository, kind string, of digest.Digest) (*os.File, error) {
	in, err := u.cache.open(ctx, of, func() (int64, func(context.Context, int64) (io.ReadCloser, int64, error), error) {
		at := u.base.JoinPath("/v2/", u.prefix+repository, kind, of.String())
		ctx := auth.AppendScopesForHost(ctx, u.base.Host, auth.ScopeRepository(u.prefix+repository, auth.ActionPull))
		head, err := u.fetch(ctx, http.MethodHead, at, 0)
		if err != nil {
			return 0, nil, err
		}
		_ = head.Body.Close()
		if head.ContentLength < 0 {
			return 0, nil, errors.New("the registry does not say how large it is")
		}
		return head.ContentLength, func(_ context.Context, offset int64) (io.ReadCloser, int64, error) {
			got, err := u.fetch(ctx, http.MethodGet, at, offset)
			if err != nil {
				return nil, 0, err
			}
			if got.StatusCode != http.StatusPartialContent {
				offset = 0
			}
			return got.Body, offset, nil
		}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("read %s@%s: %w", repository, of, err)
	}
	return in, nil
}

// fetch asks the other registry for something, from an offset on.
func (u *Upstream) fetch(ctx context.Context, method string, at *url.URL, offset int64) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, at.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.index.v1+json, */*")
	if offset > 0 {
		request.Header.Set("Range", "bytes="+strconv.FormatInt(offset, 10)+"-")
	}
	answer, err := u.auth.Do(request)
	if err != nil {
		return nil, err
	}
	switch {
	case answer.StatusCode == http.StatusNotFound:
		return nil, errors.Join(catalog.ErrNotFound, answer.Body.Close())
	case answer.StatusCode >= http.StatusMultipleChoices:
		return nil, errors.Join(fmt.Errorf("the registry behind this one answers %s", answer.Status), answer.Body.Close())
	}
	return answer, nil
}
