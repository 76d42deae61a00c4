// Package catalog knows which modules there are: their versions, the channels that point at them, who did what.
//
// What it keeps is a log of events, to which is only ever added; everything else is made of the log when it is opened. A
// change is one transaction: when a method returns without an error, the change is on the disk, and when it returns one,
// nothing has happened. Each event holds the hash of the one before, so a log that somebody has edited is not opened.
//
// The bytes of modules are in a [Store] that nobody needs to trust: [Catalog.Read] verifies everything that comes out of
// it, each time, against the log, the trust policy and the module's own manifest.
package catalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"go.etcd.io/bbolt"

	"github.com/leash-gateway/leash/registry/signing"
)

// A Store holds what was pushed, by repository and digest. ErrNotFound says that something is not there.
type Store interface {
	// Manifest is an OCI manifest.
	Manifest(ctx context.Context, repository string, d digest.Digest) ([]byte, error)
	// Blob is a part of what a manifest describes. The caller closes it.
	Blob(ctx context.Context, repository string, d digest.Digest) (io.ReadCloser, error)
}

// A Trust decides who must have signed a module.
type Trust interface {
	// Check returns the signatures that count; none where none is asked for.
	Check(ctx context.Context, repository string, d digest.Digest) ([]signing.Verified, error)
}

// What callers branch on.
var (
	// ErrNotFound says that there is no such module, version, channel or content.
	ErrNotFound = errors.New("not found")
	// ErrExists says that a version is there already, with another content: versions never change.
	ErrExists = errors.New("it is there already and never changes")
	// ErrPending says that a version waits for a signature that the trust policy accepts.
	ErrPending = errors.New("it waits for a signature that the trust policy accepts")
	// ErrYanked says that a version has been taken back.
	ErrYanked = errors.New("it has been yanked")
	// ErrRefused says that the trust policy does not let a module run, or that what the store holds is not what was pushed.
	ErrRefused = errors.New("refused")
	// ErrConflict says that something is not, or no longer, as the caller thought.
	ErrConflict = errors.New("it is not as was thought")
	// ErrInvalid says that a request cannot be meant.
	ErrInvalid = errors.New("invalid")
)

// State says what may be done with a build.
type State string

// The states.
const (
	// Pending waits for signatures: it can be signed, and neither be downloaded nor promoted.
	Pending State = "pending"
	// Released can be used.
	Released State = "released"
	// Deprecated can be used by those who do, and not be promoted any more.
	Deprecated State = "deprecated"
	// Yanked can no longer be had.
	Yanked State = "yanked"
)

// A Build is a module that was pushed.
type Build struct {
	// Digest is that of the OCI manifest, whose media type and size these are.
	Digest       digest.Digest `json:"digest"`
	MediaType    string        `json:"media_type"`
	ManifestSize int64         `json:"manifest_size"`
	// Parts are the blobs that the manifest names.
	Parts []digest.Digest `json:"parts"`
	// Wasm is the digest of the .wasm itself, WasmSize its size in bytes.
	Wasm     digest.Digest `json:"wasm"`
	WasmSize int64         `json:"wasm_size"`
	// Version is what the module says of itself, with Kind, Description and License.
	Version     string `json:"version"`
	Kind        string `json:"kind"`
	Description string `json:"description"`
	License     string `json:"license"`
	// Pushed is when, By whom.
	Pushed time.Time `json:"pushed"`
	By     string    `json:"by"`
	// Checks are what admission has found out: scenarios that ran, times.
	Checks map[string]string `json:"checks,omitempty"`

	// State and Reason (of being deprecated or yanked) are those of now.
	State  State  `json:"-"`
	Reason string `json:"-"`
	// Released is when it became usable; the zero time: not yet.
	Released time.Time `json:"-"`
}

// An Attachment is a manifest that belongs to a module: a signature, an attestation, an SBOM.
type Attachment struct {
	Digest       digest.Digest   `json:"digest"`
	MediaType    string          `json:"media_type"`
	ManifestSize int64           `json:"manifest_size"`
	Parts        []digest.Digest `json:"parts"`
	// Subject is the manifest of the module.
	Subject digest.Digest `json:"subject"`
	// ArtifactType says what it is.
	ArtifactType string `json:"artifact_type"`
}

// A Channel is a name that points at a version, such as stable.
type Channel struct {
	Module, Name string
	// Version and Digest are what it points at. "" where nothing is left that it could point at.
	Version string
	Digest  digest.Digest
	// Revision counts the changes of the channel, Changed is when the last was and By whose.
	Revision uint64
	Changed  time.Time
	By       string
	// Canary is a version that is being tried, nil for none.
	Canary *Canary

	before []digest.Digest // what it pointed at, the latest last
}

// Before is what it pointed at before, "" for nothing.
func (c *Channel) Before() digest.Digest {
	for _, d := range slices.Backward(c.before) {
		if d != c.Digest {
			return d
		}
	}
	return ""
}

// A Canary is a version that some of those who follow a channel get before the others.
type Canary struct {
	Version string        `json:"version"`
	Digest  digest.Digest `json:"digest"`
	// Percent is the share of those who get it (by the hash of their id), Nodes are patterns of the ids of those who get it
	// besides, in which * stands for any characters.
	Percent int      `json:"percent,omitempty"`
	Nodes   []string `json:"nodes,omitempty"`
	// For is how long it must have gone well until it is promoted. 0: it is promoted by hand.
	For time.Duration `json:"for_ns,omitempty"`
	// MaxErrorRate (0 to 1) and MaxLatency (p95) are what it must keep to. 0: not looked at.
	MaxErrorRate float64       `json:"max_error_rate,omitempty"`
	MaxLatency   time.Duration `json:"max_latency_ns,omitempty"`
	// Started is when, By whom.
	Started time.Time `json:"started"`
	By      string    `json:"by"`
}

