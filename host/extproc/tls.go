package extproc

import (
	"cmp"
	"crypto/tls"
	"log/slog"

	"github.com/leash-gateway/leash/config"
)

// TLSFiles are what a server proves itself with, and clients must.
type TLSFiles struct {
	// Cert and Key are PEM files. What replaces them is used from the next connection on.
	Cert, Key string
	// ClientCA is a PEM file of those who vouch for clients, of which the same holds. Without it clients need no certificate.
	ClientCA string
	// Log is told of a certificate that clients refuse, or soon will. nil: nobody is.
	Log *slog.Logger
}

// Config reads the files. Its error names the one that is wrong.
func (f TLSFiles) Config() (*tls.Config, error) {
	log := cmp.Or(f.Log, slog.New(slog.DiscardHandler))
	pair := &config.KeyPair{Cert: f.Cert, Key: f.Key, Log: log}
	if err := pair.Open(); err != nil {
		return nil, err
	}
	c := &tls.Config{GetCertificate: pair.Certificate, MinVersion: tls.VersionTLS12}
	if f.ClientCA == "" {
		return c, nil
	}
	clients := &config.ClientCA{File: f.ClientCA, Log: log}
	if err := clients.Require(c); err != nil {
		return nil, err
	}
	return c, nil
}
