package harness

import (
	"context"

	"github.com/leash-gateway/leash/host/abi"
)

// A TB is what a test gives: *testing.T, *testing.B, *testing.F.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(f func())
}

// A Loaded is a module in a test.
type Loaded struct {
	t       TB
	harness *Harness
	files   []string
}

// Load compiles .wasm files, which are the modules of a pipeline from first to last. Compiled code is kept in the user's folder for caches, so only
// the first run takes its time. What goes wrong fails the test.
func Load(t TB, files ...string) *Loaded {
	t.Helper()
	h, err := New(context.Background(), Options{CacheDir: abi.DefaultCacheDir()})
	if err != nil {
		t.Fatalf("%v", err)
		return nil
	}
	t.Cleanup(func() { _ = h.Close(context.Background()) })
	for _, file := range files {
		if _, err := h.Compile(context.Background(), file); err != nil {
			t.Fatalf("%v", err)
		}
	}
	return &Loaded{t, h, files}
}

// Pipeline configures the modules: one configuration for each of the files.
func (l *Loaded) Pipeline(configs ...string) *Running {
	l.t.Helper()
	var s Setup
	for i, file := range l.files {
		m := Module{File: file}
		if i < len(configs) {
			m.Config = configs[i]
		}
		s.Modules = append(s.Modules, m)
	}
	return l.Start(s)
}

// Start makes a pipeline of a whole Setup. Modules without a File have that of Load in their place.
func (l *Loaded) Start(s Setup) *Running {
	l.t.Helper()
	for i := range s.Modules {
		if s.Modules[i].File == "" && i < len(l.files) {
			s.Modules[i].File = l.files[i]
		}
	}
	p, err := l.harness.Start(context.Background(), s)
	if err != nil {
		l.t.Fatalf("%v", err)
		return nil
	}
	l.t.Cleanup(func() { p.Close(context.Background()) })
	return &Running{p, l.t}
}

// A Running is a Pipeline in a test.
type Running struct {
	*Pipeline
	t TB
}

// Do takes one exchange through the modules. A VM that fails fails the test; [Pipeline.Exchange] lets it.
func (r *Running) Do(request Request) *Result {
	r.t.Helper()
	got, err := r.Exchange(context.Background(), request)
	if err != nil {
		r.t.Fatalf("%v", err)
		return nil
	}
	for _, crash := range got.Crashes {
		r.t.Fatalf("%v", crash)
	}
	return got
}
