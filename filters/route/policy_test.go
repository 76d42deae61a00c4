package route

import (
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/moduletest"
)

const routes = `{"routes":[
	{"name":"to-openai","model":"gpt-4o","provider":"openai"},
	{"name":"to-openai","model":"fast","provider":"openai","upstream_model":"gpt-4o-mini"},
	{"name":"to-lab","model":"gpt-4o*","provider":"lab"},
	{"name":"to-lab","model":"gpt-4o","provider":"lab"},
	{"name":"to-lab","model":"lab/*","provider":"lab","upstream_model":"one-for-all"}]}`

// newHost hands facts over as properties, as it is between filters of one Envoy, so that tests can see them.
func newHost(t testing.TB, config string) *moduletest.Host {
	t.Helper()
	return moduletest.New(t, `{"handover":true,"modules":[{"name":"route","config":`+config+`}]}`)
}

func chat(model string) string {
	return `{"messages":[{"role":"user","content":"hi"}],"unknown":{"kept":1.50},"model":"` + model + `"}`
}

func TestTheFirstRouteThatMatchesIsTaken(t *testing.T) {
	tests := map[string]struct {
		model                                   string
		header, route, provider, upstream, sent string
	}{
		"a name":                          {"gpt-4o", "to-openai", "gpt-4o", "openai", "", "gpt-4o"},
		"a pattern":                       {"gpt-4o-mini", "to-lab", "gpt-4o*", "lab", "", "gpt-4o-mini"},
		"a name that is another one here": {"fast", "to-openai", "fast", "openai", "gpt-4o-mini", "gpt-4o-mini"},
		"a pattern with one name there":   {"lab/x", "to-lab", "lab/*", "lab", "one-for-all", "one-for-all"},
		"a name written with escapes":     {`g\u0070t-4o`, "to-openai", "gpt-4o", "openai", "", `g\u0070t-4o`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := newHost(t, routes).Do(moduletest.Exchange{Request: chat(tc.model), Answer: `{}`})
			if !got.Sent || got.SentHeader[Header] != tc.header {
				t.Fatalf("sent %t, %s is %q, want %q", got.Sent, Header, got.SentHeader[Header], tc.header)
			}
			for fact, want := range map[string]string{
				module.FactRoute: tc.route, module.FactProvider: tc.provider, module.FactUpstreamModel: tc.upstream,
			} {
				if fact := "leash.fact." + fact; got.Properties[fact] != want {
					t.Errorf("%s is %q, want %q", fact, got.Properties[fact], want)
				}
			}
			if want := chat(tc.sent); got.SentBody != want {
				t.Errorf("the provider reads %s, want %s", got.SentBody, want)
			}
		})
	}
}

func TestAModelThatNoRouteServesIsNotFound(t *testing.T) {
	const want = `{"error":{"message":"no route of this gateway serves the model that was asked for: GET /v1/models lists what it serves","type":"not_found_error","param":null,"code":"model_not_found"}}`
	for name, model := range map[string]string{
		"unknown": "claude", "in another case": "GPT-4O", "with a space": "gpt-4o ", "a pattern itself": "lab*", "a star": "*",
	} {
		t.Run(name, func(t *testing.T) {
			got := newHost(t, strings.Replace(routes, "gpt-4o*", "gpt-4o-*", 1)).Do(moduletest.Exchange{Request: chat(model)})
			if got.Status != 404 || got.Sent || got.Body != want {
				t.Errorf("got %d, sent %t, %s; want 404 %s", got.Status, got.Sent, got.Body, want)
			}
		})
	}
	if got := newHost(t, `{}`).Do(moduletest.Exchange{Request: chat("gpt-4o")}); got.Status != 404 {
		t.Errorf("without routes: got %d, want 404", got.Status)
	}
}

func TestAClientCannotPickTheRoute(t *testing.T) {
	h := newHost(t, routes)
	forged := map[string]string{Header: "to-lab", TargetHeader + "2": "lab", ModelHeader + "1": "better", MidStreamHeader: "1"}
	got := h.Do(moduletest.Exchange{Request: chat("gpt-4o"), Header: forged, Answer: `{}`})
	if got.SentHeader[Header] != "to-openai" {
		t.Errorf("a client's header picked the route %q", got.SentHeader[Header])
	}
	for name := range got.SentHeader {
		if strings.HasPrefix(name, "x-leash-") && name != Header {
			t.Errorf("a client's header %s goes on", name)
		}
	}
	if got := h.Do(moduletest.Exchange{Request: chat("unknown"), Header: forged}); got.Sent {
		t.Error("a client's header let a model through that no route serves")
	}
	passing := moduletest.New(t, `{"passthrough":["/v1/files"],"modules":[{"name":"route","config":`+routes+`}]}`)
	if got := passing.Do(moduletest.Exchange{Path: "/v1/files", Request: "x", Header: forged}); !got.Sent || got.SentHeader[Header] != "" {
		t.Errorf("on a path that is let through: sent %t with route %q", got.Sent, got.SentHeader[Header])
	}
}

