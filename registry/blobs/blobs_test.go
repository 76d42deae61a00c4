package blobs_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/leash-gateway/leash/registry/blobs"
)

var content = []byte(strings.Repeat("content ", 1000))

func TestWhatIsPutIsThere(t *testing.T) {
	f := blobs.In(filepath.Join(t.TempDir(), "new"))
	var all sync.WaitGroup
	for range 8 { // at once, as several programs do
		all.Go(func() {
			if _, err := f.Put(content); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	file, err := f.Get(digest.FromBytes(content))
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(file); !bytes.Equal(got, content) {
		t.Error("it is something else")
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), ".put-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestNothingIsKeptWhereOthersMayWrite(t *testing.T) {
	t.Setenv("HOME", "")
	t.Setenv("XDG_CACHE_HOME", "")
	t.Chdir(t.TempDir())
	if dir := blobs.DefaultDir(); dir != "" {
		t.Fatalf("without a home the folder is %s", dir)
	}
	f := blobs.In("")
	if file, err := f.Put(content); err == nil || !strings.Contains(err.Error(), "set LEASH_BLOBS") {
		t.Errorf("got %q, %v", file, err)
	}
	if left, _ := filepath.Glob("*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestAFileThatSomebodyChangedIsNotUsed(t *testing.T) {
	f := blobs.In(t.TempDir())
	file, err := f.Put(content)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("evil"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Get(digest.FromBytes(content)); !errors.Is(err, blobs.ErrMismatch) {
		t.Errorf("got %v, want ErrMismatch", err)
	}
	if file, err = f.Put(content); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(file); !bytes.Equal(got, content) {
		t.Error("it is not mended")
	}
}

func TestADownloadGoesOnInTheNextProcess(t *testing.T) {
	dir := t.TempDir()
	ctx, stop := context.WithCancel(context.Background())
	d, size := digest.FromBytes(content), int64(len(content))
	_, err := blobs.In(dir).Fetch(ctx, d, size, func(context.Context, int64) (io.ReadCloser, int64, error) {
		stop() // the process ends when a half is there
		return io.NopCloser(bytes.NewReader(content[:len(content)/2])), 0, nil
	})
	if err == nil {
		t.Fatal("half of it was taken")
	}
	var asked int64
	file, err := blobs.In(dir).Fetch(context.Background(), d, size, func(_ context.Context, offset int64) (io.ReadCloser, int64, error) {
		asked = offset
		return io.NopCloser(bytes.NewReader(content[offset:])), offset, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(file); !bytes.Equal(got, content) || asked != size/2 {
		t.Errorf("asked from %d on", asked)
	}
}

func TestARestOfSomethingElseIsNotTaken(t *testing.T) {
	f := blobs.In(t.TempDir())
	d, size := digest.FromBytes(content), int64(len(content))
	wrong := bytes.Repeat([]byte("x"), len(content))
	_, err := f.Fetch(context.Background(), d, size, func(_ context.Context, offset int64) (io.ReadCloser, int64, error) {
		return io.NopCloser(bytes.NewReader(wrong[offset:])), offset, nil
	})
	if !errors.Is(err, blobs.ErrMismatch) {
		t.Fatalf("got %v, want ErrMismatch", err)
	}
	var asked int64 = -1
	if _, err := f.Fetch(context.Background(), d, size, func(_ context.Context, offset int64) (io.ReadCloser, int64, error) {
		asked = offset
		return io.NopCloser(bytes.NewReader(content[offset:])), offset, nil
	}); err != nil || asked != 0 {
		t.Errorf("asked from %d on, %v", asked, err)
	}
}
