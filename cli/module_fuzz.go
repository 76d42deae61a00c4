package cli

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/leash-gateway/leash/host/fuzz"
	"github.com/leash-gateway/leash/host/harness"
	"github.com/leash-gateway/leash/host/scenario"
)

// errFindings says only that something was found: what it was has been told.
var errFindings = errors.New("the module does not survive everything")

func moduleFuzzCommand() *cli.Command {
	return withArguments(&cli.Command{
		Name:      "fuzz",
		Usage:     "look for exchanges that a module does not survive",
		ArgsUsage: "FILE.wasm | FOLDER",
		Description: "Random and changed exchanges: headers, JSON of another shape, bodies in other pieces, providers that fail, clients that leave,\n" +
			"time that passes. Of a FOLDER it begins with the exchanges of scenarios/*.yaml and their configurations. A crash or hang is made\n" +
			"small and written as a scenario file that fails: into FOLDER/scenarios, or --out. Exit codes: 0 none found, 1 some, 2 bad usage.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "config", Usage: "the configuration of FILE.wasm, as `TEXT` or @FILE"},
			&cli.StringFlag{Name: "root-id", Usage: "which plugin of FILE.wasm, by its `ID`"},
			moduleFlag(), cacheFlag(),
			&cli.DurationFlag{Name: "duration", Usage: "for how long, as `TIME`", Value: 30 * time.Second},
			&cli.IntFlag{Name: "exchanges", Usage: "stop after so many exchanges, as `NUMBER`; 0: only the time counts"},
			&cli.Uint64Flag{Name: "seed", Usage: "`NUMBER` with which the random ones begin: the same finds the same", DefaultText: "another each time"},
			&cli.DurationFlag{Name: "deadline", Usage: "a callback that runs longer than `TIME` hangs", Value: time.Second},
			&cli.PathFlag{Name: "out", Usage: "`FOLDER` for what is found in FILE.wasm", Value: "."},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return badUsage("fuzz what? leash module fuzz FILE.wasm, or the folder of a module")
			}
			f := &moduleFuzz{c: c, out: c.Path("out")}
			if err := f.load(c.Args().First()); err != nil {
				return err
			}
			return f.run(c.Context)
		},
	})
}

// moduleFuzz is one `leash module fuzz`.
type moduleFuzz struct {
	c       *cli.Context
	out     string
	find    scenario.Finder
	targets []fuzz.Target
	failed  error // what could not be written
	found   int
}

// load makes the targets of a file or folder.
func (f *moduleFuzz) load(place string) error {
	info, err := os.Stat(place)
	if err != nil {
		return usageError{err}
	}
	if f.find, err = finder(f.c, place); err != nil {
		return err
	}
	if !info.IsDir() {
		return f.loadWasm(place)
	}
	if f.c.IsSet("config") || f.c.IsSet("root-id") || f.c.IsSet("out") {
		return badUsage("--config, --root-id and --out are for FILE.wasm: %s has scenarios", place)
	}
	f.out = filepath.Join(place, "scenarios")
	files, err := filepath.Glob(filepath.Join(f.out, "*.yaml"))
	if err != nil || len(files) == 0 {
		return badUsage("found no scenarios in %s", f.out)
	}
	may := restriction{}
	module, err := may.module(place)
	if err != nil {
		return err
	}
	for _, name := range files {
		file, err := scenario.Load(name)
		if err != nil {
			return usageError{err}
		}
		targets, err := fuzz.Targets(file, module, f.find)
		if err != nil {
			return usageError{err}
		}
		for _, one := range targets {
			if one.Setup, err = may.of(one.Setup); err != nil {
				return err
			}
			f.targets = append(f.targets, one)
		}
	}
	return nil
}

// loadWasm makes a target of a .wasm alone. Scenarios name it relative to the folder in which they will be.
func (f *moduleFuzz) loadWasm(file string) error {
	config, err := valueOf(f.c, "config")
	if err != nil {
		return err
	}
	out, err := filepath.Abs(f.out)
	if err != nil {
		return err
	}
	absolute, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	relative, err := filepath.Rel(out, absolute)
	if err != nil {
		relative = absolute
	}
	name := strings.TrimSuffix(filepath.Base(file), ".wasm")
	m := scenario.Module{Name: name, File: filepath.ToSlash(relative), RootID: f.c.String("root-id")}
	if f.c.IsSet("config") {
		m.Config = scenario.ValueOf(config)
	}
	setup, err := restriction{}.of(harness.Setup{Modules: []harness.Module{{Name: name, File: file, Config: config, RootID: m.RootID}}})
	if err != nil {
		return err
	}
	f.targets = []fuzz.Target{{Around: scenario.Surroundings{Modules: []scenario.Module{m}}, Setup: setup}}
	return nil
}

func (f *moduleFuzz) run(ctx context.Context) error {
	h, err := harness.New(ctx, harness.Options{CacheDir: f.c.Path("cache"), Deadline: f.c.Duration("deadline")})
	if err != nil {
		return err
	}
	defer h.Close(context.WithoutCancel(ctx)) //nolint:errcheck // the end of the program
	seed := f.c.Uint64("seed")
	if !f.c.IsSet("seed") {
		seed = uint64(rand.Uint32()) //nolint:gosec // any number will do
	}
	_, _ = fmt.Fprintf(f.c.App.ErrWriter, "looking for %v, --seed %d\n", f.c.Duration("duration"), seed)
	stats, err := fuzz.Run(ctx, h, f.targets, fuzz.Options{Seed: seed, Duration: f.c.Duration("duration"), Exchanges: f.c.Int("exchanges")}, func(one fuzz.Finding) {
		f.failed = errors.Join(f.failed, f.write(ctx, one))
	})
	_, _ = fmt.Fprintf(f.c.App.Writer, "%d exchanges in %v, %d that showed something new, %d findings\n",
		stats.Exchanges, stats.Elapsed.Round(10*time.Millisecond), stats.Kept, f.found)
	if err = errors.Join(err, f.failed); err != nil {
		return err
	}
	if f.found > 0 {
		return errFindings
	}
	return nil
}

// write writes a finding, and says whether it fails there as it did here.
func (f *moduleFuzz) write(ctx context.Context, one fuzz.Finding) error {
	f.found++
	name, text, err := one.Scenario()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.out, 0o750); err != nil {
		return fmt.Errorf("write a finding: %w", err)
	}
	file := filepath.Join(f.out, name)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return fmt.Errorf("write a finding: %w", err)
	}
	_, err = fmt.Fprintf(f.c.App.Writer, "%s: %s\n  %s: %s\n", one.Kind, one.Reason, file, f.again(ctx, file))
	return err
}

// again runs a scenario that has just been written, as leash module test will.
func (f *moduleFuzz) again(ctx context.Context, file string) string {
	h, err := newHarness(f.c)
	if err != nil {
		return err.Error()
	}
	defer h.Close(context.WithoutCancel(ctx)) //nolint:errcheck // used for this alone
	loaded, err := scenario.Load(file)
	if err != nil {
		return err.Error()
	}
	var reports []scenario.Report
	r := scenario.Runner{Target: scenario.Host{Harness: h}, Find: f.find}
	if err := r.Run(ctx, loaded, func(report scenario.Report) { reports = append(reports, report) }); err != nil {
		return err.Error()
	}
	if !scenario.Failed(reports) {
		return "written, but it passes when it is run alone: it depends on real time, or on what the limits of leash module fuzz are"
	}
	return "fails, until the module is mended"
}
