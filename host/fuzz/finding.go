package fuzz

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/host/harness"
	"github.com/leash-gateway/leash/host/scenario"
)

const (
	// shrinkTries and shrinkFor bound what making a finding small may cost.
	shrinkTries = 400
	shrinkFor   = 20 * time.Second
)

// shrinker makes a finding small: it leaves away what is not needed, as long as the same kind of thing still happens.
type shrinker struct {
	r     *runner
	best  Finding
	tries int
	until time.Time
}

func (r *runner) shrink(ctx context.Context, f Finding) (Finding, error) {
	s := &shrinker{r: r, best: f, until: time.Now().Add(shrinkFor)}
	if err := s.steps(ctx); err != nil {
		return f, err
	}
	for i := range s.best.Steps {
		if err := s.simplify(ctx, i); err != nil {
			return f, err
		}
	}
	return s.best, nil
}

// try runs other steps in new VMs. If they show the same kind of thing, at the last of them or before, they are the finding now.
func (s *shrinker) try(ctx context.Context, steps []Step) (bool, error) {
	s.tries++
	if s.tries > shrinkTries || time.Now().After(s.until) || ctx.Err() != nil {
		return false, nil
	}
	p, err := s.r.harness.Start(ctx, s.best.Target.Setup)
	if err != nil {
		return false, err
	}
	defer p.Close(ctx)
	for i, step := range steps {
		got, err := step.do(ctx, p)
		if err != nil {
			return false, err
		}
		if kind, reason := judge(got); kind == s.best.Kind {
			s.best.Reason, s.best.Steps = reason, steps[:i+1]
			return true, nil
		}
	}
	return false, nil
}

// steps leaves away exchanges: all but the last, or halves, quarters and so on of those before it.
func (s *shrinker) steps(ctx context.Context) error {
	last := len(s.best.Steps) - 1
	if ok, err := s.try(ctx, slices.Clone(s.best.Steps[last:])); ok || err != nil {
		return err
	}
	for size := len(s.best.Steps) / 2; size > 0; size /= 2 {
		for from := 0; from+size < len(s.best.Steps); {
			ok, err := s.try(ctx, slices.Delete(slices.Clone(s.best.Steps), from, from+size))
			if err != nil {
				return err
			}
			if !ok {
				from += size
			}
		}
	}
	return nil
}

// simplify leaves away parts of one step.
func (s *shrinker) simplify(ctx context.Context, i int) error {
	for _, change := range []func(*Step){
		func(x *Step) { x.Request.Answer = harness.Answer{} },
		func(x *Step) { x.Request = harness.Request{Answer: x.Request.Answer} },
		func(x *Step) { x.Advance = 0 },
		func(x *Step) { x.Request.Leaves = harness.Never },
		func(x *Step) { x.Request.Trailers = nil },
		func(x *Step) { x.Request.Headers = nil },
		func(x *Step) { x.Request.Method = "" },
		func(x *Step) { x.Request.Path = "" },
		func(x *Step) { whole(&x.Request.Body, &x.Request.Chunks, &x.Request.ChunkSize) },
		func(x *Step) { x.Request.Answer.Failure = "" },
		func(x *Step) { x.Request.Answer.Trailers = nil },
		func(x *Step) { x.Request.Answer.Headers = nil },
		func(x *Step) { x.Request.Answer.Status = 0 },
		func(x *Step) { x.Request.Answer.Delay, x.Request.Answer.Pace = 0, 0 },
		func(x *Step) { whole(&x.Request.Answer.Body, &x.Request.Answer.Chunks, &x.Request.Answer.ChunkSize) },
	} {
		if err := s.with(ctx, i, change); err != nil {
			return err
		}
	}
	for _, headers := range []func(*Step) *harness.Headers{
		func(x *Step) *harness.Headers { return &x.Request.Headers }, func(x *Step) *harness.Headers { return &x.Request.Answer.Headers },
	} {
		for k := len(*headers(&s.best.Steps[i])) - 1; k >= 0; k-- {
			if err := s.with(ctx, i, func(x *Step) { h := headers(x); *h = slices.Delete(slices.Clone(*h), k, k+1) }); err != nil {
				return err
			}
		}
	}
	for _, body := range []func(*Step) *string{
		func(x *Step) *string { return &x.Request.Body }, func(x *Step) *string { return &x.Request.Answer.Body },
	} {
		if err := s.shorten(ctx, i, body); err != nil {
			return err
		}
	}
	return nil
}

// whole makes one piece of a body.
func whole(body *string, chunks *[]string, size *int) {
	*body = strings.Join(harness.Pieces(*body, *chunks, *size), "")
	*chunks, *size = nil, 0
}

// with tries a change of one step. Where a change ended the finding earlier there may be no such step any more.
func (s *shrinker) with(ctx context.Context, i int, change func(*Step)) error {
	if i >= len(s.best.Steps) {
		return nil
	}
	steps := slices.Clone(s.best.Steps)
	change(&steps[i])
	_, err := s.try(ctx, steps)
	return err
}

// shorten takes parts out of a body, large ones first.
func (s *shrinker) shorten(ctx context.Context, i int, body func(*Step) *string) error {
	if i >= len(s.best.Steps) {
		return nil
	}
	for size := (len(*body(&s.best.Steps[i])) + 1) / 2; size > 0; size /= 2 {
		for from := 0; i < len(s.best.Steps) && from < len(*body(&s.best.Steps[i])); {
			before := *body(&s.best.Steps[i])
			if err := s.with(ctx, i, func(x *Step) { *body(x) = before[:from] + before[min(from+size, len(before)):] }); err != nil {
				return err
			}
			if i < len(s.best.Steps) && *body(&s.best.Steps[i]) == before {
				from += size
			}
			if s.tries > shrinkTries {
				return nil
			}
		}
	}
	return nil
}

// Scenario is a file that fails as long as the finding is there, and its name.
func (f Finding) Scenario() (name string, text []byte, err error) {
	s := scenario.Scenario{Name: fmt.Sprintf("no %s", f.Kind)}
	for _, step := range f.Steps {
		one := scenario.StepOf(step.Request, scenario.Expect{Outcome: "any", LogsLack: []string{panicked}})
		one.Advance = config.Duration(step.Advance)
		s.Steps = append(s.Steps, one)
	}
	file := scenario.File{
		Description:  fmt.Sprintf("Found by leash module fuzz, a %s: %s", f.Kind, firstLine(f.Reason)),
		Surroundings: f.Target.Around, Scenarios: []scenario.Scenario{s},
	}
	if text, err = file.Encode(); err != nil {
		return "", nil, err
	}
	sum := sha256.Sum256(text)
	return fmt.Sprintf("fuzz-%s-%s.yaml", f.Kind, hex.EncodeToString(sum[:4])), text, nil
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
