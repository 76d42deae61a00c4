package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/leash-gateway/leash/registry/access"
	"github.com/leash-gateway/leash/registry/artifact"
	"github.com/leash-gateway/leash/registry/catalog"
	"github.com/leash-gateway/leash/registry/store"
)

// pushed is a manifest that somebody pushes.
type pushed struct {
	text      []byte
	digest    digest.Digest
	mediaType string
	tag       string // "" where it is pushed by its digest
	manifest  ocispec.Manifest
}

// putManifest takes a manifest: a module's after it has been looked at.
func (s *Server) putManifest(w http.ResponseWriter, r *http.Request, c *call) error {
	p, err := s.readPushed(w, r, c)
	if err != nil {
		return err
	}
	subject, attached := p.subject()
	_, _, layerErr := artifact.Layer(p.text)
	switch {
	case layerErr == nil && p.mediaType != ocispec.MediaTypeImageIndex:
		checked, err := s.inspect(r.Context(), c, p)
		if errors.Is(err, errNoModule) && c.any {
			break
		}
		if err != nil {
			return err
		}
		return s.putModule(w, r, c, p, checked)
	case attached && s.attaches(c, subject):
		if f := p.checkAttachment(); f != nil && !c.any {
			return f
		}
		return s.putAttachment(w, r, c, p, subject)
	}
	if !c.any {
		return refuse(http.StatusBadRequest, codeManifestInvalid,
			c.repository+" takes modules only, and what belongs to them (signatures, attestations, SBOMs): leash module push makes a manifest of a module")
	}
	return s.putOther(w, r, c, p)
}

// readPushed reads the body of a push.
func (s *Server) readPushed(w http.ResponseWriter, r *http.Request, c *call) (*pushed, error) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, store.MaxManifest))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, refuse(http.StatusRequestEntityTooLarge, codeSizeInvalid, fmt.Sprintf("the manifest is larger than %d bytes", store.MaxManifest))
	}
	if err != nil {
		return nil, refuse(http.StatusBadRequest, codeManifestInvalid, "the manifest did not come whole")
	}
	p := &pushed{text: text, digest: digest.FromBytes(text)}
	if strings.Contains(c.reference, ":") {
		wanted := digest.Digest(c.reference)
		if p.digest = wanted.Algorithm().FromBytes(text); p.digest != wanted {
			return nil, refuse(http.StatusBadRequest, codeDigestInvalid, "the manifest is "+p.digest.String()+", not "+c.reference)
		}
	} else {
		p.tag = c.reference
	}
	if err := json.Unmarshal(text, &p.manifest); err != nil {
		return nil, refuse(http.StatusBadRequest, codeManifestInvalid, "the manifest is no JSON: "+err.Error())
	}
	p.mediaType, _, _ = strings.Cut(r.Header.Get("Content-Type"), ";")
	if p.mediaType = strings.TrimSpace(p.mediaType); p.mediaType == "" {
		p.mediaType = p.manifest.MediaType
	}
	if said := p.manifest.MediaType; said != "" && said != p.mediaType {
		return nil, refuse(http.StatusBadRequest, codeManifestInvalid, "the manifest says that it is "+said+", and was sent as "+p.mediaType)
	}
	return p, nil
}

// attachmentTag is the name of a tag that holds what belongs to the manifest whose digest it names: cosign's signatures,
// attestations and SBOMs, and the list of referrers for registries without their API.
var attachmentTag = regexp.MustCompile(`^sha256-([0-9a-f]{64})(\.(sig|att|sbom))?$`)

// subject is the manifest that this one belongs to.
func (p *pushed) subject() (digest.Digest, bool) {
	if p.manifest.Subject != nil {
		return p.manifest.Subject.Digest, p.manifest.Subject.Digest.Validate() == nil
	}
	if named := attachmentTag.FindStringSubmatch(p.tag); named != nil {
		return digest.NewDigestFromEncoded(digest.SHA256, named[1]), true
	}
	return "", false
}

