package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/leash-gateway/leash/envoy"
	"github.com/leash-gateway/leash/host/harness"
	"github.com/leash-gateway/leash/host/harness/onenvoy"
	"github.com/leash-gateway/leash/host/scenario"
)

func moduleTestCommand() *cli.Command {
	return withArguments(&cli.Command{
		Name:      "test",
		Usage:     "run the scenarios of modules",
		ArgsUsage: "[FOLDER | FILE.yaml | FILE.wasm]...",
		Description: "Of a folder it takes module.yaml (for the name), scenarios/*.yaml, and the .wasm of that name from build/modules.\n" +
			"A module may call what its manifest names, as where it will run.\n" +
			"docs/reference/scenarios.md describes the files. Exit codes: 0 all pass, 1 one fails, 2 a file is wrong.",
		Flags: []cli.Flag{
			moduleFlag(), cacheFlag(),
			&cli.StringFlag{Name: "wasm", Usage: "the `FILE` of the module under test"},
			&cli.StringFlag{Name: "run", Usage: "only scenarios whose FILE/NAME matches the `REGEXP`"},
			&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "show what each step brought"},
			&cli.BoolFlag{Name: "envoy", Usage: "run on a real Envoy instead of the harness"},
			&cli.BoolFlag{Name: "update", Usage: "write the files of body_file instead of comparing with them"},
			&cli.BoolFlag{Name: "watch", Usage: "run again whenever a scenario or a module has changed"},
			&cli.PathFlag{Name: "cover", Usage: "write what of the modules has run into `FOLDER`, for go tool covdata"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`FORMAT`: text or json", Value: "text"},
			&cli.StringFlag{Name: "junit", Usage: "write JUnit's XML to `FILE` too"},
		},
		Action: func(c *cli.Context) error {
			t, err := newModuleTest(c)
			if err != nil {
				return err
			}
			defer t.close()
			if c.Bool("watch") {
				return t.watch(c.Context)
			}
			return errors.Join(t.run(c.Context), t.covered())
		},
	})
}

// moduleTest is one `leash module test`.
type moduleTest struct {
	c       *cli.Context
	suites  []suite
	target  scenario.Target
	match   *regexp.Regexp
	places  []string // FOLDER and FILE.yaml arguments
	beside  restriction
	wasm    string
	harness *harness.Harness // nil on Envoy
	read    map[string]bool  // files that runs have read besides the scenarios
	closers []func()
}

// suite is the scenarios of one module.
type suite struct {
	module string
	files  []string
	find   scenario.Finder
}

func newModuleTest(c *cli.Context) (*moduleTest, error) {
	t := &moduleTest{c: c, read: map[string]bool{}, beside: restriction{}}
	if format := c.String("output"); format != "text" && format != "json" {
		return nil, badUsage("--output %s: it is text or json", format)
	}
	if pattern := c.String("run"); pattern != "" {
		var err error
		if t.match, err = regexp.Compile(pattern); err != nil {
			return nil, badUsage("--run: %w", err)
		}
	}
	t.wasm = c.String("wasm")
	for _, arg := range c.Args().Slice() {
		if strings.HasSuffix(arg, ".wasm") {
			t.wasm = arg
			continue
		}
		t.places = append(t.places, arg)
	}
	if len(t.places) == 0 {
		t.places = []string{"."}
	}
	if c.Bool("envoy") && c.String("cover") != "" {
		return nil, badUsage("--cover: Envoy cannot be asked what has run, leave --envoy away")
	}
	if err := t.find(); err != nil {
		return nil, err
	}
	return t, t.open()
}

// find finds the suites.
func (t *moduleTest) find() error {
	t.suites = nil
	for _, place := range t.places {
		s, err := t.suite(place)
		if err != nil {
			return err
		}
		t.suites = append(t.suites, s)
	}
	return nil
}

// open makes what the scenarios run on.
func (t *moduleTest) open() error {
	if t.c.Bool("envoy") {
		binary, err := envoy.Find(os.LookupEnv)
		if err != nil {
			return fmt.Errorf("find envoy: %w", err)
		}
		target, err := onenvoy.New(onenvoy.Options{Envoy: binary})
		if err != nil {
			return err
		}
		t.target, t.closers = t.restricted(target), append(t.closers, target.Close)
		return nil
	}
	cover := t.c.Path("cover")
	if cover != "" {
		if err := os.MkdirAll(cover, 0o750); err != nil {
			return fmt.Errorf("write coverage: %w", err)
		}
	}
	h, err := harness.New(t.c.Context, harness.Options{CacheDir: t.c.Path("cache"), CoverDir: cover})
	if err != nil {
		return err
	}
	t.harness, t.target = h, t.restricted(scenario.Host{Harness: h})
	t.closers = append(t.closers, func() { _ = h.Close(context.WithoutCancel(t.c.Context)) })
	return nil
}

