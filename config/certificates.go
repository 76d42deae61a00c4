package config

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"os"
	"time"
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

// TellExpired tells of a file of certificates of which none is good any more: whoever they vouch for is refused, in words that do not name the file.
// One that cannot be read is left to Certificates.
func TellExpired(log *slog.Logger, file string, now time.Time) {
	text, err := os.ReadFile(file) //nolint:gosec // the operator names the file
	if err != nil {
		return
	}
	var latest time.Time
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		one, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			continue
		}
		if !now.After(one.NotAfter) {
			return
		}
		if one.NotAfter.After(latest) {
			latest = one.NotAfter
		}
	}
	if !latest.IsZero() {
		log.Warn("all certificates of the file have expired, so whoever they vouch for is refused: replace it", "file", file, "not_after", latest)
	}
}
