package signing_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
	"github.com/go-openapi/runtime"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/rekor/pkg/types"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/sigstore/sigstore-go/pkg/tlog"

	"github.com/leash-gateway/leash/registry/registrytest"
	"github.com/leash-gateway/leash/registry/signing"
)

const (
	issuer  = "https://issuer.example.com"
	subject = "ada@example.com"
)

// An authority gives certificates, as Fulcio does, and time stamps.
type authority struct {
	t              *testing.T
	certificate    *x509.Certificate
	key            *ecdsa.PrivateKey
	stamper        *x509.Certificate
	stamperKey     *ecdsa.PrivateKey
	fulcio, stamps string // addresses
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	a.certificate, a.key = a.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		NotAfter: time.Now().Add(24 * time.Hour),
	}, nil, nil)
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}}) // time stamping
	if err != nil {
		t.Fatal(err)
	}
	a.stamper, a.stamperKey = a.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "test TSA"}, KeyUsage: x509.KeyUsageDigitalSignature, NotAfter: time.Now().Add(24 * time.Hour),
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}},
	}, nil, nil)
	for address, handler := range map[*string]http.HandlerFunc{&a.fulcio: a.serveFulcio, &a.stamps: a.serveStamps} {
		s := httptest.NewServer(handler)
		t.Cleanup(s.Close)
		*address = s.URL
	}
	return a
}

// issue makes a certificate: of the authority's own key, or for a public key.
func (a *authority) issue(c *x509.Certificate, public crypto.PublicKey, key *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	if public == nil {
		var err error
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			a.t.Fatal(err)
		}
		public = key.Public()
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<60))
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber, c.NotBefore = serial, time.Now().Add(-time.Minute)
	parent, signer := a.certificate, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, public, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return made, key
}

func (a *authority) serveFulcio(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		PublicKeyRequest struct {
			PublicKey struct{ Content string }
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || r.Header.Get("Authorization") != "Bearer "+token {
		http.Error(w, "no", http.StatusUnauthorized)
		return
	}
	block, _ := pem.Decode([]byte(asked.PublicKeyRequest.PublicKey.Content))
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	issued, err := asn1.MarshalWithParams(issuer, "utf8")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	leaf, _ := a.issue(&x509.Certificate{
		EmailAddresses: []string{subject}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		NotAfter:        time.Now().Add(10 * time.Minute),
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}, Value: issued}}, // issuer
	}, public, nil)
	_ = json.NewEncoder(w).Encode(map[string]any{"signedCertificateEmbeddedSct": map[string]any{"chain": map[string]any{"certificates": []string{
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw})), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})),
	}}}})
}