func (t *moduleTest) restricted(target scenario.Target) scenario.Target {
	return restricted{target, t.beside}
}

func (t *moduleTest) close() {
	for _, f := range t.closers {
		f()
	}
}

// suite is what is to be run of a folder or a file.
func (t *moduleTest) suite(place string) (suite, error) {
	info, err := os.Stat(place)
	if err != nil {
		return suite{}, usageError{err}
	}
	s, folder := suite{files: []string{place}}, filepath.Dir(place)
	if info.IsDir() {
		folder = place
		if s.files, err = filepath.Glob(filepath.Join(place, "scenarios", "*.yaml")); err != nil || len(s.files) == 0 {
			return s, badUsage("found no scenarios in %s", filepath.Join(place, "scenarios"))
		}
	} else if filepath.Base(folder) == "scenarios" {
		folder = filepath.Dir(folder)
	}
	if s.module, err = t.beside.module(folder); err != nil {
		return s, err
	}
	find, err := finder(t.c, folder)
	if err != nil {
		return s, err
	}
	t.read[filepath.Join(folder, "module.yaml")] = true
	s.find = func(name string) (file string, err error) {
		if file = t.wasm; file == "" || name != s.module {
			file, err = find(name)
		}
		t.read[file] = true
		return file, err
	}
	return s, nil
}

// run runs everything once.
func (t *moduleTest) run(ctx context.Context) error {
	var reports []scenario.Report
	text := t.c.String("output") == "text"
	runners, files, err := t.prepare(ctx)
	if err != nil {
		return err
	}
	for i, file := range files {
		if err := runners[i].Run(ctx, file, func(r scenario.Report) {
			reports = append(reports, r)
			if text {
				scenario.Print(t.c.App.Writer, r, t.c.Bool("verbose"))
			}
		}); err != nil {
			return usageError{err}
		}
	}
	if err := t.write(reports); err != nil {
		return err
	}
	if scenario.Failed(reports) {
		return errScenarios
	}
	return ctx.Err()
}

// prepare reads all files, and tells the target what will be started.
func (t *moduleTest) prepare(ctx context.Context) (runners []*scenario.Runner, files []*scenario.File, err error) {
	var all []harness.Setup
	for _, s := range t.suites {
		for _, name := range s.files {
			file, err := scenario.Load(name)
			if err != nil {
				return nil, nil, usageError{err}
			}
			r := &scenario.Runner{Target: t.target, Find: s.find, Module: s.module, Match: t.match, Update: t.c.Bool("update"), Prepared: true}
			setups, err := r.Setups(file)
			if err != nil {
				return nil, nil, usageError{err}
			}
			runners, files, all = append(runners, r), append(files, file), append(all, setups...)
		}
	}
	if err := t.target.Prepare(ctx, all); err != nil {
		return nil, nil, usageError{err}
	}
	for _, setup := range all {
		for _, m := range setup.Modules {
			t.read[m.File] = true
		}
	}
	return runners, files, nil
}

// covered says where the coverage is, or that there is none.
func (t *moduleTest) covered() error {
	folder := t.c.Path("cover")
	if folder == "" {
		return nil
	}
	n, err := t.harness.Covered()
	if err == nil && n == 0 {
		return badUsage("--cover: no module tells its coverage: build it with go build -cover -covermode=atomic -tags leash_cover")
	}
	if err == nil {
		_, _ = fmt.Fprintf(t.c.App.ErrWriter, "coverage of %d VMs: go tool covdata percent -i %s\n", n, folder)
	}
	return err
}

func (t *moduleTest) write(reports []scenario.Report) error {
	if file := t.c.String("junit"); file != "" {
		out, err := os.Create(file) //nolint:gosec // the author names the file
		if err != nil {
			return fmt.Errorf("write JUnit: %w", err)
		}
		if err := errors.Join(scenario.WriteJUnit(out, reports), out.Close()); err != nil {
			return err
		}
	}
	if t.c.String("output") == "json" {
		return scenario.WriteJSON(t.c.App.Writer, reports)
	}
	_, err := fmt.Fprintln(t.c.App.Writer, scenario.Summary(reports))
	return err
}
