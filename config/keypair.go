package config

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// A KeyPair is what a server proves itself with, in files that are replaced now and then:
//
//  1. Open reads them.
//  2. Certificate is for tls.Config.GetCertificate; what replaces the files is used from the next connection on.
type KeyPair struct {
	// Cert and Key are PEM files.
	Cert, Key string
	// Log is told of a certificate that clients refuse, or will in some days, once a day, and of files that cannot be used.
	Log *slog.Logger
	// Now is the clock. Default: time.Now.
	Now func() time.Time

	mu      sync.Mutex
	changed time.Time // of the file of the certificate
	current *tls.Certificate
	told    time.Time // when it was last looked whether clients take it
	refused time.Time // when it was last told of files that cannot be used
}

// Open reads the files. Its error names the one that is wrong.
func (k *KeyPair) Open() error {
	if k.Now == nil {
		k.Now = time.Now
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.read()
}

func (k *KeyPair) read() error {
	info, err := os.Stat(k.Cert)
	if err != nil {
		return fmt.Errorf("read certificate and key: %w", err)
	}
	if info.ModTime().Equal(k.changed) {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(k.Cert, k.Key)
	if err != nil {
		return fmt.Errorf("read certificate and key (%s, %s): %w", k.Cert, k.Key, err)
	}
	k.current, k.changed, k.told = &pair, info.ModTime(), time.Time{}
	k.tell()
	return nil
}

// Certificate is the certificate. One that cannot be read, as while its two files are being replaced, leaves the one before.
func (k *KeyPair) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.read(); err != nil && k.Now().Sub(k.refused) >= tellAgain {
		k.refused = k.Now()
		k.Log.Warn("the certificate was replaced by what cannot be used: the one before goes on", "file", k.Cert, "error", err)
	}
	k.tell()
	return k.current, nil
}

const (
	tellAgain = 24 * time.Hour
	// endsSoon is when a certificate should have been renewed, if it is good for long. One that is not is renewed in its last third, mostly.
	endsSoon = 7 * 24 * time.Hour
	lastPart = 4
)

// tell tells of a certificate that clients do not take, or soon will not.
func (k *KeyPair) tell() {
	now, leaf := k.Now(), k.current.Leaf
	if now.Sub(k.told) < tellAgain {
		return
	}
	k.told = now
	log := k.Log.With("file", k.Cert)
	switch left := leaf.NotAfter.Sub(now); {
	case left < 0:
		log.Warn("the certificate has expired, so clients refuse it: replace it", "not_after", leaf.NotAfter)
	case now.Before(leaf.NotBefore):
		log.Warn("the certificate is not valid yet, so clients refuse it: replace it, or set the clock of this machine", "not_before", leaf.NotBefore)
	case left < min(endsSoon, leaf.NotAfter.Sub(leaf.NotBefore)/lastPart):
		log.Warn("the certificate ends soon: renew it", "not_after", leaf.NotAfter)
	}
}
