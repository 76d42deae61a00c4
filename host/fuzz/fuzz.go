// Package fuzz looks for exchanges that a module does not survive: on which its VM fails (a trap, too much time or memory), or its code
// panics, or which it holds for ever. What it finds it makes small and writes down as a scenario file, which fails until the module is mended.
//
// It runs exchanges that are made of those of scenario files and of its own by changing them: other headers and values, JSON of another
// shape, bodies in other pieces, providers that fail, clients that leave, time that passes. An exchange on which the
// module does something new, by the host calls that it makes and what they answer, becomes a source of others.
package fuzz

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/host/harness"
	"github.com/leash-gateway/leash/host/scenario"
)

// Options are how long and how it is looked. The zero value looks for half a minute.
type Options struct {
	// Seed is where the random numbers begin: the same finds the same, if the module does the same.
	Seed uint64
	// Duration is for how long, not counting what compiling the modules takes. Default 30 s.
	Duration time.Duration
	// Exchanges is after how many to stop. Default: only Duration counts.
	Exchanges int
	// Findings is after how many to stop. Default 5.
	Findings int
}

func (o Options) withDefaults() Options {
	if o.Duration <= 0 {
		o.Duration = 30 * time.Second
	}
	if o.Findings <= 0 {
		o.Findings = 5
	}
	return o
}

// A Target is modules as they are configured, with exchanges to begin with.
type Target struct {
	// Around is what a scenario file says of them.
	Around scenario.Surroundings
	// Setup is the same for the harness.
	Setup harness.Setup
	// Steps are exchanges to begin with, besides those that the package has itself.
	Steps []Step
}

// A Step is an exchange, after some time.
type Step struct {
	// Advance is how far the clock moves before.
	Advance time.Duration
	Request harness.Request
}

// Kind is what went wrong.
type Kind string

// The kinds.
const (
	// Crash: a VM failed, or a module's code panicked, which the kit outlives.
	Crash Kind = "crash"
	// Hang: a callback did not end in time, or an exchange was held and never let go.
	Hang Kind = "hang"
)

// A Finding is what a module does not survive.
type Finding struct {
	Target *Target
	Kind   Kind
	// Reason is what the host says about it.
	Reason string
	// Steps are what leads there, from the start of the modules; the last one shows it.
	Steps []Step
}

// Stats are what was done.
type Stats struct {
	Exchanges int
	// Kept is how many changed exchanges showed something new.
	Kept    int
	Elapsed time.Duration
}

const (
	// together is how many exchanges run in the same VMs, one after the other: what one leaves behind may be what the next stumbles over.
	together = 48
	// maxSources bounds the exchanges that others are made of.
	maxSources = 512
)

// Run looks for what targets do not survive, and tells each finding when it is as small as it gets. The error is of modules that do
// not start.
func Run(ctx context.Context, h *harness.Harness, targets []Target, o Options, tell func(Finding)) (Stats, error) {
	o = o.withDefaults()
	if len(targets) == 0 {
		return Stats{}, errors.New("fuzz: there is nothing to run")
	}
	for _, one := range targets {
		for _, m := range one.Setup.Modules {
			if _, err := h.Compile(ctx, m.File); err != nil { // it may take longer than what follows
				return Stats{}, err
			}
		}
	}
	began := time.Now()
	var s Stats
	r := &runner{harness: h, options: o, until: began.Add(o.Duration), stats: &s, tell: tell, known: map[string]bool{}}
	for i := range targets {
		one := &source{target: &targets[i], signs: signs{seen: map[uint64]bool{}}}
		one.steps = append(append(one.steps, targets[i].Steps...), samples()...)
		r.sources = append(r.sources, one)
	}
	r.random = rand.New(rand.NewPCG(o.Seed, 0)) //nolint:gosec // the same numbers again are what is wanted
	var err error
	for err == nil && !r.done(ctx) {
		err = r.round(ctx, r.sources[r.random.IntN(len(r.sources))])
	}
	s.Elapsed = time.Since(began)
	return s, err
}

