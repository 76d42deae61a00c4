package e2e

import (
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/leash-gateway/leash/mock"
)

// policies is the pipeline on which most tests run.
const policies = head + `
limits: {request_bytes: 1MiB}
pipeline:
  - module: costtracker
  - module: logger
    config: {prompts: true, completions: true}
  - module: auth
  - module: ratelimit
    config:
      limits: [{name: per-key, by: key, requests: 1000000, tokens: 1000000000, window: 1m}]
  - module: contentfilter
    config:
      rules:
        - {name: bluebird, keywords: [project bluebird], action: block}
        - {name: card, builtins: [card], action: redact}
        - {name: password, keywords: [hunter2], action: redact, replacement: "*******"}
        - {name: seal, regexps: ['\bseal-\d{5}\b'], in: response, action: redact}
        - {name: osprey, keywords: [osprey], in: response, action: block}
        - {name: email, builtins: [email], action: flag}
`

// A shared test runs on a gateway that it shares with others, because starting one takes seconds. It must leave the provider as it was.
type sharedTest struct {
	name string
	run  func(t *testing.T, g *gateway, provider *mock.Provider)
}

// A changeTest runs on a gateway that others have used before it, with a configuration of its own and what it refers to in
// the gateway's folder: a change in a running gateway costs nothing next to a start.
type changeTest struct {
	name string
	run  func(t *testing.T, g *gateway)
}

// changes runs groups of tests on a gateway.
func changes(t *testing.T, g *gateway, groups ...[]changeTest) {
	t.Helper()
	for _, group := range groups {
		for _, test := range group {
			t.Run(test.name, func(t *testing.T) { test.run(t, g.with(t)) })
		}
	}
}

func TestConfigurationsOneAfterAnother(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, p ports) {
		g := start(t, policies, p.of("http://127.0.0.1:1/v1"))
		changes(t, g, unreachableTests, routeTests, sharedLimitTests, largeBodyTests, hostileTests, certificateTests,
			shapeTests, secretChangeTests, keyTests, exampleTests, foreignTests, timeoutTests, reloadTests)
	})
}

// TestEachLayout has what is promised with all modules in one filter, with a filter each, and with a file each.
func TestEachLayout(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, p ports) {
		t.Parallel()
		g := testPolicies(t, p)
		changes(t, g, layoutTests)
		if p.Layout == "together" {
			changes(t, g, fleetTests) // the business of one module
		}
	})
}

// layoutTests begin under policies.
var layoutTests = []changeTest{
	{"a changed configuration is applied without a failed request", testChangedConfiguration},
	{"modules of one's own work between Leash's", testOwnModules},
	{"any client reaches any provider", testAnyClientReachesAnyProvider},
	{"the provider that answers is logged", testTheProviderThatAnswersIsLogged},
}

var fleetTests = []changeTest{
	{"models are renamed", testModelsAreRenamedForAnyProvider},
	{"what a provider cannot be told is refused", testWhatAProviderCannotBeToldIsRefused},
	{"errors have the client's form", testErrorsOfProvidersHaveTheClientsForm},
	{"when all fail the last error is told", testWhenAllFailTheLastErrorIsTold},
}

// TestPoliciesBesideAModuleOfOthers: with it in the pipeline, what goes to the provider directly takes a step more within Envoy.
func TestPoliciesBesideAModuleOfOthers(t *testing.T) {
	t.Parallel()
	onEngines(t, testPoliciesBesideAModuleOfOthers)
}

func testPoliciesBesideAModuleOfOthers(t *testing.T, p ports) {
	file, err := buildCrash()
	if err != nil {
		t.Fatalf("build the module crash: %v\n%s", err, file)
	}
	provider, url := startProvider(t, mock.Options{Control: true, Key: upstreamKey})
	config := policies + "  - {module: crash-inspector, kind: inspector, file: " + file + "}\n"
	g := start(t, config, p.of("http://127.0.0.1:1/v1"))
	t.Run("the provider is down", func(t *testing.T) { testProviderIsDown(t, g.with(t)) })
	g.change(config, url)
	t.Run("it comes and goes under load", func(t *testing.T) {
		g, stop := g.with(t), underLoad(t, g)
		for range 3 {
			g.change(policies, url)
			g.change(config, url)
		}
		stop()
	})
	shared(t, g, provider, chatTests, faultTests, loadTests, secretTests)
}

// dir is the gateway's folder, which is there as long as it runs.
func (g *gateway) dir() string { return filepath.Dir(g.Config) }

// testPolicies returns the gateway that it was on.
func testPolicies(t *testing.T, p ports) *gateway {
	t.Helper()
	provider, url := startProvider(t, mock.Options{Control: true, Key: upstreamKey})
	g := start(t, policies, p.of(url))
	shared(t, g, provider, chatTests, contentTests, limitTests, faultTests, bypassTests, loadTests, secretTests)
	return g
}

// shared runs groups of tests on a gateway.
func shared(t *testing.T, g *gateway, provider *mock.Provider, groups ...[]sharedTest) {
	t.Helper()
	for _, group := range groups {
		for _, test := range group {
			t.Run(test.name, func(t *testing.T) {
				t.Cleanup(provider.ClearFaults)
				test.run(t, g.with(t), provider)
			})
		}
	}
}

// startProvider serves the mock on a socket of its own.
func startProvider(t testing.TB, options mock.Options) (provider *mock.Provider, url string) {
	t.Helper()
	provider = mock.New(options)
	server := httptest.NewServer(provider)
	t.Cleanup(server.Close)
	return provider, server.URL + "/v1"
}

// received is what the provider has got, for tests that look at what left the gateway.
func received(t testing.TB, providerURL string) string {
	t.Helper()
	return get(t, providerURL[:len(providerURL)-len("/v1")]+"/mock/requests").Body
}
