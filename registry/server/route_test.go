package server

import (
	"net/http"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/registry/access"
)

func TestRoutesAreWhatTheSpecificationSays(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]route{
		"/v2/":                                 {kind: ping},
		"/v2/team/hello/manifests/1.0.0":       {"team/hello", manifests, "1.0.0"},
		"/v2/a/manifests/manifests/x":          {"a/manifests", manifests, "x"},
		"/v2/team/hello/blobs/sha256:ab":       {"team/hello", content, "sha256:ab"},
		"/v2/team/hello/blobs/uploads/":        {"team/hello", upload, ""},
		"/v2/team/hello/blobs/uploads":         {"team/hello", upload, ""},
		"/v2/team/hello/blobs/uploads/17":      {"team/hello", upload, "17"},
		"/v2/team/hello/tags/list":             {"team/hello", tags, ""},
		"/v2/team/hello/referrers/sha256:ab":   {"team/hello", referrers, "sha256:ab"},
		"/v2/team/hello":                       {},
		"/v2/_catalog":                         {},
		"/v2/team/hello/manifests/a/b":         {},
		"/v2/blobs/uploads/manifests/latest":   {"blobs/uploads", manifests, "latest"},
		"/v2/team/hello/manifests/sha256:ab/x": {},
	} {
		if got := routeOf(path); got != want {
			t.Errorf("%s: got %+v, want %+v", path, got, want)
		}
	}
}

func TestARequestNeedsWhatItDoes(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]access.Action{
		"GET /v2/a/manifests/1": access.Pull, "HEAD /v2/a/blobs/x": access.Pull, "PUT /v2/a/manifests/1": access.Push, "DELETE /v2/a/manifests/1": access.Delete,
		"POST /v2/a/blobs/uploads/": access.Push, "GET /v2/a/blobs/uploads/17": access.Push, "DELETE /v2/a/blobs/uploads/17": access.Push,
	} {
		method, path, _ := strings.Cut(line, " ")
		if got := routeOf(path).needs(method); got != want {
			t.Errorf("%s needs %s, want %s", line, got, want)
		}
	}
}

func FuzzRoutes(f *testing.F) {
	for _, seed := range []string{"/v2/", "/v2/a/manifests/1", "/v2/a/blobs/uploads/x", "/v2/../../etc/manifests/1", "/v2/a//b/tags/list", "/v2/a/blobs/sha256:" + strings.Repeat("a", 64)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		r := routeOf(path)
		if f := r.check(); f != nil {
			if f.status < http.StatusBadRequest || f.status >= http.StatusInternalServerError {
				t.Errorf("%q is answered %d", path, f.status)
			}
			return
		}
		if r.kind == ping {
			return
		}
		for _, part := range strings.Split(r.repository, "/") {
			if part == "" || part == "." || part == ".." || strings.ContainsAny(part, "\\\x00") {
				t.Errorf("%q is in the repository %q", path, r.repository)
			}
		}
	})
}
