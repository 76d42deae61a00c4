// Package accesstest has access control for tests.
package accesstest

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/registry/access"
)

// New is access control by grants, and the secrets of the tokens that these name: secrets["ci"] is that of token:ci.
func New(t testing.TB, grants ...access.Grant) (control *access.Control, secrets map[string]string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tokens.yaml")
	secrets = map[string]string{}
	for _, grant := range grants {
		for _, who := range grant.To {
			name, isToken := strings.CutPrefix(who, "token:")
			if !isToken || secrets[name] != "" {
				continue
			}
			secret, kept, err := access.NewToken(name, time.Time{})
			if err == nil {
				err = access.Add(file, kept)
			}
			if err != nil {
				t.Fatal(err)
			}
			secrets[name] = secret
		}
	}
	control, err := access.New(access.Options{TokensFile: file, Grants: grants})
	if err != nil {
		t.Fatal(err)
	}
	return control, secrets
}
