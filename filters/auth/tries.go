package auth

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"strconv"
	"time"

	"github.com/leash-gateway/leash/module"
)

// Tries bounds how many keys that are not known may come from an address, of IPv6 from a /64: a token bucket, kept in shared data as the time at
// which it is full again (docs/decisions/014-rate-limits-keep-one-number.md).
type Tries struct {
	// Requests are what the window allows; 0: any number.
	Requests int64 `json:"requests"`
	// Window is how long an empty bucket takes to be full again.
	Window time.Duration `json:"window"`
}

// SetDefaults sets the window.
func (t *Tries) SetDefaults() { t.Window = time.Minute }

// Validate refuses what cannot be counted.
func (t *Tries) Validate() error {
	switch {
	case t.Requests < 0 || t.Requests > 1_000_000:
		return errors.New("requests: must be 0 to 1000000")
	case t.Window < time.Second || t.Window > 31*24*time.Hour:
		return errors.New("window: must be between 1s and 744h")
	}
	return nil
}

// tries are Tries made ready.
type tries struct {
	Tries
	place  string // what its buckets' keys begin with
	secret [prefixBytes]byte
}

// mix makes it depend on a key, of which this is the beginning of the SHA-256, which addresses share a bucket: nobody can look for one that shares
// another's, to use it up.
func (t *tries) mix(prefix [prefixBytes]byte) {
	for i, b := range prefix {
		t.secret[i] ^= b
	}
}

// slots bounds the buckets, because shared data is never freed.
const slots = 1 << 16

func (t *tries) key(x *module.Exchange) string {
	h := fnv.New32a()
	_, _ = h.Write(t.secret[:])
	_, _ = h.Write([]byte(x.ClientNetwork()))
	return t.place + strconv.FormatUint(uint64(h.Sum32()%slots), 16)
}

// maxTries bounds the compare-and-swap: so many other workers cannot all have been faster.
const maxTries = 256

// take takes n tries of the client's, 0 or 1. It refuses where none is left.
func (t *tries) take(x *module.Exchange, n int64) error {
	key, now, each := t.key(x), x.Now().UnixNano(), int64(t.Window)/t.Requests
	for range maxTries {
		value, version := x.Shared().Get(key)
		full := now
		if len(value) == 8 {
			full = max(full, int64(binary.LittleEndian.Uint64(value))) //nolint:gosec // written below
		}
		if wait := time.Duration(full + each - now - int64(t.Window)); wait > 0 {
			r := module.Refuse(429, "too_many_unknown_keys", "too many API keys that are not known to this gateway came from your address: check yours, and retry in %s", wait.Round(time.Second))
			r.RetryAfter = wait
			return r
		}
		if n == 0 || x.Shared().Set(key, binary.LittleEndian.AppendUint64(nil, uint64(full+n*each)), version) { //nolint:gosec // a time after 1970
			return nil
		}
	}
	return errors.New("count an unknown key: the shared data could not be written")
}
