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
	fails(t, "leash: say why, for the history: --reason WHY", "module", "rollback", "team/hello", "--channel", "stable")
	fails(t, "leash: name the channel: --channel stable", "module", "rollback", "team/hello", "--reason", "errors")
	as(t, address, ci)
	const pending = "waits for a signature that the registry's trust policy accepts: leash module sign"
	if _, stderr, _ := program(t, "module", "push", ref+":1.0.0", "-f", "1.wasm"); !strings.Contains(stderr, pending) {
		t.Errorf("push said %q", stderr)
	}
	fails(t, "token:ci may not push in other/hello: an administrator of the registry can grant it", "module", "push", address+"/other/hello:1.0.0", "-f", "1.wasm")
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
	if got := must(t, "module", "promote", "team/hello", "1.0.0", "--channel", "stable"); !strings.HasPrefix(got, "stable -> 1.0.0 sha256:") || strings.Contains(got, "\n") {
		t.Errorf("promote printed %s", got)
	}
	// The module's name may say the registry.
	if got := must(t, "module", "promote", ref, "1.1.0", "--channel", "stable", "--canary", "10", "--for", "1h", "-o", "json"); !strings.Contains(got, `"canary": "1.1.0"`) {
		t.Errorf("promote printed %s", got)
	}
	if got := must(t, "module", "rollback", "team/hello", "--channel", "stable", "--reason", "not yet"); strings.Contains(got, "canary") || !strings.HasPrefix(got, "stable -> 1.0.0") ||
		!strings.HasSuffix(got, "leash registry status tells how they stand") {
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
	file := filepath.Join(dir, "registry.yaml")
	writeFiles(t, map[string]string{file: "{}"})
	fails(t, "everybody who reaches the registry may push", "registry", "serve", "-c", file, "--data", filepath.Join(dir, "data"), "--listen", ":0")
}

