package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/mock"
)

// A clientCase is a client that speaks to a provider, directly or through the gateway. What it does is in e2e/clients: the same in
// Python and in JavaScript.
type clientCase struct {
	Name    string `json:"name"`
	Client  string `json:"client"` // chat, responses, anthropic, google
	BaseURL string `json:"base_url"`
	Key     string `json:"key"`
	Model   string `json:"model"`
	// Embeds is the model of embeddings.
	Embeds string `json:"embeds"`
	// Thoughts says that the model's thoughts reach the client.
	Thoughts bool `json:"thoughts"`
	// Direct says that there is no gateway in between.
	Direct bool `json:"direct"`
	// Refused are the features that are refused with status 400.
	Refused []string `json:"refused"`
	// LeavesOut are those that the client's API does not have.
	LeavesOut []string `json:"leaves_out"`
}

// clientFeatures are what a client tries, in the order of client.py and client.mjs.
var clientFeatures = []string{
	"text", "tools", "tool_results", "tool_choice", "image", "image_at_address", "json_schema", "reasoning", "limit", "stop", "sampling", "refusal",
	"errors", "retry_after", "broken_stream", "pieces", "unknown_fields", "models", "count_tokens", "embeddings",
}

// missing are the features that an API does not have, or its client has no parameters for.
var missing = map[string][]string{
	"chat":      {"count_tokens"},
	"responses": {"count_tokens", "stop", "models", "embeddings"}, // the last two are those of chats
	"anthropic": {"embeddings"},
	"google":    {},
}

// clientPrograms run the clients of one language. `make test` installs them. They have nothing of the environment: clients read keys,
// addresses and proxies from it.
func clientPrograms(t *testing.T) map[string]*exec.Cmd {
	t.Helper()
	python := exec.Command(filepath.Join(root(t), ".venv", "bin", "python"), "clients/client.py") //nolint:gosec // our own script
	node := exec.Command("node", "clients/client.mjs")
	home := "HOME=" + t.TempDir()
	python.Env = []string{home}
	node.Env = []string{home, "LEASH_NODE_MODULES=" + filepath.Join(root(t), ".npm")}
	return map[string]*exec.Cmd{"Python": python, "JavaScript": node}
}

// runClients runs all cases in each language, and a subtest for each of their features. The cases run together, a case's features one after
// the other.
func runClients(t *testing.T, cases []clientCase) {
	t.Helper()
	input, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	for language, program := range clientPrograms(t) {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			var stderr bytes.Buffer
			program.Stdin, program.Stderr = bytes.NewReader(input), &stderr
			out, err := program.Output()
			if err != nil {
				t.Fatalf("%s: %v (make .venv/installed .npm/installed brings the clients)\n%s%s", program, err, out, &stderr)
			}
			results := readResults(t, out)
			for _, c := range cases {
				if language == "JavaScript" && (c.Client == "vertex" || c.Client == "bedrock") {
					continue // theirs are tried in Python
				}
				t.Run(c.Name, func(t *testing.T) {
					for _, feature := range clientFeatures {
						if slices.Contains(c.LeavesOut, feature) {
							continue
						}
						t.Run(feature, func(t *testing.T) {
							switch problem, tried := results[c.Name][feature]; {
							case !tried:
								t.Error("was not tried")
							case problem != "":
								t.Error(problem)
							}
						})
					}
				})
			}
		})
	}
}

// readResults reads the lines of a program: what was wrong, by case and feature.
func readResults(t *testing.T, out []byte) map[string]map[string]string {
	t.Helper()
	results := map[string]map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct{ Case, Feature, Error string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("a client writes %q: %v", lines.Text(), err)
		}
		if results[line.Case] == nil {
			results[line.Case] = map[string]string{}
		}
		results[line.Case][line.Feature] = line.Error
	}
	return results
}

// TestOfficialClientsTakeTheMockForTheirProvider is what the tests through the gateway stand on.
func TestOfficialClientsTakeTheMockForTheirProvider(t *testing.T) {
	t.Parallel()
	const key = "AKIAMOCK:secret" // Amazon's client signs with it, and the mock computes the signature again
	provider, url := startProvider(t, mock.Options{Control: true, Key: key})
	var cases []clientCase
	for client, c := range map[string]struct {
		model     string
		leavesOut []string
	}{
		"chat":      {"gpt-4o-mini", nil},
		"responses": {"gpt-4o-mini", nil},
		"anthropic": {"claude-sonnet-4-5", []string{"unknown_fields"}}, // Anthropic, Google and Amazon refuse them
		"google":    {"gemini-2.5-flash", []string{"unknown_fields"}},
		"azure":     {"gpt-4o-mini", []string{"count_tokens", "models"}},
		"vertex":    {"gemini-2.5-flash", []string{"unknown_fields", "models", "embeddings"}},
		"bedrock": {"anthropic.claude-sonnet-4-5-20250929-v1:0", []string{
			"unknown_fields", "models", "embeddings", "retry_after", "image_at_address",
		}},
	} {
		cases = append(cases, clientCase{
			Name: client, Client: client, BaseURL: strings.TrimSuffix(url, "/v1"), Key: key, Model: c.model, Embeds: "text-embedding-3-small",
			Thoughts: client != "chat" && client != "azure", Direct: true, Refused: []string{}, LeavesOut: append(slices.Clone(missing[client]), c.leavesOut...),
		})
	}
	t.Run("clients", func(t *testing.T) { runClients(t, cases) })
	if n := sent(provider, `"x_leash_test":{"b":[1.5,`); n != 6 {
		t.Errorf("a field that nobody knows came in %d requests, want one of chats, of Azure's and of responses, in two languages", n)
	}
}

