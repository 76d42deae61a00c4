package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/errdef"
)

// What is kept beside a module is small: these bound what a registry may make a client read.
const (
	maxAttachments = 64
	maxAttachment  = 4 << 20
)

// An Attachment is something that is kept beside a module, such as a signature.
type Attachment struct {
	// MediaType is that of Content.
	MediaType string
	// Annotations are those of the manifest (of a referrer) or of the layer (in a tag).
	Annotations map[string]string
	Content     []byte
}

// Attach keeps something beside a module, as a manifest that refers to it. Registries that do not know referrers get
// their list in a tag, as the specification says.
func (c *Client) Attach(ctx context.Context, r Reference, a Attachment) error {
	at, content, err := c.Resolve(ctx, r)
	if err != nil {
		return err
	}
	repository, err := c.repository(ctx, r)
	if err != nil {
		return fmt.Errorf("attach to %s: %w", r, err)
	}
	layer := describe(a.MediaType, a.Content)
	empty := ocispec.DescriptorEmptyJSON
	empty.ArtifactType = a.MediaType
	manifest, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: a.MediaType,
		Config: ocispec.Descriptor{MediaType: empty.MediaType, Digest: empty.Digest, Size: empty.Size}, Layers: []ocispec.Descriptor{layer},
		Subject:     &ocispec.Descriptor{MediaType: mediaTypeOf(content), Digest: at.Digest, Size: int64(len(content))},
		Annotations: a.Annotations,
	})
	if err != nil {
		return fmt.Errorf("attach to %s: %w", r, err)
	}
	err = c.again(ctx, func() error {
		for _, b := range []Blob{{Descriptor: layer, Content: a.Content}, {Descriptor: empty, Content: []byte("{}")}} {
			if err := repository.Blobs().Push(ctx, b.Descriptor, bytes.NewReader(b.Content)); err != nil {
				return err
			}
		}
		return repository.Push(ctx, describe(ocispec.MediaTypeImageManifest, manifest), bytes.NewReader(manifest))
	})
	if err != nil {
		return Explain(fmt.Errorf("attach to %s: %w", r, err))
	}
	return nil
}

func describe(mediaType string, content []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(content), Size: int64(len(content))}
}

// Attachments are what is kept beside a module as referrers of a media type.
func (c *Client) Attachments(ctx context.Context, r Reference, mediaType string) ([]Attachment, error) {
	at, content, err := c.Resolve(ctx, r)
	if err != nil {
		return nil, err
	}
	repository, err := c.repository(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("read what is beside %s: %w", r, err)
	}
	var found []ocispec.Descriptor
	of := ocispec.Descriptor{MediaType: mediaTypeOf(content), Digest: at.Digest, Size: int64(len(content))}
	err = c.again(ctx, func() error {
		found = nil
		return repository.Referrers(ctx, of, "", func(page []ocispec.Descriptor) error {
			for _, d := range page {
				if d.ArtifactType == mediaType && len(found) < maxAttachments {
					found = append(found, d)
				}
			}
			return nil
		})
	})
	if err != nil && !errors.Is(err, errdef.ErrNotFound) {
		return nil, Explain(fmt.Errorf("read what is beside %s: %w", r, err))
	}
	var list []Attachment
	for _, d := range found {
		_, text, err := c.Resolve(ctx, r.At(d.Digest))
		if err != nil {
			return nil, err
		}
		var m ocispec.Manifest
		if json.Unmarshal(text, &m) != nil || m.Subject == nil || m.Subject.Digest != at.Digest {
			continue // it does not refer to the module, whatever the list says
		}
		if list, err = c.layers(ctx, r, m, m.Annotations, mediaType, list); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// layers adds the contents of the layers of a media type.
func (c *Client) layers(ctx context.Context, r Reference, m ocispec.Manifest, annotations map[string]string, mediaType string, list []Attachment) ([]Attachment, error) {
	for _, layer := range m.Layers {
		if layer.MediaType != mediaType || layer.Size > maxAttachment || len(list) == maxAttachments {
			continue
		}
		content, err := c.Blob(ctx, r, layer)
		if err != nil {
			return nil, err
		}
		a := Attachment{MediaType: mediaType, Annotations: annotations, Content: content}
		if annotations == nil {
			a.Annotations = layer.Annotations
		}
		list = append(list, a)
	}
	return list, nil
}

// TaggedAttachments are what is kept beside a module in the tag that is named after its digest with this suffix.
func (c *Client) TaggedAttachments(ctx context.Context, r Reference, suffix, mediaType string) ([]Attachment, error) {
	m, err := c.tagged(ctx, r, suffix)
	if err != nil || m == nil {
		return nil, err
	}
	return c.layers(ctx, r, *m, nil, mediaType, nil)
}

// tagged is the manifest in such a tag, nil if there is none.
func (c *Client) tagged(ctx context.Context, r Reference, suffix string) (*ocispec.Manifest, error) {
	at := Reference{Registry: r.Registry, Repository: r.Repository, Tag: attachmentTag(r.Digest, suffix)}
	_, text, err := c.Resolve(ctx, at)
	if errors.Is(err, errdef.ErrNotFound) {
		return nil, nil //nolint:nilnil // none is no error
	}
	if err != nil {
		return nil, err
	}
	m := &ocispec.Manifest{}
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("read %s: %w", at, err)
	}
	return m, nil
}

// AttachTagged keeps something beside a module in the tag that is named after its digest with this suffix, as a layer more.
func (c *Client) AttachTagged(ctx context.Context, r Reference, suffix string, a Attachment) error {
	at, _, err := c.Resolve(ctx, r)
	if err != nil {
		return err
	}
	m, err := c.tagged(ctx, at, suffix)
	if err != nil {
		return err
	}
	if m == nil {
		m = &ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	}
	repository, err := c.repository(ctx, r)
	if err != nil {
		return fmt.Errorf("attach to %s: %w", r, err)
	}
	layer := describe(a.MediaType, a.Content)
	layer.Annotations = a.Annotations
	m.Layers = append(m.Layers, layer)
	var layers []digest.Digest
	for _, l := range m.Layers {
		layers = append(layers, l.Digest)
	}
	config, err := json.Marshal(map[string]any{
		"architecture": "", "os": "", "config": map[string]any{}, "rootfs": map[string]any{"type": "layers", "diff_ids": layers},
	})
	if err != nil {
		return fmt.Errorf("attach to %s: %w", r, err)
	}
	m.Config = describe(ocispec.MediaTypeImageConfig, config)
	manifest, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("attach to %s: %w", r, err)
	}
	err = c.again(ctx, func() error {
		for _, b := range []Blob{{Descriptor: layer, Content: a.Content}, {Descriptor: m.Config, Content: config}} {
			if err := repository.Blobs().Push(ctx, b.Descriptor, bytes.NewReader(b.Content)); err != nil {
				return err
			}
		}
		return repository.PushReference(ctx, describe(m.MediaType, manifest), bytes.NewReader(manifest), attachmentTag(at.Digest, suffix))
	})
	if err != nil {
		return Explain(fmt.Errorf("attach to %s: %w", r, err))
	}
	return nil
}
