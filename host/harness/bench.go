package harness

import (
	"context"
	"runtime"
	"slices"
	"time"

	"github.com/leash-gateway/leash/host/abi/chain"
)

// Measured is what exchanges cost.
type Measured struct {
	// Exchanges is how many there were, in Elapsed.
	Exchanges int           `json:"exchanges"`
	Elapsed   time.Duration `json:"elapsed_ns"`
	// P50, P95, P99 and Max are times of an exchange: the module's, and what the host adds.
	P50 time.Duration `json:"p50_ns"`
	P95 time.Duration `json:"p95_ns"`
	P99 time.Duration `json:"p99_ns"`
	Max time.Duration `json:"max_ns"`
	// PerSecond is how many one core does.
	PerSecond float64 `json:"per_second"`
	// Memory is what the VMs have in the end, Growth by how much it grew since the warm-up, in bytes.
	Memory int64 `json:"memory_bytes"`
	Growth int64 `json:"growth_bytes"`
	// HostAllocations and HostBytes are what one exchange allocates in the host, on the average.
	HostAllocations float64 `json:"host_allocations"`
	HostBytes       float64 `json:"host_bytes"`
	// Failed is how many exchanges did not end with an answer.
	Failed int `json:"failed"`
}

// warmup is how many exchanges are not measured: a module's heap grows to its size in them.
const warmup = 500

// Bench does one exchange again and again for a while, on one core.
func (p *Pipeline) Bench(ctx context.Context, r Request, d time.Duration) (Measured, error) {
	for range warmup {
		if _, err := p.quick(ctx, r); err != nil {
			return Measured{}, err
		}
	}
	m, before := Measured{}, p.MemorySize()
	var at, end runtime.MemStats
	times := make([]time.Duration, 0, 1<<16)
	runtime.ReadMemStats(&at)
	for m.Elapsed < d && ctx.Err() == nil {
		began := time.Now()
		got, err := p.quick(ctx, r)
		took := time.Since(began)
		if err != nil {
			return m, err
		}
		m.Elapsed += took
		times = append(times, took)
		if got.Outcome != Answered {
			m.Failed++
		}
	}
	runtime.ReadMemStats(&end)
	slices.Sort(times)
	m.Exchanges = len(times)
	if m.Exchanges == 0 {
		return m, ctx.Err()
	}
	m.P50, m.P95, m.P99, m.Max = times[len(times)/2], times[len(times)*95/100], times[len(times)*99/100], times[len(times)-1]
	m.PerSecond = float64(m.Exchanges) / m.Elapsed.Seconds()
	m.HostAllocations = float64(end.Mallocs-at.Mallocs) / float64(m.Exchanges)
	m.HostBytes = float64(end.TotalAlloc-at.TotalAlloc) / float64(m.Exchanges)
	m.Memory = p.MemorySize()
	m.Growth = m.Memory - before
	return m, ctx.Err()
}

// flushEvery is how many quick exchanges share a tick of a tenth of a second.
const flushEvery = 100

// quick is Exchange without what it tells of logs and callouts. Time moves a little, so that modules write what they have collected.
func (p *Pipeline) quick(ctx context.Context, r Request) (*Result, error) {
	p.exchanges++
	if p.exchanges%flushEvery == 0 {
		if err := p.revive(ctx); err != nil {
			return nil, err
		}
		p.Advance(flushed)
		p.logs.forget()
	}
	x := &exchange{p: p, request: r, result: &Result{}, quick: true}
	p.worker.Do(func() { x.chain = chain.New(p.plugins, p.chainConfig(x)) })
	x.run()
	p.worker.Do(x.chain.Close)
	return x.result, nil
}