// gatewayCases are all clients by all providers, through the gateway at that address: one table, and the same expectations.
func gatewayCases(address string) (cases []clientCase) {
	apis := map[string]string{"chat": "openai", "responses": "openai", "anthropic": "anthropic", "google": "google"}
	for client, native := range apis {
		for provider, model := range models {
			c := clientCase{
				Name: client + " to " + provider, Client: client, BaseURL: address, Key: demoKey, Model: model, Embeds: embedders[provider],
				// OpenAI's chats do not tell thoughts. Google tells them to who asks, which a client of chats cannot.
				Thoughts: provider == "anthropic" || provider == "google" && client != "chat" || client == "responses" && provider == "openai",
				Refused:  []string{}, LeavesOut: slices.Clone(missing[client]),
			}
			if provider == native && provider != "openai" {
				c.LeavesOut = append(c.LeavesOut, "unknown_fields") // the provider refuses them; elsewhere they pass, or are dropped
			}
			if provider == "openai" && client != "responses" || client == "responses" {
				c.LeavesOut = append(c.LeavesOut, "count_tokens") // OpenAI has no method for it
			}
			if provider == "anthropic" {
				c.LeavesOut = append(c.LeavesOut, "embeddings")
			}
			cases = append(cases, c)
		}
	}
	return cases
}

// newer are models that are asked in another way than those before them: Claude without a temperature and for an effort, Gemini with the signatures
// of its calls.
var newer = map[string]string{"anthropic": "claude-opus-4-7", "google": "gemini-3.1-pro-preview"}

// newerCases are all clients by those models, through the gateway at that address.
func newerCases(address string) (cases []clientCase) {
	for client, native := range map[string]string{"chat": "", "responses": "", "anthropic": "anthropic", "google": "google"} {
		for provider, model := range newer {
			c := clientCase{
				Name: client + " to newer " + provider, Client: client, BaseURL: address, Key: demoKey, Model: model,
				Thoughts: provider == "anthropic" || client != "chat", Refused: []string{},
				LeavesOut: append(slices.Clone(missing[client]), "embeddings", "models", "count_tokens"),
			}
			if provider == native {
				c.LeavesOut = append(c.LeavesOut, "unknown_fields")
			}
			if provider == native && provider == "anthropic" {
				c.LeavesOut = append(c.LeavesOut, "sampling", "reasoning") // which this client says as older models have it
			}
			cases = append(cases, c)
		}
	}
	return cases
}

// embedders are the models of embeddings of the providers that have some.
var embedders = map[string]string{"openai": "text-embedding-3-small", "google": "gemini-embedding-001"}

// embedding are their routes and those of the newer models, to be written behind those of three.
const embedding = `
  - {model: claude-opus-4-7, provider: anthropic}
  - {model: gemini-3.1-pro-preview, provider: google}
  - {model: text-embedding-3-small, provider: openai}
  - {model: gemini-embedding-001, provider: google}
pipeline:`

func TestOfficialClientsReachEveryProvider(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, p ports) {
		p.Fleet = startFleet(t, "openai", "anthropic", "google")
		g := start(t, strings.Replace(three, "\npipeline:", embedding, 1), p)
		t.Run("clients", func(t *testing.T) { runClients(t, append(gatewayCases(g.URL), newerCases(g.URL)...)) })
		p.Fleet.wantKeysKept(t)
		if n := sent(p.Fleet["openai"].Provider, `"x_leash_test":{"b":[1.5,`); n != 4 {
			t.Errorf("a field that nobody knows came to OpenAI in %d requests, want one of chats and one of responses, in two languages", n)
		}
		for _, provider := range []string{"anthropic", "google"} {
			if n := sent(p.Fleet[provider].Provider, "x_leash_test"); n != 0 {
				t.Errorf("a field that nobody knows came to %s %d times", provider, n)
			}
		}
	})
}

// cloudCases are all clients by the providers in clouds, through the gateway at that address.
func cloudCases(address string) (cases []clientCase) {
	for client, native := range map[string]string{"chat": "azure", "responses": "azure", "anthropic": "claude", "google": "vertex"} {
		for _, provider := range []string{"bedrock", "vertex", "claude", "azure"} {
			c := clientCase{
				Name: client + " to " + provider, Client: client, BaseURL: address, Key: demoKey, Model: "on-" + provider, Embeds: "embed-on-" + provider,
				Thoughts: provider == "claude" || provider == "bedrock" || provider == "vertex" && client != "chat" || client == "responses" && provider == "azure",
				Refused:  []string{}, LeavesOut: slices.Clone(missing[client]),
			}
			if provider == native && provider != "azure" {
				c.LeavesOut = append(c.LeavesOut, "unknown_fields")
			}
			if provider == "azure" && client != "responses" || client == "responses" {
				c.LeavesOut = append(c.LeavesOut, "count_tokens")
			}
			if provider != "azure" {
				c.LeavesOut = append(c.LeavesOut, "embeddings") // which go by other methods there
			}
			if provider == "bedrock" {
				c.Refused = []string{"image_at_address"} // Converse takes images themselves
			}
			cases = append(cases, c)
		}
	}
	return cases
}

func TestOfficialClientsReachEveryCloud(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, p ports) {
		p = startClouds(t, p)
		g := start(t, strings.Replace(clouds, "\npipeline:", "\n  - {model: embed-on-azure, provider: azure, upstream_model: text-embedding-3-small}\npipeline:", 1), p)
		t.Run("clients", func(t *testing.T) { runClients(t, cloudCases(g.URL)) })
		p.Fleet.wantKeysKept(t)
	})
}

// sent counts the requests that a provider has received whose body has a text.
func sent(provider *mock.Provider, text string) (n int) {
	for _, r := range provider.Requests() {
		if bytes.Contains(r.Body, []byte(text)) {
			n++
		}
	}
	return n
}
