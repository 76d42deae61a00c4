package catalog

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/leash-gateway/leash/manifest"
)

// Push tells of a build whose manifest and blobs are in the store, under a tag; "" for none. A tag that is a version gets
// that version, which never changes afterwards: ErrExists says that it is there with another content. The build is
// released at once if the trust policy accepts it as it is, and pending otherwise.
func (c *Catalog) Push(ctx context.Context, a Actor, repository, tag string, b Build) (now Build, err error) {
	released := c.accepts(ctx, repository, b.Digest)
	err = c.change(ctx, func(t *transaction) error {
		m, err := t.module(repository)
		if err != nil {
			m = newModule(repository)
		}
		version, err := m.taggable(tag, b.Digest)
		if err != nil {
			return err
		}
		switch there := m.builds[b.Digest]; {
		case there == nil:
			t.emit(a, Event{Kind: Push, Module: repository, Version: version, Digest: b.Digest, Build: &b})
		case there.State == Yanked:
			return m.check(there)
		case version != "" && m.versions[version] == "":
			t.emit(a, Event{Kind: Tag, Module: repository, Version: version, Tag: tag, Digest: b.Digest})
		}
		if version == "" && tag != "" && m.tags[tag] != b.Digest {
			t.emit(a, Event{Kind: Tag, Module: repository, Tag: tag, Digest: b.Digest, Previous: m.tags[tag]})
		}
		if m, err = t.module(repository); err != nil {
			return err
		}
		if released && m.builds[b.Digest].State == Pending {
			t.emit(a, Event{Kind: Release, Module: repository, Version: b.Version, Digest: b.Digest})
			m, err = t.module(repository)
		}
		if err == nil {
			now = *m.builds[b.Digest]
		}
		return err
	})
	return now, err
}

// Taggable says, before anything is stored, why something may not get a tag.
func (c *Catalog) Taggable(repository, tag string, d digest.Digest) error {
	m, err := c.module(repository)
	if err != nil {
		return nil //nolint:nilerr // nothing is there yet
	}
	_, err = m.taggable(tag, d)
	return err
}

// taggable is the version that a tag is, "" if it is none. The error says why the tag cannot be had.
func (m *module) taggable(tag string, d digest.Digest) (string, error) {
	if m.channels[tag] != nil {
		return "", fmt.Errorf("%s:%s: %w: it is a channel: leash module promote moves it", m.name, tag, ErrExists)
	}
	version, is := isVersion(tag)
	if !is {
		return "", nil
	}
	if there := m.versions[version]; there != "" && there != d {
		return "", fmt.Errorf("version %s of %s is %s: %w: give the module the next version in module.yaml", version, m.name, there, ErrExists)
	}
	return version, nil
}

