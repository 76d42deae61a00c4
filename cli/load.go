package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/control/credential"
	"github.com/leash-gateway/leash/control/tracing"
	"github.com/leash-gateway/leash/filters"
	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/registry/admission"
	"github.com/leash-gateway/leash/registry/blobs"
	"github.com/leash-gateway/leash/registry/remote"

	// The modules natively, to check their configuration before it is given to Envoy.
	_ "github.com/leash-gateway/leash/filters/auth"
	_ "github.com/leash-gateway/leash/filters/contentfilter"
	_ "github.com/leash-gateway/leash/filters/costtracker"
	_ "github.com/leash-gateway/leash/filters/logger"
	_ "github.com/leash-gateway/leash/filters/provider"
	_ "github.com/leash-gateway/leash/filters/ratelimit"
	_ "github.com/leash-gateway/leash/filters/route"
	_ "github.com/leash-gateway/leash/filters/tracer"
)

func configFlag() cli.Flag {
	return &cli.PathFlag{
		Name: "config", Aliases: []string{"c"}, Usage: "the configuration `FILE`", Value: "leash.yaml", EnvVars: []string{"LEASH_CONFIG"},
	}
}

// load reads a configuration that is to be run, and checks it as far as that can be done without Envoy. named is told of it before a file
// that it names is read.
func load(ctx context.Context, path string, log *slog.Logger, named func(*config.Config)) (*config.Config, error) {
	return loadWith(ctx, path, named, admission.Options{Log: log})
}

// look is load for a configuration that is not run here.
func look(ctx context.Context, path string) (*config.Config, error) {
	return loadWith(ctx, path, func(*config.Config) {}, admission.Options{InPlace: true})
}

func loadWith(ctx context.Context, path string, named func(*config.Config), o admission.Options) (*config.Config, error) {
	c, err := config.Load(path, os.LookupEnv)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, badUsage("%w: --config names the file", err)
	}
	if err != nil {
		return nil, usageError{err}
	}
	named(c)
	if err := checkModules(c); err != nil {
		return nil, usageError{err}
	}
	if err := admit(ctx, c, o); err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

// withoutTracing leaves tracing to those who run Envoy: only leash up makes spans of what modules tell.
func withoutTracing(c *config.Config) { c.Tracing.Endpoint = config.URL{} }

// admit decides whether the modules may be loaded.
func admit(ctx context.Context, c *config.Config, o admission.Options) error {
	o.Builtin, o.Env, o.Blobs = filters.Manifest, os.LookupEnv, blobs.In(cmp.Or(os.Getenv("LEASH_BLOBS"), blobs.DefaultDir()))
	if slices.ContainsFunc(c.Pipeline, func(m config.Module) bool { return m.Ref != "" }) {
		store, err := remote.Docker(false)
		if err != nil {
			return err
		}
		o.Registries, err = remote.New(remote.Options{Credentials: store, CAFile: os.Getenv("LEASH_REGISTRY_CA"), UserAgent: "leash", Blobs: &o.Blobs})
		if err != nil {
			return err
		}
	}
	return admission.Admit(ctx, c, o)
}

// place finds the step of the pipeline that an error of package module is about.
var place = regexp.MustCompile(`^modules\[(\d+)\] \(([^)]*)\): config(?: for tenant ([^:]*))?: ((?:[A-Za-z0-9_]+(?:\[\d+\]|\.[A-Za-z0-9_-]+)*)?)`)

// checkModules lets Leash's own modules look at their configuration, natively.
func checkModules(c *config.Config) error {
	var all []error
	for _, f := range c.Filters() {
		if f.Own {
			continue // its manifest speaks for it
		}
		if _, err := module.NewPipeline(f.Config, nil); err != nil {
			all = append(all, moduleError(c, f, err.Error()))
		}
	}
	return errors.Join(all...)
}

// moduleError gives a module's complaint about its configuration the place in the file that it is about.
func moduleError(c *config.Config, f config.Filter, text string) error {
	m := place.FindStringSubmatch(text)
	if m == nil {
		return c.Errorf(f.Modules[0], "%s", text)
	}
	index := 0
	_, _ = fmt.Sscan(m[1], &index)
	at := f.Modules[min(index, len(f.Modules)-1)] + ".config"
	if m[3] != "" {
		at = "tenants." + m[3] + ".modules." + m[2]
	}
	reason := strings.TrimPrefix(strings.TrimPrefix(text[len(m[0])-len(m[4]):], m[4]), ": ")
	if m[4] != "" {
		at += "." + m[4]
	}
	return c.Errorf(at, "%s", reason)
}

