package abi_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/host/internal/asm"
)

// compiled is a module of asm.
func compiled(tb testing.TB, e *abi.Engine, m asm.Module) *abi.Program {
	tb.Helper()
	program, err := e.Compile(context.Background(), m.Build())
	if err != nil {
		tb.Fatal(err)
	}
	return program
}

// says is a module that logs a line in each request, and fails where the path is "/trap".
func says(line string) asm.Module {
	return asm.Module{"proxy_on_request_headers": {Do: []asm.Step{asm.Log(line)}}}
}

var (
	trap = asm.Raw(0x00)                                  // unreachable
	spin = asm.Raw(0x03, 0x40, 0x0c, 0x00, 0x0b)          // loop br 0 end
	bomb = asm.Raw(0x41, 0x80, 0x80, 0x04, 0x40, 0, 0x1a) // i32.const 65536; memory.grow; drop
)

func newPool(t *testing.T, workers int, stages ...abi.Stage) *abi.Pool {
	t.Helper()
	pool, err := abi.NewPool(context.Background(), stages, abi.PoolConfig{Workers: workers, RetryMin: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pool.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return pool
}

// acquire is a place, which the caller releases.
func acquire(t *testing.T, pool *abi.Pool) *abi.Lease {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	lease, err := pool.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return lease
}

// request runs the headers of a request through the first plugin of a lease.
func request(lease *abi.Lease) (err error) {
	lease.Worker.Do(func() {
		var s *abi.Stream
		if s, err = lease.Plugins[0].NewStream(&exchange{}); err != nil {
			return
		}
		h := abi.NewHeaders(":path", "/")
		_, err = s.OnRequestHeaders(h, true)
		_ = s.Close(h, nil, nil)
	})
	return err
}

func TestPoolRunsManyExchangesAtOnce(t *testing.T) {
	var lines logs
	program := compiled(t, newEngine(t, abi.Options{}), says("hello"))
	pool := newPool(t, 2, abi.Stage{Program: program, VM: abi.VMConfig{Host: abi.Host{Logger: &lines}}})
	var all sync.WaitGroup
	const exchanges = 200
	for range exchanges {
		all.Go(func() {
			lease := acquire(t, pool)
			defer lease.Release()
			if err := request(lease); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := len(lines.records); got != exchanges {
		t.Errorf("%d exchanges were run, want %d", got, exchanges)
	}
}

func TestSwapLetsOldExchangesFinishWhereTheyBegan(t *testing.T) {
	var lines logs
	e := newEngine(t, abi.Options{})
	vm := abi.VMConfig{Host: abi.Host{Logger: &lines}}
	pool := newPool(t, 1, abi.Stage{Program: compiled(t, e, says("old")), VM: vm})
	begun := acquire(t, pool)
	if err := pool.Swap(context.Background(), []abi.Stage{{Program: compiled(t, e, says("new")), VM: vm}}); err != nil {
		t.Fatal(err)
	}
	next := acquire(t, pool)
	for _, lease := range []*abi.Lease{begun, next} {
		if err := request(lease); err != nil {
			t.Error(err)
		}
	}
	if got, want := lines.String(), "info: old\ninfo: new\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := pool.Draining(); got != 1 {
		t.Errorf("%d workers drain while an old exchange runs, want 1", got)
	}
	begun.Release()
	next.Release()
	if got := pool.Draining(); got != 0 {
		t.Errorf("%d workers drain after the last old exchange, want 0", got)
	}
	begun.Worker.Do(func() {
		if err := begun.Plugins[0].VM().Err(); !errors.Is(err, abi.ErrClosed) {
			t.Errorf("the old VM was not freed: %v", err)
		}
	})
}

func TestSwapToAPipelineThatDoesNotStartKeepsTheOldOne(t *testing.T) {
	var lines logs
	e := newEngine(t, abi.Options{})
	pool := newPool(t, 2, abi.Stage{Program: compiled(t, e, says("old")), VM: abi.VMConfig{Host: abi.Host{Logger: &lines}}})
	refuses := compiled(t, e, asm.Module{"proxy_on_configure": {Return: 0}})
	if err := pool.Swap(context.Background(), []abi.Stage{{Program: refuses}}); !errors.Is(err, abi.ErrRefused) {
		t.Fatalf("got %v, want ErrRefused", err)
	}
	lease := acquire(t, pool)
	defer lease.Release()
	if err := request(lease); err != nil || lines.String() != "info: old\n" {
		t.Errorf("got %v and %q", err, lines.String())
	}
}

func TestFailedVMIsReplacedAndItsOtherExchangesAreTold(t *testing.T) {
	program := compiled(t, newEngine(t, abi.Options{}), asm.Module{"proxy_on_request_headers": {Do: []asm.Step{trap}}})
	pool := newPool(t, 1, abi.Stage{Program: program})
	first := acquire(t, pool)
	other := &exchange{}
	first.Worker.Do(func() {
		if _, err := first.Plugins[0].NewStream(other); err != nil {
			t.Fatal(err)
		}
	})
	var failure *abi.TrapError
	if err := request(first); !errors.As(err, &failure) || failure.Callback != "proxy_on_request_headers" {
		t.Errorf("got %v, want a TrapError of proxy_on_request_headers", err)
	}
	if !errors.As(other.failure, &failure) {
		t.Errorf("the other exchange was told %v", other.failure)
	}
	first.Release()
	second := acquire(t, pool)
	defer second.Release()
	second.Worker.Do(func() {
		if err := second.Plugins[0].VM().Err(); err != nil {
			t.Errorf("the new VM has failed: %v", err)
		}
	})
	if second.Plugins[0] == first.Plugins[0] {
		t.Error("the VM that has failed is given out again")
	}
}

func TestSharedDataIsOneAcrossWorkers(t *testing.T) {
	var lines logs
	program := compiled(t, newEngine(t, abi.Options{}), asm.Module{"proxy_on_request_headers": {Do: []asm.Step{
		asm.Call("proxy_get_shared_data", asm.Text("k"), asm.OutBytes(), asm.OutQuiet(0)),
		asm.Call("proxy_set_shared_data", asm.Text("k"), asm.Text("v"), asm.Word(0)),
	}}})
	pool := newPool(t, 2, abi.Stage{Program: program, VM: abi.VMConfig{Host: abi.Host{Logger: &lines}}})
	one, two := acquire(t, pool), acquire(t, pool)
	defer one.Release()
	defer two.Release()
	if one.Worker == two.Worker {
		t.Fatal("two exchanges share a worker while another has none")
	}
	if err := errors.Join(request(one), request(two)); err != nil {
		t.Fatal(err)
	}
	want := "info: proxy_get_shared_data = 00000001\ninfo: proxy_set_shared_data = 00000000\n" +
		"info: proxy_get_shared_data = 00000000\ninfo: > v\ninfo: proxy_set_shared_data = 00000000\n"
	if got := lines.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
