package gateway

import (
	"cmp"
	"crypto/sha256"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/host/gateway/sigv4"
)

// A proof shows a provider who asks: it is put into a request last, when nothing of it changes any more. It is safe for concurrent use.
type proof interface {
	// prove puts it in. It is false where there is none yet.
	prove(r *http.Request, body []byte) bool
	// credential is what it has put into a request that nobody else may see.
	credential(r *http.Request) string
	// ofBody says that it is of the body too, which therefore must be there in whole.
	ofBody() bool
	// renew replaces the secret.
	renew(config.SecretValue)
}

// noProof answers in the place of a provider to which nothing can be proved yet.
var noProof = newReply(http.StatusServiceUnavailable, "server_error", "api_error", "UNAVAILABLE", "provider_not_ready",
	"there is no token for the provider of this model yet: the gateway's log tells why")

// prove shows the provider who asks. It is false where that cannot be done yet.
func (p *provider) prove(r *http.Request, body []byte) bool {
	if p.proof == nil {
		return true
	}
	delete(r.Header, "accept-encoding") // an error must be plain to be looked through
	return p.proof.prove(r, body)
}

// newProof is that of a provider; nil where it has none, or the mock answers in its place.
func newProof(p *config.Provider, o Options, name string) proof {
	auth := p.Description().Auth
	switch {
	case o.Mock[name] != nil:
		return nil
	case p.AWS != nil:
		key := o.AWS[name]
		return &signature{signer: sigv4.New(sigv4.Credentials{
			AccessKeyID: key.ID, SecretAccessKey: key.Secret.Reveal(), SessionToken: key.Token.Reveal(),
		}, p.Region, auth.SigV4)}
	case p.APIKey != nil || p.ServiceAccount != nil:
		k := &key{header: auth.Header, prefix: auth.Prefix}
		k.renew(o.Secrets[name])
		return k
	}
	return nil
}

// A key stands in a header.
type key struct {
	header, prefix string
	value          atomic.Pointer[string] // of the header; nil while there is none
}

func (k *key) renew(secret config.SecretValue) {
	if text := secret.Reveal(); text != "" {
		text = k.prefix + text
		k.value.Store(&text)
	}
}

func (k *key) prove(r *http.Request, _ []byte) bool {
	value := k.value.Load()
	if value == nil {
		return false
	}
	put(r.Header, k.header, *value)
	return true
}

func (*key) ofBody() bool { return false }

func (k *key) credential(r *http.Request) string {
	return strings.TrimPrefix(got(r.Header, k.header), k.prefix)
}

// A signature is one of Amazon's, of the whole request.
type signature struct {
	mu     sync.Mutex
	signer *sigv4.Signer
}

// renew does nothing: another access key comes with another configuration.
func (s *signature) renew(config.SecretValue) {}

func (*signature) ofBody() bool { return true }

// credential is the token of a session: a key is in no request.
func (*signature) credential(r *http.Request) string { return got(r.Header, "x-amz-security-token") }

func (s *signature) prove(r *http.Request, body []byte) bool {
	signed := sigv4.Request{
		Method: r.Method, Host: r.Host, Path: cmp.Or(r.URL.Opaque, r.URL.EscapedPath()), Query: r.URL.RawQuery, BodyHash: sha256.Sum256(body),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.signer.Sign(signed, time.Now()) {
		put(r.Header, h.Name, h.Value)
	}
	return true
}

// put sets a header, whose name may stand there in lower case or as net/http writes it.
func put(h http.Header, name, value string) {
	h.Del(name)
	h[name] = []string{value}
}

// got is what put has set; "" where it has not.
func got(h http.Header, name string) string {
	if values := h[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}
