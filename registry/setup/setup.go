// Package setup is registry.yaml: it reads what an operator has written and makes a registry of it.
//
//	name: registry.example.com
//	tls: {cert: tls.crt, key: tls.key}
//	trust: trust.yaml
//	access:
//	  tokens: tokens.yaml
//	  oidc: [{issuer: https://accounts.example.com, audience: leash, name_claim: email}]
//	  grants:
//	    - {role: publisher, to: [token:ci], namespaces: [team/*]}
//	    - {role: reader, to: [anonymous], namespaces: ["*"]}
//	namespaces:
//	  - {match: [team/*], content: modules, require_scenarios: true, p95: 1ms}
//	envoys: {listen: "0.0.0.0:5051", slots: slots.yaml}
//
// Every field may be left out. Files are beside registry.yaml.
package setup

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/registry/access"
	"github.com/leash-gateway/leash/registry/blobs"
	"github.com/leash-gateway/leash/registry/mirror"
	"github.com/leash-gateway/leash/registry/server"
	"github.com/leash-gateway/leash/registry/store"
	"github.com/leash-gateway/leash/registry/trust"
)

// A Config is a whole registry.yaml. The zero value is a registry for everybody on this machine.
type Config struct {
	// Listen is the address. Default: 127.0.0.1:5050.
	Listen string `yaml:"listen"`
	// Name is what clients call the registry: what trust policies match. Default: Listen.
	Name string `yaml:"name"`
	TLS  TLS    `yaml:"tls"`
	// Trust is the file of the trust policy: who must have signed modules. "": nobody must.
	Trust string `yaml:"trust"`
	// Access says who may do what. Without it everybody may do everything, so the registry listens on the loopback only.
	Access *Access `yaml:"access"`
	// Namespaces are rules for repositories; the first that matches decides.
	Namespaces []server.Namespace `yaml:"namespaces"`
	Limits     server.Limits      `yaml:"limits"`
	// Envoys is how modules are given to running Envoys.
	Envoys Envoys `yaml:"envoys"`
	// Upstream is an OCI registry that holds what is pushed here, in place of the data folder.
	Upstream *Upstream `yaml:"upstream"`
	// Mirror are repositories of other registries that are copied into this one. Docker's credentials are used for them.
	Mirror []mirror.Source `yaml:"mirror"`

	dir   string
	where *config.Document // nil without a file
	pair  *config.KeyPair  // nil until it is asked for
	// file is where it was read, "" for nowhere, and read what it said there, whatever the command line has changed since.
	file string
	read *Config
}

// TLS are files.
type TLS struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
	// ClientCA vouches for clients, which must then show a certificate.
	ClientCA string `yaml:"client_ca"`
}

// Access says who may do what.
type Access struct {
	// Tokens is a file of tokens' hashes, which leash registry token writes.
	Tokens string          `yaml:"tokens"`
	OIDC   []access.Issuer `yaml:"oidc"`
	Grants []access.Grant  `yaml:"grants"`
}

// Load reads a registry.yaml.
func Load(file string) (*Config, error) {
	text, err := config.ReadFile(file, config.MaxFile)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	c := &Config{dir: filepath.Dir(file)}
	if c.where, err = config.Decode(file, text, c); err != nil {
		return nil, err
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	read := *c
	c.file, c.read = file, &read
	return c, nil
}

func (c *Config) check() error {
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		return c.where.Errorf("tls", "cert and key belong together")
	}
	if c.TLS.ClientCA != "" && c.TLS.Cert == "" {
		return c.where.Errorf("tls.client_ca", "needs cert and key")
	}
	if c.Access != nil {
		o := c.accessOptions()
		if err := o.Check(); err != nil {
			return c.placeAccess(err)
		}
		if err := o.CheckNames(); err != nil {
			return c.placeAccess(err)
		}
	}
	for i := range c.Namespaces {
		if err := c.Namespaces[i].Check(); err != nil {
			return c.where.Errorf(fmt.Sprintf("namespaces[%d]", i), "%v", err)
		}
	}
	for i := range c.Mirror {
		if err := c.Mirror[i].Check(); err != nil {
			return c.where.Errorf(fmt.Sprintf("mirror[%d]", i), "%v", err)
		}
	}
	if c.Upstream != nil {
		if err := c.Upstream.check(); err != nil {
			return c.where.Errorf("upstream", "%v", err)
		}
	}
	return nil
}

// place gives an error its place in registry.yaml, unless it tells one in another file.
func (c *Config) place(path string, err error) error {
	if c.where == nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return c.where.Placed(path, err)
}

func (c *Config) placeAccess(err error) error {
	if wrong, ok := errors.AsType[*access.OptionError](err); ok {
		return c.place("access."+wrong.Option, wrong.Err)
	}
	return c.place("access", err)
}

// DefaultListen is where a registry listens.
const DefaultListen = "127.0.0.1:5050"

