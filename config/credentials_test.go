package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/config"
)

// several is a configuration with a provider that has two keys, and one that the mock may stand for.
const several = `providers:
  openai: {kind: openai, ca_file: ca.pem, api_keys: [{key: {env: PLANTED}}, {key: {env: NONE}}]}
  google: {kind: google, mock_without_key: true, api_key: {file: key}}
routes: [{model: m, provider: openai}]
allow_anonymous: true
`

func TestOneOfSeveralKeysThatIsMissingIsToldWhereItStands(t *testing.T) {
	c, err := config.Parse("leash.yaml", []byte(several), environment)
	if err != nil {
		t.Fatal(err)
	}
	found, err := c.Credentials(environment)
	const want = "leash.yaml:2:83: providers.openai.api_keys[1].key: secret is not set: environment variable NONE (set the variable, or write the file, before leash starts)"
	if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Count(err.Error(), "not set") != 1 {
		t.Errorf("got %v\nwant %s", err, want)
	}
	if got := found.Keys["openai"]; got.Reveal() != planted || found.Missing["google"] == nil {
		t.Errorf("got %+v", found)
	}
	for path, want := range map[string]string{
		"providers.openai#2":               "leash.yaml:2:11: providers.openai: x",
		"providers.openai#2.timeouts.idle": "leash.yaml:2:11: providers.openai.timeouts.idle: x",
	} {
		if got := c.Errorf(path, "x").Error(); !strings.HasPrefix(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestWhatSeveralHaveFoundIsToldInTheOrderOfTheFile(t *testing.T) {
	c, err := config.Parse("leash.yaml", []byte(several), environment)
	if err != nil {
		t.Fatal(err)
	}
	_, second := c.Credentials(environment)
	if got := config.Join(c.Errorf("routes", "x"), nil, second, c.CheckCertificates()); !inOrder(got.Error(), "ca_file", "api_keys[1]", "routes") {
		t.Errorf("got %v", got)
	}
	if got := config.Join(nil, nil); got != nil {
		t.Errorf("got %v of nothing", got)
	}
	other := errors.New("other")
	if got := config.Join(second, other); !errors.Is(got, other) || !strings.Contains(got.Error(), "api_keys[1]") {
		t.Errorf("got %v", got)
	}
}

// inOrder says that a text has parts in this order.
func inOrder(text string, parts ...string) bool {
	for _, part := range parts {
		_, after, found := strings.Cut(text, part)
		if !found {
			return false
		}
		text = after
	}
	return true
}

func TestFilesOfCertificatesAreLookedIntoOnce(t *testing.T) {
	dir := t.TempDir()
	c, err := config.Parse(filepath.Join(dir, "leash.yaml"), []byte(several), environment)
	if err != nil {
		t.Fatal(err)
	}
	for want, text := range map[string]string{"no such file": "", "holds none in PEM form": "x"} {
		if text != "" {
			if err := os.WriteFile(filepath.Join(dir, "ca.pem"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		err := c.CheckCertificates()
		if err == nil || strings.Count(err.Error(), "leash.yaml:2:35: providers.openai.ca_file: ") != 1 || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if err := os.Remove(filepath.Join(dir, "ca.pem")); text != "" && err != nil {
			t.Fatal(err)
		}
	}
}
