package setup

import (
	"crypto/tls"
	"os"
	"sync"
	"time"
)

// checkEvery is how often it is looked whether a certificate has been renewed.
const checkEvery = time.Minute

// keyPair is a certificate that is renewed in its files now and then.
type keyPair struct {
	cert, key string

	mu      sync.Mutex
	pair    *tls.Certificate
	changed time.Time // of the certificate's file
	looked  time.Time
}

func (k *keyPair) read() error {
	info, err := os.Stat(k.cert)
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(k.cert, k.key)
	if err != nil {
		return err
	}
	k.pair, k.changed, k.looked = &pair, info.ModTime(), time.Now()
	return nil
}

// certificate is the certificate of now. While new files cannot be read (one of the two is there), the old one holds.
func (k *keyPair) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Since(k.looked) >= checkEvery {
		k.looked = time.Now()
		if info, err := os.Stat(k.cert); err == nil && !info.ModTime().Equal(k.changed) {
			_ = k.read()
		}
	}
	return k.pair, nil
}
