package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/leash-gateway/leash/registry/blobs"
)

const defaultCacheBytes = 10 << 30

// cache keeps what has been read of another registry, by digest.
type cache struct {
	dir      string
	folder   blobs.Folder
	most     int64
	log      *slog.Logger
	verified verified

	mu       sync.Mutex
	fetching map[digest.Digest]chan struct{} // closed when it has ended
}

func newCache(o UpstreamOptions) *cache {
	dir := filepath.Join(o.Cache, "upstream")
	c := &cache{dir: dir, folder: blobs.In(dir), most: o.CacheBytes, log: o.Log, fetching: map[digest.Digest]chan struct{}{}}
	if c.most <= 0 {
		c.most = defaultCacheBytes
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	return c
}

// source opens the original from an offset on, as [blobs.Folder.Fetch] wants it.
type source = func(context.Context, int64) (io.ReadCloser, int64, error)

// open is a file, verified. find tells size and source of what is not there yet; of several who ask, one fetches.
func (c *cache) open(ctx context.Context, d digest.Digest, find func() (int64, source, error)) (*os.File, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	for {
		in, err := os.Open(c.folder.File(d)) //nolint:gosec // below the folder, named by a digest
		if err == nil {
			if err = c.verified.verify(in, d); err == nil {
				return in, nil
			}
			if err = errors.Join(err, in.Close()); !errors.Is(err, ErrTampered) {
				return nil, err
			}
			_ = os.Remove(in.Name()) // the original is elsewhere
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		end, mine := c.begin(d)
		if !mine {
			select {
			case <-end:
				continue
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		err = c.fetch(ctx, d, find)
		c.end(d, end)
		if err != nil {
			return nil, err
		}
	}
}

// begin says whether the caller is to fetch something; else end is closed when somebody has.
func (c *cache) begin(d digest.Digest) (end chan struct{}, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if end, found := c.fetching[d]; found {
		return end, false
	}
	end = make(chan struct{})
	c.fetching[d] = end
	return end, true
}

func (c *cache) end(d digest.Digest, end chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.fetching, d)
	close(end)
}

func (c *cache) fetch(ctx context.Context, d digest.Digest, find func() (int64, source, error)) error {
	size, from, err := find()
	if err != nil {
		return err
	}
	if _, err := c.folder.Fetch(ctx, d, size, from); err != nil {
		return err
	}
	if err := c.bound(d); err != nil {
		c.log.Warn("the cache cannot be kept in its bound", "folder", c.dir, "error", err.Error())
	}
	return nil
}

// bound removes the oldest files until the rest fits; not the one that has just come.
func (c *cache) bound(except digest.Digest) error {
	type kept struct {
		path    string
		size    int64
		changed time.Time
	}
	var all []kept
	var total int64
	err := filepath.WalkDir(c.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		total += info.Size()
		if !strings.HasPrefix(entry.Name(), except.Encoded()) && !strings.HasSuffix(entry.Name(), ".part") {
			all = append(all, kept{path, info.Size(), info.ModTime()})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("look through the cache: %w", err)
	}
	slices.SortFunc(all, func(a, b kept) int { return cmp.Compare(a.changed.UnixNano(), b.changed.UnixNano()) })
	for _, oldest := range all {
		if total <= c.most {
			return nil
		}
		if err := os.Remove(oldest.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("empty the cache: %w", err)
		}
		total -= oldest.size
	}
	return nil
}
