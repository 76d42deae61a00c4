// Package conformance runs the OCI's own conformance suite on the registry, in a Go module of its own: what the suite
// depends on must not decide which versions Leash gets.
package conformance_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/leash-gateway/leash/registry/access"
	"github.com/leash-gateway/leash/registry/access/accesstest"
	"github.com/leash-gateway/leash/registry/server"
	"github.com/leash-gateway/leash/registry/server/servertest"
)

// suite is the program.
const suite = "github.com/opencontainers/distribution-spec/conformance"

func TestTheRegistryConformsToOCIDistribution(t *testing.T) {
	program := filepath.Join(t.TempDir(), "conformance")
	if out, err := exec.Command("go", "build", "-mod=mod", "-o", program, suite).CombinedOutput(); err != nil {
		t.Fatalf("build the suite: %v\n%s", err, out)
	}
	t.Run("open to everybody", func(t *testing.T) {
		t.Parallel()
		run(t, program, serve(t, nil))
	})
	t.Run("with access control", func(t *testing.T) {
		t.Parallel()
		control, secrets := accesstest.New(t, access.Grant{Role: access.Publisher, To: []string{"token:suite"}, Namespaces: []string{"conformance/*"}})
		run(t, program, serve(t, control), "OCI_USERNAME=suite", "OCI_PASSWORD="+secrets["suite"])
	})
}

func serve(t *testing.T, control *access.Control) string {
	t.Helper()
	_, address := servertest.Start(t, func(o *server.Options) { o.Access = control })
	return address
}

// verdict is a line of the suite's report, such as "Tag listing...: Pass".
var verdict = regexp.MustCompile(`(?m)^  ([A-Z][A-Za-z0-9 -]+?)\.*: +(Pass|FAIL|Error|Skip|Disabled)$`)

// run runs the suite. Layers that are not distributable are deprecated, and left out.
func run(t *testing.T, program, address string, env ...string) {
	t.Helper()
	results := t.TempDir()
	command := exec.Command(program)
	command.Dir = results
	command.Env = slices.Concat(os.Environ(), []string{
		"OCI_REGISTRY=" + address, "OCI_TLS=disabled", "OCI_RESULTS_DIR=" + results, "OCI_VERSION=1.1", "OCI_DATA_NONDISTRIBUTABLE=false",
		"OCI_API_BLOBS_DIGEST_HEADER=true", "OCI_API_MANIFESTS_DIGEST_HEADER=true", "OCI_API_BLOBS_UPLOAD_CANCEL=true",
	}, env)
	out, err := command.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	passed := map[string]bool{}
	for _, line := range verdict.FindAllStringSubmatch(string(out), -1) {
		passed[line[1]] = line[2] == "Pass"
	}
	for _, must := range []string{
		"Tag listing", "Tag delete", "Blob post only", "Blob post put", "Blob chunked", "Blob streaming", "Blob mount", "Blob get range", "Blob delete", "Blob upload cancel",
		"Manifest put by digest", "Manifest put by tag", "Manifest put with subject", "Manifest get by digest", "Manifest get by tag", "Manifest delete",
		"Referrers", "Ping", "Artifacts with Subject", "Blobs sha512", "Image", "Index", "Missing Subject",
	} {
		if !passed[must] {
			t.Errorf("%s has not passed", must)
		}
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
}
