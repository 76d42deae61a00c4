package credential_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leash-gateway/leash/control/credential"
)

var key = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// account is a service account's file, with fields changed.
func account(t *testing.T, endpoint string, changes map[string]string) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key())
	if err != nil {
		t.Fatal(err)
	}
	file := map[string]string{
		"type": "service_account", "project_id": "my-project", "private_key_id": "key-1", "client_email": "leash@my-project.iam.gserviceaccount.com",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "token_uri": endpoint,
	}
	for name, value := range changes {
		file[name] = value
	}
	out, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// claims reads what an endpoint was sent, once its signature was checked.
func claims(t *testing.T, r *http.Request) map[string]any {
	t.Helper()
	if got := r.FormValue("grant_type"); got != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		t.Errorf("grant_type is %q", got)
	}
	parts := strings.Split(r.FormValue("assertion"), ".")
	if len(parts) != 3 {
		t.Fatalf("the assertion has %d parts", len(parts))
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	if err := rsa.VerifyPKCS1v15(&key().PublicKey, crypto.SHA256, sum[:], signature); err != nil {
		t.Errorf("the signature is wrong: %v", err)
	}
	out := map[string]any{}
	for _, part := range parts[:2] {
		data, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, &out); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// endpoint is a token endpoint.
func endpoint(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewTLSServer(handler)
	t.Cleanup(s.Close)
	return s
}

func TestAServiceAccountsKeyIsExchangedForAToken(t *testing.T) {
	t.Parallel()
	var got map[string]any
	s := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
		got = claims(t, r)
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprint(w, `{"access_token":"ya29.planted","expires_in":3599,"token_type":"Bearer"}`)
	})
	g, err := credential.NewGoogle(account(t, s.URL+"/token", nil), credential.GoogleOptions{Client: s.Client()})
	if err != nil {
		t.Fatal(err)
	}
	before := time.Now()
	token, err := g.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if life := token.Expires.Sub(before); token.Reveal() != "ya29.planted" || life < 3590*time.Second || life > 3700*time.Second {
		t.Errorf("got %s for %v", token.Reveal(), life)
	}
	if got["alg"] != "RS256" || got["kid"] != "key-1" || got["iss"] != "leash@my-project.iam.gserviceaccount.com" || got["aud"] != s.URL+"/token" ||
		got["scope"] != "https://www.googleapis.com/auth/cloud-platform" {
		t.Errorf("the claims are %v", got)
	}
	if issued, expires := got["iat"].(float64), got["exp"].(float64); expires-issued != 3600 {
		t.Errorf("the assertion lives %v s", expires-issued)
	}
	if g.Project != "my-project" {
		t.Errorf("the project is %q", g.Project)
	}
}

func TestWhatTheTokenEndpointDoesWrongIsTold(t *testing.T) {
	t.Parallel()
	elsewhere := endpoint(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s was asked", r.URL) })
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"refusal": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprint(w, `{"error":"invalid_grant","error_description":"Invalid JWT Signature."}`)
		}, "400 Bad Request: invalid_grant: Invalid JWT Signature."},
		"an error page": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			_, _ = fmt.Fprint(w, `<html>`+strings.Repeat("x", 1<<20))
		}, "answers 502 Bad Gateway"},
		"no JSON":  {func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, `{"access_token":`) }, "cannot be read"},
		"no token": {func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, `{"expires_in":3599}`) }, "has none"},
		"redirection": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		}, "answers 307"},
		"nobody": {nil, "the token endpoint cannot be reached: dial tcp"},
		"silence": {func(_ http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm() // so that the server sees the client leave
			<-r.Context().Done()
		}, "did not answer in time"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := endpoint(t, c.handler)
			g, err := credential.NewGoogle(account(t, s.URL+"/token", nil), credential.GoogleOptions{Client: s.Client()})
			if err != nil {
				t.Fatal(err)
			}
			if c.handler == nil {
				s.Close()
			}
			wait := 30 * time.Second
			if name == "silence" {
				wait = 300 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			defer cancel()
			_, err = g.Token(ctx)
			if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 1000 || strings.Contains(err.Error(), "assertion") {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
}

func TestAServiceAccountThatIsNoneIsRefusedWithoutAWordOfIt(t *testing.T) {
	t.Parallel()
	const uri = "https://oauth2.googleapis.com/token"
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"no JSON":             {[]byte(`planted`), "no JSON file"},
		"a user's file":       {account(t, uri, map[string]string{"type": "authorized_user"}), "type is not"},
		"no account":          {account(t, uri, map[string]string{"client_email": ""}), "client_email is missing"},
		"no key":              {account(t, uri, map[string]string{"private_key": ""}), "private_key is missing"},
		"a key that is none":  {account(t, uri, map[string]string{"private_key": "planted"}), "no PEM block"},
		"a key that is cut":   {account(t, uri, map[string]string{"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("planted")}))}), "no private key"},
		"a key of other kind": {account(t, uri, map[string]string{"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))}), "no RSA key"},
		"no encryption":       {account(t, "http://oauth2.example.com/token", nil), "no https address"},
	} {
		_, err := credential.NewGoogle(c.file, credential.GoogleOptions{})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "planted") {
			t.Errorf("%s: got %v, want %q in it", name, err, c.want)
		}
	}
	g, err := credential.NewGoogle(account(t, uri, nil), credential.GoogleOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%v %+v %#v %s", g, g, g, g); strings.Contains(text, "PRIVATE") {
		t.Errorf("the key is in %s", text)
	}
}

// A keeper has a token of Vertex AI's ready, and hands each new one on.
func ExampleKeeper() {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, `{"access_token":"ya29.fresh","expires_in":3599,"token_type":"Bearer"}`)
	}))
	defer s.Close()
	g, err := credential.NewGoogle(account(&testing.T{}, s.URL, nil), credential.GoogleOptions{Client: s.Client()})
	if err != nil {
		fmt.Println(err)
		return
	}
	changed := make(chan credential.Token)
	k := credential.NewKeeper(g, credential.Options{OnChange: func(t credential.Token) { changed <- t }})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- k.Run(ctx) }()
	fmt.Println((<-changed).Reveal())
	cancel()
	<-done
	// Output: ya29.fresh
}
