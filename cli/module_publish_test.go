package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/registry/registrytest"
)

// must runs the built command, which must succeed, and returns what it printed.
func must(t *testing.T, args ...string) string {
	t.Helper()
	stdout, stderr, code := program(t, args...)
	if code != exitDone {
		t.Fatalf("leash %v ended with %d:\n%s%s", args, code, stdout, stderr)
	}
	return strings.TrimSpace(stdout)
}

// fails runs the built command, which must fail with this in its error.
func fails(t *testing.T, want string, args ...string) {
	t.Helper()
	stdout, stderr, code := program(t, args...)
	if code == exitDone || !strings.Contains(stderr, want) {
		t.Errorf("leash %v ended with %d:\n%s%s\nwant %q", args, code, stdout, stderr, want)
	}
}

// TestAModuleIsBuiltSignedPushedVerifiedAndRun takes the whole way from an empty folder to a configuration that runs it.
func TestAModuleIsBuiltSignedPushedVerifiedAndRun(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for name, value := range map[string]string{"LEASH_BLOBS": filepath.Join(dir, "blobs"), "LEASH_KEY_PASSWORD": "secret", "DOCKER_CONFIG": dir} {
		t.Setenv(name, value)
	}
	ref := registrytest.Serve(t, registrytest.Olareg(t)) + "/team/greeter"
	must(t, "module", "new", "greeter", "--dir", "p")
	must(t, "module", "build", "p")
	wasm := filepath.Join("p", "build", "modules", "greeter.wasm")
	must(t, "module", "generate-key")
	fails(t, "leash.key is there already", "module", "generate-key")

	pinned := must(t, "module", "push", ref+":0.1.0", "-f", wasm)
	if !strings.HasPrefix(pinned, ref+":0.1.0@sha256:") {
		t.Fatalf("push printed %q", pinned)
	}
	fails(t, "the tag says version 9.0.0, but the module is version 0.1.0: push it under its version, or change version in module.yaml", "module", "push", ref+":9.0.0", "-f", wasm)
	fails(t, "no signature that is trusted", "module", "verify", ref+":0.1.0", "--key", "leash.pub")
	must(t, "module", "sign", ref+":0.1.0", "--key", "leash.key", "-a", "env=prod", "--provenance", "--expires", "24h")
	if got := must(t, "module", "verify", pinned, "--key", "leash.pub", "-a", "env=prod", "-o", "json"); !strings.Contains(got, `"env": "prod"`) {
		t.Errorf("verify printed %s", got)
	}
	if got := must(t, "module", "verify", pinned, "--key", "leash.pub"); strings.Count(got, "signed by leash.pub env=prod leash.expires=") != 1 {
		t.Errorf("verify printed %s", got)
	}
	fails(t, "has the annotations env=test", "module", "verify", pinned, "--key", "leash.pub", "-a", "env=test")

	must(t, "module", "tag", pinned, "stable")
	fails(t, "has no tags: is it called so?", "module", "list", ref+"-nope")
	if got := must(t, "module", "list", ref, "-o", "json"); strings.Count(got, `"tag"`) != 2 {
		t.Errorf("list printed %s", got)
	}
	elsewhere := registrytest.Serve(t, registrytest.Plain()) + "/prod/greeter"
	must(t, "module", "copy", pinned, elsewhere+":0.1.0")
	must(t, "module", "verify", elsewhere+":0.1.0", "--key", "leash.pub")

	var shown struct {
		Signatures, Attestations int

		Manifest struct{ Name string }
		Build    struct{ Kit string }
		Imports  []string
	}
	if err := json.Unmarshal([]byte(must(t, "module", "inspect", pinned, "-o", "json")), &shown); err != nil {
		t.Fatal(err)
	}
	if shown.Signatures != 2 || shown.Attestations != 1 || shown.Manifest.Name != "greeter" || shown.Build.Kit == "" || len(shown.Imports) == 0 {
		t.Errorf("inspect told %+v", shown)
	}
	for flag, want := range map[string]string{"--sbom": `"bomFormat": "CycloneDX"`, "--provenance": `"buildDefinition"`} {
		if got := must(t, "module", "inspect", wasm, flag); !strings.Contains(strings.ReplaceAll(got, `":"`, `": "`), want) {
			t.Errorf("inspect %s printed %s", flag, got)
		}
	}
	if got := must(t, "module", "inspect", pinned); !strings.Contains(got, "up to 256.0 MiB") || !strings.Contains(got, "2, attestations of how it was built: 1") {
		t.Errorf("inspect printed %s", got)
	}

	trust := "rules: [{match: ['" + ref + "'], keys: [{file: leash.pub}], annotations: {env: prod}, provenance: true}]\n"
	config := "providers: {a: {base_url: 'http://127.0.0.1:9/v1'}}\nroutes: [{model: '*', provider: a}]\nallow_anonymous: true\n" +
		"modules: {trust: trust.yaml}\npipeline: [{module: greeter, ref: '" + ref + ":stable', config: {header: x-hi}}]\n"
	for name, text := range map[string]string{"trust.yaml": trust, "leash.yaml": config} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	must(t, "validate")
	must(t, "module", "pull", ref+":stable", "--trust", "trust.yaml", "-o", "pulled.wasm")
	fails(t, "has the annotations env=test", "module", "pull", pinned, "--key", "leash.pub", "-a", "env=test", "-o", "other.wasm")
	must(t, "module", "pull", pinned, "--key", "leash.pub", "-a", "env=prod", "-o", "pulled.wasm")
	if a, _ := os.ReadFile("pulled.wasm"); len(a) == 0 {
		t.Error("nothing was pulled")
	}
	fails(t, "no rule matches it", "module", "pull", elsewhere+":0.1.0", "--trust", "trust.yaml", "-o", "other.wasm")
	if _, err := os.Stat("other.wasm"); err == nil {
		t.Error("what is not trusted was written")
	}
}

