package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/leash-gateway/leash/registry/access"
	"github.com/leash-gateway/leash/registry/artifact"
	"github.com/leash-gateway/leash/registry/catalog"
	"github.com/leash-gateway/leash/registry/store"
)

const digestHeader = "Docker-Content-Digest"

const everyManifest = ocispec.MediaTypeImageManifest + ", " + ocispec.MediaTypeImageIndex +
	", application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json"

// getManifest serves a manifest: of a tag what the catalogue says.
func (s *Server) getManifest(w http.ResponseWriter, r *http.Request, c *call) error {
	target, err := s.known(c)
	if err != nil {
		return err
	}
	if target == nil {
		return s.getOther(w, r, c)
	}
	if err := s.mayServe(r.Context(), c, target); err != nil {
		return err
	}
	text, err := s.store.Manifest(r.Context(), c.repository, target.Digest)
	if err != nil {
		return err
	}
	if got := digest.FromBytes(text); target.Digest.Algorithm() == digest.SHA256 && got != target.Digest {
		return fmt.Errorf("%s@%s: %w: it is %s", c.repository, target.Digest, store.ErrTampered, got)
	}
	writeManifest(w, r, target.MediaType, target.Digest, text)
	return nil
}

func writeManifest(w http.ResponseWriter, r *http.Request, mediaType string, d digest.Digest, text []byte) {
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set(digestHeader, d.String())
	h.Set("Etag", `"`+d.String()+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(text))
}

// getOther serves a manifest that is no module's, as the store has it.
func (s *Server) getOther(w http.ResponseWriter, r *http.Request, c *call) error {
	got := httptest.NewRecorder()
	asked := r.Clone(r.Context())
	asked.Method = http.MethodGet
	asked.Header.Del("Range")
	if accepts := strings.Join(r.Header.Values("Accept"), ","); accepts == "" || strings.Contains(accepts, "*/*") {
		asked.Header.Set("Accept", everyManifest) // olareg wants them named
	}
	s.store.ServeHTTP(got, asked)
	if got.Code != http.StatusOK {
		copyAnswer(w, r, got)
		return nil
	}
	text, said := got.Body.Bytes(), digest.Digest(got.Header().Get(digestHeader))
	if strings.Contains(c.reference, ":") {
		said = digest.Digest(c.reference)
	}
	if err := said.Validate(); err != nil || said.Algorithm().FromBytes(text) != said {
		return fmt.Errorf("%s:%s: %w: it is not %s", c.repository, c.reference, store.ErrTampered, said)
	}
	// A tag of the store's that the catalogue does not know, of a module that it knows: somebody has edited the store.
	if target, err := s.catalog.Resolve(c.repository, said.String()); err == nil && target.Build != nil {
		return fmt.Errorf("%s:%s: %w", c.repository, c.reference, catalog.ErrNotFound)
	}
	writeManifest(w, r, got.Header().Get("Content-Type"), said, text)
	return nil
}

