package scenario

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/leash-gateway/leash/host/harness"
)

// A Target is where scenarios run.
type Target interface {
	// Name is host or envoy.
	Name() string
	// Lacks says what cannot be done there.
	Lacks() Lacks
	// Prepare is told what will be started, in this order, before: what takes its time once is done here.
	Prepare(ctx context.Context, all []harness.Setup) error
	// Start makes a session for a scenario. The error says why modules refuse their configuration.
	Start(ctx context.Context, s harness.Setup) (Session, error)
}

// Lacks are the things that a target cannot do.
type Lacks struct {
	// Clock cannot be set or moved, Shared data not be looked at, and Properties not be given.
	Clock, Shared, Properties bool
}

// A Session is a pipeline in which a scenario runs. Close it when done.
type Session interface {
	Exchange(ctx context.Context, r harness.Request) (*harness.Result, error)
	// Later brings log lines, metrics and callouts that are still on their way into a result; false: none can come any more.
	Later(ctx context.Context, got *harness.Result) bool
	Advance(d time.Duration)
	Metrics() map[string]int64
	Shared(key string) (string, bool)
	SharedKeys() []string
	Close(ctx context.Context)
}

// Host is the harness as a Target.
type Host struct{ *harness.Harness }

var (
	_ Target  = Host{}
	_ Session = (*harness.Pipeline)(nil)
)

// Name is host.
func (Host) Name() string { return "host" }

// Lacks nothing.
func (Host) Lacks() Lacks { return Lacks{} }

// Prepare compiles the modules.
func (h Host) Prepare(ctx context.Context, all []harness.Setup) error {
	for _, s := range all {
		for _, m := range s.Modules {
			if _, err := h.Compile(ctx, m.File); err != nil {
				return err
			}
		}
	}
	return nil
}

