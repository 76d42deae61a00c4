package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/leash-gateway/leash/host/outage"
)

// Why a request is not sent at all.
var (
	errAbsent = errors.New("the provider does not answer its health check")
	errBusy   = errors.New("as many requests are under way to the provider as may be")
)

// errHeaders is why an answer is not read on.
var errHeaders = errors.New("the answer's headers cannot be read")

// An ofClient is why a request did not come to its end: no fault of the provider's.
type ofClient struct{ error }

// failed is what the client of a request is answered that a provider has not answered. Why, the operator is told: of a health check that
// fails its checker tells.
func (p *provider) failed(err error) reply {
	instead := unavailable
	if isGarbage(err) {
		instead = brokeOff // of which Envoy says so
	}
	p.counts.answered(instead.status)
	if errors.Is(err, errBusy) {
		return busy
	}
	if _, broke := errors.AsType[ofClient](err); !broke && !errors.Is(err, errAbsent) {
		p.counts.outage.Unreached(p.told, causeOf(err), time.Now())
	}
	return instead
}

// isGarbage tells whether what came was no HTTP, or only the beginning of an answer's head. net/http has no name for these errors.
func isGarbage(err error) bool {
	const broken = "net/http: HTTP/1.x transport connection broken: "
	if errors.Is(err, errHeaders) {
		return true
	}
	return (causeOf(err) == outage.Broken || errors.Is(err, io.ErrUnexpectedEOF)) && strings.Contains(err.Error(), broken)
}

// causeOf is the cause of an error of net/http's in words that are the same at the next request: no numbers of connections, no time. Nothing
// of what the provider has sent is in it, for that may be what it was sent.
func causeOf(err error) string {
	if _, unreached := errors.AsType[dialError](err); !unreached {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
			strings.HasSuffix(err.Error(), closedIdle) {
			return outage.Closed
		}
		return outage.Broken
	}
	if unknown, ok := errors.AsType[*net.DNSError](err); ok {
		if unknown.IsNotFound {
			return outage.UnknownName
		}
		return outage.UnknownName + dnsSilent
	}
	if cause := causeInCertificate(err); cause != "" {
		return cause
	}
	late, isTimeout := errors.AsType[net.Error](err)
	_, noTLS := errors.AsType[tls.RecordHeaderError](err)
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), isTimeout && late.Timeout():
		return outage.Late
	case errors.Is(err, syscall.ECONNREFUSED):
		return outage.Refused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return outage.NoRoute
	case noTLS:
		return outage.NoTLS
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return outage.Closed
	}
	if at, ok := errors.AsType[*net.OpError](err); ok { // its own text has the port of this end
		return at.Err.Error()
	}
	return err.Error()
}

// closedIdle is how an error of net/http's ends that has no name: the connection was closed as the request was about to be sent.
const closedIdle = "http: server closed idle connection"

// dnsSilent stands behind the cause where it may only seem so.
const dnsSilent = ": its servers do not answer"

// causeInCertificate is "" where that is not what is wrong.
func causeInCertificate(err error) string {
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if invalid.Reason == x509.Expired {
			return outage.Expired
		}
		return outage.Certificate + ": " + invalid.Error()
	}
	if other, ok := errors.AsType[x509.HostnameError](err); ok {
		return outage.OtherName + ": " + strings.TrimPrefix(other.Error(), "x509: ")
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return outage.Untrusted
	}
	if invalid, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return outage.Certificate + ": " + invalid.Err.Error()
	}
	return ""
}