func copyAnswer(w http.ResponseWriter, r *http.Request, got *httptest.ResponseRecorder) {
	maps.Copy(w.Header(), got.Header())
	if got.Code >= http.StatusBadRequest {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(got.Code)
	if r.Method != http.MethodHead {
		_, _ = got.Body.WriteTo(w)
	}
}

// getBlob serves a blob: a part of a module only if that may be used.
func (s *Server) getBlob(w http.ResponseWriter, r *http.Request, c *call) error {
	d := digest.Digest(c.reference)
	if err := s.mayServeBlob(r.Context(), c, r.Method, d); err != nil {
		return err
	}
	in, err := s.store.Open(r.Context(), c.repository, d)
	if errors.Is(err, catalog.ErrNotFound) {
		return refuse(http.StatusNotFound, codeBlobUnknown, "there is no blob "+d.String()+" in "+c.repository)
	}
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // only read
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set(digestHeader, d.String())
	h.Set("Etag", `"`+d.String()+`"`)
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Method == http.MethodGet && beginsAnew(r) {
		s.countDownload(r.Context(), c, d)
	}
	http.ServeContent(w, r, "", time.Time{}, in)
	return nil
}

// beginsAnew tells a download from one that goes on, and from the question whether anything has changed.
func beginsAnew(r *http.Request) bool {
	part := r.Header.Get("Range")
	return r.Header.Get("If-None-Match") == "" && (part == "" || strings.HasPrefix(part, "bytes=0-"))
}

// countDownload counts a blob that is a module's .wasm. The manifest is read by whoever looks at, signs or verifies a module too.
func (s *Server) countDownload(ctx context.Context, c *call, d digest.Digest) {
	builds, _ := s.catalog.Holders(c.repository, d)
	for _, b := range builds {
		text, err := s.store.Manifest(ctx, c.repository, b.Digest)
		if err != nil {
			continue // a number for people to look at
		}
		if layer, _, err := artifact.Layer(text); err == nil && layer.Digest == d {
			s.catalog.Downloaded(c.repository, b.Digest)
		}
	}
}

// mayServeBlob says whether somebody may have a blob.
func (s *Server) mayServeBlob(ctx context.Context, c *call, method string, d digest.Digest) error {
	builds, attached := s.catalog.Holders(c.repository, d)
	pusher := c.who.Granted(access.Push, c.repository)
	switch {
	case attached:
		return nil
	case len(builds) == 0 && (c.any || pusher):
		return nil // of something else, or of what is just being pushed
	case len(builds) == 0:
		return refuse(http.StatusNotFound, codeBlobUnknown, "there is no blob "+d.String()+" in "+c.repository)
	case pusher && method == http.MethodHead:
		return nil // whether it must be pushed
	}
	var err error
	for _, b := range builds {
		// Who may push by name gets what is pending, to look at it before it is signed. Nobody in particular does not.
		if b.State == catalog.Pending && pusher && !c.who.Anonymous() {
			return nil
		}
		if err = s.catalog.Usable(ctx, c.repository, b.Digest); err == nil {
			return nil
		}
	}
	return err
}

// listTags lists the tags that somebody can pull.
func (s *Server) listTags(w http.ResponseWriter, r *http.Request, c *call) error {
	list, err := s.catalog.Tags(c.repository, c.who.Granted(access.Push, c.repository))
	if err != nil && !c.any {
		return refuse(http.StatusNotFound, codeNameUnknown, "there is no repository "+c.repository)
	}
	if c.any {
		others, found, err := s.otherTags(r, c)
		if err != nil {
			return err
		}
		if !found && list == nil {
			return refuse(http.StatusNotFound, codeNameUnknown, "there is no repository "+c.repository)
		}
		list = append(list, others...)
		slices.Sort(list)
		list = slices.Compact(list)
	}
	query := r.URL.Query()
	if last := query.Get("last"); last != "" {
		at, found := slices.BinarySearch(list, last)
		if found {
			at++
		}
		list = list[at:]
	}
	if n, err := strconv.Atoi(query.Get("n")); err == nil && n >= 0 && n < len(list) {
		list = list[:n]
		if n > 0 {
			next := url.Values{"n": {strconv.Itoa(n)}, "last": {list[n-1]}}
			w.Header().Set("Link", "</v2/"+c.repository+"/tags/list?"+next.Encode()+`>; rel="next"`)
		}
	}
	if list == nil {
		list = []string{}
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(map[string]any{"name": c.repository, "tags": list})
}

// otherTags are the store's tags of what is no module.
func (s *Server) otherTags(r *http.Request, c *call) (list []string, found bool, err error) {
	asked := r.Clone(r.Context())
	asked.Method, asked.URL = http.MethodGet, &url.URL{Path: r.URL.Path}
	got := httptest.NewRecorder()
	s.store.ServeHTTP(got, asked)
	if got.Code != http.StatusOK {
		return nil, false, nil
	}
	var answer struct{ Tags []string }
	if err := json.Unmarshal(got.Body.Bytes(), &answer); err != nil {
		return nil, false, fmt.Errorf("read the store's tags: %w", err)
	}
	for _, tag := range answer.Tags {
		// What the catalogue knows is listed by it, if it can be had.
		if _, err := s.catalog.Resolve(c.repository, tag); err != nil {
			list = append(list, tag)
		}
	}
	return list, true, nil
}