// TestAPullThatIsKilledIsTakenUpAgain kills the command in the middle of a download.
func TestAPullThatIsKilledIsTakenUpAgain(t *testing.T) {
	dir := t.TempDir()
	registry := registrytest.Olareg(t)
	wasm := registrytest.Module(t, "greeter", "1.0.0", strings.Repeat("no two lines alike ", 100_000))
	source, pulled, kept := filepath.Join(dir, "greeter.wasm"), filepath.Join(dir, "pulled.wasm"), filepath.Join(dir, "blobs")
	write(t, source, string(wasm))
	ref := registrytest.Serve(t, registry) + "/team/greeter:1.0.0"
	must(t, "module", "push", ref, "-f", source)

	slow := registrytest.Serve(t, registrytest.Stalls(registry, 1)) + "/team/greeter:1.0.0"
	command := exec.CommandContext(t.Context(), built, "module", "pull", slow, "-o", pulled, "--blobs", kept)
	if err := command.Start(); err != nil {
		t.Fatalf("%v (make leash builds it)", err)
	}
	nettest.Eventually(t, "a download", func() bool {
		parts, _ := filepath.Glob(filepath.Join(kept, "*", "*.part"))
		if len(parts) != 1 {
			return false
		}
		part, err := os.Stat(parts[0])
		return err == nil && part.Size() > 0
	})
	if err := command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = command.Wait() // says that it was killed
	for _, left := range []string{pulled, filepath.Join(kept, "sha256", digest.FromBytes(wasm).Encoded())} {
		if _, err := os.Stat(left); err == nil {
			t.Errorf("%s is there, though the download was cut off", left)
		}
	}
	breaking, ranges := registrytest.Breaks(registry, 0, 0)
	again := registrytest.Serve(t, breaking) + "/team/greeter:1.0.0"
	must(t, "module", "pull", again, "-o", pulled, "--blobs", kept)
	if got, err := os.ReadFile(pulled); err != nil || !bytes.Equal(got, wasm) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if ranges.Load() == 0 {
		t.Error("what had been downloaded was downloaded again")
	}
}

