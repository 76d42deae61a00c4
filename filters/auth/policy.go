// Package auth is the module that settles who calls: it takes virtual keys, of which it knows only the SHA-256, and
// hands tenant, key name and user on to the later modules in a way that no client can forge.
package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"strconv"
	"strings"
	"unicode"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/printf"
)

func init() { module.Register("auth", module.Policy, New) }

// Config lists the virtual keys.
type Config struct {
	Keys []Key `json:"keys"`
	// UnknownKeys bounds how many keys that are not known may come from an address. Without it any number may.
	UnknownKeys Tries `json:"unknown_keys"`
}

// Key is a virtual key of a tenant.
type Key struct {
	// SHA256 is the key's SHA-256 in hexadecimal: the key itself is known to its owner only.
	SHA256 string `json:"sha256"`
	// Tenant owns the key; Name tells its keys apart in logs and limits; User is optional.
	Tenant string `json:"tenant"`
	Name   string `json:"name"`
	User   string `json:"user"`
}

// Validate refuses a key without owner, with something else than a SHA-256, or with a name that holds control characters:
// hosts hand names on with such characters between them.
func (k *Key) Validate() error {
	if _, err := k.sum(); err != nil {
		return err
	}
	if k.Tenant == "" {
		return errors.New("tenant: is empty")
	}
	for _, field := range [...]struct{ name, value string }{{"tenant", k.Tenant}, {"name", k.Name}, {"user", k.User}} {
		if strings.ContainsFunc(field.value, unicode.IsControl) {
			return printf.Errorf("%s: holds a control character", field.name)
		}
	}
	return nil
}

// sum is the SHA-256 itself.
func (k *Key) sum() (sum [sha256.Size]byte, err error) {
	wrong := errors.New(`sha256: is not 64 hexadecimal digits: make it with printf %s "$KEY" | sha256sum`)
	if len(k.SHA256) != 2*len(sum) {
		return sum, wrong
	}
	for i := range sum {
		b, err := strconv.ParseUint(k.SHA256[2*i:2*i+2], 16, 8)
		if err != nil {
			return sum, wrong
		}
		sum[i] = byte(b)
	}
	return sum, nil
}

// Auth refuses who has no valid key.
type Auth struct {
	tries *tries // nil: any number
	// byPrefix finds the few keys that a presented one must be compared with. What its timing tells about is the
	// beginning of the SHA-256 of what the caller sent, which is of no use in finding a key.
	byPrefix map[[prefixBytes]byte][]entry
}

const prefixBytes = 8

type entry struct {
	sum    [sha256.Size]byte
	caller module.Caller
}

// New builds the module. A key that stands twice is an error: it would be unclear whose it is.
func New(c Config) (*Auth, error) {
	a := &Auth{byPrefix: make(map[[prefixBytes]byte][]entry, len(c.Keys))}
	if t := c.UnknownKeys; t.Requests > 0 {
		a.tries = &tries{Tries: t, place: "auth/" + t.Window.String() + "/"}
	}
	for i, k := range c.Keys {
		e := entry{caller: module.Caller{Tenant: k.Tenant, Key: k.Name, User: k.User}}
		var err error
		if e.sum, err = k.sum(); err != nil {
			return nil, printf.Errorf("keys[%d].%w", i, err)
		}
		if _, taken := a.find(e.sum); taken {
			return nil, printf.Errorf("keys[%d].sha256: stands twice", i)
		}
		prefix := [prefixBytes]byte(e.sum[:])
		a.byPrefix[prefix] = append(a.byPrefix[prefix], e)
		if a.tries != nil {
			a.tries.mix(prefix)
		}
	}
	return a, nil
}

func (a *Auth) find(sum [sha256.Size]byte) (module.Caller, bool) {
	for _, e := range a.byPrefix[[prefixBytes]byte(sum[:])] {
		if subtle.ConstantTimeCompare(e.sum[:], sum[:]) == 1 {
			return e.caller, true
		}
	}
	return module.Caller{}, false
}

// credentials are the headers in which clients carry keys, of Leash or of a provider. None of them leaves towards a
// provider: which account pays is for the operator to say.
var credentials = []string{
	"authorization", "x-api-key", "api-key", "x-goog-api-key", "proxy-authorization", "cookie", "openai-organization", "openai-project",
}

// ownHeader is where clients of Anthropic's and Google's APIs put their key.
func ownHeader(f llm.Format) string {
	switch f.Family() {
	case llm.Anthropic:
		return "x-api-key"
	case llm.Google:
		return "x-goog-api-key"
	default:
		return ""
	}
}

// presented is the key that the client sends: in the header of its own API, or else in Authorization, which the clients
// of all of them can set.
func presented(x *module.Exchange) string {
	if own := ownHeader(x.Format); own != "" {
		if key := strings.TrimSpace(x.RequestHeader(own)); key != "" {
			return key
		}
	}
	scheme, key, _ := strings.Cut(x.RequestHeader("authorization"), " ")
	if !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return strings.TrimSpace(key)
}

// RequestHeader refuses the request unless it carries a known key, and takes all credentials out of it. Where too many keys have been tried, known
// ones are refused too: else whoever tries them would go on, and know by the answer which it is.
func (a *Auth) RequestHeader(x *module.Exchange) error {
	key := presented(x)
	for _, name := range credentials {
		x.RemoveRequestHeader(name)
	}
	if key == "" {
		header := "Authorization: Bearer"
		if own := ownHeader(x.Format); own != "" {
			header = own + ":"
		}
		return module.Refuse(401, "invalid_api_key", "no API key was sent: set the header %s YOUR_KEY", header)
	}
	if a.tries != nil {
		if err := a.tries.take(x, 0); err != nil {
			return err
		}
	}
	caller, known := a.find(sha256.Sum256([]byte(key)))
	if !known {
		if a.tries != nil {
			if err := a.tries.take(x, 1); err != nil {
				return err
			}
		}
		return module.Refuse(401, "invalid_api_key", "the API key is not known to this gateway: check it, or ask its operator for one")
	}
	x.SetCaller(caller)
	return nil
}
