package e2e

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/mock"
)

// clouds is a gateway to providers in the clouds of Amazon, Google and Microsoft.
const clouds = `
listen: 127.0.0.1:{{.Listen}}
control: {listen: 127.0.0.1:{{.Control}}}
envoy: {admin: 127.0.0.1:{{.Admin}}, concurrency: 2}
modules: {layout: {{or .Layout "together"}}}
providers:
  bedrock:
    kind: bedrock
    base_url: "{{.Fleet.bedrock.Server}}"
    region: us-east-1
    aws: {access_key_id: {env: AWS_ACCESS_KEY_ID}, secret_access_key: {env: AWS_SECRET_ACCESS_KEY}, session_token: {env: AWS_SESSION_TOKEN}}
  vertex: {kind: vertex, base_url: "{{.Fleet.vertex.Server}}", project: my-project, location: us-central1, service_account: {env: LEASH_TEST_ACCOUNT_VERTEX}}
  claude: {kind: vertex-anthropic, base_url: "{{.Fleet.claude.Server}}", project: my-project, location: global, service_account: {env: LEASH_TEST_ACCOUNT_CLAUDE}}
  azure: {kind: azure-openai, base_url: "{{.Fleet.azure.Server}}/openai/v1", api_key: {env: LEASH_TEST_KEY_AZURE}}
  deployments: {kind: azure-openai-deployments, base_url: "{{.Fleet.deployments.Server}}", api_version: 2024-10-21, api_key: {env: LEASH_TEST_KEY_DEPLOYMENTS}}
  openai: {kind: openai, base_url: "{{.Fleet.openai.Server}}/v1", api_key: {env: LEASH_TEST_KEY_OPENAI}}
tenants:
  demo:
    keys: [{name: laptop, sha256: 12cbc3cdde6a618d69e5c6e950ad7b85716d9c2f346bf67600b3baef33d50405}]
routes:
  - {model: on-bedrock, provider: bedrock, upstream_model: "us.anthropic.claude-sonnet-4-5-20250929-v1:0"}
  - {model: on-vertex, provider: vertex, upstream_model: gemini-2.5-flash}
  - {model: on-claude, provider: claude, upstream_model: claude-sonnet-4-5@20250929}
  - {model: on-azure, provider: azure, upstream_model: gpt-4o-mini}
  - {model: on-deployments, provider: deployments, upstream_model: my-deployment}
pipeline:
  - module: costtracker
  - module: logger
  - module: auth
`

// cloudModels are the models of the providers of clouds, as the providers know them, and where requests for them come.
var cloudModels = map[string]struct{ model, path string }{
	"bedrock":     {"us.anthropic.claude-sonnet-4-5-20250929-v1:0", "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse"},
	"vertex":      {"gemini-2.5-flash", "/v1/projects/my-project/locations/us-central1/publishers/google/models/gemini-2.5-flash:"},
	"claude":      {"claude-sonnet-4-5@20250929", "/v1/projects/my-project/locations/global/publishers/anthropic/models/claude-sonnet-4-5@20250929:"},
	"azure":       {"gpt-4o-mini", "/openai/v1/"},
	"deployments": {"my-deployment", "/openai/deployments/my-deployment/chat/completions?api-version=2024-10-21"},
}

func startClouds(t testing.TB, p ports) ports {
	t.Helper()
	p.Fleet = startFleet(t, "bedrock", "vertex", "claude", "azure", "deployments", "openai")
	return p
}

// A serviceAccount is the key of one of Google's, and the server that gives tokens for it, whose certificate leash is to trust.
type serviceAccount struct {
	document, certificate string
	server                *httptest.Server
}

var accountKey = sync.OnceValue(func() string {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
})

func newServiceAccount(t testing.TB, tokens http.Handler) *serviceAccount {
	t.Helper()
	s := httptest.NewTLSServer(tokens)
	t.Cleanup(s.Close)
	a := &serviceAccount{server: s, certificate: filepath.Join(t.TempDir(), "ca.pem")}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(a.certificate, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	encoded, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "my-project", "private_key_id": "1", "client_email": "leash@my-project.iam.gserviceaccount.com",
		"private_key": accountKey(), "token_uri": s.URL + "/token",
	})
	if err != nil {
		t.Fatal(err)
	}
	a.document = string(encoded)
	return a
}

