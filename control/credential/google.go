package credential

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/jwt"
)

// Google makes access tokens of a service account's key: a JWT that is signed with it (RS256) is exchanged at Google's token endpoint,
// https://developers.google.com/identity/protocols/oauth2/service-account#httprest.
type Google struct {
	// Project is the service account's, which paths of Vertex AI name.
	Project string

	config jwt.Config
	client *http.Client
}

// GoogleOptions are options of NewGoogle. The zero value is ready for use.
type GoogleOptions struct {
	// Client sends the requests; http.DefaultClient's transport when nil. It follows no redirects here.
	Client *http.Client
}

const (
	googleScope    = "https://www.googleapis.com/auth/cloud-platform"
	googleEndpoint = "https://oauth2.googleapis.com/token"
	leastKeyBits   = 2048
)

// NewGoogle reads the key of a service account, the JSON file that Google gives out. Nothing of the file is in an error but names of its
// fields.
func NewGoogle(serviceAccount []byte, o GoogleOptions) (*Google, error) {
	var file struct {
		Type         string `json:"type"`
		ProjectID    string `json:"project_id"`
		ClientEmail  string `json:"client_email"`
		PrivateKeyID string `json:"private_key_id"`
		PrivateKey   string `json:"private_key"`
		TokenURI     string `json:"token_uri"`
	}
	if json.Unmarshal(serviceAccount, &file) != nil { // whose error may hold some of the file
		return nil, errors.New("read service account: it is no JSON file of Google's")
	}
	if file.TokenURI == "" {
		file.TokenURI = googleEndpoint
	}
	endpoint, err := url.Parse(file.TokenURI)
	switch {
	case file.Type != "service_account":
		return nil, errors.New(`read service account: type is not "service_account": create a key of a service account in the Google Cloud console, and take its JSON file`)
	case file.ClientEmail == "":
		return nil, errors.New("read service account: client_email is missing")
	case file.PrivateKey == "":
		return nil, errors.New("read service account: private_key is missing")
	case err != nil || endpoint.Scheme != "https" || endpoint.Host == "":
		return nil, errors.New("read service account: token_uri is no https address")
	}
	if err := checkKey(file.PrivateKey); err != nil {
		return nil, fmt.Errorf("read service account: private_key: %w", err)
	}
	g := &Google{
		Project: file.ProjectID,
		config: jwt.Config{
			Email: file.ClientEmail, PrivateKey: []byte(file.PrivateKey), PrivateKeyID: file.PrivateKeyID,
			Scopes: []string{googleScope}, TokenURL: file.TokenURI,
		},
		client: &http.Client{},
	}
	if o.Client != nil {
		*g.client = *o.Client
	}
	g.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return g, nil
}

func checkKey(text string) error {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return errors.New("is no PEM block")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		if key, err = x509.ParsePKCS1PrivateKey(block.Bytes); err != nil {
			return errors.New("is no private key")
		}
	}
	if rsaKey, ok := key.(*rsa.PrivateKey); !ok || rsaKey.N.BitLen() < leastKeyBits {
		return fmt.Errorf("is no RSA key of at least %d bits", leastKeyBits)
	}
	return nil
}

// String names the account, and nothing that is secret.
func (g *Google) String() string { return "service account " + g.config.Email }

// GoString keeps %#v from the key.
func (g *Google) GoString() string { return g.String() }

var _ Source = (*Google)(nil)

// Token gets a token.
func (g *Google) Token(ctx context.Context) (Token, error) {
	client := *g.client
	way := &during{ctx: ctx, base: client.Transport}
	client.Transport = way
	token, err := g.config.TokenSource(context.WithValue(ctx, oauth2.HTTPClient, &client)).Token()
	if err != nil {
		return Token{}, fmt.Errorf("get a token for %s: %w", g.config.Email, tokenError(ctx, err, way.broken))
	}
	if token.AccessToken == "" {
		return Token{}, fmt.Errorf("get a token for %s: the answer has none", g.config.Email)
	}
	expires := token.Expiry
	if expires.IsZero() { // which Google always says
		expires = time.Now().Add(5 * time.Minute)
	}
	return NewToken(token.AccessToken, expires), nil
}

// during sends requests for as long as a context lasts, which package jwt does not by itself.
type during struct {
	ctx    context.Context //nolint:containedctx // for one exchange
	base   http.RoundTripper
	broken error // why no answer came, which package jwt tells as a text only
}

// RoundTrip sends a request.
func (d *during) RoundTrip(r *http.Request) (*http.Response, error) {
	base := d.base
	if base == nil {
		base = http.DefaultTransport
	}
	response, err := base.RoundTrip(r.WithContext(d.ctx))
	d.broken = err
	return response, err
}

// tokenError says what a person needs to know of a refusal: not the request, and of the answer what it says in its own fields.
func tokenError(ctx context.Context, err, broken error) error {
	refusal, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		if ctx.Err() != nil {
			return errors.New("the token endpoint did not answer in time")
		}
		if broken != nil {
			return fmt.Errorf("the token endpoint cannot be reached: %w", broken)
		}
		return errors.New("the token endpoint's answer cannot be read")
	}
	var body struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	status := "an answer"
	if refusal.Response != nil {
		status = refusal.Response.Status
	}
	if json.Unmarshal(refusal.Body, &body) != nil || body.Error == "" {
		return fmt.Errorf("the token endpoint answers %s", status)
	}
	const most = 200
	return fmt.Errorf("the token endpoint answers %s: %.*s: %.*s", status, most, body.Error, most, body.Description)
}