// attaches says whether what belongs to something is the catalogue's matter.
func (s *Server) attaches(c *call, subject digest.Digest) bool {
	if !c.any {
		return true
	}
	_, err := s.catalog.Build(c.repository, subject)
	return err == nil
}

// checkAttachment refuses attachments that other programs could take for modules.
func (p *pushed) checkAttachment() *fault {
	for _, layer := range p.manifest.Layers {
		if strings.Contains(layer.MediaType, "tar") || strings.Contains(layer.MediaType, "wasm") {
			return refuse(http.StatusBadRequest, codeManifestInvalid, "a layer of type "+layer.MediaType+" does not belong to a signature, an attestation or an SBOM, and some programs would take it for a module")
		}
	}
	return nil
}

// putModule stores a module that has been looked at, and tells the catalogue. Only then it is there for anybody.
func (s *Server) putModule(w http.ResponseWriter, r *http.Request, c *call, p *pushed, b catalog.Build) error {
	if err := s.catalog.Taggable(c.repository, p.tag, p.digest); err != nil {
		return err
	}
	defer s.locks.hold(c.repository + "@" + p.digest.String())() // nobody removes it meanwhile
	got := s.keep(r, c, p, p.digest.String())
	if got.Code != http.StatusCreated {
		copyAnswer(w, r, got)
		return nil
	}
	if err := s.store.Keep(r.Context(), c.repository, p.digest, b.Parts); err != nil {
		return err
	}
	now, err := s.catalog.Push(r.Context(), c.actor(), c.repository, p.tag, b)
	if err != nil {
		return err
	}
	s.metrics.pushes.WithLabelValues(string(now.State)).Inc()
	s.log.Info("module pushed", "module", c.repository, "version", now.Version, "tag", p.tag, "digest", p.digest.String(), "state", string(now.State), "by", c.who.Name)
	s.mirrorTag(r, c, p)
	if now.State == catalog.Pending {
		w.Header().Set("Warning", `299 - "it is kept, and waits for a signature that the registry's trust policy accepts: leash module sign"`)
	}
	created(w, c, p, got)
	return nil
}

// keep has the store take a manifest under a reference.
func (s *Server) keep(r *http.Request, c *call, p *pushed, reference string) *httptest.ResponseRecorder {
	got := httptest.NewRecorder()
	put, err := http.NewRequestWithContext(r.Context(), http.MethodPut, "/v2/"+c.repository+"/manifests/"+reference, strings.NewReader(string(p.text)))
	if err != nil {
		got.Code = http.StatusInternalServerError
		return got
	}
	put.RequestURI, put.RemoteAddr = put.URL.RequestURI(), r.RemoteAddr
	put.Header.Set("Content-Type", p.mediaType)
	s.store.ServeHTTP(got, put)
	return got
}

// A Tagger is a store in which tags are for others to see, as they use it beside the registry.
type Tagger interface{ KeepsTags() bool }

// mirrorTag gives a module its tag in a store that others use too. The registry itself does not look at it.
func (s *Server) mirrorTag(r *http.Request, c *call, p *pushed) {
	if tagger, ok := s.store.(Tagger); !ok || !tagger.KeepsTags() || p.tag == "" {
		return
	}
	if got := s.keep(r, c, p, p.tag); got.Code != http.StatusCreated {
		s.log.Warn("the store did not take a tag", "repository", c.repository, "tag", p.tag, "status", got.Code)
	}
}

