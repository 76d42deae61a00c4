package server

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/leash-gateway/leash/registry/access"
	"github.com/leash-gateway/leash/registry/catalog"
)

// call is a request to the OCI API, by somebody who may send it.
type call struct {
	route
	who *access.Principal
	// any says that the repository takes any content.
	any bool
}

// actor is who is remembered for a change.
func (c *call) actor() catalog.Actor { return catalog.Actor{Name: c.who.Name, Via: "oci"} }

// serveOCI is the OCI distribution API.
func (s *Server) serveOCI(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Docker-Distribution-API-Version", "registry/2.0")
	c := &call{route: routeOf(r.URL.Path)}
	if f := c.check(); f != nil {
		writeFault(w, r, f)
		return
	}
	var ok bool
	if c.who, ok = s.admit(w, r, c.route); !ok {
		return
	}
	c.any = s.namespace(c.repository).Content == Any
	var err error
	switch read := r.Method == http.MethodGet || r.Method == http.MethodHead; {
	case c.kind == ping && read:
		w.Header().Set("Content-Type", "application/json")
		_, err = io.WriteString(w, "{}")
	case c.kind == manifests && read:
		err = s.getManifest(w, r, c)
	case c.kind == manifests && r.Method == http.MethodPut:
		err = s.putManifest(w, r, c)
	case c.kind == manifests && r.Method == http.MethodDelete:
		err = s.deleteManifest(w, r, c)
	case c.kind == content && read:
		err = s.getBlob(w, r, c)
	case c.kind == content && r.Method == http.MethodDelete:
		err = s.deleteBlob(w, r, c)
	case c.kind == upload:
		err = s.upload(w, r, c)
	case c.kind == tags && read:
		err = s.listTags(w, r, c)
	case c.kind == referrers && read:
		s.store.ServeHTTP(w, r) // what it says is verified by those who use it
	default:
		err = refuse(http.StatusMethodNotAllowed, codeUnsupported, r.Method+" is not done to this")
	}
	if err != nil {
		s.fail(w, r, err)
	}
}

// admit says who sends a request, and answers those who may not.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, t route) (*access.Principal, bool) {
	if who, is := r.Context().Value(localKey{}).(*access.Principal); is {
		return who, true
	}
	needed := t.needs(r.Method)
	challenge := func(message string) {
		s.options.Access.Challenge(w, r, t.repository, actionsFor(needed)...)
		writeFault(w, r, refuse(http.StatusUnauthorized, codeUnauthorized, message))
	}
	who, err := s.options.Access.Authenticate(r)
	switch {
	case errors.Is(err, access.ErrUnknown):
		challenge("the credentials are not known here, or no longer good: log in again")
		return nil, false
	case err != nil:
		s.log.Error("it cannot be found out who somebody is", "error", err.Error())
		writeFault(w, r, refuse(http.StatusServiceUnavailable, codeUnknown, "it cannot be found out now who you are: try again later"))
		return nil, false
	case t.kind == ping:
		// Docker's clients ask here first where they get a token: they need the challenge, even if anybody may read something.
		if s.options.Access != nil && who.Anonymous() {
			challenge("log in")
			return nil, false
		}
		return who, true
	case who.May(needed, t.repository):
		return who, true
	case who.Anonymous():
		challenge("you may not " + string(needed) + " in " + t.repository + " without logging in as somebody who may")
		return nil, false
	}
	denied := who.Name + " may not " + string(needed) + " in " + t.repository + ": an administrator of the registry can grant it"
	if r.Header.Get("Authorization") != "" && who.Scoped() { // a client that has not asked for it yet asks again
		challenge(denied)
		return nil, false
	}
	writeFault(w, r, refuse(http.StatusForbidden, codeDenied, denied))
	return nil, false
}

// actionsFor are what a client should ask for a token for.
func actionsFor(needed access.Action) []access.Action {
	if needed == access.Push {
		return []access.Action{access.Pull, access.Push}
	}
	return []access.Action{needed}
}

// known is what the catalogue says about a reference; nil without an error: it knows nothing of it, and the repository takes
// any content.
func (s *Server) known(c *call) (*catalog.Target, error) {
	target, err := s.catalog.Resolve(c.repository, c.reference)
	switch {
	case err == nil:
		return &target, nil
	case errors.Is(err, catalog.ErrNotFound) && c.any:
		return nil, nil //nolint:nilnil // said above
	}
	return nil, err
}

// mayServe says whether somebody may have a manifest that the catalogue knows.
func (s *Server) mayServe(ctx context.Context, c *call, target *catalog.Target) error {
	if target.Build == nil {
		return nil
	}
	if target.Build.State == catalog.Pending && c.who.Granted(access.Push, c.repository) {
		return nil // to be signed
	}
	return s.catalog.Usable(ctx, c.repository, target.Digest)
}
