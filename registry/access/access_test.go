package access_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/registry/access"
)

// clock is a time that a test moves.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

// token makes a token in a file, and returns it.
func token(t *testing.T, file, name string, expires time.Time) string {
	t.Helper()
	secret, kept, err := access.NewToken(name, expires)
	if err != nil {
		t.Fatal(err)
	}
	if err := access.Add(file, kept); err != nil {
		t.Fatal(err)
	}
	return secret
}

func control(t *testing.T, o access.Options) *access.Control {
	t.Helper()
	c, err := access.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// with is a request with this in its Authorization header.
func with(authorization string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/v2/", http.NoBody)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return r
}

func basic(secret string) *http.Request {
	r := with("")
	r.SetBasicAuth("whoever", secret)
	return r
}

func TestGrantsSayWhoMayWhatWhere(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "tokens.yaml")
	ci, lead := token(t, file, "ci", time.Time{}), token(t, file, "lead", time.Time{})
	c := control(t, access.Options{TokensFile: file, Grants: []access.Grant{
		{Role: access.Publisher, To: []string{"token:ci"}, Namespaces: []string{"team/*"}},
		{Role: access.Admin, To: []string{"token:lead"}, Namespaces: []string{"*"}},
		{Role: access.Reader, To: []string{"anonymous"}, Namespaces: []string{"public/*"}},
		{Role: access.Reader, To: []string{"*"}, Namespaces: []string{"internal/*"}},
	}})
	for name, tc := range map[string]struct {
		request          *http.Request
		may, mayNot      string // action repository
		mayToo, norEven  string
		principal        string
		anonymous, known bool
	}{
		"a publisher": {basic(ci), "push team/hello", "push other/hello", "pull internal/x", "promote team/hello", "token:ci", false, true},
		"an admin":    {with("Bearer " + lead), "yank team/hello", "", "push public/x", "", "token:lead", false, true},
		"nobody":      {with(""), "pull public/x", "pull internal/x", "pull public/a/b", "push public/x", "anonymous", true, true},
		"a guess":     {basic("leash_guess"), "", "", "", "", "", false, false},
		"an old way":  {with("Digest x"), "", "", "", "", "", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := c.Authenticate(tc.request)
			if !tc.known {
				if !errors.Is(err, access.ErrUnknown) {
					t.Errorf("got %+v, %v", p, err)
				}
				return
			}
			if err != nil || p.Name != tc.principal || p.Anonymous() != tc.anonymous {
				t.Fatalf("got %+v, %v", p, err)
			}
			for may, list := range map[bool][]string{true: {tc.may, tc.mayToo}, false: {tc.mayNot, tc.norEven}} {
				for _, one := range list {
					action, repository, found := strings.Cut(one, " ")
					if found && p.May(access.Action(action), repository) != may {
						t.Errorf("may %s: %v", one, !may)
					}
				}
			}
		})
	}
}