func TestAnyClientReachesAnyCloud(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, p ports) {
		p = startClouds(t, p)
		g := start(t, clouds, p)
		for _, d := range dialects {
			for provider, at := range cloudModels {
				t.Run(d.name+" to "+provider, func(t *testing.T) {
					g := g.with(t)
					a := do(t, d.request(g, "on-"+provider, "say: well done", false))
					if a.Status != 200 {
						t.Fatalf("got %d %s", a.Status, a.Body)
					}
					wantAll(t, a.Body, d.answers)
					if line := g.exchange(a.Header.Get("X-Request-Id")); line["provider"] != provider || line["upstream_model"] != at.model {
						t.Errorf("the log says %v", line)
					}
					a = do(t, d.request(g, "on-"+provider, "say: well done", true))
					if kind := a.Header.Get("Content-Type"); a.Status != 200 || !strings.HasPrefix(kind, "text/event-stream") {
						t.Fatalf("stream: got %d %s %s", a.Status, kind, a.Body)
					}
					wantAll(t, a.Body, d.events)
				})
			}
		}
		for provider, at := range cloudModels {
			for _, r := range p.Fleet[provider].Requests() {
				target := strings.Replace(r.Target, "my-deployment/completions", "my-deployment/chat/completions", 1) // the older ones
				if !strings.HasPrefix(target, at.path) && target != "/token" {
					t.Errorf("%s was asked for %s", provider, r.Target)
				}
			}
		}
		p.Fleet.wantKeysKept(t)
		wantCloudSecretsKept(t, g, p.Fleet)
	})
}

// wantCloudSecretsKept looks for credentials in all that people read.
func wantCloudSecretsKept(t *testing.T, g *gateway, f fleet) {
	t.Helper()
	places := map[string]string{"the metrics": get(t, g.Control+"/metrics").Body, "standard error": g.stderr()}
	if g.ports.engine() == "envoy" {
		places["Envoy's config_dump"] = get(t, g.Admin+"/config_dump?include_eds").Body
		places["Envoy's clusters"] = get(t, g.Admin+"/clusters").Body
	}
	for place, text := range places {
		for name, m := range f {
			for _, secret := range m.planted() {
				if secret != accessKeyID && strings.Contains(text, secret) { // an id is no secret
					t.Errorf("a credential of %s stands in %s", name, place)
				}
			}
		}
		if strings.Contains(text, "PRIVATE KEY") {
			t.Errorf("the key of a service account stands in %s", place)
		}
	}
}

// TestNoCredentialOfACloudReachesAnotherProvider fails each of them over to each other one, and those that are in no cloud too.
func TestNoCredentialOfACloudReachesAnotherProvider(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, p ports) {
		p = startClouds(t, p)
		maps.Copy(p.Fleet, startFleet(t, "anthropic", "google"))
		known := maps.Clone(models)
		for provider, at := range cloudModels {
			known[provider] = at.model
		}
		var routes strings.Builder
		for first, model := range known {
			for second, other := range known {
				if first != second {
					fmt.Fprintf(&routes, "  - {model: %s-or-%s, targets: [{provider: %s, model: %q}, {provider: %s, model: %q}]}\n", first, second, first, model, second, other)
				}
			}
		}
		const others = `  anthropic: {kind: anthropic, base_url: "{{.Fleet.anthropic.Server}}", api_key: {env: LEASH_TEST_KEY_ANTHROPIC}}
  google: {kind: google, base_url: "{{.Fleet.google.Server}}", api_key: {env: LEASH_TEST_KEY_GOOGLE}}
`
		g := start(t, strings.NewReplacer("tenants:\n", others+"tenants:\n", "routes:\n", "routes:\n"+routes.String()).Replace(clouds), p)
		for first := range known {
			for fault, behavior := range map[string]mock.Behavior{
				"error 500": {Status: 500}, "the key is not accepted": {Status: 403}, "closes the connection": {Drop: true}, "garbage": {InvalidJSON: true},
			} {
				p.Fleet[first].SetFaults(behavior)
				for second := range known {
					if first == second {
						continue
					}
					for _, d := range []dialect{dialectNamed("chat"), dialectNamed("messages")} {
						t.Run(fmt.Sprintf("%s, %s of %s, then %s", d.name, fault, first, second), func(t *testing.T) {
							g := g.with(t)
							a := do(t, d.request(g, first+"-or-"+second, "say: well done", false))
							if a.Status != 200 {
								t.Fatalf("got %d %s", a.Status, a.Body)
							}
							wantAll(t, a.Body, d.answers)
						})
					}
				}
				p.Fleet[first].ClearFaults()
			}
		}
		p.Fleet.wantKeysKept(t)
		p.Fleet.wantAsked(t, "well done")
	})
}

