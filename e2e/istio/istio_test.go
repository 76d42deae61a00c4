// Package istio tests with the code of Istio, which is in a Go module of its own: what WasmPlugin fetches is what
// leash module push has pushed. Envoy Gateway has the same fetcher.
package istio_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"istio.io/istio/pkg/wasm"

	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/registry/artifact"
	"github.com/leash-gateway/leash/registry/registrytest"
	"github.com/leash-gateway/leash/registry/remote"
)

func TestIstioFetchesWhatIsPushed(t *testing.T) {
	module := registrytest.Module(t, "greeter", "1.0.0", strings.Repeat("content ", 1000))
	m, err := manifest.Of("greeter.wasm", module)
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []artifact.Format{artifact.Image, artifact.Compat} {
		for _, secured := range []bool{false, true} {
			t.Run(string(format)+map[bool]string{true: " TLS"}[secured], func(t *testing.T) {
				var o remote.Options
				var address string
				if secured {
					address, o.CAFile = registrytest.ServeTLS(t, registrytest.Olareg(t))
				} else {
					address = registrytest.Serve(t, registrytest.Olareg(t))
				}
				c, err := remote.New(o)
				if err != nil {
					t.Fatal(err)
				}
				r, err := remote.Parse(address + "/team/greeter:1.0.0")
				if err != nil {
					t.Fatal(err)
				}
				a, err := artifact.Pack(module, m, artifact.Source{ABI: "0.2.1"}, format)
				if err != nil {
					t.Fatal(err)
				}
				at, err := c.Push(context.Background(), r, a)
				if err != nil {
					t.Fatal(err)
				}
				for _, url := range []string{r.String(), r.Name() + "@" + at.Digest.String()} {
					fetch, digest, err := wasm.NewImageFetcher(context.Background(), wasm.ImageFetcherOption{Insecure: secured}).PrepareFetch(url)
					if err != nil {
						t.Fatal(err)
					}
					got, err := fetch()
					if err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(got, module) || digest != at.Digest.Encoded() {
						t.Errorf("%s: got %d bytes of %s", url, len(got), digest)
					}
				}
			})
		}
	}
}
