package cli

import (
	"encoding/base64"
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/registry/registrytest"
	"github.com/leash-gateway/leash/registry/setup"
)

// registryOf serves the registry of a registry.yaml, and returns its address.
func registryOf(t *testing.T, file string) string {
	t.Helper()
	c, err := setup.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Open(t.Context(), setup.Options{Data: t.TempDir(), Env: os.LookupEnv, Version: "v0-test"})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s)
	t.Cleanup(func() {
		web.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return strings.TrimPrefix(web.URL, "http://")
}

// as has the commands that follow log in with a token.
func as(t *testing.T, address, token string) {
	t.Helper()
	dir := t.TempDir()
	text, err := json.Marshal(map[string]any{"auths": map[string]any{address: map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte("whoever:" + token))}}})
	if err != nil {
		t.Fatal(err)
	}
	writeFiles(t, map[string]string{filepath.Join(dir, "config.json"): string(text)})
	t.Setenv("DOCKER_CONFIG", dir)
}

func writeFiles(t *testing.T, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAModuleGoesFromItsPublisherToAChannelAndBack takes the way of a version through the registry from the shell.
func TestAModuleGoesFromItsPublisherToAChannelAndBack(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for name, value := range map[string]string{"LEASH_BLOBS": filepath.Join(dir, "blobs"), "LEASH_KEY_PASSWORD": "secret", "DOCKER_CONFIG": dir} {
		t.Setenv(name, value)
	}
	ci := must(t, "registry", "token", "ci", "-f", "tokens.yaml")
	lead := must(t, "registry", "token", "lead", "-f", "tokens.yaml", "--expires", "24h")
	must(t, "module", "generate-key")
	writeFiles(t, map[string]string{
		"trust.yaml": "rules:\n  - match: [registry.example.com/*]\n    keys: [{name: release, file: leash.pub}]\n",
		"registry.yaml": "name: registry.example.com\ntrust: trust.yaml\naccess:\n  tokens: tokens.yaml\n  grants:\n" +
			"    - {role: publisher, to: [token:ci], namespaces: [team/*]}\n    - {role: promoter, to: [token:lead], namespaces: [team/*]}\n",
		"1.wasm": string(registrytest.Module(t, "hello", "1.0.0", "one")), "2.wasm": string(registrytest.Module(t, "hello", "1.1.0", "two")),
		"other.wasm": string(registrytest.Module(t, "hello", "1.0.0", "another content")),
	})
	address := registryOf(t, "registry.yaml")
	t.Setenv("LEASH_REGISTRY", address)
	ref := address + "/team/hello"

	fails(t, "leash module login", "module", "push", ref+":1.0.0", "-f", "1.wasm")
	as(t, address, ci)
	must(t, "module", "push", ref+":1.0.0", "-f", "1.wasm")
	fails(t, "may not promote", "module", "promote", "team/hello", "1.0.0", "--channel", "stable")
	as(t, address, lead)
	fails(t, "waits for a signature", "module", "promote", "team/hello", "1.0.0", "--channel", "stable")
	fails(t, "waits for a signature", "module", "pull", ref+":1.0.0")
	as(t, address, ci)
	must(t, "module", "sign", ref+":1.0.0", "--key", "leash.key")
	must(t, "module", "push", ref+":1.1.0", "-f", "2.wasm")
	must(t, "module", "sign", ref+":1.1.0", "--key", "leash.key", "--format", "simple")
	fails(t, "next version", "module", "push", ref+":1.0.0", "-f", "other.wasm")

	as(t, address, lead)
	if got := must(t, "module", "promote", "team/hello", "1.0.0", "--channel", "stable"); !strings.HasPrefix(got, "stable -> 1.0.0 sha256:") {
		t.Errorf("promote printed %s", got)
	}
	// The module's name may say the registry.
	if got := must(t, "module", "promote", ref, "1.1.0", "--channel", "stable", "--canary", "10", "--for", "1h", "-o", "json"); !strings.Contains(got, `"canary": "1.1.0"`) {
		t.Errorf("promote printed %s", got)
	}
	if got := must(t, "module", "rollback", "team/hello", "--channel", "stable", "--reason", "not yet"); strings.Contains(got, "canary") || !strings.HasPrefix(got, "stable -> 1.0.0") {
		t.Errorf("rollback printed %s", got)
	}
	must(t, "module", "promote", "team/hello", "1.1.0", "--channel", "stable")
	must(t, "module", "pull", ref+":stable", "-o", "pulled.wasm")
	if got := must(t, "module", "rollback", "team/hello", "--channel", "stable", "--reason", "errors", "-o", "yaml"); !strings.Contains(got, "version: 1.0.0") {
		t.Errorf("rollback printed %s", got)
	}
	must(t, "module", "deprecate", "team/hello", "1.0.0", "--reason", "slow")
	fails(t, "it is deprecated: slow", "module", "promote", "team/hello", "1.0.0", "--channel", "edge")
	must(t, "module", "deprecate", "team/hello", "1.0.0", "--reason", "it was the network", "--undo")
	must(t, "module", "yank", "team/hello", "1.1.0", "--reason", "leaks")
	fails(t, "leaks", "module", "pull", ref+":1.1.0")

	var versions []versionRow
	if err := json.Unmarshal([]byte(must(t, "module", "versions", "team/hello", "-o", "json")), &versions); err != nil || len(versions) != 2 ||
		versions[0].State != "yanked" || versions[1].State != "released" || versions[1].Channels[0] != "stable" {
		t.Errorf("the versions are %+v, %v", versions, err)
	}
	if got := must(t, "module", "search", "hel"); !strings.Contains(got, "team/hello  1.0.0") {
		t.Errorf("search printed %s", got)
	}
	got := must(t, "module", "history", "team/hello")
	for _, want := range []string{"token:ci", "token:lead", "push", "release", "promote", "rollback", "yank", "leaks", "start_canary"} {
		if !strings.Contains(got, want) {
			t.Errorf("history printed, without %s,\n%s", want, got)
		}
	}
	fails(t, "say why", "module", "yank", "team/hello", "1.0.0")
	fails(t, "it is no registry of Leash's", "module", "versions", registrytest.Serve(t, registrytest.Olareg(t))+"/team/hello")
}

func TestARegistryForEverybodyIsForThisMachine(t *testing.T) {
	dir := t.TempDir()
	for name, tc := range map[string]struct {
		config, listen, want string
	}{
		"all addresses":      {"{}", ":0", "everybody who reaches the registry may push"},
		"an unknown field":   {"acces: {}", "127.0.0.1:0", "registry.yaml:1:1: acces: unknown field (did you mean access?)"},
		"a role":             {"access: {grants: [{role: owner, to: [a], namespaces: [b]}]}", "127.0.0.1:0", "registry.yaml:1:19: access.grants[0]: there is no role \"owner\": there are"},
		"half a pair":        {"tls: {cert: x}", "127.0.0.1:0", "belong together"},
		"content":            {"namespaces: [{match: [a], content: images}]", "127.0.0.1:0", "registry.yaml:1:14: namespaces[0]: "},
		"a policy":           {"trust: none.yaml", "127.0.0.1:0", "no such file"},
		"tokens":             {"access: {tokens: none.yaml}", "127.0.0.1:0", "no such file"},
		"a second document":  {"{}\n---\n{}", "127.0.0.1:0", "second document"},
		"an upstream":        {"upstream: {url: harbor}", "127.0.0.1:0", "it is an address"},
		"a secret not there": {"upstream: {url: 'https://harbor.test', user: u, password_env: LEASH_NO_SUCH_VARIABLE}", "127.0.0.1:0", "LEASH_NO_SUCH_VARIABLE is not set"},
		"an issuer":          {"access: {oidc: [{issuer: 'https://issuer.test'}]}", "127.0.0.1:0", "audience is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(dir, "registry.yaml")
			writeFiles(t, map[string]string{file: tc.config})
			fails(t, tc.want, "registry", "serve", "-c", file, "--data", filepath.Join(dir, "data"), "--listen", tc.listen)
		})
	}
}