func TestATokenEndsWhenItExpiresOrIsRemoved(t *testing.T) {
	t.Parallel()
	file, now := filepath.Join(t.TempDir(), "tokens.yaml"), &clock{time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	for name, end := range map[string]func(){
		"expires": func() { now.now = now.now.Add(2 * time.Hour) },
	} {
		secret := token(t, file, "ci", now.now.Add(time.Hour))
		c := control(t, access.Options{TokensFile: file, Now: now.Now})
		if _, err := c.Authenticate(basic(secret)); err != nil {
			t.Fatal(err)
		}
		end()
		if _, err := c.Authenticate(basic(secret)); !errors.Is(err, access.ErrUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
	secret := token(t, file, "other", time.Time{})
	c := control(t, access.Options{TokensFile: file})
	short := shortToken(t, c, secret, "repository:team/hello:pull")
	if _, err := c.Authenticate(with("Bearer " + short)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("tokens: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, now.now, now.now); err != nil {
		t.Fatal(err)
	}
	// The file is looked at every second.
	nettest.Succeeds(t, "it to be good no more", func() error {
		_, one := c.Authenticate(basic(secret))
		_, two := c.Authenticate(with("Bearer " + short))
		if errors.Is(one, access.ErrUnknown) && errors.Is(two, access.ErrUnknown) {
			return nil
		}
		return errors.Join(errors.New("at least one is still good"), one, two)
	})
}

// shortToken asks for a token as docker does.
func shortToken(t *testing.T, c *access.Control, secret string, scopes ...string) string {
	t.Helper()
	r := basic(secret)
	r.URL = &url.URL{Path: "/token", RawQuery: url.Values{"service": {"leash"}, "scope": scopes}.Encode()}
	w := httptest.NewRecorder()
	c.Token(w, r)
	var answer struct {
		Token     string
		ExpiresIn int `json:"expires_in"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.Token == "" || answer.ExpiresIn < 60 {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	return answer.Token
}

func TestAShortTokenIsGoodForWhatItWasAskedForAndForMinutes(t *testing.T) {
	t.Parallel()
	file, now := filepath.Join(t.TempDir(), "tokens.yaml"), &clock{time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	secret := token(t, file, "ci", time.Time{})
	c := control(t, access.Options{TokensFile: file, Now: now.Now, Grants: []access.Grant{{Role: access.Publisher, To: []string{"token:ci"}, Namespaces: []string{"team/*"}}}})
	short := shortToken(t, c, secret, "repository:team/hello:pull,push repository:other/x:pull", "repository:team/more:pull")
	p, err := c.Authenticate(with("Bearer " + short))
	if err != nil || p.Name != "token:ci" {
		t.Fatalf("%+v, %v", p, err)
	}
	for want, list := range map[bool][][2]string{
		true:  {{"push", "team/hello"}, {"pull", "team/more"}},
		false: {{"push", "team/more"}, {"pull", "other/x"}, {"pull", "team/third"}, {"delete", "team/hello"}},
	} {
		for _, one := range list {
			if p.May(access.Action(one[0]), one[1]) != want {
				t.Errorf("may %v: %v", one, !want)
			}
		}
	}
	if nothing, err := c.Authenticate(with("Bearer " + shortToken(t, c, secret))); err != nil || nothing.May(access.Pull, "team/hello") {
		t.Errorf("one for nothing may pull: %v", err)
	}
	forged := short[:len(short)-2] + "AA"
	if _, err := c.Authenticate(with("Bearer " + forged)); !errors.Is(err, access.ErrUnknown) {
		t.Errorf("forged: %v", err)
	}
	if _, err := control(t, access.Options{TokensFile: file}).Authenticate(with("Bearer " + short)); !errors.Is(err, access.ErrUnknown) {
		t.Errorf("of another registry: %v", err)
	}
	r := with("Bearer " + short)
	w := httptest.NewRecorder()
	if c.Token(w, r); w.Code != http.StatusUnauthorized {
		t.Errorf("it gives another: %d", w.Code)
	}
	now.now = now.now.Add(10 * time.Minute)
	if _, err := c.Authenticate(with("Bearer " + short)); !errors.Is(err, access.ErrUnknown) {
		t.Errorf("after ten minutes: %v", err)
	}
}

// issuer is an OIDC issuer of a test's.
type issuer struct {
	url, caFile string
	key         *ecdsa.PrivateKey
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{key: key, caFile: filepath.Join(t.TempDir(), "ca.pem")}
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			_ = json.NewEncoder(w).Encode(map[string]any{"issuer": i.url, "jwks_uri": i.url + "/keys", "id_token_signing_alg_values_supported": []string{"ES256"}})
		case "/keys":
			_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1", Algorithm: "ES256", Use: "sig"}}})
		}
	}))
	t.Cleanup(web.Close)
	i.url = web.URL
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw})
	if err := os.WriteFile(i.caFile, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return i
}

// token is an OIDC token with these claims besides what every one has.
func (i *issuer) token(t *testing.T, key *ecdsa.PrivateKey, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "1"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]any{"iss": i.url, "aud": "leash", "sub": "1234", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(), "email": "ada@example.com", "groups": []string{"publishers"}}
	for name, value := range claims {
		all[name] = value
	}
	text, err := jwt.Signed(signer).Claims(all).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestOIDCTokensAreTakenFromTheirIssuerOnly(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	c := control(t, access.Options{
		Issuers: []access.Issuer{{URL: i.url, Audience: "leash", Name: "email", NamePrefix: "corp:", GroupsPrefix: "corp.", CAFile: i.caFile}},
		Grants:  []access.Grant{{Role: access.Publisher, To: []string{"group:corp.publishers"}, Namespaces: []string{"team/*"}}, {Role: access.Promoter, To: []string{"corp:ada@*"}, Namespaces: []string{"team/*"}}},
	})
	good := i.token(t, i.key, nil)
	for _, request := range []*http.Request{basic(good), with("Bearer " + good)} {
		p, err := c.Authenticate(request)
		if err != nil || p.Name != "corp:ada@example.com" || !p.May(access.Push, "team/hello") || !p.May(access.Promote, "team/hello") || p.May(access.Push, "other/hello") {
			t.Errorf("got %+v, %v", p, err)
		}
	}
	// Docker trades it too.
	p, err := c.Authenticate(with("Bearer " + shortToken(t, c, good, "repository:team/hello:push")))
	if err != nil || !p.May(access.Push, "team/hello") || p.Groups[0] != "corp.publishers" {
		t.Errorf("traded: %+v, %v", p, err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"signed by somebody else":  i.token(t, other, nil),
		"for somebody else":        i.token(t, i.key, map[string]any{"aud": "another"}),
		"expired":                  i.token(t, i.key, map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}),
		"of another issuer":        i.token(t, i.key, map[string]any{"iss": "https://other.example.com"}),
		"an address not verified":  i.token(t, i.key, map[string]any{"email_verified": false}),
		"without a name":           i.token(t, i.key, map[string]any{"email": nil}),
		"no token":                 "a.b.c",
		"without a signature":      strings.Join(strings.Split(good, ".")[:2], ".") + ".",
		"of the algorithm none":    "eyJhbGciOiJub25lIn0." + strings.Split(good, ".")[1] + ".",
		"a static one that is not": "leash_x",
	} {
		if p, err := c.Authenticate(with("Bearer " + bad)); !errors.Is(err, access.ErrUnknown) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

func TestAnIssuerThatCannotBeReachedIsNoRefusal(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	c := control(t, access.Options{Issuers: []access.Issuer{{URL: i.url, Audience: "leash"}}}) // its certificate is not known
	if p, err := c.Authenticate(with("Bearer " + i.token(t, i.key, nil))); err == nil || errors.Is(err, access.ErrUnknown) {
		t.Errorf("got %+v, %v", p, err)
	}
}

func TestTheFileOfTokensHoldsNoToken(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "tokens.yaml")
	secret := token(t, file, "ci", time.Time{})
	text, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(text), secret) || strings.Contains(string(text), strings.TrimPrefix(secret, "leash_")) {
		t.Errorf("%s, %v", text, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestTheChallengeIsWhatDockerReads(t *testing.T) {
	t.Parallel()
	c := control(t, access.Options{Service: "registry.example.com"})
	w := httptest.NewRecorder()
	c.Challenge(w, httptest.NewRequest(http.MethodPut, "http://registry.example.com/v2/team/hello/manifests/1", http.NoBody), "team/hello", access.Pull, access.Push)
	const want = `Bearer realm="http://registry.example.com/token",service="registry.example.com",scope="repository:team/hello:pull,push"`
	if got := w.Header().Get("WWW-Authenticate"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func FuzzAuthorization(f *testing.F) {
	c, err := access.New(access.Options{})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{"", "Bearer leash-short.e30.AAAA", "Basic eDp5", "Bearer a.b.c", "bearer leash_x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		p, err := c.Authenticate(&http.Request{Header: http.Header{"Authorization": {header}}})
		if err == nil && !p.Anonymous() {
			t.Errorf("%q is %s", header, p.Name)
		}
	})
}

func TestGrantsAreToThoseWhomSomebodyCanBe(t *testing.T) {
	corp := []access.Issuer{{URL: "https://id.example.com", Audience: "leash", NamePrefix: "corp:"}}
	for name, tc := range map[string]struct {
		issuers []access.Issuer
		to      string
		want    string // in the error; empty where there is none
	}{
		"everybody":                  {nil, "anonymous", ""},
		"whoever has a name":         {nil, "*", ""},
		"a token":                    {nil, "token:ci", ""},
		"some tokens":                {nil, "tok*", ""},
		"a person":                   {corp, "corp:ada@example.com", ""},
		"a group":                    {corp, "group:llm", ""},
		"everybody by another name":  {nil, "anyone", `nobody can be "anyone": names are anonymous, or begin with token:`},
		"a token, misspelt":          {corp, "tokn:ci", `nobody can be "tokn:ci": names are anonymous, or begin with token:, corp:, group:`},
		"a person of no issuer":      {nil, "corp:ada@example.com", "nobody can be"},
		"a person of another prefix": {corp, "oidc:ada*", "nobody can be"},
		"a group of no issuer":       {nil, "group:llm", "there is no issuer"},
	} {
		t.Run(name, func(t *testing.T) {
			o := access.Options{Issuers: tc.issuers, Grants: []access.Grant{{Role: access.Reader, To: []string{"token:root", tc.to}, Namespaces: []string{"*"}}}}
			err := o.CheckNames()
			if (err == nil) != (tc.want == "") || err != nil && (!strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), "grants[0].to[1]: ")) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}
