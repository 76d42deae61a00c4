// Package blobs is a folder of files that are named after their content, so that what was verified is what is loaded,
// and a download that was interrupted goes on where it stopped.
package blobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"
)

// A Folder keeps files by digest. Several processes may share it.
type Folder struct{ dir string }

// In is the folder dir, which is made when something is put into it.
func In(dir string) Folder { return Folder{dir} }

// DefaultDir is leash/blobs in the user's folder for caches, "" where there is none: what is kept is run, so no folder will do that others
// write to.
func DefaultDir() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "leash", "blobs")
}

var errNowhere = errors.New("there is no folder for caches: set LEASH_BLOBS, or HOME")

// ErrMismatch says that content is not what its digest or size says.
var ErrMismatch = errors.New("the content is not what was asked for")

// maxStalls is how often in a row a download may break off without a byte more.
const maxStalls = 4

// File is where the file of a digest is, if it is there. It may have been changed: see Get.
func (f Folder) File(d digest.Digest) string { return f.path(d) }

func (f Folder) path(d digest.Digest) string {
	return filepath.Join(f.dir, d.Algorithm().String(), d.Encoded())
}

// Put keeps content and returns its file.
func (f Folder) Put(content []byte) (string, error) {
	d := digest.FromBytes(content)
	if file, err := f.Get(d); err == nil {
		return file, nil
	}
	file := f.path(d)
	if err := f.write(file, content); err != nil {
		return "", fmt.Errorf("keep %s: %w", d, err)
	}
	return file, nil
}

// makeRoom makes the folder that a file is to be in.
func (f Folder) makeRoom(file string) error {
	if f.dir == "" {
		return errNowhere
	}
	return os.MkdirAll(filepath.Dir(file), 0o700)
}

// write makes a file appear whole.
func (f Folder) write(file string, content []byte) error {
	if err := f.makeRoom(file); err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(file), ".put-*")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name()) //nolint:errcheck // gone when it was renamed
	_, err = temporary.Write(content)
	if err = errors.Join(err, temporary.Close()); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), file)
}

// Get is the file of a digest, if it is there and still what it should be: one that somebody has changed is removed.
func (f Folder) Get(d digest.Digest) (string, error) {
	if err := d.Validate(); err != nil {
		return "", err
	}
	if f.dir == "" {
		return "", errNowhere
	}
	file := f.path(d)
	in, err := os.Open(file) //nolint:gosec // below the folder, named by a digest
	if err != nil {
		return "", err
	}
	defer in.Close() //nolint:errcheck // only read
	verifier := d.Verifier()
	if _, err := io.Copy(verifier, in); err != nil {
		return "", fmt.Errorf("read %s: %w", d, err)
	}
	if !verifier.Verified() {
		_ = os.Remove(file)
		return "", fmt.Errorf("read %s: %w", d, ErrMismatch)
	}
	return file, nil
}

// Note keeps a few words under a name, which stands for nothing but itself. Another note of that name replaces it.
func (f Folder) Note(name string, content []byte) error {
	if err := f.write(f.note(name), content); err != nil {
		return fmt.Errorf("note %s: %w", name, err)
	}
	return nil
}

// Noted is the note of a name. Nothing vouches for it.
func (f Folder) Noted(name string) ([]byte, error) { return os.ReadFile(f.note(name)) }

func (f Folder) note(name string) string {
	return filepath.Join(f.dir, "notes", digest.FromString(name).Encoded())
}

// Fetch downloads what is not there yet and returns its file. open gives the content from an offset on, or from the
// beginning if it cannot (then it says 0). What has been downloaded is kept when it breaks off, and the next call, also
// of another process, goes on from there. A file appears under its name only when it is whole and verified.
func (f Folder) Fetch(ctx context.Context, d digest.Digest, size int64, open func(ctx context.Context, offset int64) (io.ReadCloser, int64, error)) (string, error) {
	if file, err := f.Get(d); err == nil {
		return file, nil
	}
	if err := d.Validate(); err != nil {
		return "", fmt.Errorf("fetch %s: %w", d, err)
	}
	file := f.path(d)
	if err := f.makeRoom(file); err != nil {
		return "", fmt.Errorf("fetch %s: %w", d, err)
	}
	part := file + ".part"
	var failure error
	for stalls := 0; stalls < maxStalls; {
		before := sizeOf(part)
		if failure = download(ctx, part, before, size, open); failure == nil {
			return f.finish(part, file, d, size)
		}
		if ctx.Err() != nil || errors.Is(failure, ErrMismatch) {
			break
		}
		stalls++
		if sizeOf(part) > before {
			stalls = 0
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(stalls) * 200 * time.Millisecond):
		}
	}
	if errors.Is(failure, ErrMismatch) {
		_ = os.Remove(part)
	}
	return "", fmt.Errorf("fetch %s: %w", d, failure)
}

func sizeOf(file string) int64 {
	info, err := os.Stat(file)
	if err != nil {
		return 0
	}
	return info.Size()
}

// download appends what is missing to the part.
func download(ctx context.Context, part string, offset, size int64, open func(context.Context, int64) (io.ReadCloser, int64, error)) error {
	if offset >= size {
		offset = 0 // of something else, or not what it should be
	}
	in, from, err := open(ctx, offset)
	if err != nil {
		return err
	}
	defer in.Close()                                              //nolint:errcheck // only read
	out, err := os.OpenFile(part, os.O_CREATE|os.O_WRONLY, 0o600) //nolint:gosec // below the folder, named by a digest
	if err != nil {
		return err
	}
	if err = out.Truncate(from); err == nil {
		_, err = out.Seek(from, io.SeekStart)
	}
	if err != nil {
		return errors.Join(err, out.Close())
	}
	n, err := io.Copy(out, io.LimitReader(in, size-from+1))
	err = errors.Join(err, out.Close())
	switch {
	case err != nil:
		return err
	case from+n < size:
		return fmt.Errorf("it ended after %d of %d bytes: %w", from+n, size, io.ErrUnexpectedEOF)
	case from+n > size:
		return fmt.Errorf("it is longer than %d bytes: %w", size, ErrMismatch)
	}
	return nil
}

// finish verifies the whole part and gives it its name.
func (f Folder) finish(part, file string, d digest.Digest, size int64) (string, error) {
	in, err := os.Open(part) //nolint:gosec // as above
	if err != nil {
		return "", fmt.Errorf("fetch %s: %w", d, err)
	}
	verifier := d.Verifier()
	n, err := io.Copy(verifier, in)
	if err = errors.Join(err, in.Close()); err != nil || !verifier.Verified() || n != size {
		_ = os.Remove(part)
		return "", errors.Join(fmt.Errorf("fetch %s: %w", d, ErrMismatch), err)
	}
	if err := os.Rename(part, file); err != nil {
		return "", fmt.Errorf("fetch %s: %w", d, err)
	}
	return file, nil
}
