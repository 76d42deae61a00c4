package envoy_test

import (
	"os"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/envoy"
)

// inCloud is a leash.yaml with one provider, on line 2, and a route to it.
func inCloud(t *testing.T, provider string) *config.Config {
	t.Helper()
	text := "providers:\n  p: {" + provider + "}\nroutes: [{model: m, provider: p}]\npipeline: [{module: auth}]\n"
	c, err := config.Parse("leash.yaml", []byte(text), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCredentialsThatEnvoyCannotReadItselfAreNotRendered(t *testing.T) {
	const bedrock = "kind: bedrock, region: us-east-1, aws: "
	for name, tc := range map[string]struct{ provider, want string }{
		"the variables that Envoy knows": {bedrock + "{access_key_id: {env: AWS_ACCESS_KEY_ID}, secret_access_key: {env: AWS_SECRET_ACCESS_KEY}}", ""},
		"a file":                         {bedrock + "{credentials_file: /run/aws}", ""},
		"another variable":               {bedrock + "{access_key_id: {env: MY_ID}, secret_access_key: {env: AWS_SECRET_ACCESS_KEY}}", "leash.yaml:2:62: providers.p.aws.access_key_id: an Envoy of your own reads it from the environment variable AWS_ACCESS_KEY_ID only"},
		"a file of one part":             {bedrock + "{access_key_id: {env: AWS_ACCESS_KEY_ID}, secret_access_key: {file: /run/secret}}", "providers.p.aws.secret_access_key: an Envoy of your own reads it from the environment variable AWS_SECRET_ACCESS_KEY only"},
		"a service account":              {"kind: vertex, project: p, location: global, service_account: {file: /run/account.json}", "providers.p.service_account: tokens of a service account are got and renewed by leash up alone"},
	} {
		t.Run(name, func(t *testing.T) {
			rendered, err := envoy.Render(inCloud(t, tc.provider), envoy.Options{ModulesDir: "/m", CAFile: "/ca.pem"})
			if tc.want == "" && err == nil && strings.Contains(string(rendered), "aws_request_signing") {
				return
			}
			if tc.want == "" || err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestARouteThatNeedsTheModuleProviderIsRefusedOfAModuleHost(t *testing.T) {
	for name, tc := range map[string]struct{ provider, want string }{
		"as clients send it":  {"kind: azure-openai, resource: r, api_key: {env: K}", ""},
		"paths of its own":    {"kind: azure-openai-deployments, resource: r, api_version: 2024-10-21, api_key: {env: K}", "routes[0]: a module host cannot make requests what a provider of the kind azure-openai-deployments reads"},
		"Converse":            {"kind: bedrock, region: us-east-1, api_key: {env: K}", "routes[0]: a module host cannot make requests what a provider of the kind bedrock reads"},
		"quirks of its own":   {"kind: mistral, api_key: {env: K}", "routes[0]: a module host cannot make requests what a provider of the kind mistral reads"},
		"another API, native": {"kind: anthropic, api_key: {env: K}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := envoy.CheckExtProc(inCloud(t, tc.provider))
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	t.Run("errors in streams", func(t *testing.T) {
		c := inCloud(t, "kind: openai, api_key: {env: K}")
		c.Routes[0].StreamErrors = true
		if err := envoy.CheckExtProc(c); err == nil || !strings.Contains(err.Error(), "routes[0].stream_errors: a module host cannot end a stream that breaks off with an error") {
			t.Errorf("got %v", err)
		}
	})
}
