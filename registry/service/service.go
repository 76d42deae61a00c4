// Package service is the catalogue's API: gRPC, gRPC-Web and JSON over HTTP (see api/leash/registry/v1).
package service

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"

	"connectrpc.com/connect"
	"github.com/opencontainers/go-digest"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/leash-gateway/leash/api/leash/registry/v1/registryv1connect"
	"github.com/leash-gateway/leash/registry/access"
	"github.com/leash-gateway/leash/registry/catalog"
	"github.com/leash-gateway/leash/registry/distribution"
)

// maxRequest bounds a request, in bytes.
const maxRequest = 1 << 20

// Domain is that of the errors' details.
const Domain = "registry.leash"

// A Promoter makes a channel point at a version, after those who follow it have prepared for that unless it is to be immediately.
type Promoter interface {
	Promote(ctx context.Context, a catalog.Actor, p catalog.Promotion, immediately bool) (catalog.Channel, distribution.Rollout, error)
}

var _ Promoter = (*distribution.Server)(nil)

// New is the API's handler, and the path below which it is served. A nil control lets everybody do everything. The log is
// told what clients are not: why the registry could not do something.
func New(c *catalog.Catalog, promoter Promoter, control *access.Control, log *slog.Logger) (path string, h http.Handler) {
	path, h = registryv1connect.NewCatalogServiceHandler(&service{catalog: c, promoter: promoter, log: log}, connect.WithReadMaxBytes(maxRequest))
	return path, authenticated(control, h)
}

type principalKey struct{}

// authenticated says whose requests are.
func authenticated(control *access.Control, h http.Handler) http.Handler {
	unknown := connect.NewErrorWriter()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := control.Authenticate(r)
		if err != nil {
			code, reason := connect.CodeUnauthenticated, "UNAUTHENTICATED"
			if !errors.Is(err, access.ErrUnknown) {
				code, reason = connect.CodeUnavailable, "ISSUER_UNAVAILABLE"
				err = errors.New("the issuer of the token cannot be asked for its keys: try again later")
			}
			_ = unknown.Write(w, r, detailed(code, err, reason, nil)) // who does not listen is not told
			return
		}
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), principalKey{}, who)))
	})
}

// service implements the API. Methods are in the files of what they are about.
type service struct {
	catalog  *catalog.Catalog
	promoter Promoter
	log      *slog.Logger
}

var _ registryv1connect.CatalogServiceHandler = (*service)(nil)

func who(ctx context.Context) *access.Principal {
	p, _ := ctx.Value(principalKey{}).(*access.Principal) // always there
	return p
}

func actor(ctx context.Context) catalog.Actor {
	return catalog.Actor{Name: who(ctx).Name, Via: "api"}
}

// detailed is an error with a google.rpc.ErrorInfo.
func detailed(code connect.Code, err error, reason string, about map[string]string) *connect.Error {
	e := connect.NewError(code, err)
	if detail, failure := connect.NewErrorDetail(&errdetails.ErrorInfo{Reason: reason, Domain: Domain, Metadata: about}); failure == nil {
		e.AddDetail(detail)
	}
	return e
}

// may says whether the caller may do something; what they may not read is not there for them.
func may(ctx context.Context, a access.Action, module string) error {
	p, about := who(ctx), map[string]string{"module": module}
	switch {
	case module == "":
		return detailed(connect.CodeInvalidArgument, errors.New("module is missing, such as team/hello"), "INVALID", nil)
	case p.May(a, module):
		return nil
	case p.Anonymous():
		return detailed(connect.CodeUnauthenticated, errors.New("log in as somebody who may "+string(a)+" in "+module), "UNAUTHENTICATED", about)
	}
	return detailed(connect.CodePermissionDenied, errors.New(p.Name+" may not "+string(a)+" in "+module+": an administrator of the registry can grant it"), "PERMISSION_DENIED", about)
}

// fault is an error of the catalogue's as clients get it.
func (s *service) fault(err error, about map[string]string) error {
	for _, known := range []struct {
		is     error
		code   connect.Code
		reason string
	}{
		{catalog.ErrInvalid, connect.CodeInvalidArgument, "INVALID"},
		{catalog.ErrPending, connect.CodeFailedPrecondition, "PENDING"},
		{catalog.ErrYanked, connect.CodeFailedPrecondition, "YANKED"},
		{catalog.ErrRefused, connect.CodeFailedPrecondition, "REFUSED"},
		{catalog.ErrConflict, connect.CodeAborted, "CONFLICT"},
		{catalog.ErrExists, connect.CodeAlreadyExists, "EXISTS"},
		{catalog.ErrNotFound, connect.CodeNotFound, "NOT_FOUND"},
		{context.Canceled, connect.CodeCanceled, "CANCELED"},
		{context.DeadlineExceeded, connect.CodeDeadlineExceeded, "DEADLINE_EXCEEDED"},
	} {
		if errors.Is(err, known.is) {
			return detailed(known.code, err, known.reason, about)
		}
	}
	s.log.Error("request failed", "error", err.Error())
	return detailed(connect.CodeInternal, errors.New("the registry could not do it; its log says why"), "INTERNAL", about)
}

// about names what an error is about.
func about(pairs ...string) map[string]string {
	named := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			named[pairs[i]] = pairs[i+1]
		}
	}
	return named
}

// pageOf is how many to tell.
func pageOf(wanted uint32, otherwise int) int {
	const most = 500
	if wanted == 0 {
		return otherwise
	}
	return int(min(wanted, most))
}

// expected is a digest that a client gave, "" or valid.
func expected(text string) (digest.Digest, error) {
	if text == "" {
		return "", nil
	}
	d := digest.Digest(text)
	if err := d.Validate(); err != nil {
		return "", detailed(connect.CodeInvalidArgument, errors.New("expected_digest: "+text+" is no digest"), "INVALID", nil)
	}
	return d, nil
}

// Tokens of pages are the name after which the next page begins.
func pageToken(name string) string { return base64.RawURLEncoding.EncodeToString([]byte(name)) }

func pageAfter(token string) (string, error) {
	name, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || bytes.IndexByte(name, 0) >= 0 {
		return "", detailed(connect.CodeInvalidArgument, errors.New("page_token is not what an answer has given"), "INVALID", nil)
	}
	return string(name), nil
}