// vertexAlone is a gateway to one provider whose tokens come from a service account, and one beside it.
const vertexAlone = `
listen: 127.0.0.1:{{.Listen}}
control: {listen: 127.0.0.1:{{.Control}}}
envoy: {admin: 127.0.0.1:{{.Admin}}, concurrency: 2}
providers:
  vertex: {kind: vertex, base_url: "{{.Fleet.vertex.Server}}", project: my-project, location: us-central1, service_account: {env: LEASH_TEST_ACCOUNT_VERTEX}}
  openai: {kind: openai, base_url: "{{.Fleet.openai.Server}}/v1", api_key: {env: LEASH_TEST_KEY_OPENAI}}
tenants:
  demo:
    keys: [{name: laptop, sha256: 12cbc3cdde6a618d69e5c6e950ad7b85716d9c2f346bf67600b3baef33d50405}]
routes:
  - {model: on-vertex, provider: vertex, upstream_model: gemini-2.5-flash}
  - {model: on-either, targets: [{provider: vertex, model: gemini-2.5-flash}, {provider: openai, model: gpt-4o-mini}]}
pipeline:
  - module: logger
  - module: auth
`

// tokenServer gives tokens, each another one, that live as long as it says; while it is broken it gives none.
type tokenServer struct {
	given    atomic.Int64
	lifetime time.Duration
	broken   atomic.Bool
}

func (s *tokenServer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if s.broken.Load() {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprint(w, `{"error":"invalid_grant","error_description":"Invalid grant: account not found"}`)
		return
	}
	_, _ = fmt.Fprintf(w, `{"access_token":"ya29.planted-%d","expires_in":%d,"token_type":"Bearer"}`, s.given.Add(1), int(s.lifetime.Seconds()))
}

func TestTokensAreGotAndRenewedOffTheWayOfRequests(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, p ports) {
		server := &tokenServer{lifetime: 6 * time.Second}
		server.broken.Store(true)
		backend := mock.New(mock.Options{})
		var last atomic.Pointer[string]
		vertex := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			token := r.Header.Get("Authorization")
			last.Store(&token)
			backend.ServeHTTP(w, r)
		}))
		t.Cleanup(vertex.Close)
		p.Fleet = startFleet(t, "openai")
		p.Fleet["vertex"] = &member{name: "vertex", address: strings.TrimPrefix(vertex.URL, "http://"), account: newServiceAccount(t, server)}
		g := launch(t, vertexAlone, p)

		ready := func() answer { return get(t, g.Control+"/readyz") }
		nettest.Eventually(t, "the gateway to say that it has no token", func() bool {
			response, err := http.Get(g.Control + "/readyz")
			if err != nil {
				return false
			}
			_ = response.Body.Close()
			return strings.Contains(ready().Body, "provider vertex: there is no token: get a token for leash@my-project.iam.gserviceaccount.com: "+
				"the token endpoint answers 400 Bad Request: invalid_grant: Invalid grant: account not found")
		})
		for _, d := range dialects {
			var a answer
			nettest.Eventually(t, "the gateway to answer", func() bool {
				response, err := http.DefaultTransport.RoundTrip(d.request(g, "on-vertex", "say: hi", false))
				if err != nil {
					return false
				}
				_ = response.Body.Close()
				a = do(t, d.request(g, "on-vertex", "say: hi", false))
				return a.Status != 0
			})
			if a.Status != 503 || !strings.Contains(a.Body, "there is no token for the provider of this model yet") {
				t.Errorf("%s before the first token: got %d %s", d.name, a.Status, a.Body)
			}
			wantAll(t, a.Body, d.failure)
			if a = do(t, d.request(g, "on-either", "say: well done", false)); a.Status != 200 {
				t.Errorf("%s, with another provider: got %d %s", d.name, a.Status, a.Body)
			}
		}
		if last.Load() != nil {
			t.Error("the provider was asked before there was a token for it")
		}

		server.broken.Store(false)
		g.waitReady()
		chat := dialectNamed("chat")
		seen := map[string]bool{}
		nettest.Eventually(t, "three tokens to be used", func() bool {
			if a := do(t, chat.request(g, "on-vertex", "say: hi", false)); a.Status != 200 {
				t.Fatalf("with a token: got %d %s", a.Status, a.Body)
			}
			seen[*last.Load()] = true
			return len(seen) >= 3
		})
		server.broken.Store(true)
		nettest.Eventually(t, "a failure to be logged", func() bool {
			if a := do(t, chat.request(g, "on-vertex", "say: hi", false)); a.Status != 200 {
				t.Fatalf("while the token cannot be renewed: got %d %s", a.Status, a.Body)
			}
			return strings.Count(g.stderr(), "a provider's token could not be renewed") > 1
		})
		if a := ready(); a.Status != 200 {
			t.Errorf("a token that cannot be renewed makes the gateway unready: %s", a.Body)
		}
		places := map[string]string{"standard error": g.stderr(), "the metrics": get(t, g.Control+"/metrics").Body}
		if p.engine() == "envoy" {
			places["config_dump"] = get(t, g.Admin+"/config_dump?include_eds").Body
		}
		for place, text := range places {
			if strings.Contains(text, "ya29.planted") || strings.Contains(text, "PRIVATE KEY") {
				t.Errorf("a credential stands in %s", place)
			}
		}
	})
}

