package config_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/config"
)

func TestProvidersInCloudsAreFoundByWhatIsSaidOfThem(t *testing.T) {
	c, err := config.Load("testdata/valid/clouds.yaml", environment)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"bedrock":          "https://bedrock-runtime.us-east-1.amazonaws.com",
		"bedrock-key":      "https://bedrock-runtime.us-gov-west-1.amazonaws.com",
		"gemini":           "https://us-central1-aiplatform.googleapis.com",
		"gemini-global":    "https://aiplatform.googleapis.com",
		"claude":           "https://aiplatform.eu.rep.googleapis.com",
		"claude-elsewhere": "http://127.0.0.1:9999",
		"azure":            "https://my-resource.openai.azure.com/openai/v1",
		"azure-own":        "https://east.openai.azure.com/openai/v1",
		"azure-older":      "https://my-resource.openai.azure.com",
		"azure-older#2":    "https://my-resource.openai.azure.com",
	} {
		if got := c.Providers[name].BaseURL.String(); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	for provider, want := range map[string]struct{ part, path string }{
		"gemini":           {"paths", "google-generate /v1/projects/my-project/locations/us-central1/publishers/google/models/{model}:generateContent"},
		"gemini-global":    {"paths", "google-stream /v1/projects/example.com:my-project/locations/global/publishers/google/models/{model}:streamGenerateContent"},
		"claude":           {"paths", "anthropic-messages /v1/projects/my-project/locations/eu/publishers/anthropic/models/{model}:rawPredict"},
		"claude-elsewhere": {"streams", "anthropic-messages /v1/projects/my-project/locations/us-east5/publishers/anthropic/models/{model}:streamRawPredict"},
		"azure-older":      {"paths", "openai-embeddings /openai/deployments/{model}/embeddings?api-version=2024-10-21"},
	} {
		var filter struct {
			Modules []struct {
				Config struct{ Paths, Streams map[string]string }
			}
		}
		if err := json.Unmarshal(c.Carrier(provider, "", false).Config, &filter); err != nil {
			t.Fatal(err)
		}
		format, path, _ := strings.Cut(want.path, " ")
		got := filter.Modules[0].Config.Paths
		if want.part == "streams" {
			got = filter.Modules[0].Config.Streams
		}
		if got[format] != path {
			t.Errorf("%s: %s is at %s, want %s", provider, format, got[format], path)
		}
	}
	want := []string{filepath.Join("testdata", "valid", "secrets", "account.json"), filepath.Join("testdata", "valid", "secrets", "aws"), filepath.Join("testdata", "valid", "token")}
	if got := c.Files(); !slices.Equal(got, want) {
		t.Errorf("it names the files %v, want %v", got, want)
	}
}

// TestEveryKindIsFound reads all addresses and paths that kinds.yaml has.
func TestEveryKindIsFound(t *testing.T) {
	const all = `region: us-east-1
project: p
location: us-central1
resource: r
api_version: 2024-10-21
`
	for _, kind := range config.Kinds() {
		// A part that a kind does not have is refused, so those that it has are found by trying.
		said := ""
		for line := range strings.Lines(all) {
			name, _, _ := strings.Cut(line, ":")
			_, err := config.Parse("leash.yaml", []byte(provider(kind, line)), environment)
			if !strings.Contains(fmt.Sprint(err), "providers.p."+name+": is nothing") {
				said += "    " + line
			}
		}
		c, err := config.Parse("leash.yaml", []byte(provider(kind, strings.TrimPrefix(said, "    "))), environment)
		if err != nil && kind != "openai-compatible" {
			t.Errorf("%s: %v", kind, err)
		}
		if err == nil && (c.Providers["p"].BaseURL.Host == "" || strings.ContainsAny(c.Providers["p"].BaseURL.String(), "{}")) {
			t.Errorf("%s is at %s", kind, &c.Providers["p"].BaseURL)
		}
	}
}

func provider(kind, said string) string {
	return "providers:\n  p:\n    kind: " + kind + "\n    api_key: {env: KEY}\n    " + said + "\nroutes: [{model: m, provider: p}]\npipeline: [{module: auth}]\n"
}