// Options are what a catalogue needs.
type Options struct {
	// File is where the log is kept. It is made if it is not there, and locked against other processes.
	File string
	// Store holds the modules, Trust says which may be used; nil: all may.
	Store Store
	Trust Trust
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// A Catalog is safe for concurrent use.
type Catalog struct {
	options Options
	db      *bbolt.DB
	trusted verdicts
	loads   loads

	changes chan *change
	stopped chan struct{} // closed by Close
	done    sync.WaitGroup
	close   sync.Once

	mu      sync.RWMutex
	modules map[string]*module // never changed: a change makes a new one
	last    Event              // the zero value: the log is empty
	news    chan struct{}      // closed when there is another event
}

// Open opens a catalogue, or makes one. Close it once, after those who read and watch.
func Open(o Options) (*Catalog, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &Catalog{options: o, changes: make(chan *change), stopped: make(chan struct{}), modules: map[string]*module{}, news: make(chan struct{})}
	c.trusted.of = map[subject]verdict{}
	var err error
	if c.db, err = openLog(o.File); err != nil {
		return nil, fmt.Errorf("open catalogue %s: %w", o.File, err)
	}
	if err := c.replay(); err != nil {
		return nil, errors.Join(fmt.Errorf("open catalogue %s: %w", o.File, err), c.db.Close())
	}
	c.done.Go(c.commit)
	return c, nil
}

// Close ends what is under way, and closes the log. Changes after it fail.
func (c *Catalog) Close() (err error) {
	c.close.Do(func() {
		close(c.stopped)
		c.done.Wait()
		err = errors.Join(c.flush(), c.db.Close())
	})
	return err
}

// module is a module by its name.
func (c *Catalog) module(name string) (*module, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	m := c.modules[name]
	if m == nil {
		return nil, fmt.Errorf("module %s: %w", name, ErrNotFound)
	}
	return m, nil
}

// Modules are the names of all modules, in their order: each is a repository, such as team/hello.
func (c *Catalog) Modules() []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	names := make([]string, 0, len(c.modules))
	for name, m := range c.modules {
		if len(m.builds) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Has says whether there is a module of this name.
func (c *Catalog) Has(name string) bool {
	m, err := c.module(name)
	return err == nil && len(m.builds) > 0
}

// Versions are a module's versions, the newest (by SemVer) first, also those that are pending or yanked.
func (c *Catalog) Versions(name string) ([]Build, error) {
	m, err := c.module(name)
	if err != nil {
		return nil, err
	}
	list := make([]Build, 0, len(m.versions))
	for _, d := range m.versions {
		list = append(list, *m.builds[d])
	}
	slices.SortFunc(list, func(a, b Build) int { return compareVersions(b.Version, a.Version) })
	return list, nil
}

// Version is one version of a module, also one that is pending or yanked.
func (c *Catalog) Version(name, version string) (Build, error) {
	m, err := c.module(name)
	if err != nil {
		return Build{}, err
	}
	d, found := m.versions[strings.TrimPrefix(version, "v")]
	if !found {
		return Build{}, fmt.Errorf("version %s of %s: %w", version, name, ErrNotFound)
	}
	return *m.builds[d], nil
}

// Build is a module by its digest, in whichever state.
func (c *Catalog) Build(name string, d digest.Digest) (Build, error) {
	m, err := c.module(name)
	if err != nil {
		return Build{}, err
	}
	b := m.builds[d]
	if b == nil {
		return Build{}, fmt.Errorf("%s@%s: %w", name, d, ErrNotFound)
	}
	return *b, nil
}

// Attachments are those of a build.
func (c *Catalog) Attachments(name string, d digest.Digest) []Attachment {
	m, err := c.module(name)
	if err != nil {
		return nil
	}
	var list []Attachment
	for _, a := range m.attachments {
		if a.Subject == d {
			list = append(list, *a)
		}
	}
	slices.SortFunc(list, func(a, b Attachment) int { return strings.Compare(string(a.Digest), string(b.Digest)) })
	return list
}

// Channels are all channels of a module, in the order of their names.
func (c *Catalog) Channels(name string) ([]Channel, error) {
	m, err := c.module(name)
	if err != nil {
		return nil, err
	}
	return m.sortedChannels(), nil
}

// AllChannels are all channels of all modules, and the number of the last event that they are made of: [Catalog.Watch]
// with this number tells what comes after.
func (c *Catalog) AllChannels() (list []Channel, seq uint64) {
	c.mu.RLock()
	modules, seq := c.modules, c.last.Seq
	for _, name := range slices.Sorted(maps.Keys(modules)) {
		list = append(list, modules[name].sortedChannels()...)
	}
	c.mu.RUnlock()
	return list, seq
}

// Channel is one channel.
func (c *Catalog) Channel(name, channel string) (Channel, error) {
	m, err := c.module(name)
	if err != nil {
		return Channel{}, err
	}
	found := m.channels[channel]
	if found == nil {
		return Channel{}, fmt.Errorf("channel %s of %s: %w", channel, name, ErrNotFound)
	}
	return *found, nil
}

// ModuleName is the name that a module in a repository must have: the last part of the repository's.
func ModuleName(repository string) string { return path.Base(repository) }
