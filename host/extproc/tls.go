package extproc

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// TLSFiles are what a server proves itself with, and clients must.
type TLSFiles struct {
	// Cert and Key are PEM files. What replaces them is used from the next connection on.
	Cert, Key string
	// ClientCA is a PEM file of those who vouch for clients. Without it clients need no certificate.
	ClientCA string
}

// Config reads the files. Its error names the one that is wrong.
func (f TLSFiles) Config() (*tls.Config, error) {
	pair := &keyPair{files: f}
	if _, err := pair.get(); err != nil {
		return nil, err
	}
	c := &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.get() },
		MinVersion:     tls.VersionTLS12,
	}
	if f.ClientCA == "" {
		return c, nil
	}
	pem, err := os.ReadFile(f.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("read those who vouch for clients: %w", err)
	}
	c.ClientCAs, c.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	if !c.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read those who vouch for clients: %s holds no certificate", f.ClientCA)
	}
	return c, nil
}

// keyPair is a certificate that is read again when its file has changed.
type keyPair struct {
	files TLSFiles

	mu      sync.Mutex
	changed time.Time
	current *tls.Certificate
}

// get is the certificate. One that cannot be read, as while its two files are being replaced, leaves the one before.
func (p *keyPair) get() (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	info, err := os.Stat(p.files.Cert)
	if err == nil && p.current != nil && info.ModTime().Equal(p.changed) {
		return p.current, nil
	}
	pair, loadErr := tls.LoadX509KeyPair(p.files.Cert, p.files.Key)
	switch {
	case loadErr == nil && err == nil:
		p.current, p.changed = &pair, info.ModTime()
	case p.current == nil:
		return nil, fmt.Errorf("read certificate and key: %w", errors.Join(err, loadErr))
	}
	return p.current, nil
}
