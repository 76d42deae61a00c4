package gateway

import (
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/host/abi/chain"
)

// attributes are what modules may ask about an exchange and what does not follow from its headers, which package chain
// answers. docs/reference/places.md lists them.
//
// https://www.envoyproxy.io/docs/envoy/v1.40.0/intro/arch_overview/advanced/attributes
type attributes struct {
	x        *exchange
	began    time.Time
	client   string // its address, with the port
	request  *abi.Headers
	response *abi.Headers // nil before the answer
	provider *provider    // nil before the route is found
}

var _ abi.Properties = (*attributes)(nil)

// Property answers for one path.
func (a *attributes) Property(path string) ([]byte, abi.Status) {
	object, name, _ := strings.Cut(path, "\x00")
	value, found := "", false
	switch object {
	case "source":
		value, found = ofAddress(name, a.client)
	case "destination":
		if local, ok := a.x.request.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
			value, found = ofAddress(name, local.String())
		}
	case "request":
		value, found = a.ofRequest(name)
	case "connection":
		value, found = a.ofConnection(name)
	case "upstream":
		if found = name == "request_attempt_count" && a.x.attempt != nil; found {
			value = chain.Int(int64(a.x.attempt.number))
		}
	case "xds":
		value, found = a.ofRoute(name)
	}
	if !found {
		return nil, abi.NotFound
	}
	return []byte(value), abi.OK
}

// SetProperty is never asked: the chain keeps what modules set.
func (*attributes) SetProperty(string, []byte) abi.Status { return abi.NotFound }

func ofAddress(name, address string) (string, bool) {
	switch name {
	case "address":
		return address, true
	case "port":
		_, port, err := net.SplitHostPort(address)
		n, _ := strconv.ParseInt(port, 10, 64) // a port, if there is one
		return chain.Int(n), err == nil
	}
	return "", false
}

func (a *attributes) ofRequest(name string) (string, bool) {
	switch name {
	case "protocol":
		if a.x.request.ProtoMajor == 2 {
			return "HTTP/2", true
		}
		return a.x.request.Proto, true
	case "time":
		return chain.Int(a.began.UnixNano()), true
	case "duration":
		return chain.Int(int64(time.Since(a.began))), a.x.closed // known only when it is over
	}
	return "", false
}

func (a *attributes) ofConnection(name string) (string, bool) {
	switch name {
	case "mtls":
		return "\x00", true // clients have no certificates here
	case "requested_server_name", "tls_version":
		return "", false
	}
	return "", false
}

func (a *attributes) ofRoute(name string) (string, bool) {
	if a.provider != nil && name == "cluster_name" {
		return clusterName(a.provider.name), true
	}
	return "", false
}

// clusterName is what modules know a provider by.
func clusterName(provider string) string { return "provider." + provider }

// node answers what a plugin asks outside of exchanges.
type node struct{}

// Property knows nothing: there is no mesh here.
func (node) Property(string) ([]byte, abi.Status) { return nil, abi.NotFound }

// SetProperty keeps nothing.
func (node) SetProperty(string, []byte) abi.Status { return abi.NotFound }
