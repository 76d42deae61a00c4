package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/registry/admission"
	"github.com/leash-gateway/leash/registry/artifact"
	"github.com/leash-gateway/leash/registry/catalog"
	"github.com/leash-gateway/leash/registry/remote"
)

// A Sandbox runs modules that nobody has looked at yet, where they can do no harm.
type Sandbox interface {
	// Try runs the scenarios that the .wasm in a file brings with it, and measures it if wanted. The error is of the sandbox,
	// not of the module.
	Try(ctx context.Context, file string, measure bool) (Tried, error)
}

// Tried is what a sandbox has found out about a module.
type Tried struct {
	// Scenarios is how many there were, Failures what went wrong, each with its place.
	Scenarios int      `json:"scenarios"`
	Failures  []string `json:"failures,omitempty"`
	// P95 is the 95th percentile of the time of an exchange; 0: not measured.
	P95 time.Duration `json:"p95_ns,omitempty"`
}

// errNoModule says that a manifest is of something else than a module of Leash.
var errNoModule = errors.New("it is no module of Leash")

// inspect looks at a module before it is taken: what it is made of, its manifest against its binary, its scenarios. A
// refusal names everything that is wrong, and what to do about it.
func (s *Server) inspect(ctx context.Context, c *call, p *pushed) (catalog.Build, error) {
	var none catalog.Build
	if p.digest.Algorithm() != digest.SHA256 {
		return none, errors.Join(errNoModule, refuse(http.StatusBadRequest, codeDigestInvalid, "modules are known by their SHA-256: push it by its tag, or by sha256:…"))
	}
	wasm, give, err := s.wasm(ctx, c, p)
	if err != nil {
		return none, err
	}
	defer give()
	m, err := manifest.Of(c.repository, wasm)
	switch {
	case errors.Is(err, manifest.ErrNone):
		return none, errors.Join(errNoModule, refuse(http.StatusBadRequest, codeManifestInvalid,
			"the .wasm carries no manifest, so nobody can know what it may do: leash module build puts module.yaml into it"))
	case err != nil:
		return none, errors.Join(errNoModule, refuse(http.StatusBadRequest, codeManifestInvalid, err.Error()))
	}
	wrong := s.compare(c, p, m, wasm)
	b, err := catalog.Describe(p.mediaType, p.text, wasm, m)
	if err != nil {
		return none, refuse(http.StatusBadRequest, codeManifestInvalid, err.Error())
	}
	b.Digest = p.digest
	if len(wrong) == 0 && s.options.Sandbox != nil {
		if wrong, err = s.try(ctx, c, m, wasm, &b); err != nil {
			return none, err
		}
	}
	if len(wrong) > 0 {
		s.metrics.pushes.WithLabelValues("refused").Inc()
		s.log.Info("module refused", "module", c.repository, "version", m.Version, "by", c.who.Name, "reasons", strings.Join(wrong, "; "))
		return none, &fault{status: http.StatusBadRequest, code: codeManifestInvalid, message: strings.Join(wrong, "; "), details: wrong}
	}
	return b, nil
}

