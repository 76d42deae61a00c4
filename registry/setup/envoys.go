package setup

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/leash-gateway/leash/registry/distribution"
	"github.com/leash-gateway/leash/registry/server"
)

// Envoys is how modules are given to running Envoys.
type Envoys struct {
	// Listen is the address for them. Default: 127.0.0.1:5051 where the registry listens on its own default; else they are not served.
	Listen string `yaml:"listen"`
	// ClientCA vouches for Envoys, which must then show a certificate.
	ClientCA string `yaml:"client_ca"`
	// Slots is the file of the slots' configurations. "": modules run with their defaults.
	Slots string `yaml:"slots"`
	// Patience is how long an Envoy may take to load a module until that counts as a refusal. Default: 30 s.
	Patience time.Duration `yaml:"patience"`
	// MinRequests is how many requests canaries must have served before they are judged by errors and latency. Default: 100.
	MinRequests int `yaml:"min_requests"`
}

// DefaultEnvoys is where a registry serves Envoys.
const DefaultEnvoys = "127.0.0.1:5051"

// EnvoyAddress is where to listen for Envoys, "" for nowhere.
func (c *Config) EnvoyAddress() string {
	if c.Envoys.Listen == "" && c.Address() == DefaultListen {
		return DefaultEnvoys
	}
	return c.Envoys.Listen
}

// checkEnvoys refuses addresses at which everybody could have every module.
func (c *Config) checkEnvoys() error {
	address := c.EnvoyAddress()
	if address == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("envoys: listen %q: %w", address, err)
	}
	ip := net.ParseIP(host)
	if c.Access == nil && c.Envoys.ClientCA == "" && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("envoys: listen %s: %w", address, errEnvoysOpen)
	}
	if c.Envoys.ClientCA != "" && c.TLS.Cert == "" {
		return errors.New("envoys: client_ca needs tls.cert and tls.key")
	}
	return nil
}

var errEnvoysOpen = errors.New("without access or envoys.client_ca, everybody who reaches it gets every module: name who may have what, or listen on the loopback")

// EnvoyTLS is ServerTLS for Envoys.
func (c *Config) EnvoyTLS(log *slog.Logger) (*tls.Config, error) {
	return c.serverTLS("envoys", c.Envoys.ClientCA, log)
}

// Distribution gives a registry's modules to Envoys.
func (c *Config) Distribution(s *server.Server, log *slog.Logger) *distribution.Server {
	o := distribution.Options{Catalogue: s.Catalog(), Access: s.Access(), Patience: c.Envoys.Patience, MinRequests: c.Envoys.MinRequests, Log: log}
	if c.Envoys.Slots != "" {
		o.Slots = c.beside(c.Envoys.Slots)
	}
	return distribution.New(o)
}