// putAttachment stores what belongs to a module.
func (s *Server) putAttachment(w http.ResponseWriter, r *http.Request, c *call, p *pushed, subject digest.Digest) error {
	got := s.keep(r, c, p, p.digest.String())
	if got.Code != http.StatusCreated {
		copyAnswer(w, r, got)
		return nil
	}
	a := catalog.Attachment{Digest: p.digest, MediaType: p.mediaType, ManifestSize: int64(len(p.text)), Subject: subject, ArtifactType: p.artifactType()}
	var err error
	if a.Parts, err = catalog.Parts(p.text); err != nil {
		return refuse(http.StatusBadRequest, codeManifestInvalid, err.Error())
	}
	if err := s.store.Keep(r.Context(), c.repository, p.digest, a.Parts); err != nil {
		return err
	}
	if err := s.catalog.Attach(r.Context(), c.actor(), c.repository, p.tag, a); err != nil {
		return err
	}
	s.log.Info("attachment pushed", "module", c.repository, "subject", subject.String(), "type", a.ArtifactType, "digest", p.digest.String(), "by", c.who.Name)
	s.mirrorTag(r, c, p)
	created(w, c, p, got)
	return nil
}

func (p *pushed) artifactType() string {
	if p.manifest.ArtifactType != "" {
		return p.manifest.ArtifactType
	}
	return p.manifest.Config.MediaType
}

// created answers that a manifest is there.
func created(w http.ResponseWriter, c *call, p *pushed, kept *httptest.ResponseRecorder) {
	h := w.Header()
	h.Set("Location", "/v2/"+c.repository+"/manifests/"+p.digest.String())
	h.Set(digestHeader, p.digest.String())
	if subject := kept.Header().Get("OCI-Subject"); subject != "" {
		h.Set("OCI-Subject", subject)
	}
	w.WriteHeader(http.StatusCreated)
}

// putOther stores a manifest that is no module's, as any registry.
func (s *Server) putOther(w http.ResponseWriter, r *http.Request, c *call, p *pushed) error {
	if p.tag != "" {
		if err := s.catalog.Taggable(c.repository, p.tag, p.digest); err != nil {
			return err
		}
	}
	got := s.keep(r, c, p, c.reference)
	if got.Code == http.StatusCreated {
		parts, err := catalog.Parts(p.text)
		if err == nil {
			err = s.store.Keep(r.Context(), c.repository, p.digest, parts)
		}
		if err != nil {
			return err
		}
	}
	copyAnswer(w, r, got)
	return nil
}

// deleteManifest removes a tag, an attachment, or a module that is pending; of what is no module everything.
func (s *Server) deleteManifest(w http.ResponseWriter, r *http.Request, c *call) error {
	target, err := s.known(c)
	if err != nil {
		return err
	}
	if target == nil {
		s.store.ServeHTTP(w, r)
		return nil
	}
	defer s.locks.hold(c.repository + "@" + target.Digest.String())()
	if err := s.catalog.Remove(r.Context(), c.actor(), c.repository, c.reference); err != nil {
		return err
	}
	s.log.Info("removed", "module", c.repository, "reference", c.reference, "by", c.who.Name)
	if _, err := s.catalog.Resolve(c.repository, target.Digest.String()); errors.Is(err, catalog.ErrNotFound) {
		gone := r.Clone(r.Context())
		gone.URL.Path = "/v2/" + c.repository + "/manifests/" + target.Digest.String()
		s.store.ServeHTTP(httptest.NewRecorder(), gone) // if it stays, nobody sees it
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// deleteBlob removes a blob of nothing that the catalogue knows.
func (s *Server) deleteBlob(w http.ResponseWriter, r *http.Request, c *call) error {
	if builds, attached := s.catalog.Holders(c.repository, digest.Digest(c.reference)); len(builds) > 0 || attached {
		return refuse(http.StatusForbidden, codeDenied, "the blob is a part of a module")
	}
	if !c.any {
		return refuse(http.StatusMethodNotAllowed, codeUnsupported, "blobs that nothing refers to are removed by the registry itself")
	}
	s.store.ServeHTTP(w, r)
	return nil
}

// mountable drops the wish to mount a blob from a repository that somebody may not read: it is uploaded then.
func mountable(r *http.Request, c *call) {
	query := r.URL.Query()
	from := query.Get("from")
	if from == "" || repositoryName.MatchString(from) && c.who.May(access.Pull, from) {
		return
	}
	query.Del("mount")
	query.Del("from")
	r.URL.RawQuery = query.Encode()
}