// wasm is the .wasm of a manifest, out of the store. give gives back what may be in memory.
func (s *Server) wasm(ctx context.Context, c *call, p *pushed) (wasm []byte, give func(), err error) {
	layer, format, err := artifact.Layer(p.text)
	if err != nil {
		return nil, nil, refuse(http.StatusBadRequest, codeManifestInvalid, err.Error())
	}
	if err := layer.Digest.Validate(); err != nil {
		return nil, nil, refuse(http.StatusBadRequest, codeManifestInvalid, fmt.Sprintf("the digest %q of a layer is none, such as sha256: and 64 hexadecimal digits", layer.Digest))
	}
	weight := layer.Size
	if format == artifact.Compat {
		weight = artifact.MaxModule // nobody knows before it is unpacked
	}
	weight = min(weight, s.options.Limits.AdmissionBytes)
	if err := s.intake.Acquire(ctx, weight); err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			s.intake.Release(weight)
		}
	}()
	in, err := s.store.Open(ctx, c.repository, layer.Digest)
	if errors.Is(err, catalog.ErrNotFound) {
		return nil, nil, refuse(http.StatusBadRequest, "MANIFEST_BLOB_UNKNOWN", "the manifest names the blob "+layer.Digest.String()+", which has not been pushed")
	}
	if err != nil {
		return nil, nil, err
	}
	defer in.Close() //nolint:errcheck // only read
	if info, err := in.Stat(); err != nil || info.Size() != layer.Size {
		return nil, nil, refuse(http.StatusBadRequest, codeManifestInvalid, fmt.Sprintf("the manifest says that the module has %d bytes, which is not so", layer.Size))
	}
	packed := make([]byte, layer.Size)
	if _, err := io.ReadFull(in, packed); err != nil {
		return nil, nil, fmt.Errorf("read module: %w", err)
	}
	if wasm, err = artifact.Unpack(packed, format); err != nil {
		return nil, nil, errors.Join(errNoModule, refuse(http.StatusBadRequest, codeManifestInvalid, err.Error()))
	}
	return wasm, func() { s.intake.Release(weight) }, nil
}

// compare holds the OCI manifest, the module's own and the binary against each other.
func (s *Server) compare(c *call, p *pushed, m *manifest.Manifest, wasm []byte) (wrong []string) {
	if want := catalog.ModuleName(c.repository); m.Name != want {
		wrong = append(wrong, fmt.Sprintf("the module is called %s: push it to a repository that ends with /%s, not to %s", m.Name, m.Name, c.repository))
	}
	if err := admission.Taggable(remote.Reference{Registry: s.options.Name, Repository: c.repository, Tag: p.tag}, wasm); err != nil {
		wrong = append(wrong, err.Error())
	}
	for name, want := range map[string]string{ocispec.AnnotationTitle: m.Name, ocispec.AnnotationVersion: m.Version, artifact.AnnotationKind: string(m.Kind)} {
		if got, said := p.manifest.Annotations[name]; said && got != want {
			wrong = append(wrong, fmt.Sprintf("the annotation %s says %q, but the module's manifest says %q: push it with leash module push, which writes them", name, got, want))
		}
	}
	if err := m.Check(wasm); err != nil {
		wrong = append(wrong, err.Error())
	}
	return wrong
}

// try runs the module in the sandbox.
func (s *Server) try(ctx context.Context, c *call, m *manifest.Manifest, wasm []byte, b *catalog.Build) (wrong []string, err error) {
	rule := s.namespace(c.repository)
	dir, err := os.MkdirTemp(s.options.Scratch, "try-")
	if err != nil {
		return nil, fmt.Errorf("try module: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // temporary
	file := filepath.Join(dir, m.Name+".wasm")
	if err := os.WriteFile(file, wasm, 0o600); err != nil {
		return nil, fmt.Errorf("try module: %w", err)
	}
	began := time.Now()
	tried, err := s.options.Sandbox.Try(ctx, file, rule.P95 > 0)
	s.metrics.tries.Observe(time.Since(began).Seconds())
	if err != nil {
		return nil, fmt.Errorf("try module: %w", err)
	}
	wrong = tried.Failures
	if rule.RequireScenarios && tried.Scenarios == 0 {
		wrong = append(wrong, "the module brings no scenarios, and "+c.repository+" takes none without: write scenarios/*.yaml, and build it with leash module build, which puts them into the .wasm")
	}
	if rule.P95 > 0 && tried.P95 > rule.P95 {
		wrong = append(wrong, fmt.Sprintf("an exchange takes %v (p95), and modules in %s may take %v: leash module bench measures it", tried.P95, c.repository, rule.P95))
	}
	b.Checks = map[string]string{"scenarios": fmt.Sprint(tried.Scenarios)}
	if tried.P95 > 0 {
		b.Checks["p95"] = tried.P95.String()
	}
	return wrong, nil
}