// Attach tells of a manifest that belongs to a module and is in the store, under a tag; "" for none. What it belongs to may
// come later. A build that waits for just this signature is released.
func (c *Catalog) Attach(ctx context.Context, a Actor, repository, tag string, of Attachment) error {
	err := c.change(ctx, func(t *transaction) error {
		m, err := t.module(repository)
		if err != nil {
			m = newModule(repository)
		}
		version, err := m.taggable(tag, of.Digest)
		if err != nil {
			return err
		}
		if version != "" {
			return fmt.Errorf("%s:%s: %w: a version is a module, not what belongs to one", repository, tag, ErrInvalid)
		}
		if m.attachments[of.Digest] == nil {
			t.emit(a, Event{Kind: Attach, Module: repository, Digest: of.Digest, Details: map[string]string{"subject": of.Subject.String()}, Attachment: &of})
		}
		if tag != "" && m.tags[tag] != of.Digest {
			t.emit(a, Event{Kind: Tag, Module: repository, Tag: tag, Digest: of.Digest, Previous: m.tags[tag]})
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.trusted.forget(repository, of.Subject)
	return c.release(ctx, a, repository, of.Subject)
}

// release releases a build that is pending, if the trust policy accepts it by now.
func (c *Catalog) release(ctx context.Context, a Actor, repository string, d digest.Digest) error {
	if b, err := c.Build(repository, d); err != nil || b.State != Pending || !c.accepts(ctx, repository, d) {
		return nil //nolint:nilerr // it comes later, or waits for another signature
	}
	return c.change(ctx, func(t *transaction) error {
		m, err := t.module(repository)
		if err != nil {
			return err
		}
		if b := m.builds[d]; b != nil && b.State == Pending {
			t.emit(a, Event{Kind: Release, Module: repository, Version: b.Version, Digest: b.Digest})
		}
		return nil
	})
}

// Reconsider has the trust policy asked anew about everything, as after it has changed, and releases what it accepts by now.
func (c *Catalog) Reconsider(ctx context.Context, a Actor) error {
	c.trusted.mu.Lock()
	clear(c.trusted.of)
	c.trusted.mu.Unlock()
	c.mu.RLock()
	modules := c.modules
	c.mu.RUnlock()
	for name, m := range modules {
		for d := range m.builds {
			if err := c.release(ctx, a, name, d); err != nil {
				return err
			}
		}
	}
	return nil
}

// Remove takes away a build that is pending, an attachment, or a tag that is no version. What has been released stays: see
// [Catalog.Yank].
func (c *Catalog) Remove(ctx context.Context, a Actor, repository, reference string) error {
	return c.change(ctx, func(t *transaction) error {
		m, err := t.module(repository)
		if err != nil {
			return err
		}
		if m.tags[reference] != "" {
			t.emit(a, Event{Kind: Untag, Module: repository, Tag: reference, Digest: m.tags[reference]})
			return nil
		}
		d := digest.Digest(reference)
		if version, is := isVersion(reference); is {
			d = m.versions[version]
		}
		b := m.builds[d]
		switch {
		case m.attachments[d] != nil:
			t.emit(a, Event{Kind: Detach, Module: repository, Digest: d})
			c.trusted.forget(repository, m.attachments[d].Subject)
		case b == nil && m.channels[reference] != nil:
			return fmt.Errorf("%s:%s: %w: it is a channel", repository, reference, ErrConflict)
		case b == nil:
			return fmt.Errorf("%s:%s: %w", repository, reference, ErrNotFound)
		case b.State != Pending:
			return fmt.Errorf("%s %s: %w: it has been released: leash module yank takes it back", repository, b.Version, ErrExists)
		default:
			t.emit(a, Event{Kind: Withdraw, Module: repository, Version: b.Version, Digest: d})
		}
		return nil
	})
}

// A Target is what a tag or a digest stands for.
type Target struct {
	Digest    digest.Digest
	MediaType string
	// Build is the module, nil if it is an attachment.
	Build *Build
}

// Resolve is what a tag (a version, a channel, another name) or a digest stands for, whether it may be used or not.
func (c *Catalog) Resolve(repository, reference string) (Target, error) {
	m, err := c.module(repository)
	if err != nil {
		return Target{}, err
	}
	d := digest.Digest(reference)
	if !strings.Contains(reference, ":") {
		d = m.tagged(reference)
	}
	if b := m.builds[d]; b != nil {
		return Target{Digest: d, MediaType: b.MediaType, Build: b}, nil
	}
	if a := m.attachments[d]; a != nil {
		return Target{Digest: d, MediaType: a.MediaType}, nil
	}
	return Target{}, fmt.Errorf("%s:%s: %w", repository, reference, ErrNotFound)
}

func (m *module) tagged(tag string) digest.Digest {
	if channel := m.channels[tag]; channel != nil {
		return channel.Digest
	}
	if version, is := isVersion(tag); is {
		return m.versions[version]
	}
	return m.tags[tag]
}

// Tags are all tags of a repository in their order, channels among them. Those of builds that may not be used are left out
// unless all is set.
func (c *Catalog) Tags(repository string, all bool) ([]string, error) {
	m, err := c.module(repository)
	if err != nil {
		return nil, err
	}
	tags := []string{}
	add := func(name string, d digest.Digest) {
		if b := m.builds[d]; b == nil && m.attachments[d] != nil || b != nil && (b.usable() || all && b.State == Pending) {
			tags = append(tags, strings.ReplaceAll(name, "+", "_"))
		}
	}
	for name, d := range m.versions {
		add(name, d)
	}
	for name, d := range m.tags {
		add(name, d)
	}
	for name, channel := range m.channels {
		add(name, channel.Digest)
	}
	slices.Sort(tags)
	return slices.Compact(tags), nil
}

// Holders are the manifests that name a blob: builds, whose state says whether it may be had, and whether an attachment
// does too.
func (c *Catalog) Holders(repository string, blob digest.Digest) (builds []Build, attached bool) {
	m, err := c.module(repository)
	if err != nil {
		return nil, false
	}
	for _, d := range m.parts[blob] {
		if b := m.builds[d]; b != nil {
			builds = append(builds, *b)
		}
		attached = attached || m.attachments[d] != nil
	}
	return builds, attached
}

// Describe is the build that an OCI manifest, its .wasm and what that says of itself make.
func Describe(mediaType string, manifestJSON, wasm []byte, m *manifest.Manifest) (Build, error) {
	parts, err := Parts(manifestJSON)
	if err != nil {
		return Build{}, err
	}
	return Build{
		Digest: digest.FromBytes(manifestJSON), MediaType: mediaType, ManifestSize: int64(len(manifestJSON)), Parts: parts,
		Wasm: digest.FromBytes(wasm), WasmSize: int64(len(wasm)),
		Version: m.Version, Kind: string(m.Kind), Description: m.Description, License: m.License,
	}, nil
}

// Parts are the blobs that an OCI manifest names.
func Parts(manifestJSON []byte) ([]digest.Digest, error) {
	var m ocispec.Manifest
	if err := json.Unmarshal(manifestJSON, &m); err != nil {
		return nil, fmt.Errorf("read OCI manifest: %w", err)
	}
	var parts []digest.Digest
	for _, part := range append([]ocispec.Descriptor{m.Config}, m.Layers...) {
		if part.Digest != "" && !slices.Contains(parts, part.Digest) {
			parts = append(parts, part.Digest)
		}
	}
	return parts, nil
}
