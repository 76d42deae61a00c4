package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/leash-gateway/leash/author/build"
	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/registry/admission"
	"github.com/leash-gateway/leash/registry/artifact"
	"github.com/leash-gateway/leash/registry/remote"
	"github.com/leash-gateway/leash/registry/signing"
	"github.com/leash-gateway/leash/registry/trust"
)

func modulePushCommand() *cli.Command {
	return withArguments(&cli.Command{
		Name:      "push",
		Usage:     "push a module to an OCI registry",
		ArgsUsage: "REGISTRY/REPOSITORY:TAG",
		Description: "The layouts: image, which Istio's WasmPlugin and Envoy Gateway take too; compat (a container image that holds\n" +
			"plugin.wasm), for registries that take only images; cncf, the CNCF's Wasm OCI artefact. Prints the reference with the digest.\n" +
			"With --key the module is signed there, and how it was built is attested, as leash module sign --provenance does.",
		Flags: registryFlags(
			&cli.PathFlag{Name: "file", Aliases: []string{"f"}, Usage: "the module's `FILE`", DefaultText: "build/modules/NAME.wasm of the project here"},
			&cli.StringFlag{Name: "format", Usage: "the `LAYOUT`: image, compat or cncf", Value: string(artifact.Image)},
			&cli.BoolFlag{Name: "compat", Usage: "short for --format compat"},
			&cli.StringFlag{Name: "key", Usage: "sign it with the private `KEY` (see leash module sign)"},
		),
		Action: func(c *cli.Context) error {
			var signer *signing.Signer
			if c.String("key") != "" {
				var err error
				if signer, err = signerOf(c); err != nil {
					return err
				}
			}
			return withRegistries(c, 1, 1, func(ctx context.Context, client *remote.Client) error { return pushModule(ctx, c, client, signer) })
		},
	})
}

