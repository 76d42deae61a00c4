// Package store holds the bytes of a registry: in a directory of this machine, or in an OCI registry that is there already.
//
// A store does what it is told: who may do what, and what may be pushed, is decided before ([server]). What comes out of
// [Directory.Open] and [Upstream.Open] is what its digest says, also when somebody has edited the files.
package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"
	"github.com/olareg/olareg/types"
	"github.com/opencontainers/go-digest"

	"github.com/leash-gateway/leash/registry/catalog"
)

// MaxManifest bounds a manifest, in bytes.
const MaxManifest = 4 << 20

// DirectoryOptions are how a directory is kept. The zero value is good.
type DirectoryOptions struct {
	// CollectEvery is how often what nothing refers to is removed, CollectAfter how old it must be. Default: 15 min and 1 h.
	CollectEvery, CollectAfter time.Duration
	// Log is told what goes wrong in the files. Default: nobody.
	Log *slog.Logger
}

// A Directory is a store in a directory: an OCI image layout for each repository, which other programs can read.
type Directory struct {
	root     string
	registry *olareg.Server
	verified verified

	making sync.Mutex // held while a repository is made
	made   sync.Map   // by the names of those that are there: the lock of each
}

// OpenDirectory opens a directory, or makes one. What uploads have left behind that were interrupted when the process was
// killed is removed: the directory must not be in use. Close it after those who read.
func OpenDirectory(root string, o DirectoryOptions) (*Directory, error) {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if err := sweep(root); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	yes := true
	d := &Directory{root: root}
	d.registry = olareg.New(config.Config{
		Log: o.Log,
		Storage: config.ConfigStorage{
			StoreType: config.StoreDir, RootDir: root, GC: config.ConfigGC{Frequency: o.CollectEvery, GracePeriod: o.CollectAfter},
		},
		API: config.ConfigAPI{
			DeleteEnabled: &yes, Blob: config.ConfigAPIBlob{DeleteEnabled: &yes}, Referrer: config.ConfigAPIReferrer{Enabled: &yes},
			Manifest: config.ConfigAPIManifest{Limit: MaxManifest},
		},
	})
	return d, nil
}

// What olareg calls its files.
const (
	uploads   = "_uploads"
	blobsDir  = "blobs"
	indexFile = "index.json"
)

// sweep removes what interrupted writes have left.
func sweep(root string) error {
	var left []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == blobsDir:
			return fs.SkipDir
		case entry.IsDir() && entry.Name() == uploads:
			left = append(left, path)
			return fs.SkipDir
		case !entry.IsDir() && strings.HasPrefix(entry.Name(), indexFile+"."):
			left = append(left, path)
		}
		return nil
	})
	for _, path := range left {
		err = errors.Join(err, os.RemoveAll(path))
	}
	return err
}

// Close ends what is under way.
func (d *Directory) Close() error {
	if err := there(d.registry.Close()); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// there is what olareg says when it closes without what it says of repositories that somebody has asked for and nobody has made.
func there(err error) error {
	all, joined := err.(interface{ Unwrap() []error }) //nolint:errorlint // of errors.Join, as it is
	if !joined {
		return err
	}
	return errors.Join(slices.DeleteFunc(slices.Clone(all.Unwrap()), func(one error) bool { return errors.Is(one, types.ErrNotFound) })...)
}

// ServeHTTP is the OCI distribution API, for everybody. olareg makes a repository with what is first uploaded to it, and does not guard
// that against other requests, so until it is there they come one by one. Later so do those that it reads or writes the index for: it does not guard what it notes of that
// against those that only ask whether the repository is there. Where bytes come from a client, or go to one, nobody waits.
func (d *Directory) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if name, begins := repositoryOf(r); name != "" {
		if _, there := d.made.Load(name); !there && !d.make(name, begins, w, r) {
			return
		}
		if !ofBytes(r) {
			value, _ := d.made.Load(name)
			lock := value.(*sync.Mutex) //nolint:forcetypeassert // nothing else is in there
			lock.Lock()
			defer lock.Unlock()
		}
	}
	d.registry.ServeHTTP(w, r)
}

// ofBytes says whether a request brings or asks for the bytes of a blob.
func ofBytes(r *http.Request) bool {
	return strings.Contains(r.URL.Path, "/blobs/") && (r.Method == http.MethodGet || r.Method == http.MethodHead || r.ContentLength != 0)
}

// repositoryOf is the repository that a request is about, and whether it begins an upload.
func repositoryOf(r *http.Request) (name string, begins bool) {
	path := strings.TrimPrefix(r.URL.Path, "/v2/")
	for _, part := range []string{"/blobs/", "/manifests/", "/tags/", "/referrers/"} {
		if at := strings.LastIndex(path, part); at > 0 {
			return path[:at], part == "/blobs/" && strings.HasPrefix(path[at:], "/blobs/uploads") && r.Method == http.MethodPost
		}
	}
	return "", false
}

