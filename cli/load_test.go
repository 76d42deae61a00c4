package cli

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/config"
)

func TestModulesOfAnotherVersionAreTold(t *testing.T) {
	const text = "providers: {a: {base_url: 'http://127.0.0.1:1'}}\nroutes: [{model: '*', provider: a}]\nallow_anonymous: true\npipeline: [{module: logger}, {module: own, file: own.wasm}]\n"
	c, err := config.Parse("leash.yaml", []byte(text), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	ours := c.Filters()[0].Name
	for name, tc := range map[string]struct {
		detail string
		want   bool
	}{
		"one of a provider":     {"Error adding/updating listener(s) carry.a: Unable to create Wasm plugin leash.provider.a", true},
		"one of the pipeline":   {"Unable to create Wasm plugin " + ours, true},
		"one of the user's own": {"Unable to create Wasm plugin own", false},
		"a cluster":             {"Error adding/updating cluster(s) provider.a: no such file", false},
	} {
		t.Run(name, func(t *testing.T) {
			err := locate(c, tc.detail, "listen", errors.New(tc.detail))
			if got := strings.Contains(err.Error(), "may be of another version"); got != tc.want || !strings.HasPrefix(err.Error(), "leash.yaml:") {
				t.Errorf("got %v", err)
			}
		})
	}
}
