// Package ociclients_test has the programs crane and oras log in to the registry and push and pull, as their users do. They are built from
// their own sources, in a Go module of its own.
package ociclients_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/registry/access"
	"github.com/leash-gateway/leash/registry/access/accesstest"
	"github.com/leash-gateway/leash/registry/server"
	"github.com/leash-gateway/leash/registry/server/servertest"
)

// guarded is a registry with a publisher and a reader of team/*.
func guarded(t *testing.T) (address, publisher, reader string) {
	t.Helper()
	control, secrets := accesstest.New(t,
		access.Grant{Role: access.Publisher, To: []string{"token:ci"}, Namespaces: []string{"team/*"}},
		access.Grant{Role: access.Reader, To: []string{"token:prod"}, Namespaces: []string{"team/*"}},
	)
	_, address = servertest.Start(t, func(o *server.Options) { o.Access = control })
	return address, secrets["ci"], secrets["prod"]
}

// A program is crane or oras, with a folder for its credentials.
type program struct {
	path, home, dir string
}

func build(t *testing.T, source string) program {
	t.Helper()
	p := program{filepath.Join(t.TempDir(), filepath.Base(source)), t.TempDir(), t.TempDir()}
	if out, err := exec.Command("go", "build", "-mod=mod", "-o", p.path, source).CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", source, err, out)
	}
	return p
}

func (p program) run(in string, args ...string) (string, error) {
	command := exec.Command(p.path, args...)
	command.Dir, command.Stdin, command.Env = p.dir, strings.NewReader(in), append(os.Environ(), "DOCKER_CONFIG="+p.home, "HOME="+p.home)
	out, err := command.CombinedOutput()
	return string(out), err
}

func (p program) must(t *testing.T, in string, args ...string) string {
	t.Helper()
	out, err := p.run(in, args...)
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", filepath.Base(p.path), args, err, out)
	}
	return out
}

// refused fails unless the registry refuses it and says why.
func (p program) refused(t *testing.T, in string, args ...string) {
	t.Helper()
	if out, err := p.run(in, args...); err == nil || !strings.Contains(strings.ToLower(out), "unauthorized") && !strings.Contains(out, "denied") && !strings.Contains(out, "40") {
		t.Errorf("%s %v: %v\n%s", filepath.Base(p.path), args, err, out)
	}
}

func TestCraneLogsInPushesAndPulls(t *testing.T) {
	t.Parallel()
	crane := build(t, "github.com/google/go-containerregistry/cmd/crane")
	address, publisher, reader := guarded(t)
	login := []string{"auth", "login", address, "-u", "whoever", "--password-stdin"}
	if err := os.WriteFile(filepath.Join(crane.dir, "thing.txt"), []byte("some content"), 0o600); err != nil {
		t.Fatal(err)
	}
	image := address + "/team/image:1"
	pack := []string{"append", "--new_layer", "layer.tar", "--new_tag", image}
	if out, err := exec.Command("tar", "-C", crane.dir, "-cf", filepath.Join(crane.dir, "layer.tar"), "thing.txt").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	crane.refused(t, "", pack...)
	crane.must(t, publisher, login...)
	crane.must(t, "", pack...)
	if got := strings.TrimSpace(crane.must(t, "", "ls", address+"/team/image")); got != "1" {
		t.Errorf("its tags are %q", got)
	}
	crane.must(t, "", "copy", image, address+"/team/copy:2")
	crane.refused(t, "", "copy", image, address+"/other/copy:2")
	crane.must(t, reader, login...)
	if got := crane.must(t, "", "export", image, "-"); !strings.Contains(got, "some content") {
		t.Error("it is not what was pushed")
	}
	crane.refused(t, "", "tag", image, "2")
	crane.must(t, "", "auth", "logout", address)
	crane.refused(t, "", "manifest", image)
}

func TestOrasLogsInPushesAndPulls(t *testing.T) {
	t.Parallel()
	oras := build(t, "oras.land/oras/cmd/oras")
	address, publisher, reader := guarded(t)
	login := []string{"login", "--plain-http", address, "-u", "whoever", "--password-stdin"}
	content := []byte("some content")
	if err := os.WriteFile(filepath.Join(oras.dir, "thing.txt"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	push := []string{"push", "--plain-http", address + "/team/thing:1", "thing.txt"}
	oras.refused(t, "", push...)
	oras.refused(t, "leash_guess", login...)
	oras.must(t, publisher, login...)
	oras.must(t, "", push...)
	oras.must(t, reader, login...)
	oras.must(t, "", "pull", "--plain-http", address+"/team/thing:1", "-o", "out")
	if got, err := os.ReadFile(filepath.Join(oras.dir, "out", "thing.txt")); err != nil || !bytes.Equal(got, content) {
		t.Errorf("pulled %q, %v", got, err)
	}
	if out := oras.must(t, "", "repo", "tags", "--plain-http", address+"/team/thing"); strings.TrimSpace(out) != "1" {
		t.Errorf("its tags are %q", out)
	}
	oras.refused(t, "", push...)
	oras.must(t, "", "logout", address)
	oras.refused(t, "", "pull", "--plain-http", address+"/team/thing:1")
}
