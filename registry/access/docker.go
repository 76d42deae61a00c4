package access

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// shortPrefix is how the tokens begin that docker's clients get.
const shortPrefix = "leash-short."

// shortLife is how long they are good. Docker's clients take less than a minute as a mistake.
const shortLife = 5 * time.Minute

// scope is what a client wants a token for: repository:team/hello:pull,push.
type scope struct {
	Repository string   `json:"r"`
	Actions    []Action `json:"a"`
}

func (s scope) allows(a Action, repository string) bool {
	return s.Repository == repository && (slices.Contains(s.Actions, a) || slices.Contains(s.Actions, "*"))
}

// short is a token that is good for some minutes.
type short struct {
	Name   string   `json:"n"`
	Groups []string `json:"g,omitempty"`
	Scopes []scope  `json:"s"`
	Until  int64    `json:"u"` // Unix seconds
}

func (c *rules) sign(s short) string {
	text, _ := json.Marshal(s) // strings and numbers
	encoded := base64.RawURLEncoding.EncodeToString(text)
	return shortPrefix + encoded + "." + base64.RawURLEncoding.EncodeToString(c.mac(encoded))
}

func (c *rules) mac(text string) []byte {
	h := hmac.New(sha256.New, c.key)
	_, _ = h.Write([]byte(text))
	return h.Sum(nil)
}

// short says whose such a token is. Who is no longer known is not, whatever the token says.
func (c *Control) short(token string) (*Principal, error) {
	rules := c.now.Load()
	encoded, mac, _ := strings.Cut(strings.TrimPrefix(token, shortPrefix), ".")
	got, err := base64.RawURLEncoding.DecodeString(mac)
	if err != nil || !hmac.Equal(got, rules.mac(encoded)) {
		return nil, ErrUnknown
	}
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return nil, ErrUnknown
	}
	var s short
	if err := json.Unmarshal(text, &s); err != nil || rules.options.Now().Unix() >= s.Until {
		return nil, ErrUnknown
	}
	if name, static := strings.CutPrefix(s.Name, tokenPrefix); static && !rules.tokens.has(name, rules.options.Now()) {
		return nil, ErrUnknown
	}
	if s.Scopes == nil {
		s.Scopes = []scope{}
	}
	return &Principal{Name: s.Name, Groups: s.Groups, control: c, scopes: s.Scopes}, nil
}

// Challenge says, in an answer 401, where a client gets a token and for what.
func (c *Control) Challenge(w http.ResponseWriter, r *http.Request, repository string, actions ...Action) {
	if c == nil {
		return
	}
	scheme := "http"
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	challenge := fmt.Sprintf("Bearer realm=%q,service=%q", scheme+"://"+r.Host+"/token", c.now.Load().options.Service)
	if repository != "" {
		texts := make([]string, len(actions))
		for i, a := range actions {
			texts[i] = string(a)
		}
		challenge += fmt.Sprintf(",scope=%q", "repository:"+repository+":"+strings.Join(texts, ","))
	}
	w.Header().Set("WWW-Authenticate", challenge)
}

// maxForm bounds the body of a request for a token, maxScopes how many it may be for.
const (
	maxForm   = 64 << 10
	maxScopes = 32
)

// Token gives docker's clients a token for the scopes that they ask for, as far as they may: by GET with a user and a
// password, or by POST as OAuth 2 has it. Who gives no password is anonymous.
func (c *Control) Token(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if c == nil {
		http.NotFound(w, r) // there is nothing to log in to
		return
	}
	var p *Principal
	var err error
	var wanted []string
	switch r.Method {
	case http.MethodGet:
		wanted = r.URL.Query()["scope"]
		p, err = c.Authenticate(r)
	case http.MethodPost:
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		var secret string
		switch r.PostFormValue("grant_type") {
		case "password":
			secret = r.PostFormValue("password")
		case "refresh_token":
			secret = r.PostFormValue("refresh_token")
		default:
			http.Error(w, `{"errors":[{"code":"UNSUPPORTED","message":"grant_type is password or refresh_token"}]}`, http.StatusBadRequest)
			return
		}
		wanted = strings.Fields(r.PostFormValue("scope"))
		p, err = c.identify(r.Context(), secret)
	default:
		w.Header().Set("Allow", "GET, POST")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	if err != nil || p.scopes != nil { // a short token gives no other
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"errors":[{"code":"UNAUTHORIZED","message":"the password is no token that is known here, or no longer good"}]}`))
		return
	}
	rules := c.now.Load()
	now := rules.options.Now()
	token := rules.sign(short{Name: p.Name, Groups: p.Groups, Scopes: p.granted(wanted), Until: now.Add(shortLife).Unix()})
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"token": token, "access_token": token, "expires_in": int(shortLife.Seconds()), "issued_at": now.UTC().Format(time.RFC3339),
	})
}

// granted is what somebody may of what they want.
func (p *Principal) granted(wanted []string) []scope {
	list := []scope{}
	for _, text := range wanted {
		for _, one := range strings.Fields(text) {
			kind, rest, _ := strings.Cut(one, ":")
			at := strings.LastIndex(rest, ":")
			if kind != "repository" || at < 0 || len(list) == maxScopes {
				continue
			}
			s := scope{Repository: rest[:at], Actions: []Action{}}
			for _, a := range strings.Split(rest[at+1:], ",") {
				for _, each := range []Action{Pull, Push, Delete} {
					if (a == "*" || a == string(each)) && p.May(each, s.Repository) {
						s.Actions = append(s.Actions, each)
					}
				}
			}
			list = append(list, s)
		}
	}
	return list
}