// make makes a repository for its first upload. It returns false if the repository is not there and nothing begins it: then it has
// answered.
func (d *Directory) make(name string, begins bool, w http.ResponseWriter, r *http.Request) bool {
	d.making.Lock()
	defer d.making.Unlock()
	if _, err := os.Stat(filepath.Join(d.root, filepath.FromSlash(name), indexFile)); err != nil {
		if !begins {
			d.registry.ServeHTTP(w, r)
			return false
		}
		d.beginAndCancel(r.Context(), name)
	}
	d.made.LoadOrStore(name, &sync.Mutex{})
	return true
}

// beginAndCancel has olareg make a repository. What goes wrong is told to the upload that comes next.
func (d *Directory) beginAndCancel(ctx context.Context, name string) {
	next := "/v2/" + name + "/blobs/uploads/"
	for _, method := range []string{http.MethodPost, http.MethodDelete} {
		r, err := http.NewRequestWithContext(ctx, method, next, http.NoBody)
		if err != nil {
			return
		}
		to := discarded{http.Header{}}
		d.registry.ServeHTTP(to, r)
		if next = to.header.Get("Location"); next == "" {
			return
		}
	}
}

// discarded is an answer of which only the headers are kept.
type discarded struct{ header http.Header }

func (d discarded) Header() http.Header         { return d.header }
func (d discarded) Write(b []byte) (int, error) { return len(b), nil }
func (d discarded) WriteHeader(int)             {}

func (d *Directory) file(repository string, of digest.Digest) (string, error) {
	if err := of.Validate(); err != nil {
		return "", fmt.Errorf("%q: %w", of, err)
	}
	return filepath.Join(d.root, filepath.FromSlash(repository), blobsDir, of.Algorithm().String(), of.Encoded()), nil
}

// Manifest is a manifest as it is kept, not verified.
func (d *Directory) Manifest(_ context.Context, repository string, of digest.Digest) ([]byte, error) {
	in, err := d.open(repository, of)
	if err != nil {
		return nil, err
	}
	defer in.Close() //nolint:errcheck // only read
	return readManifest(in, repository, of)
}

func readManifest(in io.Reader, repository string, of digest.Digest) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(in, MaxManifest+1))
	if err != nil {
		return nil, fmt.Errorf("read %s@%s: %w", repository, of, err)
	}
	if len(text) > MaxManifest {
		return nil, fmt.Errorf("read %s@%s: it is larger than %d bytes", repository, of, MaxManifest)
	}
	return text, nil
}

// Blob is a blob as it is kept, not verified.
func (d *Directory) Blob(_ context.Context, repository string, of digest.Digest) (io.ReadCloser, error) {
	return d.open(repository, of)
}

func (d *Directory) open(repository string, of digest.Digest) (*os.File, error) {
	path, err := d.file(repository, of)
	if err != nil {
		return nil, err
	}
	in, err := os.Open(path) //nolint:gosec // below the root, named by a digest
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s@%s: %w", repository, of, catalog.ErrNotFound)
	}
	return in, err
}

// Open is a blob or a manifest, verified. The caller closes it.
func (d *Directory) Open(_ context.Context, repository string, of digest.Digest) (*os.File, error) {
	in, err := d.open(repository, of)
	if err != nil {
		return nil, err
	}
	if err := d.verified.verify(in, of); err != nil {
		return nil, errors.Join(fmt.Errorf("read %s@%s: %w", repository, of, err), in.Close())
	}
	return in, nil
}

// Keep has everything on the disk that makes a manifest: when it returns nil, losing power loses nothing of it.
func (d *Directory) Keep(_ context.Context, repository string, manifest digest.Digest, parts []digest.Digest) error {
	repositoryDir := filepath.Join(d.root, filepath.FromSlash(repository))
	names := []string{filepath.Join(repositoryDir, indexFile)}
	dirs := map[string]bool{}
	for dir := repositoryDir; ; dir = filepath.Dir(dir) {
		dirs[dir] = true
		if dir == d.root {
			break
		}
	}
	for _, of := range append([]digest.Digest{manifest}, parts...) {
		path, err := d.file(repository, of)
		if err != nil {
			return err
		}
		names = append(names, path)
		dirs[filepath.Dir(path)], dirs[filepath.Dir(filepath.Dir(path))] = true, true
	}
	for dir := range dirs {
		names = append(names, dir)
	}
	var wait sync.WaitGroup
	failures := make([]error, len(names))
	for i, name := range names {
		wait.Go(func() { failures[i] = syncFile(name) })
	}
	wait.Wait()
	if err := errors.Join(failures...); err != nil {
		return fmt.Errorf("write %s@%s: %w", repository, manifest, err)
	}
	return nil
}

func syncFile(name string) error {
	f, err := os.Open(name) //nolint:gosec // below the root
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
