package config

import (
	"crypto/x509"
	"fmt"
	"os"
)

// Certificates reads a file of those that vouch for a server, such as a ca_file.
func Certificates(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read certificates: %s holds none in PEM form", file)
	}
	return pool, nil
}
