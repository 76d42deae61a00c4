package server

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/leash-gateway/leash/registry/access"
)

// route is what a request to the OCI API is about.
type route struct {
	repository string
	kind       kind
	// reference is a tag or digest, or an upload's id; "" where an upload begins.
	reference string
}

type kind int

const (
	unknown kind = iota
	ping
	manifests
	content // blobs
	upload
	tags
	referrers
)

// https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
var (
	repositoryName = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagName        = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
)

const maxName = 255

// routeOf reads a path below /v2/.
func routeOf(path string) route {
	rest := strings.TrimPrefix(path, "/v2/")
	if rest == "" {
		return route{kind: ping}
	}
	if repository, found := strings.CutSuffix(rest, "/blobs/uploads"); found {
		return route{repository: repository, kind: upload}
	}
	for _, one := range []struct {
		between string
		kind    kind
	}{{"/blobs/uploads/", upload}, {"/manifests/", manifests}, {"/blobs/", content}, {"/referrers/", referrers}} {
		if at := strings.LastIndex(rest, one.between); at > 0 {
			found := route{rest[:at], one.kind, rest[at+len(one.between):]}
			if strings.Contains(found.reference, "/") {
				continue
			}
			return found
		}
	}
	if repository, found := strings.CutSuffix(rest, "/tags/list"); found {
		return route{repository: repository, kind: tags}
	}
	return route{}
}

// check says what is wrong with a route.
func (t route) check() *fault {
	switch {
	case t.kind == unknown:
		return refuse(http.StatusNotFound, codeUnsupported, "there is no such thing in the OCI distribution API")
	case t.kind == ping:
		return nil
	case len(t.repository) > maxName || !repositoryName.MatchString(t.repository):
		return refuse(http.StatusBadRequest, codeNameInvalid, "a repository's name is of small letters and digits, with . _ - between them and / between its parts")
	case t.kind == manifests && strings.Contains(t.reference, ":"), t.kind == content, t.kind == referrers:
		if err := digest.Digest(t.reference).Validate(); err != nil {
			return refuse(http.StatusBadRequest, codeDigestInvalid, t.reference+" is no digest, such as sha256: and 64 hexadecimal digits")
		}
	case t.kind == manifests && !tagName.MatchString(t.reference):
		return refuse(http.StatusNotFound, codeManifestUnknown, t.reference+" is no tag: letters, digits, . _ -, at most 128")
	}
	return nil
}

// needs is what somebody must be allowed to do for a request.
func (t route) needs(method string) access.Action {
	switch {
	case t.kind == upload:
		return access.Push
	case method == http.MethodDelete:
		return access.Delete
	case method == http.MethodPut, method == http.MethodPost, method == http.MethodPatch:
		return access.Push
	}
	return access.Pull
}
