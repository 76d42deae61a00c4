package cli

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/envoy"
	"github.com/leash-gateway/leash/host/scenario"
)

func validateCommand() *cli.Command {
	return command(&cli.Command{
		Name:  "validate",
		Usage: "check a leash.yaml, the modules' own configuration included",
		Flags: []cli.Flag{configFlag()},
		Action: func(c *cli.Context) error {
			if _, err := load(c.String("config")); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.App.ErrWriter, "%s is valid\n", c.String("config"))
			return err
		},
	})
}

func renderCommand() *cli.Command {
	return command(&cli.Command{
		Name:  "render",
		Usage: "print an Envoy bootstrap of a leash.yaml, for an Envoy that you run yourself",
		Description: "Providers' keys stand in it as references to the environment variable or file, which Envoy reads itself.\n" +
			"Check it with: envoy --mode validate -c FILE",
		Flags: []cli.Flag{configFlag()},
		Action: func(c *cli.Context) error {
			loaded, err := load(c.String("config"))
			if err != nil {
				return err
			}
			o := envoy.Options{}
			if o.ModulesDir, err = modulesDir(loaded); err != nil {
				return err
			}
			if o.CAFile, err = systemCertificates(); err != nil {
				return err
			}
			rendered, err := envoy.Render(loaded, o)
			if err != nil {
				return err
			}
			_, err = c.App.Writer.Write(rendered)
			return err
		},
	})
}

func schemaCommand() *cli.Command {
	return command(&cli.Command{
		Name:  "schema",
		Usage: "print the JSON Schema of leash.yaml, with which editors complete it",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "scenarios", Usage: "print that of modules' scenario files instead"}},
		Action: func(c *cli.Context) error {
			schema := config.Schema()
			if c.Bool("scenarios") {
				schema = scenario.Schema()
			}
			_, err := c.App.Writer.Write(schema)
			return err
		},
	})
}
