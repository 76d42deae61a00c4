package remote

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/errdef"
	oci "oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/leash-gateway/leash/registry/artifact"
	"github.com/leash-gateway/leash/registry/blobs"
)

// attempts is how often a transfer is tried when the connection breaks.
const attempts = 4

// maxManifest bounds a manifest, in bytes, as registries do.
const maxManifest = 4 << 20

// Push pushes an artefact. What the registry has already is not sent again, so a push that was interrupted is simply
// repeated; the tag is set last.
func (c *Client) Push(ctx context.Context, r Reference, a *artifact.Artifact) (Reference, error) {
	at := r.At(a.Descriptor.Digest)
	if r.Digest != "" && r.Digest != a.Descriptor.Digest {
		return at, fmt.Errorf("push %s: the module is %s: leave the digest away", r, a.Descriptor.Digest)
	}
	repository, err := c.repository(ctx, r)
	if err != nil {
		return at, fmt.Errorf("push %s: %w", r, err)
	}
	if c.options.Warn != nil {
		repository.HandleWarning = func(w oci.Warning) { c.options.Warn(w.Text) }
	}
	for _, b := range a.Blobs {
		if err := c.again(ctx, func() error { return c.pushBlob(ctx, repository, b) }); err != nil {
			return at, Explain(fmt.Errorf("push %s: %w", r, err))
		}
	}
	err = c.again(ctx, func() error {
		if r.Tag == "" {
			return repository.Push(ctx, a.Descriptor, bytes.NewReader(a.Manifest))
		}
		return repository.PushReference(ctx, a.Descriptor, bytes.NewReader(a.Manifest), r.Tag)
	})
	if err != nil {
		return at, Explain(fmt.Errorf("push %s: %w", r, err))
	}
	return at, nil
}

func (c *Client) pushBlob(ctx context.Context, repository *oci.Repository, b Blob) error {
	p := Progress{Name: nameOf(b.Descriptor), Total: b.Descriptor.Size}
	there, err := repository.Blobs().Exists(ctx, b.Descriptor)
	if err != nil && !denied(err) { // an answer to HEAD does not say why, one to the upload does
		return err
	}
	if there {
		p.Done, p.Known = p.Total, true
		c.tell(p)
		return nil
	}
	watched, touch, stop := c.idle(ctx)
	defer stop()
	err = repository.Blobs().Push(watched, b.Descriptor, &counted{in: bytes.NewReader(b.Content), client: c, p: p, touch: touch})
	if cause := context.Cause(watched); err != nil && cause != nil && ctx.Err() == nil {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

// denied says whether a registry knows who somebody is, and does not let them.
func denied(err error) bool {
	answer, ok := errors.AsType[*errcode.ErrorResponse](err)
	return ok && (answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden)
}

// Blob is a part of an artefact.
type Blob = artifact.Blob

func nameOf(d ocispec.Descriptor) string {
	if title := d.Annotations[ocispec.AnnotationTitle]; title != "" {
		return title
	}
	return d.Digest.Encoded()[:12]
}

// again repeats what fails because of the connection, or because the registry is in trouble.
func (c *Client) again(ctx context.Context, try func() error) error {
	for i := 1; ; i++ {
		err := try()
		if err == nil || i == attempts || ctx.Err() != nil || !passing(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Duration(i) * 200 * time.Millisecond):
		}
	}
}

// passing says whether an error may not be there the next time.
func passing(err error) bool {
	if answer, ok := errors.AsType[*errcode.ErrorResponse](err); ok {
		return answer.StatusCode >= http.StatusInternalServerError && answer.StatusCode != http.StatusInsufficientStorage
	}
	if _, untrusted := errors.AsType[*tls.CertificateVerificationError](err); untrusted {
		return false
	}
	return !errors.Is(err, blobs.ErrMismatch) && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, errdef.ErrNotFound)
}

func (c *Client) tell(p Progress) {
	if c.options.Progress != nil {
		c.options.Progress(p)
	}
}

// counted tells of what is read. It can be read again from its beginning, so that a request can be repeated.
type counted struct {
	in     *bytes.Reader
	client *Client
	p      Progress
	touch  func()
}

func (r *counted) Read(b []byte) (int, error) {
	r.touch()
	n, err := r.in.Read(b)
	r.p.Done += int64(n)
	r.client.tell(r.p)
	return n, err
}

