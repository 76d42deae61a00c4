package server_test

import (
	"bytes"
	"errors"
	"net/http"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	crane "github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	oras "oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/leash-gateway/leash/registry/access"
	"github.com/leash-gateway/leash/registry/access/accesstest"
	"github.com/leash-gateway/leash/registry/server"
)

// guarded is a registry with a publisher and a reader of team/*, and everybody as a reader of public/*.
func guarded(t *testing.T) (r *registry, publisher, reader string) {
	t.Helper()
	control, secrets := accesstest.New(t,
		access.Grant{Role: access.Publisher, To: []string{"token:ci"}, Namespaces: []string{"team/*", "public/*"}},
		access.Grant{Role: access.Reader, To: []string{"token:prod"}, Namespaces: []string{"team/*"}},
		access.Grant{Role: access.Reader, To: []string{"anonymous"}, Namespaces: []string{"public/*"}},
	)
	return start(t, func(o *server.Options) { o.Access = control }), secrets["ci"], secrets["prod"]
}

func TestCraneLogsInAsUsual(t *testing.T) {
	t.Parallel()
	r, publisher, reader := guarded(t)
	image, err := random.Image(1000, 2)
	if err != nil {
		t.Fatal(err)
	}
	as := func(secret string) crane.Option {
		if secret == "" {
			return crane.WithAuth(authn.Anonymous)
		}
		return crane.WithAuth(&authn.Basic{Username: "whoever", Password: secret})
	}
	for path, tc := range map[string]struct {
		push, pull map[string]int // status by who
	}{
		"team/image:1":   {map[string]int{reader: http.StatusForbidden, "": http.StatusUnauthorized, publisher: 0}, map[string]int{reader: 0, publisher: 0, "": http.StatusUnauthorized, "leash_guess": http.StatusUnauthorized}},
		"public/image:1": {map[string]int{"": http.StatusUnauthorized, publisher: 0}, map[string]int{"": 0, reader: 0}},
		"other/image:1":  {map[string]int{publisher: http.StatusForbidden}, map[string]int{publisher: http.StatusForbidden}},
	} {
		ref, err := name.ParseReference(r.address + "/" + path)
		if err != nil {
			t.Fatal(err)
		}
		for secret, want := range tc.push {
			if want == 0 {
				continue
			}
			if got := statusOf(crane.Write(ref, image, as(secret))); !refusedAs(got, want) {
				t.Errorf("push %s: %d, want %d", path, got, want)
			}
		}
		if want, said := tc.push[publisher]; said && want == 0 {
			if err := crane.Write(ref, image, as(publisher)); err != nil {
				t.Fatalf("push %s: %v", path, err)
			}
		}
		for secret, want := range tc.pull {
			_, err := crane.Image(ref, as(secret))
			if got := statusOf(err); !refusedAs(got, want) {
				t.Errorf("pull %s: %v, want %d", path, err, want)
			}
		}
	}
}

// refusedAs says whether a status is the wanted one: where a token is asked for what one may not, it is 401 in the place of 403.
func refusedAs(got, want int) bool {
	return got == want || want == http.StatusForbidden && got == http.StatusUnauthorized
}

// statusOf is the status of crane's error, 0 for none.
func statusOf(err error) int {
	answer, ok := errors.AsType[*transport.Error](err)
	switch {
	case ok:
		return answer.StatusCode
	case err != nil:
		return -1
	}
	return 0
}

func TestOrasLogsInAsUsual(t *testing.T) {
	t.Parallel()
	r, publisher, reader := guarded(t)
	repository := func(secret string) *oras.Repository {
		made, err := oras.NewRepository(r.address + "/team/thing")
		if err != nil {
			t.Fatal(err)
		}
		made.PlainHTTP = true
		made.Client = &auth.Client{Client: http.DefaultClient, Cache: auth.NewCache(), Credential: auth.StaticCredential(r.address, auth.Credential{Username: "whoever", Password: secret})}
		return made
	}
	content := []byte("some content")
	d := ocispec.Descriptor{MediaType: "text/plain", Digest: digest.FromBytes(content), Size: int64(len(content))}
	if err := repository(publisher).Blobs().Push(t.Context(), d, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	got, err := repository(reader).Blobs().Fetch(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	_ = got.Close()
	err = repository(reader).Blobs().Push(t.Context(), d, bytes.NewReader(content))
	if answer, ok := errors.AsType[*errcode.ErrorResponse](err); !ok || answer.StatusCode/100 != 4 {
		t.Errorf("a reader pushed: %v", err)
	}
}
