package gateway

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/leash-gateway/leash/config"
)

// maxForwarded is how many addresses Envoy reads in X-Forwarded-For; of a longer list it believes none: getLastNonTrustedAddressFromXFF in
// source/common/http/utility.cc.
const maxForwarded = 20

// clientAddress is where a request comes from, with its port: the peer's own address or, where the peer is a trusted proxy, the last one in
// X-Forwarded-For that is not such a proxy's, whose port nobody tells. Where that cannot be read the proxy counts as the client, as in Envoy.
func clientAddress(r *http.Request, trusted []config.Network) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !oneOf(trusted, peer.Addr()) {
		return r.RemoteAddr
	}
	list := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	if len(list) > maxForwarded {
		return r.RemoteAddr
	}
	var client netip.Addr
	for _, entry := range slices.Backward(list) {
		if client, err = netip.ParseAddr(strings.Trim(entry, " \t")); err != nil {
			return r.RemoteAddr
		}
		if !oneOf(trusted, client) {
			break
		}
	}
	return netip.AddrPortFrom(client, 0).String()
}

func oneOf(networks []config.Network, a netip.Addr) bool {
	a = a.WithZone("")
	return slices.ContainsFunc(networks, func(n config.Network) bool { return n.Contains(a) })
}