// Address is where to listen.
func (c *Config) Address() string {
	if c.Listen == "" {
		return DefaultListen
	}
	return c.Listen
}

// ErrOpen says that everybody who reaches the address could do everything.
var ErrOpen = errors.New("without access, everybody who reaches the registry may push and promote: name who may do what, or listen on the loopback")

// CheckAddress refuses addresses that others reach of a registry that everybody may write to.
func (c *Config) CheckAddress() error {
	host, _, err := net.SplitHostPort(c.Address())
	if err != nil {
		return fmt.Errorf("listen %q: %w", c.Address(), err)
	}
	ip := net.ParseIP(host)
	if c.Access == nil && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("listen %s: %w", c.Address(), ErrOpen)
	}
	return c.checkEnvoys()
}

// Options are what a registry needs besides its configuration.
type Options struct {
	// Data is the folder where everything is kept.
	Data string
	// Env looks up environment variables.
	Env func(string) (string, bool)
	// Sandbox runs the scenarios of what is pushed; nil: they are not run.
	Sandbox server.Sandbox
	Log     *slog.Logger
	Version string
	// Again has everything read again that [Config.Follow] follows. nil: only changes of the files do.
	Again <-chan os.Signal
}

// Open makes a registry. Close it once.
func (c *Config) Open(ctx context.Context, o Options) (*server.Server, error) {
	s := server.Options{
		Name: c.Name, CatalogFile: filepath.Join(o.Data, "catalog.db"), Cache: blobs.In(filepath.Join(o.Data, "cache")), Namespaces: c.Namespaces,
		Sandbox: o.Sandbox, Scratch: filepath.Join(o.Data, "scratch"), Limits: c.Limits, Log: o.Log, Version: o.Version,
	}
	if s.Name == "" {
		s.Name = c.Address()
	}
	var err error
	if c.Trust != "" {
		if s.Trust, err = trust.Load(ctx, c.beside(c.Trust), o.Env); err != nil {
			return nil, c.place("trust", err)
		}
	}
	if s.Access, err = c.control(); err != nil {
		return nil, err
	}
	c.tellMissing(s.Access, o)
	if err := clean(s.Scratch); err != nil {
		return nil, fmt.Errorf("open data folder: %w", err)
	}
	if c.Upstream != nil {
		s.Store, err = c.openUpstream(filepath.Join(o.Data, "cache"), o)
	} else {
		s.Store, err = store.OpenDirectory(filepath.Join(o.Data, "oci"), store.DirectoryOptions{Log: o.Log})
	}
	if err != nil {
		return nil, err
	}
	made, err := server.New(s)
	if err != nil {
		return nil, errors.Join(err, s.Store.Close())
	}
	return made, nil
}

// clean empties a folder of what was needed for a moment before the process was killed.
func clean(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.MkdirAll(dir, 0o700)
}

func (c *Config) control() (*access.Control, error) {
	if c.Access == nil {
		return nil, nil //nolint:nilnil // everybody may everything
	}
	control, err := access.New(c.accessOptions())
	if err != nil {
		return nil, c.placeAccess(err)
	}
	return control, nil
}

func (c *Config) accessOptions() access.Options {
	o := access.Options{Issuers: slices.Clone(c.Access.OIDC), Grants: c.Access.Grants, Service: c.Name}
	if c.Access.Tokens != "" {
		o.TokensFile = c.beside(c.Access.Tokens)
	}
	for i := range o.Issuers {
		if o.Issuers[i].CAFile != "" {
			o.Issuers[i].CAFile = c.beside(o.Issuers[i].CAFile)
		}
	}
	return o
}

func (c *Config) beside(file string) string {
	if filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(c.dir, file)
}

// ServerTLS is the server's part of TLS, nil without. The certificate, and who vouches for clients, are read again when their files have changed; log is
// told of a certificate that clients refuse, or soon will.
func (c *Config) ServerTLS(log *slog.Logger) (*tls.Config, error) {
	return c.serverTLS("tls", c.TLS.ClientCA, log)
}

func (c *Config) serverTLS(section, clientCA string, log *slog.Logger) (*tls.Config, error) {
	if c.TLS.Cert == "" {
		return nil, nil //nolint:nilnil // no TLS is no error
	}
	if c.pair == nil { // clients and Envoys are shown the same one
		pair := &config.KeyPair{Cert: c.beside(c.TLS.Cert), Key: c.beside(c.TLS.Key), Log: log}
		if err := pair.Open(); err != nil {
			return nil, c.place("tls", err)
		}
		c.pair = pair
	}
	made := &tls.Config{GetCertificate: c.pair.Certificate, MinVersion: tls.VersionTLS12}
	if clientCA != "" {
		clients := &config.ClientCA{File: c.beside(clientCA), Log: log}
		if err := clients.Require(made); err != nil {
			return nil, c.place(section+".client_ca", err)
		}
	}
	return made, nil
}