// locate gives an engine's refusal the place in the file that it is about, as far as that can be told from its text; else
// the other place.
func locate(c *config.Config, detail, other string, refused error) error {
	for _, f := range c.Filters() {
		if strings.Contains(detail, f.Name) {
			e := c.Errorf(f.Modules[0], "%v (the lines above may tell more)", refused)
			if !f.Own {
				e.Hint = otherVersion
			}
			return e
		}
	}
	for name := range c.Providers {
		if strings.Contains(detail, "provider."+name) {
			e := c.Errorf("providers."+name, "%v", refused)
			if strings.Contains(detail, "leash.provider."+name) {
				e.Hint = otherVersion
			}
			return e
		}
	}
	return c.Errorf(other, "%v", refused)
}

// otherVersion is why a module of Leash's own refuses what the same module has taken in this program.
const otherVersion = "Leash's own modules may be of another version than this program: run make build again, or see modules.dir"

// modulesDir finds the folder of the .wasm files.
func modulesDir(c *config.Config) (string, error) {
	candidates := []string{c.Modules.Dir}
	if c.Modules.Dir == "" {
		candidates = nil
		if dir := os.Getenv("LEASH_MODULES_DIR"); dir != "" {
			candidates = append(candidates, dir)
		}
		if executable, err := os.Executable(); err == nil {
			candidates = append(candidates, filepath.Join(filepath.Dir(filepath.Dir(executable)), "build", "modules"))
		}
		candidates = append(candidates, filepath.Join("build", "modules"))
	}
	for _, dir := range candidates {
		file := filepath.Join(dir, config.AllFile)
		if _, err := os.Stat(file); err != nil {
			continue
		}
		if !isWasm(file) {
			return "", c.Errorf("modules.dir", "%s is no WebAssembly module: run make build again, or name another folder", file)
		}
		return filepath.Abs(dir)
	}
	return "", c.Errorf("modules.dir", "found no %s in %s: run make build, or name the folder", config.AllFile, strings.Join(candidates, ", "))
}

// isWasm says that a file begins as a .wasm does: https://webassembly.github.io/spec/core/binary/modules.html#binary-module
func isWasm(file string) bool {
	const magic = "\x00asm"
	f, err := os.Open(file) //nolint:gosec // in the folder that the operator names
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // was only read
	head := make([]byte, len(magic))
	_, err = io.ReadFull(f, head)
	return err == nil && string(head) == magic
}

// checkFiles looks into the files that a configuration names for those who run it, as leash up does. Variables of the environment are taken for
// set: they are where it runs.
func checkFiles(c *config.Config) error {
	set := func(string) (string, bool) { return "set", true }
	var dir error
	if c.Modules.Dir != "" {
		_, dir = modulesDir(c)
	}
	found, credentials := c.Credentials(set)
	_, headers := tracing.Resolve(c, set)
	all := []error{dir, c.CheckCertificates(), credentials, headers}
	for _, name := range slices.Sorted(maps.Keys(found.Accounts)) {
		if c.Providers[name].ServiceAccount.File == "" {
			continue
		}
		if _, err := credential.NewGoogle([]byte(found.Accounts[name].Reveal()), credential.GoogleOptions{}); err != nil {
			all = append(all, c.Errorf("providers."+name+".service_account", "%v", err))
		}
	}
	return config.Join(all...)
}

// bundles are where distributions keep the certificates that they trust.
var bundles = []string{
	"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
	"/etc/ssl/cert.pem", "/opt/homebrew/etc/ca-certificates/cert.pem",
}

// systemCertificates finds the certificates that the system trusts. SSL_CERT_FILE names others, as for most programs.
func systemCertificates() (string, error) {
	for _, file := range append([]string{os.Getenv("SSL_CERT_FILE")}, bundles...) {
		if _, err := os.Stat(file); file != "" && err == nil {
			return file, nil
		}
	}
	return "", errors.New("found no trusted certificates: install ca-certificates, or name them in SSL_CERT_FILE")
}
