package envoy_test

import (
	"fmt"
	"strings"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/envoy"
)

// Render is for who runs Envoy without leash up: envoy -c FILE. The provider's key is not in it.
func ExampleRender() {
	environment := func(name string) (string, bool) { return "sk-secret", name == "OPENAI_API_KEY" }
	c, err := config.Parse("leash.yaml", []byte(`
providers: {openai: {base_url: "https://api.openai.com/v1", api_key: {env: OPENAI_API_KEY}}}
tenants: {demo: {keys: [{name: laptop, sha256: dab3d8f1dd8779081d1d3d277bce527d52ab534b88700d61f3d3ed54fb16e8b3}]}}
routes: [{model: gpt-4o-mini, provider: openai}]
pipeline: [{module: auth}]
`), environment)
	if err != nil {
		fmt.Println(err)
		return
	}
	bootstrap, err := envoy.Render(c, envoy.Options{ModulesDir: "/usr/lib/leash/modules", CAFile: "/etc/ssl/cert.pem"})
	if err != nil {
		fmt.Println(err)
		return
	}
	text := string(bootstrap)
	fmt.Println(strings.Contains(text, "filename: /usr/lib/leash/modules/all.wasm"))
	fmt.Println(strings.Contains(text, "environment_variable: OPENAI_API_KEY"), strings.Contains(text, "sk-secret"))
	// Output:
	// true
	// true false
}