// pushModule pushes what the command line says, and signs it where there is a signer.
func pushModule(ctx context.Context, c *cli.Context, client *remote.Client, signer *signing.Signer) error {
	r, err := referenceOf(c, 0)
	if err != nil {
		return err
	}
	format := artifact.Format(c.String("format"))
	if c.Bool("compat") {
		format = artifact.Compat
	}
	a, err := packed(c.Path("file"), r, format)
	if err != nil {
		return usageError{err}
	}
	at, err := client.Push(ctx, r, a)
	if err != nil {
		return err
	}
	if signer != nil {
		if _, err := signing.Sign(ctx, client, at, signer, signing.Both, signing.Options{}); err != nil {
			return err
		}
		if err := attestReference(ctx, client, at, signer, signing.Options{}); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintln(c.App.Writer, at)
	return err
}

// packed is the artefact of a .wasm, by default that of the project in this folder.
func packed(file string, r remote.Reference, format artifact.Format) (*artifact.Artifact, error) {
	if file == "" {
		m, err := manifest.Load(manifest.FileName)
		if err != nil {
			return nil, fmt.Errorf("%w: name the module with --file", err)
		}
		file = filepath.Join("build", "modules", m.Name+".wasm")
	}
	wasm, err := readModule(file)
	if err != nil {
		return nil, fmt.Errorf("read module: %w", err)
	}
	d, err := build.Describe(file, wasm)
	if err != nil {
		return nil, err
	}
	if d.Manifest == nil {
		return nil, fmt.Errorf("%s: %w", file, manifest.ErrNone)
	}
	if d.Faults != "" {
		return nil, errors.New(d.Faults)
	}
	if err := admission.Taggable(r, wasm); err != nil {
		return nil, err
	}
	source := artifact.Source{ABI: d.ABI}
	if d.Build != nil {
		source.Revision, source.Created = d.Build.Revision, d.Build.Time
	}
	return artifact.Pack(wasm, d.Manifest, source, format)
}

func modulePullCommand() *cli.Command {
	return withArguments(&cli.Command{
		Name:        "pull",
		Usage:       "pull a module from an OCI registry",
		ArgsUsage:   "REGISTRY/REPOSITORY:TAG[@DIGEST]",
		Description: "With a trust policy, or a key, nothing is written that they do not let run. Prints the reference with the digest.",
		Flags: registryFlags(append(verifyFlags(),
			&cli.PathFlag{Name: "output", Aliases: []string{"o"}, Usage: "write the module to `FILE`", DefaultText: "NAME.wasm"})...,
		),
		Action: func(c *cli.Context) error {
			return withRegistries(c, 1, 1, func(ctx context.Context, client *remote.Client) error { return pullModule(ctx, c, client) })
		},
	})
}

// pullModule writes what the command line names into a file, if it may be run here.
func pullModule(ctx context.Context, c *cli.Context, client *remote.Client) error {
	r, err := referenceOf(c, 0)
	if err != nil {
		return err
	}
	var policy *trust.Policy
	if c.String("key") != "" || c.Path("trust") != "" {
		if policy, err = verifyPolicy(c); err != nil {
			return err
		}
	}
	at, _, err := client.Resolve(ctx, r)
	if err != nil {
		return err
	}
	if policy != nil {
		if _, err := policy.Image(ctx, client, at, time.Now()); err != nil {
			return err
		}
	}
	pulled, err := client.Pull(ctx, at)
	if err != nil {
		return err
	}
	if err := admission.Versioned(at, pulled.Wasm); err != nil {
		return err
	}
	file := c.Path("output")
	if file == "" {
		m, err := manifest.Of(at.String(), pulled.Wasm)
		if err != nil {
			return fmt.Errorf("%w: name the file with --output", err)
		}
		file = m.Name + ".wasm"
	}
	if err := build.ReplaceFile(file, pulled.Wasm); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(c.App.ErrWriter, "%s is written\n", file)
	_, err = fmt.Fprintln(c.App.Writer, at)
	return err
}

func moduleListCommand() *cli.Command {
	return withArguments(&cli.Command{
		Name: "list", Usage: "list the tags of a repository", ArgsUsage: "REGISTRY/REPOSITORY", Flags: registryFlags(outputFlag()),
		Action: func(c *cli.Context) error {
			return withRegistries(c, 1, 1, func(ctx context.Context, client *remote.Client) error {
				r, err := referenceOf(c, 0)
				if err != nil {
					return err
				}
				tags, err := client.List(ctx, r)
				if err != nil {
					return err
				}
				if len(tags) == 0 { // registries do not all say that they have no such repository
					return fmt.Errorf("%s has no tags: is it called so?", r.Name())
				}
				return output(c, tags, func(w io.Writer) {
					table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
					_, _ = fmt.Fprintln(table, "TAG\tDIGEST")
					for _, t := range tags {
						_, _ = fmt.Fprintf(table, "%s\t%s\n", t.Name, t.Digest)
					}
					_ = table.Flush()
				})
			})
		},
	})
}

func moduleTagCommand() *cli.Command {
	return withArguments(&cli.Command{
		Name: "tag", Usage: "give a module more tags", ArgsUsage: "REGISTRY/REPOSITORY:TAG[@DIGEST] TAG...", Flags: registryFlags(),
		Action: func(c *cli.Context) error {
			return withRegistries(c, 2, -1, func(ctx context.Context, client *remote.Client) error {
				r, err := referenceOf(c, 0)
				if err != nil {
					return err
				}
				at, err := client.Tag(ctx, r, c.Args().Slice()[1:]...)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintln(c.App.Writer, at)
				return err
			})
		},
	})
}

func moduleCopyCommand() *cli.Command {
	return withArguments(&cli.Command{
		Name: "copy", Usage: "copy a module with its signatures to another repository or registry", ArgsUsage: "FROM TO", Flags: registryFlags(),
		Action: func(c *cli.Context) error {
			return withRegistries(c, 2, 2, func(ctx context.Context, client *remote.Client) error {
				from, err := referenceOf(c, 0)
				if err != nil {
					return err
				}
				to, err := referenceOf(c, 1)
				if err != nil {
					return err
				}
				copied, err := client.Copy(ctx, from, to)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintln(c.App.Writer, copied)
				return err
			})
		},
	})
}
