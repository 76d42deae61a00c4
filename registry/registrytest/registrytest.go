// Package registrytest has registries for tests, and what is wrong with registries in the field: tokens, redirects, slow
// and broken connections, and answers that somebody in the middle has changed.
package registrytest

import (
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"

	"github.com/leash-gateway/leash/manifest"
)

var quiet = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)

// Olareg is a registry in memory, with the API for referrers.
func Olareg(t testing.TB) http.Handler {
	t.Helper()
	yes := true
	s := olareg.New(config.Config{
		Storage: config.ConfigStorage{StoreType: config.StoreMem}, API: config.ConfigAPI{DeleteEnabled: &yes, Referrer: config.ConfigAPIReferrer{Enabled: &yes}},
	})
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// Plain is a registry in memory without that API.
func Plain() http.Handler {
	return registry.New(registry.WithReferrersSupport(false), registry.Logger(quiet))
}

// Serve serves a registry without TLS, and returns its address.
func Serve(t testing.TB, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// ServeTLS serves a registry with TLS, and returns its address and the file of the certificate that vouches for it.
func ServeTLS(t testing.TB, h http.Handler) (address, caFile string) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = quiet // clients that do not trust it are what is tested
	s.StartTLS()
	t.Cleanup(s.Close)
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(caFile, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(s.URL, "https://"), caFile
}

// User and Password are what [Tokens] takes.
const (
	User     = "ada"
	Password = "planted-password"
)

// Tokens asks for a bearer token, which user and password get from the registry itself.
func Tokens(h http.Handler) http.Handler {
	const token = "planted-token"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			user, password, _ := r.BasicAuth()
			if r.Method == http.MethodPost {
				user, password = r.PostFormValue("username"), r.PostFormValue("password")
			}
			if user != User || password != Password {
				http.Error(w, `{"errors":[{"code":"UNAUTHORIZED"}]}`, http.StatusUnauthorized)
				return
			}
			_, _ = fmt.Fprintf(w, `{"token":%q,"access_token":%q}`, token, token)
			return
		}
		if r.Header.Get("Authorization") != "Bearer "+token {
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+r.Host+`/token",service="test"`)
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED"}]}`, http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// Redirects sends downloads of blobs to another address, as registries in clouds do. leaked tells the credentials that
// have been sent there.
func Redirects(t testing.TB, h http.Handler) (redirecting http.Handler, leaked *atomic.Value) {
	t.Helper()
	leaked = &atomic.Value{}
	elsewhere := Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if secret := r.Header.Get("Authorization"); secret != "" {
			leaked.Store(secret)
		}
		h.ServeHTTP(w, r)
	}))
	_, port, _ := strings.Cut(elsewhere, ":")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/sha256:") {
			http.Redirect(w, r, "http://localhost:"+port+r.URL.Path, http.StatusTemporaryRedirect) //nolint:gosec // of a test's own address
			return
		}
		h.ServeHTTP(w, r)
	}), leaked
}

// Breaks cuts the answers to downloads of blobs after so many bytes, the first times; ranges are served.
func Breaks(h http.Handler, after int, times int32) (breaking http.Handler, ranges *atomic.Int32) {
	var broken atomic.Int32
	ranges = &atomic.Int32{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/sha256:") {
			h.ServeHTTP(w, r)
			return
		}
		if r.Header.Get("Range") != "" {
			ranges.Add(1)
		}
		if broken.Add(1) > times {
			h.ServeHTTP(w, r)
			return
		}
		h.ServeHTTP(&cutter{ResponseWriter: w, left: after}, r)
	}), ranges
}

// Stalls stands still in the middle of downloads of blobs, the first times, until the client gives up; else it is slow: it
// sends the rest in small pieces.
func Stalls(h http.Handler, times int32) http.Handler {
	var stalled atomic.Int32
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/sha256:") {
			h.ServeHTTP(w, r)
			return
		}
		h.ServeHTTP(&staller{ResponseWriter: w, gone: r.Context().Done(), forever: stalled.Add(1) <= times}, r)
	})
}

type staller struct {
	http.ResponseWriter
	gone    <-chan struct{}
	forever bool
}

func (s *staller) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var written int
		written, err = s.ResponseWriter.Write(b[n:min(n+64<<10, len(b))])
		n += written
		if flusher, ok := s.ResponseWriter.(http.Flusher); ok {
			flusher.Flush()
		}
		if s.forever {
			<-s.gone
			return n, http.ErrAbortHandler
		}
		select {
		case <-s.gone:
		case <-time.After(time.Millisecond):
		}
	}
	return n, err
}

type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(b []byte) (int, error) {
	if len(b) > c.left {
		_, _ = c.ResponseWriter.Write(b[:c.left])
		panic(http.ErrAbortHandler) // closes the connection
	}
	c.left -= len(b)
	return c.ResponseWriter.Write(b)
}

// Fails answers uploads with 503, the first times.
func Fails(h http.Handler, times int32) http.Handler {
	var failed atomic.Int32
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if (r.Method == http.MethodPut || r.Method == http.MethodPost) && failed.Add(1) <= times {
			_, _ = io.Copy(io.Discard, r.Body)
			http.Error(w, `{"errors":[{"code":"UNAVAILABLE"}]}`, http.StatusServiceUnavailable)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// CutsUploads closes the connection after so many bytes of an upload, the first times.
func CutsUploads(h http.Handler, after int64, times int32) http.Handler {
	var cut atomic.Int32
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		upload := (r.Method == http.MethodPut || r.Method == http.MethodPatch) && strings.Contains(r.URL.Path, "/blobs/uploads/")
		if upload && r.ContentLength > after && cut.Add(1) <= times {
			_, _ = io.CopyN(io.Discard, r.Body, after)
			panic(http.ErrAbortHandler) // closes the connection
		}
		h.ServeHTTP(w, r)
	})
}

// InTheMiddle changes answers to GET whose path contains part.
func InTheMiddle(h http.Handler, part string, change func(header http.Header, body []byte) []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, part) {
			h.ServeHTTP(w, r)
			return
		}
		recorded := httptest.NewRecorder()
		h.ServeHTTP(recorded, r)
		for name, values := range recorded.Header() {
			w.Header()[name] = values
		}
		body := recorded.Body.Bytes()
		if recorded.Code < http.StatusMultipleChoices {
			body = change(w.Header(), body)
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(recorded.Code)
		_, _ = w.Write(body)
	})
}

// Module is a small .wasm with a manifest: a proxy-wasm module by its imports and exports, which runs nothing. content
// tells modules apart.
func Module(t testing.TB, name, version, content string) []byte {
	t.Helper()
	const abi = "proxy_abi_version_0_2_1"
	exports := append(append([]byte{1, byte(len(abi))}, abi...), 0, 0)
	wasm := []byte("\x00asm\x01\x00\x00\x00\x02\x11\x01\x03env\x09proxy_log\x00\x00\x05\x04\x01\x01\x01\x04")
	wasm = append(append(append(wasm, 7), leb(len(exports))...), exports...)
	custom := append([]byte{4, 't', 'e', 's', 't'}, content...)
	wasm = append(append(wasm, 0), leb(len(custom))...)
	wasm = append(wasm, custom...)
	wasm, err := manifest.Put(wasm, []byte("name: "+name+"\nversion: "+version+"\nkind: inspector\ndescription: A module of a test.\nlicense: Apache-2.0\nphases: [request]\n"))
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

func leb(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) } //nolint:gosec // a length