type runner struct {
	harness *harness.Harness
	options Options
	until   time.Time
	random  *rand.Rand
	sources []*source
	stats   *Stats
	found   int
	known   map[string]bool // reasons that have been told
	tell    func(Finding)
}

// source is a target with the exchanges that others are made of.
type source struct {
	target *Target
	steps  []Step
	signs  signs
	first  int // how many of steps have been run as they are
}

func (r *runner) done(ctx context.Context) bool {
	return ctx.Err() != nil || time.Now().After(r.until) || r.found >= r.options.Findings ||
		r.options.Exchanges > 0 && r.stats.Exchanges >= r.options.Exchanges
}

// round runs exchanges in modules that have just been started, until one fails or there are enough.
func (r *runner) round(ctx context.Context, from *source) error {
	setup := from.target.Setup
	setup.Tracer = &from.signs
	p, err := r.harness.Start(ctx, setup)
	if err != nil {
		return err
	}
	defer p.Close(ctx)
	var steps []Step
	for len(steps) < together && !r.done(ctx) {
		step, changed := r.next(from)
		steps = append(steps, step)
		from.signs.news = false
		got, err := step.do(ctx, p)
		if err != nil {
			return err
		}
		r.stats.Exchanges++
		if kind, reason := judge(got); kind != "" {
			return r.report(ctx, Finding{from.target, kind, reason, steps})
		}
		from.signs.add(string(got.Outcome), uint64(got.Status)) //nolint:gosec // an HTTP status
		if from.signs.news && changed && len(from.steps) < maxSources {
			from.steps = append(from.steps, step)
			r.stats.Kept++
		}
	}
	return nil
}

// next is an exchange as it is, until all have been run so, and then one that is changed.
func (r *runner) next(from *source) (step Step, changed bool) {
	if from.first < len(from.steps) {
		from.first++
		return from.steps[from.first-1], false
	}
	m := mutator{r.random, from.steps}
	return m.change(from.steps[r.random.IntN(len(from.steps))]), true
}

// do takes the step.
func (s Step) do(ctx context.Context, p *harness.Pipeline) (*harness.Result, error) {
	if s.Advance > 0 {
		p.Advance(s.Advance)
	}
	return p.Exchange(ctx, s.Request)
}

// judge says what is wrong with a result, if anything is.
func judge(got *harness.Result) (Kind, string) {
	if len(got.Crashes) > 0 {
		first := got.Crashes[0]
		if errors.Is(first, abi.ErrDeadline) {
			return Hang, first.Error()
		}
		return Crash, first.Error()
	}
	if got.Outcome == harness.Held {
		return Hang, "the exchange is held and never let go"
	}
	for _, line := range got.Logs {
		if strings.HasPrefix(line.Message, "module ") && strings.Contains(line.Message, panicked) {
			return Crash, line.Message
		}
	}
	return "", ""
}

// panicked stands in the line that the kit writes of a panic in a module's code.
const panicked = " phase: panic in "

// report makes a finding small and tells it, unless one like it has been told.
func (r *runner) report(ctx context.Context, f Finding) error {
	if r.known[f.likeness()] {
		return nil
	}
	small, err := r.shrink(ctx, f)
	if err != nil {
		return err
	}
	r.known[f.likeness()], r.known[small.likeness()] = true, true
	r.found++
	r.tell(small)
	return nil
}

// likeness is the same for findings that have the same cause: the callback, and where in the module.
func (f Finding) likeness() string { return fmt.Sprintf("%p %s %s", f.Target, f.Kind, f.Reason) }

// signs are what a module has been seen to do.
type signs struct {
	seen map[uint64]bool
	news bool // something was seen for the first time
}

var _ abi.Tracer = (*signs)(nil)

// HostCall notes a host call, by its callback and result.
func (s *signs) HostCall(c abi.HostCall) {
	s.add(c.Callback+" "+c.Name, uint64(c.Status)<<32|uint64(c.Errno))
}

func (s *signs) add(what string, value uint64) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(what)) // never fails
	if sign := h.Sum64() ^ value*0x9e3779b97f4a7c15; !s.seen[sign] {
		s.seen[sign], s.news = true, true
	}
}
