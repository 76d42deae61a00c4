package access

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/leash-gateway/leash/registry/outbound"
)

// An Issuer is somebody whose OIDC tokens are taken.
type Issuer struct {
	// URL is the issuer, as it stands in its tokens. Its keys are found through its discovery document.
	URL string `yaml:"issuer"`
	// Audience is whom the tokens must be for.
	Audience string `yaml:"audience"`
	// Name is the claim that is the principal's name. Default: sub. NamePrefix stands before it, so that issuers cannot
	// speak for each other's people. Default: oidc:.
	Name       string `yaml:"name_claim"`
	NamePrefix string `yaml:"name_prefix"`
	// Groups is the claim with the principal's groups. Default: groups. GroupsPrefix stands before each, behind group:.
	Groups       string `yaml:"groups_claim"`
	GroupsPrefix string `yaml:"groups_prefix"`
	// CAFile holds certificates (PEM) that vouch for the issuer's address, besides the system's.
	CAFile string `yaml:"ca_file"`
}

// issuerTimeout is how long the issuer's keys are waited for.
const issuerTimeout = 10 * time.Second

type issuer struct {
	Issuer
	client *http.Client
	now    func() time.Time

	mu       sync.Mutex
	verifier *oidc.IDTokenVerifier
}

func (i *Issuer) check() (option string, err error) {
	p := i.prefix()
	switch {
	case !strings.HasPrefix(i.URL, "https://") && !strings.HasPrefix(i.URL, "http://"):
		return ".issuer", fmt.Errorf("%q is no address, such as https://accounts.example.com", i.URL)
	case i.Audience == "":
		return ".audience", errors.New("is missing: without it, tokens that are meant for somebody else would be good here")
	case p == tokenPrefix || p == groupPrefix || !strings.HasSuffix(p, ":"):
		return ".name_prefix", fmt.Errorf("%q is none: it ends with a colon, and is neither %s nor %s", p, tokenPrefix, groupPrefix)
	}
	return "", nil
}

func (i *Issuer) prefix() string { return cmp.Or(i.NamePrefix, "oidc:") }

// apart says by which option two issuers could speak for each other's people or groups: one's prefix begins with the other's.
func (i *Issuer) apart(other *Issuer) (option string, err error) {
	for _, prefixes := range [...][3]string{{".name_prefix", i.prefix(), other.prefix()}, {".groups_prefix", i.GroupsPrefix, other.GroupsPrefix}} {
		if own, others := prefixes[1], prefixes[2]; strings.HasPrefix(own, others) || strings.HasPrefix(others, own) {
			return prefixes[0], fmt.Errorf("%q does not tell its people or groups from those of %s, which has %q: give each issuer a prefix of its own", own, other.URL, others)
		}
	}
	return "", nil
}

// newIssuer reads the file of certificates of an issuer that has been checked.
func newIssuer(one Issuer, now func() time.Time) (*issuer, error) {
	one.NamePrefix, one.Name, one.Groups = one.prefix(), cmp.Or(one.Name, "sub"), cmp.Or(one.Groups, "groups")
	transport, err := outbound.Transport(one.CAFile)
	if err != nil {
		return nil, err
	}
	return &issuer{Issuer: one, client: &http.Client{Transport: transport, Timeout: issuerTimeout}, now: now}, nil
}

// claims says whether a token says that it is of this issuer. It may lie: see verify.
func (i *issuer) claims(token string) bool {
	const parts = 3
	split := strings.Split(token, ".")
	if len(split) != parts {
		return false
	}
	text, err := base64.RawURLEncoding.DecodeString(split[1])
	if err != nil {
		return false
	}
	var said struct {
		Issuer string `json:"iss"`
	}
	return json.Unmarshal(text, &said) == nil && said.Issuer == i.URL
}

// verify verifies a token and says whose it is.
func (i *issuer) verify(ctx context.Context, token string) (*Principal, error) {
	verifier, err := i.keys(ctx)
	if err != nil {
		return nil, err
	}
	verified, err := verifier.Verify(oidc.ClientContext(ctx, i.client), token)
	if err != nil {
		return nil, ErrUnknown // what is wrong with it is nobody's business
	}
	claims := map[string]any{}
	if err := verified.Claims(&claims); err != nil {
		return nil, ErrUnknown
	}
	name, _ := claims[i.Name].(string)
	if name == "" {
		return nil, fmt.Errorf("%w: the token has no claim %s", ErrUnknown, i.Name)
	}
	if said, found := claims["email_verified"]; i.Name == "email" && found && said != true {
		return nil, fmt.Errorf("%w: the issuer has not verified this address", ErrUnknown)
	}
	p := &Principal{Name: i.NamePrefix + name}
	groups, _ := claims[i.Groups].([]any)
	for _, g := range groups {
		if group, ok := g.(string); ok {
			p.Groups = append(p.Groups, i.GroupsPrefix+group)
		}
	}
	return p, nil
}

// keys finds the issuer's keys. An issuer that cannot be reached is asked again the next time.
func (i *issuer) keys(ctx context.Context) (*oidc.IDTokenVerifier, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.verifier != nil {
		return i.verifier, nil
	}
	// What the provider keeps of the context is used for later requests too.
	provider, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), i.client), i.URL)
	if err != nil {
		return nil, fmt.Errorf("ask %s for its keys: %w", i.URL, err)
	}
	i.verifier = provider.Verifier(&oidc.Config{ClientID: i.Audience, Now: i.now})
	return i.verifier, nil
}
