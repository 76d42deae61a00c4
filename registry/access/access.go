// Package access knows who somebody is and what they may do.
//
// Somebody is known by a token that the registry keeps the hash of, or by an OIDC token of an issuer that it trusts. What
// they may do are roles, granted for namespaces. Docker's clients trade either for a token that is good for some minutes
// and some repositories ([Control.Token]); each request is judged by the grants of now, whatever the token says.
//
// https://distribution.github.io/distribution/spec/auth/token/
package access

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/registry/wildcard"
)

// A Role is a set of actions.
type Role string

// The roles. Each may what the one named with it may, too.
const (
	// Reader downloads and searches.
	Reader Role = "reader"
	// Publisher pushes, signs, deprecates, and withdraws what is pending (and Reader).
	Publisher Role = "publisher"
	// Promoter moves channels, deprecates and yanks (and Reader).
	Promoter Role = "promoter"
	// Admin does everything.
	Admin Role = "admin"
)

// An Action is something that a role may do.
type Action string

// The actions.
const (
	Pull      Action = "pull"
	Push      Action = "push"
	Delete    Action = "delete"
	Promote   Action = "promote"
	Deprecate Action = "deprecate"
	Yank      Action = "yank"
)

var allowed = map[Role][]Action{
	Reader:    {Pull},
	Publisher: {Pull, Push, Delete, Deprecate},
	Promoter:  {Pull, Promote, Deprecate, Yank},
	Admin:     {Pull, Push, Delete, Promote, Deprecate, Yank},
}

// Names of principals.
const (
	anonymous   = "anonymous"
	tokenPrefix = "token:"
	groupPrefix = "group:"
)

// A Grant gives a role to principals.
type Grant struct {
	Role Role `yaml:"role"`
	// To are principals: token:NAME, the name of an OIDC token (its issuer's prefix and the claim), group:NAME of one, or anonymous for
	// everybody. * stands for any characters, and never for anonymous.
	To []string `yaml:"to"`
	// Namespaces are patterns of repositories, such as team/*; * stands for any characters.
	Namespaces []string `yaml:"namespaces"`
}

func (g *Grant) check() (option string, err error) {
	switch {
	case allowed[g.Role] == nil:
		return ".role", fmt.Errorf("there is no role %q: %s", g.Role, config.Suggestion(string(g.Role), []string{string(Reader), string(Publisher), string(Promoter), string(Admin)}))
	case len(g.To) == 0 || len(g.Namespaces) == 0:
		return "", errors.New("say to whom (to) and for what (namespaces): \"*\" is all")
	}
	return "", nil
}

// An OptionError is about one of the options.
type OptionError struct {
	// Option is its name in registry.yaml, such as grants[1].role; for one that is missing, what it should stand in.
	Option string
	Err    error
}

// Error says what is wrong with it.
func (e *OptionError) Error() string { return e.Option + ": " + e.Err.Error() }

// Unwrap is what is wrong.
func (e *OptionError) Unwrap() error { return e.Err }

