// Package remote moves modules to and from OCI registries.
package remote

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry"
)

// A Reference says where something is: registry/repository:tag@sha256:digest, of which tag and digest may be missing.
type Reference struct {
	Registry, Repository string
	Tag                  string
	// Digest, where it is said, is the only content that will do, whatever the tag points to.
	Digest digest.Digest
}

// ErrReference says that a text is no reference.
var ErrReference = errors.New("not a reference, such as registry.example.com/team/module:1.0.0")

// Parse reads a reference. The registry must be named: there is no default.
func Parse(text string) (Reference, error) {
	var r Reference
	text = strings.TrimPrefix(text, "oci://")
	rest, sum, pinned := strings.Cut(text, "@")
	if pinned {
		r.Digest = digest.Digest(sum)
		if err := r.Digest.Validate(); err != nil || r.Digest.Algorithm() != digest.SHA256 {
			return r, fmt.Errorf("%q: %q is no digest, such as sha256: and 64 hexadecimal digits", text, sum)
		}
	}
	host, _, found := strings.Cut(rest, "/")
	if !found || !strings.ContainsAny(host, ".:") && host != "localhost" {
		return r, fmt.Errorf("%q: %w", text, ErrReference)
	}
	parsed, err := registry.ParseReference(rest)
	if err != nil {
		return r, fmt.Errorf("%q: %w (%w)", text, ErrReference, err)
	}
	r.Registry, r.Repository, r.Tag = parsed.Registry, parsed.Repository, parsed.Reference
	return r, nil
}

// String is the reference as it is written.
func (r Reference) String() string {
	text := r.Name()
	if r.Tag != "" {
		text += ":" + r.Tag
	}
	if r.Digest != "" {
		text += "@" + r.Digest.String()
	}
	return text
}

// Name is registry and repository.
func (r Reference) Name() string { return r.Registry + "/" + r.Repository }

// At is the same repository at a digest; the tag stays for people to read.
func (r Reference) At(d digest.Digest) Reference {
	r.Digest = d
	return r
}

// selector is what a registry is asked for.
func (r Reference) selector() (string, error) {
	switch {
	case r.Digest != "":
		return r.Digest.String(), nil
	case r.Tag != "":
		return r.Tag, nil
	}
	return "", fmt.Errorf("%s: name a tag or a digest, as %s:1.0.0", r, r.Name())
}

// mediaTypeOf is what a manifest says that it is.
func mediaTypeOf(content []byte) string {
	var m struct{ MediaType string }
	if json.Unmarshal(content, &m) != nil || m.MediaType == "" {
		return ocispec.MediaTypeImageManifest
	}
	return m.MediaType
}