func TestFilesAreSignedAndVerified(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("LEASH_KEY_PASSWORD", "secret")
	if err := os.WriteFile("greeter.wasm", registrytest.Module(t, "greeter", "1.0.0", "content"), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, "module", "generate-key", "release")
	fails(t, "leash module sign FILE writes", "module", "verify", "greeter.wasm", "--key", "release.pub")
	must(t, "module", "sign", "greeter.wasm", "--key", "release.key")
	must(t, "module", "verify", "greeter.wasm", "--key", "release.pub")
	t.Setenv("LEASH_KEY_PASSWORD", "planted-wrong")
	_, stderr, code := program(t, "module", "sign", "greeter.wasm", "--key", "release.key")
	if code != exitUsage || !strings.Contains(stderr, "the password does not open the key") || strings.Contains(stderr, "planted") {
		t.Errorf("got %d %s", code, stderr)
	}
}

func TestWhatIsBuiltIsAttestedBesideIt(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("LEASH_KEY_PASSWORD", "secret")
	wasm := filepath.Join("p", "build", "modules", "greeter.wasm")
	must(t, "module", "generate-key")
	must(t, "module", "new", "greeter", "--dir", "p")
	fails(t, "leave --watch away", "module", "build", "p", "--key", "leash.key", "--watch")
	must(t, "module", "build", "p", "--key", "leash.key")
	policy := "rules: [{match: ['file:greeter'], keys: [{file: leash.pub}], provenance: true}]\n"
	if err := os.WriteFile("trust.yaml", []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, "module", "verify", wasm, "--trust", "trust.yaml")
	if got := must(t, "module", "inspect", wasm); !strings.Contains(got, "1, attestations of how it was built: 1") {
		t.Errorf("inspect printed %s", got)
	}
	if err := os.Remove(wasm + ".provenance.sigstore.json"); err != nil {
		t.Fatal(err)
	}
	fails(t, "provenance: no signature that is trusted", "module", "verify", wasm, "--trust", "trust.yaml")
	must(t, "module", "sign", wasm, "--key", "leash.key", "--provenance")
	must(t, "module", "verify", wasm, "--trust", "trust.yaml")

	ref := registrytest.Serve(t, registrytest.Olareg(t)) + "/team/greeter:0.1.0"
	t.Setenv("LEASH_BLOBS", filepath.Join(dir, "blobs"))
	must(t, "module", "push", ref, "-f", wasm, "--key", "leash.key")
	if err := os.WriteFile("trust.yaml", []byte(strings.Replace(policy, "file:greeter", "*", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, "module", "verify", ref, "--trust", "trust.yaml")
	if got := must(t, "module", "inspect", ref); !strings.Contains(got, "2, attestations of how it was built: 1") {
		t.Errorf("inspect printed %s", got)
	}
}

func TestCommandsOfTheRegistrySayWhatTheyTake(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"push without a reference": {[]string{"module", "push"}, "takes REGISTRY/REPOSITORY:TAG"},
		"a reference that is none": {[]string{"module", "list", "greeter"}, "not a reference"},
		"sign with nothing":        {[]string{"module", "sign", "r.io/m:1"}, "sign with what?"},
		"verify against nothing":   {[]string{"module", "verify", "r.io/m:1"}, "verify against what?"},
		"a format that is none":    {[]string{"module", "inspect", "x.wasm", "-o", "xml"}, "no such file"},
		"login without a user":     {[]string{"module", "login", "r.io"}, "--username USER"},
		"login without a terminal": {[]string{"module", "login", "r.io", "-u", "ada"}, "--password-stdin"},
		"copy to nowhere":          {[]string{"module", "copy", "r.io/m:1"}, "takes FROM TO"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("DOCKER_CONFIG", t.TempDir())
			_, stderr, code := leash(t, tc.args...)
			if code != exitUsage || !strings.Contains(stderr, tc.want) {
				t.Errorf("got %d %s, want %q", code, stderr, tc.want)
			}
		})
	}
}
