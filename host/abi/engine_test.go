package abi_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/host/internal/asm"
)

func TestCompiledCodeIsKeptOnDisk(t *testing.T) {
	dir := t.TempDir()
	wasm := says("hello").Build()
	compile := func() {
		t.Helper()
		if _, err := newEngine(t, abi.Options{CacheDir: dir}).Compile(t.Context(), wasm); err != nil {
			t.Fatal(err)
		}
	}
	compile()
	file := onlyFile(t, dir)
	old := time.Now().Add(-time.Hour).Truncate(time.Second)
	if err := os.Chtimes(file, old, old); err != nil {
		t.Fatal(err)
	}
	compile()
	if info, err := os.Stat(onlyFile(t, dir)); err != nil || !info.ModTime().Equal(old) {
		t.Errorf("it was compiled again: %v %v", info.ModTime(), err)
	}
	for what, spoil := range map[string]func([]byte) []byte{
		"cut off": func(code []byte) []byte { return code[:len(code)/2] },
		"empty":   func([]byte) []byte { return nil },
		"changed": func(code []byte) []byte { code[len(code)-20] ^= 1; return code },
	} {
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, spoil(code), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Log(what)
		compile()
	}
}

func TestWhatWasCompiledFirstIsRemovedWhereTheCacheIsLarge(t *testing.T) {
	tests := map[string]func(t *testing.T, dir string, fill func()){
		"when an engine begins": func(t *testing.T, dir string, fill func()) {
			t.Helper()
			fill()
			newEngine(t, abi.Options{CacheDir: dir})
		},
		"when an engine that runs compiles something": func(t *testing.T, dir string, fill func()) {
			t.Helper()
			e := newEngine(t, abi.Options{CacheDir: dir})
			fill()
			if _, err := e.Compile(t.Context(), asm.Module{}.Build()); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, run := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			builds := filepath.Join(dir, "wazero-of-some-version")
			names := []string{"last", "before", "first"}
			run(t, dir, func() {
				if err := os.Mkdir(builds, 0o700); err != nil {
					t.Fatal(err)
				}
				for age, name := range names {
					emptyFile(t, filepath.Join(builds, name), 400<<20, time.Now().Add(-time.Duration(age+1)*time.Minute))
				}
			})
			var left []string
			for _, name := range names {
				if _, err := os.Stat(filepath.Join(builds, name)); err == nil {
					left = append(left, name)
				}
			}
			if want := []string{"last", "before"}; !slices.Equal(left, want) {
				t.Errorf("%v are left of 3 times 400 MiB, want %v", left, want)
			}
		})
	}
}

// emptyFile makes a file of that size and age which takes no room on the disk.
func emptyFile(t *testing.T, name string, size int64, at time.Time) {
	t.Helper()
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, size); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(name, at, at); err != nil {
		t.Fatal(err)
	}
}

func onlyFile(t *testing.T, dir string) string {
	t.Helper()
	var files []string
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	}); err != nil || len(files) != 1 {
		t.Fatalf("want one file, got %v (%v)", files, err)
	}
	return files[0]
}

func TestConditionsAreTold(t *testing.T) {
	type told struct {
		number uint32
		holds  bool
	}
	var got []told
	const i32Const, block, noResult, ifOp, brIf, end = 0x41, 0x02, 0x40, 0x04, 0x0d, 0x0b
	program := compiled(t, newEngine(t, abi.Options{Conditions: func(number uint32, holds bool) { got = append(got, told{number, holds}) }}), asm.Module{
		"proxy_on_response_headers": {Do: []asm.Step{asm.Raw(
			i32Const, 5, ifOp, noResult, block, noResult, i32Const, 0, brIf, 0, end, end, // 5 is true as well
			i32Const, 0, ifOp, noResult, i32Const, 1, ifOp, noResult, end, end,
		)}},
	})
	var w abi.Worker
	s, err := newPlugin(t, program, &w, abi.VMConfig{}, abi.PluginConfig{}).NewStream(&exchange{})
	if err != nil {
		t.Fatal(err)
	}
	got = nil
	if _, err := s.OnResponseHeaders(abi.NewHeaders(":status", "200"), true); err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 {
		t.Fatalf("got %v, want three conditions", got)
	}
	first := got[0].number
	if want := []told{{first, true}, {first + 1, false}, {first + 2, false}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
