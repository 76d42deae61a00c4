// Package sigv4 signs requests to Amazon's services, as Bedrock asks for: AWS Signature Version 4,
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html.
//
// It is pure: time comes in, and headers come out. Nothing of a secret is in any text that the package makes.
package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// Credentials are what a caller of Amazon's services proves who it is with. Whatever writes them as text writes the id only.
type Credentials struct {
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string // of credentials that expire; else empty
}

// String is the id of the key, which is no secret.
func (c Credentials) String() string { return "key " + c.AccessKeyID }

// GoString keeps %#v from the secrets.
func (c Credentials) GoString() string { return c.String() }

// MarshalText keeps encoders from the secrets, that of JSON among them.
func (c Credentials) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// A Header is one of a request.
type Header struct{ Name, Value string }

// A Request is what is signed of one.
type Request struct {
	Method string
	Host   string // as it goes over the wire, with a port that is not the scheme's own
	Path   string // as it goes over the wire, escapes and all, without the query
	Query  string // as it goes over the wire, without the question mark
	// Headers are those to be signed besides the host and those that Sign returns. A proxy on the way must not change them.
	Headers []Header
	// BodyHash is the SHA-256 of the body.
	BodyHash [sha256.Size]byte
}

// A Signer signs the requests of one caller to one service. It belongs to one goroutine.
type Signer struct {
	credentials     Credentials
	region, service string

	day string // of key
	key []byte // derived from the secret for a day
}

// New makes a signer for a service in a region, such as bedrock in us-east-1.
func New(c Credentials, region, service string) *Signer {
	return &Signer{credentials: c, region: region, service: service}
}

// String is the id of the key, which is no secret.
func (s *Signer) String() string { return s.credentials.String() }

// GoString keeps %#v from the secrets.
func (s *Signer) GoString() string { return s.String() }

const (
	algorithm = "AWS4-HMAC-SHA256"
	dayForm   = "20060102"
	timeForm  = dayForm + "T150405Z"
)

// Sign returns the headers that the request must have besides its own, each of them in place of any that has its name:
// authorization, x-amz-date, and with credentials that expire x-amz-security-token. The signature is good for some
// minutes after now, for this very request. BenchmarkSign measures it.
func (s *Signer) Sign(r Request, now time.Time) []Header {
	now = now.UTC()
	at := now.Format(timeForm)
	added := make([]Header, 0, 3)
	added = append(added, Header{"x-amz-date", at})
	if s.credentials.SessionToken != "" {
		added = append(added, Header{"x-amz-security-token", s.credentials.SessionToken})
	}
	canonical, names := r.canonical(added)
	scope := at[:len(dayForm)] + "/" + s.region + "/" + s.service + "/aws4_request"
	sum := sha256.Sum256(canonical)

	text := make([]byte, 0, 256)
	text = append(text, algorithm+"\n"...)
	text = append(text, at...)
	text = append(text, '\n')
	text = append(text, scope...)
	text = append(text, '\n')
	text = hex.AppendEncode(text, sum[:])
	signature := mac(s.keyOf(at[:len(dayForm)]), text)

	value := make([]byte, 0, 256)
	value = append(value, algorithm+" Credential="...)
	value = append(value, s.credentials.AccessKeyID...)
	value = append(value, '/')
	value = append(value, scope...)
	value = append(value, ", SignedHeaders="...)
	value = append(value, names...)
	value = append(value, ", Signature="...)
	value = hex.AppendEncode(value, signature)
	return append(added, Header{"authorization", string(value)})
}

// keyOf derives the key of a day, once.
func (s *Signer) keyOf(day string) []byte {
	if s.day != day {
		key := mac([]byte("AWS4"+s.credentials.SecretAccessKey), []byte(day))
		for _, part := range [...]string{s.region, s.service, "aws4_request"} {
			key = mac(key, []byte(part))
		}
		s.day, s.key = day, key
	}
	return s.key
}

func mac(key, text []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(text)
	return h.Sum(nil)
}