func (r *counted) Seek(offset int64, whence int) (int64, error) {
	at, err := r.in.Seek(offset, whence)
	r.p.Done = at
	return at, err
}

// A Pulled is a module that has been downloaded and verified against its digest.
type Pulled struct {
	// Reference is what was asked for, with the digest of what came.
	Reference Reference
	Format    artifact.Format
	// Wasm is the module.
	Wasm []byte
}

// Resolve asks what a reference is: the manifest's digest, and the manifest. What comes is verified: against the digest
// of the reference, or against the one that the registry itself told.
func (c *Client) Resolve(ctx context.Context, r Reference) (Reference, []byte, error) {
	selector, err := r.selector()
	if err != nil {
		return r, nil, err
	}
	repository, err := c.repository(ctx, r)
	if err != nil {
		return r, nil, fmt.Errorf("resolve %s: %w", r, err)
	}
	var content []byte
	err = c.again(ctx, func() error {
		d, body, err := repository.Manifests().FetchReference(ctx, selector)
		if err != nil {
			return err
		}
		defer body.Close() //nolint:errcheck // only read
		if content, err = io.ReadAll(io.LimitReader(body, maxManifest+1)); err != nil {
			return err
		}
		got := digest.FromBytes(content)
		switch {
		case len(content) > maxManifest:
			return fmt.Errorf("the manifest is larger than %d bytes: %w", maxManifest, blobs.ErrMismatch)
		case r.Digest != "" && got != r.Digest:
			return fmt.Errorf("the registry answered %s for %s: %w", got, r.Digest, blobs.ErrMismatch)
		case got != d.Digest:
			return fmt.Errorf("the registry told %s and answered %s: %w", d.Digest, got, blobs.ErrMismatch)
		}
		return nil
	})
	if err != nil {
		return r, nil, Explain(fmt.Errorf("resolve %s: %w", r, err))
	}
	return r.At(digest.FromBytes(content)), content, nil
}

// Pull downloads a module. A download that breaks off goes on where it stopped, also at the next call.
func (c *Client) Pull(ctx context.Context, r Reference) (*Pulled, error) {
	at, content, err := c.Resolve(ctx, r)
	if err != nil {
		return nil, err
	}
	layer, format, err := artifact.Layer(content)
	if err != nil {
		return nil, fmt.Errorf("pull %s: %w", r, err)
	}
	packed, err := c.Blob(ctx, at, layer)
	if err != nil {
		return nil, err
	}
	p := &Pulled{Reference: at, Format: format}
	if p.Wasm, err = artifact.Unpack(packed, format); err != nil {
		return nil, fmt.Errorf("pull %s: %w", r, err)
	}
	return p, nil
}

// Blob downloads a part of an artefact, and verifies it.
func (c *Client) Blob(ctx context.Context, r Reference, d ocispec.Descriptor) ([]byte, error) {
	repository, err := c.repository(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("pull %s: %w", r, err)
	}
	known := true
	file, err := c.blobs.Fetch(ctx, d.Digest, d.Size, func(ctx context.Context, offset int64) (io.ReadCloser, int64, error) {
		known = false
		watched, touch, stop := c.idle(ctx)
		body, err := repository.Blobs().Fetch(watched, d)
		if err != nil {
			stop()
			return nil, 0, err
		}
		if seeker, ok := body.(io.Seeker); ok && offset > 0 {
			if _, err := seeker.Seek(offset, io.SeekStart); err != nil {
				offset = 0
				_ = body.Close()
				if body, err = repository.Blobs().Fetch(watched, d); err != nil {
					stop()
					return nil, 0, err
				}
			}
		} else {
			offset = 0
		}
		return &countedBody{ReadCloser: body, client: c, p: Progress{Name: nameOf(d), Done: offset, Total: d.Size}, touch: touch, stop: stop}, offset, nil
	})
	if err != nil {
		return nil, Explain(fmt.Errorf("pull %s: %w", r, err))
	}
	if known {
		c.tell(Progress{Name: nameOf(d), Done: d.Size, Total: d.Size, Known: true})
	}
	content, err := os.ReadFile(file) //nolint:gosec // named by its digest
	if err != nil {
		return nil, fmt.Errorf("pull %s: %w", r, err)
	}
	if digest.FromBytes(content) != d.Digest { // what is verified is what is used
		return nil, fmt.Errorf("pull %s: %w", r, blobs.ErrMismatch)
	}
	return content, nil
}

