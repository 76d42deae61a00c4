package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/leash-gateway/leash/config"
)

// A Static is a token as it is kept: its hash. Tokens are random, so that a hash of one is good enough.
type Static struct {
	// Name is that of the principal, without token:.
	Name string `yaml:"name"`
	// Hash is the SHA-256 of the token.
	Hash string `yaml:"hash"`
	// Expires is until when it is good; none is for ever.
	Expires time.Time `yaml:"expires,omitempty"`
}

// tokensFile is a file of tokens.
type tokensFile struct {
	Tokens []Static `yaml:"tokens"`
}

// staticPrefix is how tokens begin, so that scanners for secrets find them where they should not be.
const staticPrefix = "leash_"

var (
	tokenName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)
	digits    = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// namesAre is what is said of a name that is none.
const namesAre = "small letters, digits, dots and dashes, 63 at the most"

// NewToken makes a token, and what is kept of it. expires is until when it is good; the zero time is for ever.
func NewToken(name string, expires time.Time) (secret string, kept Static, err error) {
	if !tokenName.MatchString(name) {
		return "", kept, fmt.Errorf("%q is no name of a token: %s", name, namesAre)
	}
	const bytes = 32
	random := make([]byte, bytes)
	_, _ = rand.Read(random) // never fails
	secret = staticPrefix + base64.RawURLEncoding.EncodeToString(random)
	return secret, Static{Name: name, Hash: hashOf(secret), Expires: expires}, nil
}

func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Add adds a token to a file of tokens, in the place of one of the same name. The file is made if it is not there.
func Add(file string, one Static) error {
	f, err := readTokens(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for i := range f.Tokens {
		if f.Tokens[i].Name == one.Name {
			f.Tokens[i] = one
			return writeTokens(file, f)
		}
	}
	f.Tokens = append(f.Tokens, one)
	return writeTokens(file, f)
}

func writeTokens(file string, f tokensFile) error {
	text, err := yaml.Marshal(f)
	if err != nil {
		return fmt.Errorf("write tokens: %w", err)
	}
	if err := os.WriteFile(file+".new", text, 0o600); err != nil {
		return fmt.Errorf("write tokens: %w", err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		return fmt.Errorf("write tokens: %w", err)
	}
	return nil
}

func readTokens(file string) (f tokensFile, err error) {
	text, err := os.ReadFile(file) //nolint:gosec // the operator names the file
	if err != nil {
		return f, fmt.Errorf("read tokens: %w", err)
	}
	where, err := config.Decode(file, text, &f)
	if err != nil {
		return f, fmt.Errorf("read tokens: %w", err)
	}
	names := map[string]bool{}
	for i, one := range f.Tokens {
		at := fmt.Sprintf("tokens[%d]", i)
		switch sum, isSum := strings.CutPrefix(one.Hash, "sha256:"); {
		case !tokenName.MatchString(one.Name):
			err = where.Errorf(at+".name", "%q is no name of a token: %s", one.Name, namesAre)
		case names[one.Name]:
			err = where.Errorf(at+".name", "%q stands twice", one.Name)
		case !isSum || !digits.MatchString(sum):
			err = where.Errorf(at+".hash", "is not sha256: and 64 digits, as leash registry token writes it")
		}
		if err != nil {
			return f, fmt.Errorf("read tokens: %w", err)
		}
		names[one.Name] = true
	}
	return f, nil
}

// checkEvery is how often it is looked whether the file has changed.
const checkEvery = time.Second

// tokens are those of a file.
type tokens struct {
	file string

	mu      sync.Mutex
	byHash  map[string]Static
	changed time.Time // of the file
	looked  time.Time
}

func openTokens(file string) (*tokens, error) {
	t := &tokens{file: file}
	if file == "" {
		return t, nil
	}
	return t, t.read()
}

func (t *tokens) read() error {
	info, err := os.Stat(t.file)
	if err != nil {
		return fmt.Errorf("read tokens: %w", err)
	}
	f, err := readTokens(t.file)
	if err != nil {
		return err
	}
	t.byHash, t.changed = map[string]Static{}, info.ModTime()
	for _, one := range f.Tokens {
		t.byHash[one.Hash] = one
	}
	return nil
}

// find is the name of a token. Looking it up by its hash tells nothing of others by the time that it takes.
func (t *tokens) find(secret string, now time.Time) (string, bool) {
	if !strings.HasPrefix(secret, staticPrefix) {
		return "", false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refresh()
	one, found := t.byHash[hashOf(secret)]
	if !found || !one.Expires.IsZero() && now.After(one.Expires) {
		return "", false
	}
	return one.Name, true
}

// has says whether there is still a good token of this name.
func (t *tokens) has(name string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refresh()
	for _, one := range t.byHash {
		if one.Name == name {
			return one.Expires.IsZero() || now.Before(one.Expires)
		}
	}
	return false
}

// refresh reads the file again if it has changed. While it cannot be read, what was in it goes on to hold.
func (t *tokens) refresh() {
	if t.file == "" || time.Since(t.looked) < checkEvery {
		return
	}
	t.looked = time.Now()
	if info, err := os.Stat(t.file); err == nil && !info.ModTime().Equal(t.changed) {
		_ = t.read()
	}
}