func TestWhatIsWrongInTheFilesOfARegistryIsToldWithItsPlace(t *testing.T) {
	const hash = "sha256:0123456789012345678901234567890123456789012345678901234567890123"
	for name, tc := range map[string]struct{ config, other, want string }{
		"an unknown field":      {"acces: {}", "", "registry.yaml:1:1: acces: unknown field (did you mean access?)"},
		"a role":                {"access: {grants: [{role: publsher, to: ['*'], namespaces: [b]}]}", "", "registry.yaml:1:26: access.grants[0].role: there is no role \"publsher\": did you mean publisher?"},
		"a name":                {"access: {grants: [{role: reader, to: [anonymous, 'tokn:ci'], namespaces: [b]}]}", "", "registry.yaml:1:50: access.grants[0].to[1]: nobody can be \"tokn:ci\": names are anonymous, or begin with token:"},
		"half a pair":           {"tls: {cert: x}", "", "registry.yaml:1:6: tls: cert and key belong together"},
		"a certificate":         {"tls: {cert: none.crt, key: none.key}", "", "registry.yaml:1:6: tls: "},
		"content":               {"namespaces: [{match: [a], content: images}]", "", "registry.yaml:1:14: namespaces[0]: "},
		"no policy":             {"trust: none.yaml", "", "registry.yaml:1:8: trust: read trust policy: open "},
		"a policy's field":      {"trust: other.yaml", "rules: [{match: ['*'], unsignd: true}]", "other.yaml:1:24: rules[0].unsignd: unknown field (did you mean unsigned?)"},
		"a policy's rule":       {"trust: other.yaml", "rules: [{match: ['*']}]", "other.yaml:1:9: rules[0]: name keys"},
		"no tokens":             {"access: {tokens: none.yaml}", "", "registry.yaml:1:18: access.tokens: read tokens: "},
		"a token's field":       {"access: {tokens: other.yaml}", "tokens: [{nam: ci}]", "other.yaml:1:11: tokens[0].nam: unknown field (did you mean name?)"},
		"a token's name":        {"access: {tokens: other.yaml}", "tokens: [{name: CI, hash: 'x'}]", "other.yaml:1:17: tokens[0].name: \"CI\" is no name of a token: small letters"},
		"a token's name, again": {"access: {tokens: other.yaml}", "tokens:\n- {name: ci, hash: '" + hash + "'}\n- {name: ci, hash: '" + hash + "'}", "other.yaml:3:10: tokens[1].name: \"ci\" stands twice"},
		"a token's hash":        {"access: {tokens: other.yaml}", "tokens: [{name: ci, hash: 'sha256:1'}]", "other.yaml:1:27: tokens[0].hash: is not sha256: and 64 digits"},
		"a token's end":         {"access: {tokens: other.yaml}", "tokens: [{name: ci, expires: soon}]", "other.yaml:1:30: tokens[0].expires: \"soon\" is not a time"},
		"a second document":     {"{}\n---\n{}", "", "second document"},
		"an upstream":           {"upstream: {url: harbor}", "", "registry.yaml:1:11: upstream: "},
		"an upstream's CA":      {"upstream: {url: 'https://harbor.test', ca_file: none.pem}", "", "registry.yaml:1:11: upstream: "},
		"a secret not there":    {"upstream: {url: 'https://harbor.test', user: u, password_env: LEASH_NO_SUCH_VARIABLE}", "", "registry.yaml:1:63: upstream.password_env: environment variable LEASH_NO_SUCH_VARIABLE is not set"},
		"an issuer":             {"access: {oidc: [{issuer: issuer.test, audience: a}]}", "", "registry.yaml:1:26: access.oidc[0].issuer: \"issuer.test\" is no address"},
		"an issuer's audience":  {"access: {oidc: [{issuer: 'https://issuer.test'}]}", "", "registry.yaml:1:17: access.oidc[0].audience: is missing"},
		"an issuer's prefix":    {"access: {oidc: [{issuer: 'https://issuer.test', audience: a, name_prefix: corp}]}", "", "registry.yaml:1:75: access.oidc[0].name_prefix: \"corp\" is none"},
		"two issuers' people":   {"access: {oidc: [{issuer: 'https://a.test', audience: a}, {issuer: 'https://b.test', audience: a}]}", "", "access.oidc[1].name_prefix: \"oidc:\" does not tell its people or groups from those of https://a.test"},
		"two issuers' groups":   {"access: {oidc: [{issuer: 'https://a.test', audience: a}, {issuer: 'https://b.test', audience: a, name_prefix: 'b:'}]}", "", "access.oidc[1].groups_prefix: \"\" does not tell"},
		"an issuer's CA":        {"access: {oidc: [{issuer: 'https://issuer.test', audience: a, ca_file: none.pem}]}", "", "registry.yaml:1:71: access.oidc[0].ca_file: read certificates: "},
		"a slot's":              {"envoys: {listen: '127.0.0.1:0', slots: other.yaml}", "modles: {}", "other.yaml:1:1: modles: unknown field (did you mean modules?)"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "registry.yaml")
			writeFiles(t, map[string]string{file: tc.config, filepath.Join(dir, "other.yaml"): tc.other})
			_, stderr, code := leash(t, "registry", "serve", "-c", file, "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0", "--no-scenarios")
			if code != exitUsage || !strings.Contains(stderr, tc.want) {
				t.Errorf("got %d %s\nwant %s", code, stderr, tc.want)
			}
		})
	}
	tokens := filepath.Join(t.TempDir(), "tokens.yaml")
	writeFiles(t, map[string]string{tokens: "tokens: {}"})
	if _, stderr, code := leash(t, "registry", "token", "-f", tokens, "ci"); code != exitUsage || !strings.Contains(stderr, tokens+":1:9: tokens: must be a list, not a map") {
		t.Errorf("got %d %s", code, stderr)
	}
}