// amazonAlone is a gateway to Bedrock with an access key in a file.
const amazonAlone = `
listen: 127.0.0.1:{{.Listen}}
control: {listen: 127.0.0.1:{{.Control}}}
envoy: {admin: 127.0.0.1:{{.Admin}}, concurrency: 1}
providers:
  bedrock: {kind: bedrock, base_url: "{{.Provider}}", region: us-east-1, aws: {credentials_file: aws, profile: leash}}
  environment:
    kind: bedrock
    base_url: "{{.Provider}}"
    region: us-east-1
    aws: {access_key_id: {env: AWS_ACCESS_KEY_ID}, secret_access_key: {env: AWS_SECRET_ACCESS_KEY}, session_token: {env: AWS_SESSION_TOKEN}}
tenants:
  demo:
    keys: [{name: laptop, sha256: 12cbc3cdde6a618d69e5c6e950ad7b85716d9c2f346bf67600b3baef33d50405}]
routes:
  - {model: by-file, provider: bedrock, upstream_model: anthropic.claude-sonnet-4-5}
  - {model: by-environment, provider: environment, upstream_model: anthropic.claude-sonnet-4-5}
pipeline:
  - module: auth
`

// writeAccessKey writes an access key beside a leash.yaml, as programs of Amazon's do.
func writeAccessKey(t testing.TB, g *gateway, id, secret string) {
	t.Helper()
	file := filepath.Join(filepath.Dir(g.Config), "aws")
	text := "[default]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = other\n\n[leash]\naws_access_key_id = " + id + "\naws_secret_access_key = " + secret + "\n"
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// bedrockFor is Bedrock for whoever signs with one of several access keys, secrets by their ids.
func bedrockFor(t testing.TB, keys map[string]string) (url string) {
	t.Helper()
	accounts := map[string]*mock.Provider{}
	for id, secret := range keys {
		accounts[id] = mock.New(mock.Options{Key: id + ":" + secret})
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for id, account := range accounts {
			if strings.Contains(r.Header.Get("Authorization"), "Credential="+id+"/") {
				account.ServeHTTP(w, r)
				return
			}
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestAnAccessKeyThatIsReplacedInItsFileIsTaken(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, p ports) {
		p.Fleet = fleet{"bedrock": nil}
		p.Provider = bedrockFor(t, map[string]string{accessKeyID: strings.Split(keyOf("bedrock"), ":")[1], "ASIAFIRST": "first-planted", "ASIASECOND": "second/planted+"})
		g := prepare(t, amazonAlone, p)
		writeAccessKey(t, g, "ASIAFIRST", "first-planted")
		g.up()
		g.waitReady()
		chat := dialectNamed("chat")
		for _, model := range []string{"by-file", "by-environment"} {
			if a := do(t, chat.request(g, model, "say: well done", false)); a.Status != 200 {
				t.Fatalf("%s: got %d %s", model, a.Status, a.Body)
			}
		}
		writeAccessKey(t, g, "ASIATHIRD", "nobody-takes-it")
		nettest.Eventually(t, "another access key to be used", func() bool {
			return do(t, chat.request(g, "by-file", "say: well done", false)).Status == 403
		})
		writeAccessKey(t, g, "ASIASECOND", "second/planted+")
		nettest.Eventually(t, "a good access key to be used", func() bool {
			return do(t, chat.request(g, "by-file", "say: well done", false)).Status == 200
		})
		for _, secret := range []string{"first-planted", "nobody-takes-it", "second/planted+"} {
			if strings.Contains(g.stderr(), secret) {
				t.Errorf("the secret %s is in the log", secret)
			}
		}
	})
}

// TestRenderedBootstrapSignsForAmazon does what an operator does who runs Envoy without leash up: Envoy reads the access keys itself.
func TestRenderedBootstrapSignsForAmazon(t *testing.T) {
	t.Parallel()
	secret := strings.Split(keyOf("bedrock"), ":")[1]
	p := ports{Provider: bedrockFor(t, map[string]string{accessKeyID: secret, "ASIAFIRST": "first-planted"})}
	g := prepare(t, amazonAlone, p)
	writeAccessKey(t, g, "ASIAFIRST", "first-planted")
	rendered := render(t, g)
	g.envoy(rendered, "AWS_ACCESS_KEY_ID="+accessKeyID, "AWS_SECRET_ACCESS_KEY="+secret, "AWS_SESSION_TOKEN="+sessionToken)
	for _, model := range []string{"by-file", "by-environment"} {
		if a := do(t, dialectNamed("messages").request(g, model, "say: well done", false)); a.Status != 200 {
			t.Errorf("%s: got %d %s\n%s", model, a.Status, a.Body, g.stderr())
		}
	}
	for place, text := range map[string]string{"the rendered file": rendered, "config_dump": get(t, g.Admin+"/config_dump").Body, "Envoy's log": g.stderr()} {
		for _, planted := range []string{secret, sessionToken, "first-planted"} {
			if strings.Contains(text, planted) {
				t.Errorf("a secret stands in %s", place)
			}
		}
	}
}

func TestTheMockStandsInForACloudWithoutCredentials(t *testing.T) {
	t.Parallel()
	standIns := strings.NewReplacer(
		"aws: {access_key_id", "mock_without_key: true\n    aws: {access_key_id", "api_key:", "mock_without_key: true, api_key:", "service_account:", "mock_without_key: true, service_account:",
	).Replace(clouds)
	for provider := range cloudModels {
		standIns = strings.ReplaceAll(standIns, "{{.Fleet."+provider+".Server}}", "http://127.0.0.1:1")
	}
	standIns = strings.ReplaceAll(standIns, "{{.Fleet.openai.Server}}", "http://127.0.0.1:1")
	g := start(t, standIns, ports{Engine: "embedded"})
	for provider := range cloudModels {
		for _, d := range dialects {
			if a := do(t, d.request(g, "on-"+provider, "say: well done", false)); a.Status != 200 {
				t.Errorf("%s to %s: got %d %s", d.name, provider, a.Status, a.Body)
			} else {
				wantAll(t, a.Body, d.answers)
			}
		}
	}
}

func TestAServiceAccountsKeyIsReplacedWithoutARequestThatFails(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, p ports) {
		tokens := &tokenServer{lifetime: time.Hour}
		p.Fleet = startFleet(t, "openai")
		backend := httptest.NewServer(mock.New(mock.Options{}))
		t.Cleanup(backend.Close)
		account := newServiceAccount(t, tokens)
		p.Fleet["vertex"] = &member{name: "vertex", address: strings.TrimPrefix(backend.URL, "http://"), account: account}
		g := prepare(t, strings.Replace(vertexAlone, "{env: LEASH_TEST_ACCOUNT_VERTEX}", "{file: account.json}", 1), p)
		replace := func(key string) {
			t.Helper()
			file := filepath.Join(filepath.Dir(g.Config), "account.json")
			text := strings.Replace(account.document, `"private_key_id":"1"`, `"private_key_id":"`+key+`"`, 1)
			if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(file+".new", file); err != nil {
				t.Fatal(err)
			}
		}
		replace("first")
		g.up()
		g.waitReady()
		chat := dialectNamed("chat")
		ask := func() {
			t.Helper()
			if a := do(t, chat.request(g, "on-vertex", "say: hi", false)); a.Status != 200 {
				t.Fatalf("got %d %s", a.Status, a.Body)
			}
		}
		ask()
		tokens.broken.Store(true)
		replace("second")
		nettest.Eventually(t, "the new key to be tried, and applied", func() bool {
			ask()
			return strings.Contains(g.stderr(), "could not be renewed") && strings.Contains(g.stderr(), "the changed configuration is in force")
		})
		ask()
		tokens.broken.Store(false)
		nettest.Eventually(t, "a token by the new key", func() bool {
			ask()
			return tokens.given.Load() == 2
		})
		replace("third-is-none\n")
		nettest.Eventually(t, "a key that is none to be refused", func() bool {
			ask()
			return strings.Contains(g.stderr(), "leash.yaml:6:") && strings.Contains(g.stderr(), "read service account: it is no JSON file of Google's")
		})
	})
}