type countedBody struct {
	io.ReadCloser
	client      *Client
	p           Progress
	touch, stop func()
}

func (r *countedBody) Close() error {
	r.stop()
	return r.ReadCloser.Close()
}

func (r *countedBody) Read(b []byte) (int, error) {
	n, err := r.ReadCloser.Read(b)
	r.touch()
	r.p.Done += int64(n)
	r.client.tell(r.p)
	return n, err
}

// A Tag is a name in a repository, and what it points to.
type Tag struct {
	Name   string        `json:"tag"`
	Digest digest.Digest `json:"digest"`
}

// List lists a repository's tags in their order, without those that hold signatures, and what they point to.
func (c *Client) List(ctx context.Context, r Reference) ([]Tag, error) {
	repository, err := c.repository(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", r.Name(), err)
	}
	tags := []Tag{}
	err = repository.Tags(ctx, "", func(names []string) error {
		for _, name := range names {
			if !isAttachment(name) {
				tags = append(tags, Tag{Name: name})
			}
		}
		return nil
	})
	if err != nil {
		return nil, Explain(fmt.Errorf("list %s: %w", r.Name(), err))
	}
	for i := range tags {
		d, err := repository.Resolve(ctx, tags[i].Name)
		if err != nil {
			return nil, Explain(fmt.Errorf("list %s: %w", r.Name(), err))
		}
		tags[i].Digest = d.Digest
	}
	return tags, nil
}

// Tag gives what a reference points to another name in its repository.
func (c *Client) Tag(ctx context.Context, r Reference, names ...string) (Reference, error) {
	at, content, err := c.Resolve(ctx, r)
	if err != nil {
		return r, err
	}
	repository, err := c.repository(ctx, r)
	if err != nil {
		return r, fmt.Errorf("tag %s: %w", r, err)
	}
	for _, name := range names {
		d := ocispec.Descriptor{MediaType: mediaTypeOf(content), Digest: at.Digest, Size: int64(len(content))}
		if err := repository.PushReference(ctx, d, bytes.NewReader(content), name); err != nil {
			return at, Explain(fmt.Errorf("tag %s as %s: %w", r, name, err))
		}
	}
	return at, nil
}

// Copy copies what a reference points to, with its signatures and attestations, to another place. Without a tag in the
// destination it is copied by its digest only.
func (c *Client) Copy(ctx context.Context, from, to Reference) (Reference, error) {
	at, _, err := c.Resolve(ctx, from)
	if err != nil {
		return from, err
	}
	source, err := c.repository(ctx, from)
	if err != nil {
		return at, fmt.Errorf("copy %s: %w", from, err)
	}
	destination, err := c.repository(ctx, to)
	if err != nil {
		return at, fmt.Errorf("copy to %s: %w", to, err)
	}
	copied := to.At(at.Digest)
	name := to.Tag
	if name == "" {
		name = at.Digest.String()
	}
	err = c.again(ctx, func() error {
		_, err := oras.ExtendedCopy(ctx, source, at.Digest.String(), destination, name, oras.DefaultExtendedCopyOptions)
		return err
	})
	if err != nil {
		return copied, Explain(fmt.Errorf("copy %s to %s: %w", from, to, err))
	}
	for _, suffix := range attachments {
		tag := attachmentTag(at.Digest, suffix)
		if _, err := source.Resolve(ctx, tag); err != nil {
			continue // there is none
		}
		if _, err := oras.Copy(ctx, source, tag, destination, tag, oras.DefaultCopyOptions); err != nil {
			return copied, Explain(fmt.Errorf("copy the signatures of %s: %w", from, err))
		}
	}
	return copied, nil
}

// attachments are the endings of the tags under which cosign keeps signatures, attestations and SBOMs.
var attachments = []string{"sig", "att", "sbom"}

func attachmentTag(d digest.Digest, suffix string) string {
	return d.Algorithm().String() + "-" + d.Encoded() + "." + suffix
}

func isAttachment(tag string) bool {
	const shortest = len("sha256-") + 64
	return len(tag) >= shortest && tag[:len("sha256-")] == "sha256-" &&
		(len(tag) == shortest || slices.ContainsFunc(attachments, func(s string) bool { return tag[shortest:] == "."+s }))
}
