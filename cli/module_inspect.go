package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/leash-gateway/leash/author/build"
	"github.com/leash-gateway/leash/registry/artifact"
	"github.com/leash-gateway/leash/registry/remote"
	"github.com/leash-gateway/leash/registry/signing"
	"github.com/leash-gateway/leash/registry/trust"
)

func moduleInspectCommand() *cli.Command {
	return withArguments(&cli.Command{
		Name:      "inspect",
		Usage:     "show what a module is, without running it",
		ArgsUsage: "REFERENCE|FILE.wasm",
		Flags: registryFlags(outputFlag(),
			&cli.BoolFlag{Name: "sbom", Usage: "print its SBOM (CycloneDX, JSON) instead"},
			&cli.BoolFlag{Name: "provenance", Usage: "print how it was built (SLSA, JSON) instead"},
		),
		Action: func(c *cli.Context) error {
			if err := arguments(c, 1, 1); err != nil {
				return err
			}
			if isFile(c.Args().First()) {
				wasm, err := readModule(c.Args().First())
				if err != nil {
					return usageError{err}
				}
				var beside [][]byte
				for _, suffix := range []string{trust.BundleSuffix, trust.ProvenanceSuffix} {
					if text, err := os.ReadFile(c.Args().First() + suffix); err == nil { //nolint:gosec // beside what the user names
						beside = append(beside, text)
					}
				}
				return inspect(c, inspection{Kept: signing.CountBundles(beside...)}, wasm)
			}
			return withRegistries(c, 1, 1, func(ctx context.Context, client *remote.Client) error {
				r, err := referenceOf(c, 0)
				if err != nil {
					return err
				}
				pulled, err := client.Pull(ctx, r)
				if err != nil {
					return err
				}
				i := inspection{Reference: pulled.Reference.String(), Format: pulled.Format}
				if i.Kept, err = signing.Count(ctx, client, pulled.Reference); err != nil {
					return err
				}
				return inspect(c, i, pulled.Wasm)
			})
		},
	})
}

// inspection is what is shown of a module.
type inspection struct {
	Reference string          `json:"reference,omitempty"`
	Format    artifact.Format `json:"format,omitempty"`
	// Kept is what is kept beside it, verified or not.
	signing.Kept
	*build.Description
}

func inspect(c *cli.Context, i inspection, wasm []byte) (err error) {
	if i.Description, err = build.Describe(c.Args().First(), wasm); err != nil {
		return err
	}
	switch {
	case c.Bool("sbom"):
		if i.SBOM == nil {
			return fmt.Errorf("%s carries no SBOM", c.Args().First())
		}
		_, err = c.App.Writer.Write(i.SBOM)
		return err
	case c.Bool("provenance"):
		text, err := i.Provenance()
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.App.Writer, "%s\n", text)
		return err
	}
	return output(c, i, func(w io.Writer) { i.print(w) })
}

func (i inspection) print(w io.Writer) {
	line := func(name, value string) {
		if value != "" {
			_, _ = fmt.Fprintf(w, "%-13s %s\n", name, value)
		}
	}
	line("reference", i.Reference)
	line("format", string(i.Format))
	if m := i.Manifest; m != nil {
		line("module", m.Name+" "+m.Version+" ("+string(m.Kind)+")")
		line("", m.Description)
		line("license", m.License)
		line("source", m.Source)
		var phases []string
		for _, p := range m.Phases {
			phases = append(phases, string(p))
		}
		line("phases", strings.Join(phases, ", "))
		line("host calls", strings.Join(m.Capabilities.HostCalls, ", "))
		line("callouts", strings.Join(m.Capabilities.Callouts, ", "))
		line("properties", strings.Join(m.Capabilities.Properties, ", "))
	} else {
		line("module", "carries no manifest")
	}
	line("faults", i.Faults)
	line("ABI", "proxy-wasm "+i.ABI)
	line("size", bytesText(i.Bytes)+", "+i.Digest)
	memory := bytesText(int(i.MemoryBytes)) //nolint:gosec // 4 GiB at the most
	if i.MaxMemoryBytes > 0 {
		memory += ", up to " + bytesText(int(i.MaxMemoryBytes)) //nolint:gosec // as above
	}
	line("memory", memory)
	if b := i.Build; b != nil {
		built := b.Go
		if b.Kit != "" {
			built += ", kit " + b.Kit
		}
		if b.Revision != "" {
			built += ", revision " + b.Revision
		}
		if b.Modified {
			built += " (modified)"
		}
		line("built", built)
	}
	if i.SBOM != nil {
		line("SBOM", "CycloneDX (--sbom prints it)")
	}
	line("signatures", fmt.Sprintf("%d, attestations of how it was built: %d (leash module verify says whether they are trusted)", i.Signatures, i.Attestations))
	line("imports", strings.Join(i.Imports, " "))
	line("exports", strings.Join(i.Exports, " "))
}