func TestTheListOfModelsHoldsEachNameOnceAndNoPattern(t *testing.T) {
	const empty = `{"object":"list","data":[]}`
	model := func(id string) string { return `{"id":"` + id + `","object":"model","created":0,"owned_by":"leash"}` }
	for name, tc := range map[string]struct{ config, want string }{
		"names and patterns": {routes, `{"object":"list","data":[` + model("gpt-4o") + `,` + model("fast") + `]}`},
		"patterns only":      {`{"routes":[{"name":"r","model":"*"}]}`, empty},
		"nothing":            {`{}`, empty},
	} {
		t.Run(name, func(t *testing.T) {
			got := newHost(t, tc.config).Do(moduletest.Exchange{Method: "GET", Path: "/v1/models"})
			if got.Status != 200 || got.Sent || got.Body != tc.want || got.Header["content-type"] != "application/json" {
				t.Errorf("got  %d %v %s\nwant 200 %s", got.Status, got.Header, got.Body, tc.want)
			}
			if !gjson.Valid(got.Body) {
				t.Error("the list is no JSON")
			}
		})
	}
}

func TestAModelIsKnownIfARouteServesIt(t *testing.T) {
	for name, tc := range map[string]struct {
		path   string
		status int
		want   string
	}{
		"a name":          {"/v1/models/fast", 200, `{"id":"fast","object":"model","created":0,"owned_by":"leash"}`},
		"of a pattern":    {"/v1/models/gpt-4o-7", 200, `{"id":"gpt-4o-7","object":"model","created":0,"owned_by":"leash"}`},
		"in Google's way": {"/v1beta/models/fast", 200, `{"name":"models/fast","displayName":"fast","supportedGenerationMethods":["generateContent","countTokens"]}`},
		"of no route":     {"/v1/models/claude", 404, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := newHost(t, routes).Do(moduletest.Exchange{Method: "GET", Path: tc.path})
			if got.Status != tc.status || got.Sent || tc.want != "" && got.Body != tc.want || tc.want == "" && !strings.Contains(got.Body, "model_not_found") {
				t.Errorf("got %d, sent %t, %s", got.Status, got.Sent, got.Body)
			}
		})
	}
}

func TestMistakesInTheConfigurationAreNamed(t *testing.T) {
	tests := map[string]struct{ config, want string }{
		"an unknown field":               {`{"route":[]}`, `route: unknown field; the known ones are routes, providers`},
		"an unknown field of a route":    {`{"routes":[{"upstream":"x"}]}`, `routes[0].upstream: unknown field; the known ones are name, through, model, provider, upstream_model, targets, tenants, headers, attempts, hedged, budget, mid_stream, first_byte, fastest, affinity`},
		"routes is no list":              {`{"routes":{}}`, `routes: {} is not a list`},
		"a route is no map":              {`{"routes":["gpt-4o"]}`, `routes[0]: "gpt-4o" is not a map of fields`},
		"no name":                        {`{"routes":[{"model":"m"}]}`, `routes[0].name: is empty`},
		"no model":                       {`{"routes":[{"name":"r","model":"m"},{"name":"r"}]}`, `routes[1].model: is empty`},
		"a name of another type":         {`{"routes":[{"name":1}]}`, `routes[0].name: 1 is not a string`},
		"a model of another type":        {`{"routes":[{"model":["a"]}]}`, `routes[0].model: ["a"] is not a string`},
		"a provider of another type":     {`{"routes":[{"provider":1}]}`, `routes[0].provider: 1 is not a string`},
		"another name of another type":   {`{"routes":[{"upstream_model":1}]}`, `routes[0].upstream_model: 1 is not a string`},
		"a configuration that is no map": {`[]`, `configuration: [] is not a map of fields`},
	}
	definition, _ := module.Lookup("route")
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := definition.New([]byte(tc.config)); err == nil || err.Error() != tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
}

func TestItIsRefusedWhereHeadersAreNotHeld(t *testing.T) {
	err := moduletest.Check(`{"modules":[{"name":"route","config":{"routes":[{"name":"r","model":"m"}]}}],"no_header_pause":true}`)
	if err == nil || !strings.Contains(err.Error(), "no_header_pause: modules[0] (route)") {
		t.Errorf("got %v", err)
	}
}