func (a *authority) serveStamps(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	asked, err := timestamp.ParseRequest(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	stamp := timestamp.Timestamp{
		HashAlgorithm: asked.HashAlgorithm, HashedMessage: asked.HashedMessage, Time: time.Now(), Nonce: asked.Nonce, Policy: asn1.ObjectIdentifier{1, 2, 3},
		AddTSACertificate: asked.Certificates, Ordering: false, Qualified: false, ExtraExtensions: nil,
	}
	answer, err := stamp.CreateResponseWithOpts(a.stamper, a.stamperKey, crypto.SHA256)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/timestamp-reply")
	_, _ = w.Write(answer)
}

// A witness is a log that anybody can read, as Rekor is: a virtual one of sigstore's, served as Rekor serves.
type witness struct {
	*ca.VirtualSigstore
	t       *testing.T
	address string
	now     func() time.Time // when it says that it was told
}

func newWitness(t *testing.T) *witness {
	t.Helper()
	virtual, err := ca.NewVirtualSigstore()
	if err != nil {
		t.Fatal(err)
	}
	w := &witness{VirtualSigstore: virtual, t: t, now: time.Now}
	s := httptest.NewServer(http.HandlerFunc(w.serve))
	t.Cleanup(s.Close)
	w.address = s.URL
	return w
}

// serve takes an entry: https://www.sigstore.dev/swagger/#/entries/createLogEntry
func (w *witness) serve(out http.ResponseWriter, r *http.Request) {
	entry, err := w.entry(r)
	if err != nil {
		http.Error(out, err.Error(), http.StatusBadRequest)
		return
	}
	const id = "24296fb24b8ad77a0000000000000000000000000000000000000000000000000000000000000000"
	out.Header().Set("Content-Type", "application/json")
	out.Header().Set("ETag", id)
	out.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(out).Encode(models.LogEntry{id: *entry})
}

func (w *witness) entry(r *http.Request) (*models.LogEntryAnon, error) {
	proposed, err := models.UnmarshalProposedEntry(r.Body, runtime.JSONConsumer())
	if err != nil {
		return nil, err
	}
	kind, err := types.UnmarshalEntry(proposed)
	if err != nil {
		return nil, err
	}
	body, err := types.CanonicalizeEntry(r.Context(), kind)
	if err != nil {
		return nil, err
	}
	id, err := w.RekorLogID()
	if err != nil {
		return nil, err
	}
	at, index := w.now().Unix(), int64(0)
	encoded := base64.StdEncoding.EncodeToString(body)
	promise, err := w.RekorSignPayload(tlog.RekorPayload{Body: encoded, IntegratedTime: at, LogIndex: index, LogID: id})
	if err != nil {
		return nil, err
	}
	proof, err := w.GetInclusionProof(body)
	if err != nil {
		return nil, err
	}
	return &models.LogEntryAnon{
		Body: encoded, IntegratedTime: &at, LogIndex: &index, LogID: &id,
		Verification: &models.LogEntryAnonVerification{InclusionProof: proof, SignedEntryTimestamp: promise},
	}, nil
}

// logs are what a trusted root says of the log.
func (w *witness) logs() map[string]*root.TransparencyLog {
	w.t.Helper()
	logs := w.RekorLogs()
	for id, log := range logs {
		raw, err := hex.DecodeString(id)
		if err != nil {
			w.t.Fatal(err)
		}
		log.ID = raw
	}
	return logs
}

// root writes the trusted root of the authority, and loads it as a policy would.
func (a *authority) root() root.TrustedMaterial { return a.rootWith(nil) }

func (a *authority) rootWith(logs map[string]*root.TransparencyLog) root.TrustedMaterial {
	a.t.Helper()
	material, err := root.NewTrustedRoot(root.TrustedRootMediaType01,
		[]root.CertificateAuthority{&root.FulcioCertificateAuthority{Root: a.certificate, ValidityPeriodStart: a.certificate.NotBefore, URI: a.fulcio}}, nil,
		[]root.TimestampingAuthority{&root.SigstoreTimestampingAuthority{Root: a.certificate, Leaf: a.stamper, ValidityPeriodStart: a.certificate.NotBefore, URI: a.stamps}}, logs)
	if err != nil {
		a.t.Fatal(err)
	}
	text, err := material.MarshalJSON()
	if err != nil {
		a.t.Fatal(err)
	}
	file := filepath.Join(a.t.TempDir(), "trusted_root.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		a.t.Fatal(err)
	}
	loaded, err := signing.LoadTrustedRoot(file)
	if err != nil {
		a.t.Fatal(err)
	}
	return loaded
}

// token is an OIDC token as far as the client looks into it.
var token = "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"`+issuer+`","sub":"ada","email":"`+subject+`","email_verified":true}`)) + ".c2ln"

func TestIdentitiesSignWithoutAKeyOfTheirOwn(t *testing.T) {
	a := newAuthority(t)
	c, at := pushed(t, registrytest.Olareg(t), "1.0.0", "content")
	o := signing.Options{TimestampURL: a.stamps, Keyless: &signing.Keyless{FulcioURL: a.fulcio, IdentityToken: token}, Annotations: map[string]string{"env": "prod"}}
	if _, err := signing.Sign(ctx, c, at, nil, signing.Bundle, o); err != nil {
		t.Fatal(err)
	}
	trusted, foreign := a.root(), newAuthority(t).root()
	who := signing.Identity{Issuer: issuer, Subject: subject}
	for name, tc := range map[string]struct {
		root     root.TrustedMaterial
		identity signing.Identity
		ok       bool
	}{
		"the one who signed":      {trusted, who, true},
		"by a regular expression": {trusted, signing.Identity{Issuer: issuer, SubjectRegexp: `^.*@example\.com$`}, true},
		"by one of a part of it":  {trusted, signing.Identity{Issuer: issuer, SubjectRegexp: `@example\.com`}, false},
		"by two, of which one is": {trusted, signing.Identity{IssuerRegexp: "nobody|" + regexp.QuoteMeta(issuer), SubjectRegexp: `a|[a-z]+@example\.com`}, true},
		"somebody else":           {trusted, signing.Identity{Issuer: issuer, Subject: "eve@example.com"}, false},
		"another issuer":          {trusted, signing.Identity{Issuer: "https://other.example.com", Subject: subject}, false},
		"another root":            {foreign, who, false},
		"no root":                 {nil, who, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := signing.Signatures(ctx, c, at, []signing.Authority{{Name: "ada", Root: tc.root, Identity: tc.identity}}, time.Now())
			if ok := err == nil; ok != tc.ok {
				t.Fatalf("got %+v, %v", got, err)
			}
			if tc.ok && (got[0].Subject != subject || got[0].Annotations["env"] != "prod") {
				t.Errorf("got %+v", got[0])
			}
			if !tc.ok && !errors.Is(err, signing.ErrUnsigned) {
				t.Errorf("got %v, want ErrUnsigned", err)
			}
		})
	}
}

