package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// A ClientCA is a file of those who vouch for the clients of a server, which is replaced now and then:
//
//  1. Require reads it, and has the server want certificates of clients.
//  2. What replaces the file holds from the next connection on.
type ClientCA struct {
	// File is a PEM file.
	File string
	// Log is told where all certificates of the file have expired, and of a file that cannot be used, once a day.
	Log *slog.Logger

	mu      sync.Mutex
	changed time.Time // of the file
	current *x509.CertPool
	refused time.Time // when it was last told of a file that cannot be used
}

// Require has a server that is configured so want certificates of its clients. Nothing else of c may be changed afterwards.
func (a *ClientCA) Require(c *tls.Config) error {
	if err := a.read(); err != nil {
		return fmt.Errorf("those who vouch for clients: %w", err)
	}
	c.ClientAuth = tls.RequireAndVerifyClientCert
	c.SessionTicketsDisabled = true // a session that goes on was verified by who vouched for clients when it began
	c.NextProtos = []string{"h2", "http/1.1"}
	each := c.Clone()
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		now := each.Clone()
		now.ClientCAs = a.pool()
		return now, nil
	}
	return nil
}

func (a *ClientCA) read() error {
	info, err := os.Stat(a.File)
	if err != nil {
		return fmt.Errorf("read certificates: %w", err)
	}
	if info.ModTime().Equal(a.changed) {
		return nil
	}
	pool, err := Certificates(a.File)
	if err != nil {
		return err
	}
	TellExpired(a.Log, a.File, time.Now())
	a.current, a.changed = pool, info.ModTime()
	return nil
}

// pool is who vouches for clients now. A file that cannot be read, as while it is being replaced, leaves those before.
func (a *ClientCA) pool() *x509.CertPool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.read(); err != nil && time.Since(a.refused) >= tellAgain {
		a.refused = time.Now()
		a.Log.Warn("who vouches for clients was replaced by what cannot be used: those before go on", "file", a.File, "error", err)
	}
	return a.current
}
