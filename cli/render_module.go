package cli

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/registry/distribution"
	"github.com/leash-gateway/leash/registry/remote"
	"github.com/leash-gateway/leash/registry/setup"
)

// moduleTargets are the targets of leash render that are one module of a registry.
var moduleTargets = map[string]func(*cli.Context) ([]byte, error){
	"slot": renderSlot,
	"istio": func(c *cli.Context) ([]byte, error) {
		m, err := meshOf(c)
		if err != nil {
			return nil, err
		}
		return m.WasmPlugin()
	},
	"envoy-gateway": func(c *cli.Context) ([]byte, error) {
		if c.String("gateway") == "" {
			return nil, badUsage("--gateway: name the Gateway that gets the module")
		}
		m, err := meshOf(c)
		if err != nil {
			return nil, err
		}
		return m.EnvoyExtensionPolicy()
	},
}

func moduleTargetFlags() []cli.Flag {
	return registryFlags(
		&cli.StringFlag{Name: "slot", Usage: "with slot: its `NAME`: leash/MODULE@CHANNEL, or leash/MODULE@CHANNEL/CONFIG"},
		&cli.StringFlag{Name: "kind", Usage: "with slot: the module's `KIND`: what a policy's slot refuses while there is no module, an inspector's lets pass", Value: string(manifest.Policy)},
		&cli.StringFlag{Name: "registry", Usage: "with slot: `ADDRESS` at which the registry serves Envoys", Value: setup.DefaultEnvoys},
		&cli.PathFlag{Name: "registry-ca", Usage: "with slot: `FILE` (PEM, where Envoy reads it) that vouches for the registry's certificate; without it no TLS"},
		&cli.DurationFlag{Name: "wait", Usage: "with slot, of a policy: `TIME` that an Envoy that starts may wait for its module before it takes traffic and refuses it", Value: 5 * time.Second},
		&cli.BoolFlag{Name: "no-standby", Usage: "with slot: without the slot beside it that loads the version which is to come; promotions then take as long as the module takes to load"},
		&cli.PathFlag{Name: "token-file", Usage: "with slot: `FILE` with the token that says to the registry who the Envoy is; it then stands in what is printed"},
		&cli.BoolFlag{Name: "ads", Usage: "with slot: fill it over the Envoy's aggregated stream, which is the registry's"},
		&cli.StringFlag{Name: "module", Usage: "with istio and envoy-gateway: the module, as `REF` in its registry; it is pinned by its digest"},
		&cli.StringFlag{Name: "module-config", Usage: "with istio and envoy-gateway: its configuration, as `JSON` or @FILE"},
		&cli.StringFlag{Name: "namespace", Usage: "with istio and envoy-gateway: `NAMESPACE` of the resource"},
		&cli.StringSliceFlag{Name: "selector", Usage: "with istio: a `LABEL=VALUE` of the pods that get it; more than once for several"},
		&cli.StringFlag{Name: "gateway", Usage: "with envoy-gateway: `NAME` of the Gateway that gets it"},
	)
}

func renderSlot(c *cli.Context) ([]byte, error) {
	if c.String("slot") == "" {
		return nil, badUsage("--slot: name the slot, such as leash/acme/greeter@stable")
	}
	slot, err := distribution.ParseSlot(c.String("slot"))
	if err != nil {
		return nil, usageError{err}
	}
	kind := manifest.Kind(c.String("kind"))
	if kind != manifest.Policy && kind != manifest.Inspector {
		return nil, badUsage("--kind: %q is neither policy nor inspector", kind)
	}
	token := ""
	if file := c.Path("token-file"); file != "" {
		text, err := os.ReadFile(file) //nolint:gosec // the operator names it
		if err != nil {
			return nil, usageError{fmt.Errorf("read token: %w", err)}
		}
		token = strings.TrimSpace(string(text))
	}
	text, err := distribution.Snippet{
		Slot: slot, Kind: kind, Registry: c.String("registry"), CAFile: c.Path("registry-ca"), Wait: c.Duration("wait"), NoStandby: c.Bool("no-standby"), ADS: c.Bool("ads"),
		Token: token,
	}.Render()
	if err != nil {
		return nil, usageError{err}
	}
	if token != "" && c.Path("registry-ca") == "" && !remote.OnLoopback(c.String("registry")) {
		logger(c, slog.LevelInfo).Warn("the token goes to the registry in plain text, where others can read it: name what vouches for its certificate with --registry-ca", "registry", c.String("registry"))
	}
	return text, nil
}

// meshOf brings the module that is named, for what it says of itself.
func meshOf(c *cli.Context) (m distribution.Mesh, err error) {
	if c.String("module") == "" {
		return m, badUsage("--module: name the module, such as registry.example.com/team/module:1.0.0")
	}
	r, err := remote.Parse(c.String("module"))
	if err != nil {
		return m, usageError{err}
	}
	config, err := valueOf(c, "module-config")
	if err != nil {
		return m, err
	}
	m = distribution.Mesh{Namespace: c.String("namespace"), Config: []byte(config), Gateway: c.String("gateway"), Selector: map[string]string{}}
	for _, pair := range c.StringSlice("selector") {
		label, value, found := strings.Cut(pair, "=")
		if !found || label == "" {
			return m, badUsage("--selector: %q is not LABEL=VALUE", pair)
		}
		m.Selector[label] = value
	}
	err = withRegistries(c, 0, 0, func(ctx context.Context, client *remote.Client) error {
		pulled, err := client.Pull(ctx, r)
		if err != nil {
			return err
		}
		m.Ref, m.Wasm = pulled.Reference.Name()+"@"+pulled.Reference.Digest.String(), pulled.Wasm
		return nil
	})
	return m, err
}
