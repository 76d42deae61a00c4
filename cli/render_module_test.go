package cli

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/registry/registrytest"
)

func TestModulesAreRenderedForEnvoysOfOthers(t *testing.T) {
	config, err := filepath.Abs("../examples/quickstart/leash.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("LEASH_BLOBS", filepath.Join(dir, "blobs"))
	t.Setenv("DOCKER_CONFIG", dir)
	ref := registrytest.Serve(t, registrytest.Olareg(t)) + "/team/greeter:1.0.0"
	write(t, "greeter.wasm", string(registrytest.Module(t, "greeter", "1.0.0", "content")))
	pinned := must(t, "module", "push", ref, "-f", "greeter.wasm")
	_, digest, _ := strings.Cut(pinned, "@")

	slot := must(t, "render", "--target", "slot", "--slot", "leash/team/greeter@stable", "--registry", "registry.example.com:5051")
	for _, want := range []string{"- name: leash/team/greeter@stable\n", "initial_fetch_timeout: 5s, ", `address: "registry.example.com", port_value: 5051`, "policy_not_loaded"} {
		if !strings.Contains(slot, want) {
			t.Errorf("the slot has no %q:\n%s", want, slot)
		}
	}
	write(t, "token", "leash_secret\n")
	if got := must(t, "render", "--target", "slot", "--slot", "leash/team/greeter@stable", "--token-file", "token"); strings.Count(got, `"Bearer leash_secret"`) != 3 {
		t.Errorf("the token is not in both slots and the sink:\n%s", got)
	}
	for name, tc := range map[string]struct {
		args []string
		told bool
	}{
		"plain text":         {[]string{"--token-file", "token", "--registry", "registry.example.com:5051"}, true},
		"TLS":                {[]string{"--token-file", "token", "--registry", "registry.example.com:5051", "--registry-ca", "ca.pem"}, false},
		"the loopback":       {[]string{"--token-file", "token", "--registry", "[::1]:5051"}, false},
		"without any secret": {[]string{"--registry", "registry.example.com:5051"}, false},
	} {
		_, stderr, _ := program(t, append([]string{"render", "--target", "slot", "--slot", "leash/team/greeter@stable"}, tc.args...)...)
		if told := strings.Contains(stderr, "in plain text"); told != tc.told {
			t.Errorf("%s: told %t, want %t:\n%s", name, told, tc.told, stderr)
		}
	}
	fails(t, "read token: ", "render", "--target", "slot", "--slot", "leash/team/greeter@stable", "--token-file", "nowhere")
	if got := must(t, "render", "--target", "slot", "--slot", "leash/team/greeter@stable", "--kind", "inspector"); strings.Contains(got, "policy_not_loaded") {
		t.Errorf("an inspector's slot refuses:\n%s", got)
	}
	fails(t, "slot: name the slot, such as leash/", "render", "--target", "slot")
	fails(t, "its name is leash/MODULE@CHANNEL", "render", "--target", "slot", "--slot", "greeter")
	fails(t, `kind: "judge" is neither policy nor inspector`, "render", "--target", "slot", "--slot", "leash/team/greeter@stable", "--kind", "judge")
	fails(t, "is not HOST:PORT", "render", "--target", "slot", "--slot", "leash/team/greeter@stable", "--registry", "here")

	plugin := must(t, "render", "--target", "istio", "--module", ref, "--namespace", "edge", "--selector", "app=gateway")
	if !strings.Contains(plugin, "kind: WasmPlugin") || !strings.Contains(plugin, digest) || !strings.Contains(plugin, "app: gateway") || !strings.Contains(plugin, "FAIL_OPEN") {
		t.Errorf("the plugin is\n%s", plugin)
	}
	policy := must(t, "render", "--target", "envoy-gateway", "--module", ref, "--gateway", "public", "--module-config", `{"a": 1}`)
	if !strings.Contains(policy, "kind: EnvoyExtensionPolicy") || !strings.Contains(policy, digest) || !strings.Contains(policy, "a: 1") {
		t.Errorf("the policy is\n%s", policy)
	}
	fails(t, "name the Gateway", "render", "--target", "envoy-gateway", "--module", ref)
	fails(t, `"app" is not LABEL=VALUE`, "render", "--target", "istio", "--module", ref, "--selector", "app")
	fails(t, "none of envoy, ext_proc, slot, istio and envoy-gateway", "render", "--target", "nginx", "-c", config)
}
