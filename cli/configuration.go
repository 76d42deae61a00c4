package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/envoy"
	"github.com/leash-gateway/leash/host/scenario"
	"github.com/leash-gateway/leash/manifest"
)

func validateCommand() *cli.Command {
	return command(&cli.Command{
		Name:  "validate",
		Usage: "check a leash.yaml, the modules' own configuration and the files that it names included",
		Description: "Variables of the environment that hold secrets need not be set here: leash up wants them. Where the files of certificates and\n" +
			"secrets are on another machine only, --no-files leaves them out. No module runs: the configuration of one that is not Leash's own is\n" +
			"held against the JSON Schema in its manifest.",
		Flags: []cli.Flag{
			configFlag(),
			&cli.BoolFlag{Name: "no-files", Usage: "do not look for the files of certificates, secrets and Leash's own modules"},
		},
		Action: func(c *cli.Context) error {
			loaded, err := look(c.Context, c.String("config"))
			if err != nil {
				return err
			}
			if !c.Bool("no-files") {
				if err := checkFiles(loaded); err != nil {
					return err
				}
			}
			_, err = fmt.Fprintf(c.App.ErrWriter, "%s is valid\n", c.String("config"))
			return err
		},
	})
}

func renderCommand() *cli.Command {
	return command(&cli.Command{
		Name:  "render",
		Usage: "print an Envoy bootstrap of a leash.yaml, for an Envoy that you run yourself",
		Description: "Providers' keys stand in it as references to the environment variable or file, which Envoy reads itself.\n" +
			"Check it with: envoy --mode validate -c FILE\n" +
			"With --target ext_proc the modules run in `leash host serve` instead of Envoy; an Envoy with a configuration of its own\n" +
			"needs of it the filter and the cluster that are called leash.host.\n" +
			"Three targets are one module of a registry, and need no leash.yaml: slot is what an Envoy of your own needs to be given the module\n" +
			"that a channel points at, and each that it points at later; istio is a WasmPlugin, envoy-gateway an EnvoyExtensionPolicy\n" +
			"and, where the module looks at bodies, a ClientTrafficPolicy that has Envoy buffer them.",
		Flags: append([]cli.Flag{
			configFlag(),
			&cli.StringFlag{Name: "target", Usage: "`WHERE` the modules run: envoy, ext_proc, slot, istio or envoy-gateway", Value: "envoy"},
			&cli.StringFlag{Name: "host", Usage: "with ext_proc: `ADDRESS` of the module host: unix:/PATH or HOST:PORT", Value: defaultHostAddress},
			modulesFlag(),
			&cli.PathFlag{Name: "host-ca", Usage: "with ext_proc: `FILE` (PEM) that vouches for the host's certificate; without it no TLS"},
			&cli.PathFlag{Name: "host-cert", Usage: "with ext_proc: certificate `FILE` (PEM) that Envoy shows to the host"},
			&cli.StringFlag{Name: "host-pipeline", Usage: "with ext_proc: `NAME` of the pipeline in the host; empty for that of its leash.yaml"},
			&cli.StringSliceFlag{Name: "host-metadata", Usage: "with ext_proc: `NAMESPACE` of dynamic metadata that modules may read; more than once for several"},
			&cli.PathFlag{Name: "host-key", Usage: "with ext_proc: private key `FILE` (PEM) of that certificate"},
		}, moduleTargetFlags()...),
		Action: func(c *cli.Context) error {
			if err := checkTarget(c); err != nil {
				return err
			}
			if render := moduleTargets[c.String("target")]; render != nil {
				rendered, err := render(c)
				if err != nil {
					return err
				}
				_, err = c.App.Writer.Write(rendered)
				return err
			}
			loaded, err := look(c.Context, c.String("config"))
			if err != nil {
				return err
			}
			withoutTracing(loaded)
			rendered, err := renderTarget(c, loaded)
			if err != nil {
				return err
			}
			_, err = c.App.Writer.Write(rendered)
			return err
		},
	})
}

// targetsOf are the targets that a flag is for, where it is not for all of them.
var targetsOf = map[string][]string{
	"host": {"ext_proc"}, "host-ca": {"ext_proc"}, "host-cert": {"ext_proc"}, "host-key": {"ext_proc"}, "host-metadata": {"ext_proc"}, "host-pipeline": {"ext_proc"}, "modules": {"ext_proc"},
	"slot": {"slot"}, "kind": {"slot"}, "registry": {"slot"}, "registry-ca": {"slot"}, "wait": {"slot"}, "no-standby": {"slot"}, "token-file": {"slot"}, "ads": {"slot"},
	"module": {"istio", "envoy-gateway"}, "module-config": {"istio", "envoy-gateway"}, "namespace": {"istio", "envoy-gateway"},
	"selector": {"istio"}, "gateway": {"envoy-gateway"},
}

// checkTarget refuses flags that the target does not look at: with another one they would have said something.
func checkTarget(c *cli.Context) error {
	for _, flag := range c.LocalFlagNames() {
		if targets := targetsOf[flag]; targets != nil && !slices.Contains(targets, c.String("target")) {
			return badUsage("--%s: is for --target %s", flag, strings.Join(targets, " or "))
		}
	}
	return nil
}

func renderTarget(c *cli.Context, loaded *config.Config) ([]byte, error) {
	o := envoy.Options{}
	var err error
	if o.CAFile, err = systemCertificates(); err != nil {
		return nil, err
	}
	switch target := c.String("target"); target {
	case "envoy":
		if o.ModulesDir, err = modulesDir(loaded); err != nil {
			return nil, err
		}
		return envoy.Render(loaded, o)
	case "ext_proc":
		e, err := extProc(c, loaded)
		if err != nil {
			return nil, err
		}
		rendered, err := envoy.RenderExtProc(loaded, o, e)
		if err != nil {
			return nil, usageError{err}
		}
		return rendered, nil
	default:
		return nil, badUsage("--target: %q is none of envoy, ext_proc, slot, istio and envoy-gateway", target)
	}
}

func schemaCommand() *cli.Command {
	return command(&cli.Command{
		Name:  "schema",
		Usage: "print the JSON Schema of leash.yaml, with which editors complete it",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "scenarios", Usage: "print that of modules' scenario files instead"},
			&cli.BoolFlag{Name: "manifest", Usage: "print that of modules' module.yaml instead"},
		},
		Action: func(c *cli.Context) error {
			schema := config.Schema()
			switch {
			case c.Bool("scenarios"):
				schema = scenario.Schema()
			case c.Bool("manifest"):
				schema = manifest.JSONSchema()
			}
			_, err := c.App.Writer.Write(schema)
			return err
		},
	})
}