// Options say who may do what.
type Options struct {
	// TokensFile holds the hashes of tokens (see [NewToken]). It is read again when it has changed. "": there are none.
	TokensFile string
	// Issuers are those whose OIDC tokens are taken.
	Issuers []Issuer
	// Grants are asked all: what any of them allows, is allowed.
	Grants []Grant
	// Service is the registry's name for docker's clients. Default: leash.
	Service string
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// Check says what is wrong with the grants and the issuers, as an *OptionError.
func (o *Options) Check() error {
	for i := range o.Grants {
		if option, err := o.Grants[i].check(); err != nil {
			return &OptionError{fmt.Sprintf("grants[%d]", i) + option, err}
		}
	}
	for i := range o.Issuers {
		if option, err := o.Issuers[i].check(); err != nil {
			return &OptionError{fmt.Sprintf("oidc[%d]", i) + option, err}
		}
		for j := range i {
			if option, err := o.Issuers[i].apart(&o.Issuers[j]); err != nil {
				return &OptionError{fmt.Sprintf("oidc[%d]", i) + option, err}
			}
		}
	}
	return nil
}

// CheckNames says which of the grants is to somebody whom nobody can be, such as tokn:ci, as an *OptionError.
func (o *Options) CheckNames() error {
	prefixes := []string{tokenPrefix}
	for i := range o.Issuers {
		prefixes = append(prefixes, o.Issuers[i].prefix())
	}
	if len(o.Issuers) > 0 {
		prefixes = append(prefixes, groupPrefix)
	}
	for i := range o.Grants {
		for j, name := range o.Grants[i].To {
			fixed, _, pattern := strings.Cut(name, "*")
			begins := func(prefix string) bool {
				return strings.HasPrefix(fixed, prefix) || pattern && strings.HasPrefix(prefix, fixed)
			}
			if name == anonymous || slices.ContainsFunc(prefixes, begins) {
				continue
			}
			return &OptionError{fmt.Sprintf("grants[%d].to[%d]", i, j), o.nobody(name, prefixes)}
		}
	}
	return nil
}

func (o *Options) nobody(name string, prefixes []string) error {
	if strings.HasPrefix(name, groupPrefix) {
		return fmt.Errorf("nobody can be %q: groups are those of OIDC tokens, and there is no issuer (access.oidc)", name)
	}
	return fmt.Errorf("nobody can be %q: names are %s, or begin with %s", name, anonymous, strings.Join(prefixes, ", "))
}

// Control decides. A nil Control lets everybody do everything. It is safe for concurrent use.
type Control struct{ now atomic.Pointer[rules] }

// rules are what a Control decides by, until they are replaced.
type rules struct {
	options Options
	tokens  *tokens
	issuers []*issuer
	key     []byte // of the tokens that are given to docker's clients, until the process ends
}

// New is a Control. It asks the issuers of OIDC tokens for their keys only when the first token of theirs comes.
func New(o Options) (*Control, error) {
	r, err := newRules(o, newKey())
	if err != nil {
		return nil, err
	}
	c := &Control{}
	c.now.Store(r)
	return c, nil
}

// Replace has other options hold from now on, if nothing is wrong with them. Where other issuers are trusted than before, docker's clients must log
// in again, which they do by themselves.
func (c *Control) Replace(o Options) error {
	before := c.now.Load()
	key := before.key
	if !slices.Equal(before.options.Issuers, o.Issuers) {
		key = newKey()
	}
	r, err := newRules(o, key)
	if err == nil {
		c.now.Store(r)
	}
	return err
}

// Missing are the tokens to which grants are and of which there is no good one, sorted: nobody can be them until there is.
func (c *Control) Missing() (names []string) {
	r := c.now.Load()
	for i := range r.options.Grants {
		for _, to := range r.options.Grants[i].To {
			if name, ok := strings.CutPrefix(to, tokenPrefix); ok && !strings.Contains(name, "*") && !r.tokens.has(name, r.options.Now()) {
				names = append(names, to)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func newKey() []byte {
	const keyBytes = 32
	key := make([]byte, keyBytes)
	_, _ = rand.Read(key) // never fails
	return key
}

func newRules(o Options, key []byte) (*rules, error) {
	if o.Service == "" {
		o.Service = "leash"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &rules{options: o, key: key}
	if err := o.Check(); err != nil {
		return nil, err
	}
	var err error
	if c.tokens, err = openTokens(o.TokensFile); err != nil {
		return nil, &OptionError{"tokens", err}
	}
	for i, one := range o.Issuers {
		made, err := newIssuer(one, o.Now)
		if err != nil {
			return nil, &OptionError{fmt.Sprintf("oidc[%d].ca_file", i), err}
		}
		c.issuers = append(c.issuers, made)
	}
	return c, nil
}

// A Principal is somebody, for one request.
type Principal struct {
	// Name is token:NAME, that of an OIDC token, or anonymous.
	Name   string
	Groups []string

	control *Control // nil: may everything
	scopes  []scope  // nil: whatever the grants say
}

// Local is somebody in this process, who may do everything.
func Local(name string) *Principal { return &Principal{Name: name} }

// Named is somebody by their name alone, who is not here now: what they may through groups is not known. A nil Control lets them do everything.
func (c *Control) Named(name string) *Principal { return &Principal{Name: name, control: c} }

// Anonymous says that nobody has told who they are.
func (p *Principal) Anonymous() bool { return p.Name == anonymous }

// Scoped says that somebody has come with a token for some repositories only: with another one they may do more.
func (p *Principal) Scoped() bool { return p.scopes != nil }

// May says whether somebody may do something in a repository.
func (p *Principal) May(a Action, repository string) bool {
	if p.scopes != nil && !slices.ContainsFunc(p.scopes, func(s scope) bool { return s.allows(a, repository) }) {
		return false
	}
	return p.Granted(a, repository)
}

// Granted is May, whatever a token was asked for: who downloads what they have pushed asks for a token to pull.
func (p *Principal) Granted(a Action, repository string) bool {
	if p.control == nil {
		return true
	}
	for _, g := range p.control.now.Load().options.Grants {
		if slices.Contains(allowed[g.Role], a) && matchesAny(g.Namespaces, repository) && p.is(g.To) {
			return true
		}
	}
	return false
}

// is says whether a grant is to somebody.
func (p *Principal) is(to []string) bool {
	if slices.Contains(to, anonymous) {
		return true // what everybody may, those may who have told their name
	}
	if p.Anonymous() {
		return false
	}
	if matchesAny(to, p.Name) {
		return true
	}
	return slices.ContainsFunc(p.Groups, func(group string) bool { return matchesAny(to, groupPrefix+group) })
}

func matchesAny(patterns []string, text string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return wildcard.Match(pattern, text) })
}

// ErrUnknown says that a token or a password is not, or no longer, good.
var ErrUnknown = errors.New("the credentials are not known here, or no longer good")

// Authenticate says who sends a request: by a bearer token (one of [Control.Token], one of OIDC, or a static one), by a
// password that is one of the latter two, whatever the user name, or anonymous.
func (c *Control) Authenticate(r *http.Request) (*Principal, error) {
	if c == nil {
		return &Principal{Name: anonymous}, nil
	}
	header := r.Header.Get("Authorization")
	if header == "" {
		return &Principal{Name: anonymous, control: c}, nil
	}
	kind, secret, _ := strings.Cut(header, " ")
	secret = strings.TrimSpace(secret)
	switch strings.ToLower(kind) {
	case "bearer":
		if strings.HasPrefix(secret, shortPrefix) {
			return c.short(secret)
		}
	case "basic":
		var ok bool
		_, secret, ok = r.BasicAuth()
		if !ok {
			return nil, ErrUnknown
		}
	default:
		return nil, ErrUnknown
	}
	return c.identify(r.Context(), secret)
}

// identify says whose a static or OIDC token is.
func (c *Control) identify(ctx context.Context, secret string) (*Principal, error) {
	r := c.now.Load()
	if name, found := r.tokens.find(secret, r.options.Now()); found {
		return &Principal{Name: tokenPrefix + name, control: c}, nil
	}
	for _, i := range r.issuers {
		if !i.claims(secret) {
			continue
		}
		p, err := i.verify(ctx, secret)
		if err != nil {
			return nil, err
		}
		p.control = c
		return p, nil
	}
	return nil, ErrUnknown
}