// TestALogWitnessesWhenAnIdentityHasSigned takes the certificate's ten minutes for granted only where a log that is trusted
// says that they had not gone by.
func TestALogWitnessesWhenAnIdentityHasSigned(t *testing.T) {
	a := newAuthority(t)
	trusted, other := newWitness(t), newWitness(t)
	late := newWitness(t)
	late.now = func() time.Time { return time.Now().Add(time.Hour) }
	for name, tc := range map[string]struct {
		told   *witness // nil: none, a time stamp only
		root   *witness
		swap   bool
		reason string // "" is trusted
	}{
		"told to a log that is trusted":      {trusted, trusted, false, ""},
		"told to another log":                {other, trusted, false, "log"},
		"told to none":                       {nil, trusted, false, "not enough verified"},
		"told when the certificate was over": {late, late, false, "certificate"},
		"the signature of another module":    {trusted, trusted, true, "digest"},
	} {
		t.Run(name, func(t *testing.T) {
			address := registrytest.Serve(t, registrytest.Olareg(t))
			c, at := push(t, address, "1.0.0", "content")
			o := signing.Options{Keyless: &signing.Keyless{FulcioURL: a.fulcio, IdentityToken: token}}
			if o.TimestampURL = a.stamps; tc.told != nil {
				o.TimestampURL, o.Keyless.RekorURL = "", tc.told.address
			}
			if _, err := signing.Sign(ctx, c, at, nil, signing.Bundle, o); err != nil {
				t.Fatal(err)
			}
			if tc.swap {
				_, evil := push(t, address, "2.0.0", "evil")
				kept, err := c.Attachments(ctx, at, "application/vnd.dev.sigstore.bundle.v0.3+json")
				if err != nil || len(kept) != 1 {
					t.Fatalf("got %v, %v", kept, err)
				}
				if err := c.Attach(ctx, evil, kept[0]); err != nil {
					t.Fatal(err)
				}
				at = evil
			}
			who := signing.Authority{Name: "ada", Root: a.rootWith(tc.root.logs()), Identity: signing.Identity{Issuer: issuer, Subject: subject}}
			got, err := signing.Signatures(ctx, c, at, []signing.Authority{who}, time.Now())
			switch {
			case tc.reason == "" && (err != nil || got[0].Subject != subject):
				t.Errorf("got %+v, %v", got, err)
			case tc.reason != "" && (!errors.Is(err, signing.ErrUnsigned) || !strings.Contains(err.Error(), tc.reason)):
				t.Errorf("got %+v, %v, want %q", got, err, tc.reason)
			}
		})
	}
}
