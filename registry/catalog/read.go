package catalog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"go.etcd.io/bbolt"

	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/registry/artifact"
	"github.com/leash-gateway/leash/registry/signing"
)

// A Module is a module that has been verified, with its bytes.
type Module struct {
	Build
	// Name is the repository, such as team/hello.
	Name string
	// Bytes are the .wasm.
	Bytes []byte
	// Manifest is what it says of itself.
	Manifest *manifest.Manifest
	// Signatures are those that the trust policy counts.
	Signatures []signing.Verified
}

// Read reads a module and verifies it: that it is known and neither pending nor yanked, that the trust policy lets it run
// now, that its manifest and its bytes are those that were pushed, and that it is the module and version that the log says
// it is. It is verified anew each time: what a caller keeps is not. Errors: ErrNotFound, ErrPending, ErrYanked, ErrRefused.
func (c *Catalog) Read(ctx context.Context, repository string, d digest.Digest) (*Module, error) {
	m, err := c.module(repository)
	if err != nil {
		return nil, err
	}
	b := m.builds[d]
	if b == nil {
		return nil, fmt.Errorf("%s@%s: %w", repository, d, ErrNotFound)
	}
	if err := m.check(b); err != nil {
		return nil, err
	}
	read := &Module{Build: *b, Name: repository}
	if c.options.Trust != nil {
		if read.Signatures, err = c.options.Trust.Check(ctx, repository, d); err != nil {
			return nil, refused(repository, b, err)
		}
	}
	if read.Bytes, err = c.bytes(ctx, repository, d); err != nil {
		return nil, refused(repository, b, err)
	}
	if got := digest.FromBytes(read.Bytes); got != b.Wasm {
		return nil, refused(repository, b, fmt.Errorf("the .wasm is %s, not %s", got, b.Wasm))
	}
	if read.Manifest, err = manifest.Of(repository, read.Bytes); err != nil {
		return nil, refused(repository, b, err)
	}
	if read.Manifest.Name != ModuleName(repository) || read.Manifest.Version != b.Version {
		return nil, refused(repository, b, fmt.Errorf("it is %s %s", read.Manifest.Name, read.Manifest.Version))
	}
	return read, nil
}

// refused says that something is not what it should be; what is not there is not found.
func refused(repository string, b *Build, err error) error {
	if errors.Is(err, ErrNotFound) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("read %s %s (%s): %w", repository, b.Version, b.Digest, err)
	}
	return fmt.Errorf("read %s %s (%s): %w: %w", repository, b.Version, b.Digest, ErrRefused, err)
}

// bytes is the .wasm of a manifest, the manifest and the layer verified.
func (c *Catalog) bytes(ctx context.Context, repository string, d digest.Digest) ([]byte, error) {
	text, err := c.options.Store.Manifest(ctx, repository, d)
	if err != nil {
		return nil, err
	}
	if got := digest.FromBytes(text); got != d {
		return nil, fmt.Errorf("the store holds another manifest, %s", got)
	}
	layer, format, err := artifact.Layer(text)
	if err != nil {
		return nil, err
	}
	if err := layer.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("layer %q: %w", layer.Digest, err)
	}
	in, err := c.options.Store.Blob(ctx, repository, layer.Digest)
	if err != nil {
		return nil, err
	}
	defer in.Close() //nolint:errcheck // only read
	packed := make([]byte, layer.Size)
	if _, err := io.ReadFull(in, packed); err != nil {
		return nil, fmt.Errorf("the store holds less than the %d bytes of %s: %w", layer.Size, layer.Digest, err)
	}
	if got := layer.Digest.Algorithm().FromBytes(packed); got != layer.Digest {
		return nil, fmt.Errorf("the store holds another layer, %s instead of %s", got, layer.Digest)
	}
	return artifact.Unpack(packed, format)
}

// accepts says whether the trust policy accepts something now.
func (c *Catalog) accepts(ctx context.Context, repository string, d digest.Digest) bool {
	if c.options.Trust == nil {
		return true
	}
	_, err := c.options.Trust.Check(ctx, repository, d)
	return err == nil
}

// verdictsHold is how long the trust policy's answer about a module is used for downloads.
const verdictsHold = 30 * time.Second

// subject is a build of a module.
type subject struct {
	repository string
	digest     digest.Digest
}

type verdict struct {
	err   error
	until time.Time
}

// verdicts are what the trust policy has said a moment ago.
type verdicts struct {
	mu sync.Mutex
	of map[subject]verdict
}

func (v *verdicts) forget(repository string, d digest.Digest) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.of, subject{repository, d})
}

// Usable says whether a build may be downloaded now; it is what [Catalog.Read] does without looking at the bytes, and the
// trust policy is not asked again within half a minute.
func (c *Catalog) Usable(ctx context.Context, repository string, d digest.Digest) error {
	m, err := c.module(repository)
	if err != nil {
		return err
	}
	b := m.builds[d]
	if b == nil {
		return fmt.Errorf("%s@%s: %w", repository, d, ErrNotFound)
	}
	if err := m.check(b); err != nil || c.options.Trust == nil {
		return err
	}
	key, now := subject{repository, d}, c.options.Now()
	c.trusted.mu.Lock()
	known, found := c.trusted.of[key]
	c.trusted.mu.Unlock()
	if found && now.Before(known.until) {
		return known.err
	}
	_, err = c.options.Trust.Check(ctx, repository, d)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		err = refused(repository, b, err)
	}
	c.trusted.mu.Lock()
	defer c.trusted.mu.Unlock()
	c.trusted.of[key] = verdict{err, now.Add(verdictsHold)}
	return err
}

// loads are downloads that have not been written yet.
type loads struct {
	mu sync.Mutex
	of map[subject]uint64
}

// Downloaded counts a download. It is written some time later: what is lost in a crash is a few numbers.
func (c *Catalog) Downloaded(repository string, d digest.Digest) {
	c.loads.mu.Lock()
	defer c.loads.mu.Unlock()
	c.loads.add(subject{repository, d}, 1)
}

// add is called with the lock.
func (l *loads) add(key subject, n uint64) {
	if l.of == nil {
		l.of = map[subject]uint64{}
	}
	l.of[key] += n
}

func (s subject) key() []byte { return []byte(s.repository + "@" + s.digest.String()) }

// Downloads is how often a build has been downloaded.
func (c *Catalog) Downloads(repository string, d digest.Digest) (n uint64, err error) {
	key := subject{repository, d}
	err = c.db.View(func(tx *bbolt.Tx) error {
		n = number(tx.Bucket(downloadsBucket).Get(key.key()))
		return nil
	})
	c.loads.mu.Lock()
	defer c.loads.mu.Unlock()
	return n + c.loads.of[key], err
}

func number(kept []byte) uint64 {
	if len(kept) != 8 { // none
		return 0
	}
	return binary.BigEndian.Uint64(kept)
}

// flush writes the downloads that have been counted.
func (c *Catalog) flush() error {
	c.loads.mu.Lock()
	counted := c.loads.of
	c.loads.of = nil
	c.loads.mu.Unlock()
	if len(counted) == 0 {
		return nil
	}
	err := c.db.Update(func(tx *bbolt.Tx) error {
		kept := tx.Bucket(downloadsBucket)
		for key, n := range counted {
			if err := kept.Put(key.key(), binary.BigEndian.AppendUint64(nil, number(kept.Get(key.key()))+n)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		c.loads.mu.Lock()
		defer c.loads.mu.Unlock()
		for key, n := range counted {
			c.loads.add(key, n)
		}
		return fmt.Errorf("write downloads: %w", err)
	}
	return nil
}
