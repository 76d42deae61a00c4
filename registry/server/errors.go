package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"syscall"

	"github.com/leash-gateway/leash/registry/catalog"
	"github.com/leash-gateway/leash/registry/store"
)

// Codes of errors.
// https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes
const (
	codeBlobUnknown     = "BLOB_UNKNOWN"
	codeDenied          = "DENIED"
	codeDigestInvalid   = "DIGEST_INVALID"
	codeManifestInvalid = "MANIFEST_INVALID"
	codeManifestUnknown = "MANIFEST_UNKNOWN"
	codeNameInvalid     = "NAME_INVALID"
	codeNameUnknown     = "NAME_UNKNOWN"
	codeSizeInvalid     = "SIZE_INVALID"
	codeTooMany         = "TOOMANYREQUESTS"
	codeUnauthorized    = "UNAUTHORIZED"
	codeUnsupported     = "UNSUPPORTED"
	codeUnknown         = "UNKNOWN"
)

// fault is an error in the form that OCI's clients show to people.
type fault struct {
	status int
	code   string
	// message says what is wrong and what to do about it.
	message string
	// details are the single things that are wrong.
	details []string
}

func (f *fault) Error() string { return f.message }

// refuse makes a fault.
func refuse(status int, code, message string) *fault {
	return &fault{status: status, code: code, message: message}
}

// faultOf is what a client is told of an error.
func faultOf(err error) *fault {
	if f, ok := errors.AsType[*fault](err); ok {
		return f
	}
	for _, known := range []struct {
		is     error
		status int
		code   string
	}{
		{catalog.ErrNotFound, http.StatusNotFound, codeManifestUnknown},
		{catalog.ErrExists, http.StatusConflict, codeDenied},
		{catalog.ErrConflict, http.StatusConflict, codeDenied},
		{catalog.ErrPending, http.StatusForbidden, codeDenied},
		{catalog.ErrYanked, http.StatusForbidden, codeDenied},
		{catalog.ErrRefused, http.StatusForbidden, codeDenied},
		{store.ErrTampered, http.StatusForbidden, codeDenied},
		{catalog.ErrInvalid, http.StatusBadRequest, codeManifestInvalid},
		{context.Canceled, statusClientGone, codeUnknown},
	} {
		if errors.Is(err, known.is) {
			return &fault{status: known.status, code: known.code, message: err.Error()}
		}
	}
	if errors.Is(err, syscall.ENOSPC) {
		return refuse(http.StatusInsufficientStorage, codeUnknown, "the registry's disk is full: push again when those who run it have made room")
	}
	return refuse(http.StatusInternalServerError, codeUnknown, "the registry could not do it; its log says why")
}

// statusClientGone is never seen by anybody but the access log.
const statusClientGone = 499

// fail answers with an error, and logs one that is the registry's own.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	f := faultOf(err)
	if errors.Is(err, store.ErrTampered) {
		s.metrics.tampered.Inc()
	}
	if f.status == http.StatusInternalServerError || f.status == http.StatusInsufficientStorage || errors.Is(err, store.ErrTampered) {
		s.log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err.Error())
	}
	writeFault(w, r, f)
}

func writeFault(w http.ResponseWriter, r *http.Request, f *fault) {
	type one struct {
		Code    string   `json:"code"`
		Message string   `json:"message"`
		Detail  []string `json:"detail,omitempty"`
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(f.status)
	if r.Method != http.MethodHead {
		_ = json.NewEncoder(w).Encode(map[string][]one{"errors": {{f.code, f.message, f.details}}})
	}
}