func TestAccessKeysAreRead(t *testing.T) {
	dir := t.TempDir()
	in := folder{t, dir}
	in.write("aws", `
# of the laptop
[default]
aws_access_key_id = AKIADEFAULT
aws_secret_access_key=`+planted+`
region = us-east-1

[ leash ]
 AWS_ACCESS_KEY_ID=ASIALEASH
aws_secret_access_key = `+planted+`/+==
aws_session_token = token==
;aws_session_token = older
[half]
aws_access_key_id = AKIAHALF
[two-lines]
aws_access_key_id = AKIA
aws_secret_access_key = `+planted+"\x01"+`
`)
	env := func(name string) (string, bool) {
		value, ok := map[string]string{"ID": "AKIAENV", "SECRET": planted, "TOKEN": "token"}[name]
		return value, ok
	}
	file := filepath.Join(dir, "aws")
	secret := func(name string) *config.Secret { return &config.Secret{Env: name} }
	tests := map[string]struct {
		aws               config.AWS
		id, secret, token string
		fails             string
	}{
		"of the environment":       {aws: config.AWS{AccessKeyID: secret("ID"), SecretAccessKey: secret("SECRET")}, id: "AKIAENV", secret: planted},
		"one that expires":         {aws: config.AWS{AccessKeyID: secret("ID"), SecretAccessKey: secret("SECRET"), SessionToken: secret("TOKEN")}, id: "AKIAENV", secret: planted, token: "token"},
		"half in the environment":  {aws: config.AWS{AccessKeyID: secret("ID"), SecretAccessKey: secret("NONE")}, fails: "secret_access_key: secret is not set: environment variable NONE"},
		"of a file":                {aws: config.AWS{CredentialsFile: file}, id: "AKIADEFAULT", secret: planted},
		"of a section of a file":   {aws: config.AWS{CredentialsFile: file, Profile: "leash"}, id: "ASIALEASH", secret: planted + "/+==", token: "token=="},
		"no such section":          {aws: config.AWS{CredentialsFile: file, Profile: "none"}, fails: "has no access key in the section [none]"},
		"half of one":              {aws: config.AWS{CredentialsFile: file, Profile: "half"}, fails: "has no access key in the section [half]"},
		"what no header can hold":  {aws: config.AWS{CredentialsFile: file, Profile: "two-lines"}, fails: "other than ASCII characters"},
		"no such file":             {aws: config.AWS{CredentialsFile: file + ".none"}, fails: "secret is not set: file "},
		"a folder, which is none":  {aws: config.AWS{CredentialsFile: dir}, fails: "read secret: "},
		"what is not there at all": {aws: config.AWS{AccessKeyID: &config.Secret{File: file + ".none"}, SecretAccessKey: secret("SECRET")}, fails: "access_key_id: secret is not set"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			key, err := tc.aws.Resolve(env)
			if tc.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tc.fails) || strings.Contains(err.Error(), planted) {
					t.Errorf("got %v, want %s", err, tc.fails)
				}
				if missing := strings.Contains(tc.fails, "not set") || strings.Contains(tc.fails, "section"); missing != errors.Is(err, config.ErrNoSecret) {
					t.Errorf("%v is ErrNoSecret: %t", err, !missing)
				}
				return
			}
			if err != nil || key.ID != tc.id || key.Secret.Reveal() != tc.secret || key.Token.Reveal() != tc.token {
				t.Errorf("got %s, %s, %s and %v", key.ID, key.Secret.Reveal(), key.Token.Reveal(), err)
			}
			if text := fmt.Sprintf("%v %+v %#v", key, key, key); strings.Contains(text, planted) {
				t.Errorf("the secret is in %s", text)
			}
		})
	}
}

func TestDocumentsAreSecretsToo(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "account.json")
	document := "{\n  \"private_key\": \"" + planted + "\"\n}"
	if err := os.WriteFile(file, []byte(document+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	value, err := (&config.Secret{File: file}).ResolveDocument(environment)
	if err != nil || value.Reveal() != document || strings.Contains(fmt.Sprintf("%#v", value), planted) {
		t.Errorf("got %q and %v", value.Reveal(), err)
	}
	if _, err := (&config.Secret{File: file + ".none"}).ResolveDocument(environment); !errors.Is(err, config.ErrNoSecret) {
		t.Errorf("got %v of a file that is not there", err)
	}
	if err := os.WriteFile(file, []byte(strings.Repeat("x", 1<<17)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := (&config.Secret{File: file}).ResolveDocument(environment); err == nil || strings.Contains(err.Error(), "xxx") {
		t.Errorf("got %v of a file that is too large", err)
	}
}