// Start makes a pipeline.
func (h Host) Start(ctx context.Context, s harness.Setup) (Session, error) {
	p, err := h.Harness.Start(ctx, s)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// A Runner runs scenarios.
type Runner struct {
	// Target is where.
	Target Target
	// Find finds modules.
	Find Finder
	// Module is the name of the module under test, where a file names none.
	Module string
	// Match is which scenarios, by FILE/NAME. Default: all.
	Match *regexp.Regexp
	// Update writes the files of body_file instead of comparing with them.
	Update bool
	// Alone runs only scenarios that need nothing but the module under test: no other module, no leash.yaml, and no file
	// outside of the module's folder. It is for scenarios that a stranger has written.
	Alone bool
	// Prepared says that the Target has been told of the Setups of all files before.
	Prepared bool
}

// A Report is what came of a scenario.
type Report struct {
	File string `json:"file"`
	Name string `json:"name"`
	// Line is where the scenario stands.
	Line     int           `json:"line"`
	Failures []Failure     `json:"failures,omitempty"`
	Skipped  string        `json:"skipped,omitempty"`
	Notes    []string      `json:"notes,omitempty"`
	Took     time.Duration `json:"took_ns"`
	// Details tell each step, for those who want to see more.
	Details []string `json:"details,omitempty"`
}

// Setups are what Run will start for a file. The error is that of Run.
func (r *Runner) Setups(f *File) ([]harness.Setup, error) {
	_, needed, err := r.setups(f)
	return needed, err
}

// setups are those of the scenarios, by their place, and those of them that must start.
func (r *Runner) setups(f *File) (all, needed []harness.Setup, err error) {
	all = make([]harness.Setup, len(f.Scenarios))
	for i := range f.Scenarios {
		if !r.matches(f, i) || r.skipped(f, &f.Scenarios[i]) != "" {
			continue
		}
		if all[i], err = f.setup(&f.Scenarios[i], r.Module, r.Find); err != nil {
			return nil, nil, f.errorf("scenarios["+strconv.Itoa(i)+"]", err)
		}
		if f.Scenarios[i].Refused == "" {
			needed = append(needed, all[i])
		}
	}
	return all, needed, nil
}

// Run runs the scenarios of a file, and tells each report as it comes. The error is of a file that is wrong in itself, of a module that is
// not found or that is none.
func (r *Runner) Run(ctx context.Context, f *File, tell func(Report)) error {
	setups, needed, err := r.setups(f)
	if err != nil {
		return err
	}
	if !r.Prepared {
		if err := r.Target.Prepare(ctx, needed); err != nil {
			return err
		}
	}
	for i := range f.Scenarios {
		if err := ctx.Err(); err != nil {
			return err
		}
		if r.matches(f, i) {
			tell(r.scenario(ctx, f, i, setups[i]))
		}
	}
	return nil
}

func (r *Runner) matches(f *File, i int) bool {
	return r.Match == nil || r.Match.MatchString(f.path+"/"+f.Scenarios[i].Name)
}

func (r *Runner) scenario(ctx context.Context, f *File, i int, setup harness.Setup) (report Report) {
	s := &f.Scenarios[i]
	path := "scenarios[" + strconv.Itoa(i) + "]"
	report = Report{File: f.path, Name: s.Name, Line: f.position(path).line}
	began := time.Now()
	defer func() { report.Took = time.Since(began) }()
	whole := checker{f: f, path: path}
	defer func() { report.Failures = append(report.Failures, whole.failures...) }()
	report.Skipped = r.skipped(f, s)
	if report.Skipped != "" {
		return report
	}
	session, err := r.Target.Start(ctx, setup)
	switch {
	case err != nil && s.Refused != "" && strings.Contains(err.Error(), s.Refused):
		return report
	case err != nil && s.Refused != "":
		whole.fail("refused", "want %q in the error, got %v", s.Refused, err)
		return report
	case err != nil:
		whole.path = f.mistake(path, s, err)
		whole.fail("", "%v", err)
		return report
	}
	defer session.Close(ctx)
	if s.Refused != "" {
		whole.fail("refused", "the modules take their configuration")
		return report
	}
	for k := range s.Steps {
		r.step(ctx, &report, f, &s.Steps[k], path+".steps["+strconv.Itoa(k)+"]", k, session)
	}
	return report
}

// skipped says why a scenario cannot be run here.
func (r *Runner) skipped(f *File, s *Scenario) string {
	around, lacks := f.with(s.Surroundings), r.Target.Lacks()
	switch {
	case r.Alone && !f.alone(s, around, r.Module):
		return "it needs more than the module"
	case around.Only != "" && around.Only != r.Target.Name():
		return "only: " + around.Only
	case lacks.Clock && !around.Clock.IsZero():
		return "the clock cannot be set in Envoy"
	case lacks.Properties && len(around.Properties) > 0:
		return "properties cannot be given in Envoy"
	case lacks.Shared && len(around.Shared) > 0:
		return "shared data cannot be given in Envoy"
	}
	for i := range s.Steps {
		step := &s.Steps[i]
		if lacks.Clock && step.Advance > 0 {
			return "the clock cannot be moved in Envoy"
		}
		if lacks.Properties && step.Request != nil && len(step.Request.Properties) > 0 {
			return "properties cannot be given in Envoy"
		}
	}
	return ""
}

func (r *Runner) step(ctx context.Context, report *Report, f *File, s *Step, path string, k int, session Session) {
	label := "step " + strconv.Itoa(k+1)
	if s.Name != "" {
		label += " (" + s.Name + ")"
	}
	if s.Advance > 0 {
		session.Advance(time.Duration(s.Advance))
	}
	for n := range max(s.Repeat, 1) {
		c := &checker{f: f, path: path + ".expect", label: label + ": ", update: r.Update}
		if s.Repeat > 1 {
			c.label = label + ", time " + strconv.Itoa(n+1) + ": "
		}
		if s.Request == nil {
			c.metrics(&s.Expect, session)
			c.shared(&s.Expect, session, r.Target.Lacks())
		} else if got, err := session.Exchange(ctx, s.request()); err != nil {
			c.fail("", "%v", err)
		} else {
			if s.Expect.late() {
				session.Later(ctx, got)
			}
			for c.check(&s.Expect, got, session, r.Target.Lacks()); len(c.failures) > 0 && session.Later(ctx, got); {
				c.failures, c.notes = nil, nil
				c.check(&s.Expect, got, session, r.Target.Lacks())
			}
			report.Details = append(report.Details, describe(label, got))
			report.Notes = append(report.Notes, got.Notes...)
		}
		report.Failures, report.Notes = append(report.Failures, c.failures...), append(report.Notes, c.notes...)
	}
}

// late says whether something is expected that may come after the answer.
func (e *Expect) late() bool {
	return len(e.Logs)+len(e.LogsLack)+len(e.Metrics) > 0 || e.Callouts != nil && len(e.Callouts) == 0
}

// describe is an exchange in a few lines.
func describe(label string, got *harness.Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s %d%s", label, got.Outcome, got.Status, shown(got.Body))
	if got.Provider != nil {
		fmt.Fprintf(&b, "\nprovider: %s %s%s", got.Provider.Headers.Get(":method"), got.Provider.Headers.Get(":path"), shown(got.Provider.Body))
	}
	for _, one := range got.Callouts {
		fmt.Fprintf(&b, "\ncallout: %s %s %s", one.Upstream, one.Headers.Get(":method"), one.Headers.Get(":path"))
	}
	for _, line := range got.Logs {
		fmt.Fprintf(&b, "\n%s: %s", line.Level, line.Message)
	}
	return b.String()
}
