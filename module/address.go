package module

import "strings"

// ClientAddress is the client's address, without its port: the peer's or, where the host trusts that as a proxy, the one that it tells. IPv6 stands
// without brackets, and IPv4 within it as IPv4.
func (x *Exchange) ClientAddress() string {
	if x.address == "" {
		raw, _ := x.flow.s.Property("source", "address")
		x.address = hostOf(string(raw))
	}
	return x.address
}

// ClientNetwork is what one client has of addresses, and what limits by address count together: of IPv4 a single one; of IPv6 the 2^64 that begin
// with the same four groups, so that it could take another for each request (https://www.rfc-editor.org/rfc/rfc4291#section-2.5.4).
func (x *Exchange) ClientNetwork() string { return networkOf(x.ClientAddress()) }

// hostOf is an address without its port.
func hostOf(address string) string {
	if rest, isIPv6 := strings.CutPrefix(address, "["); isIPv6 {
		address, _, _ = strings.Cut(rest, "]")
	} else if host, port, _ := strings.Cut(address, ":"); !strings.Contains(port, ":") {
		address = host
	}
	if mapped, ok := strings.CutPrefix(address, "::ffff:"); ok && strings.Contains(mapped, ".") { // RFC 4291, section 2.5.5.2
		return mapped
	}
	return address
}

// networkOf is ClientNetwork of an address. Hosts write addresses after RFC 5952, which is all that is read here: net/netip would make the .wasm
// 140 KiB larger.
func networkOf(address string) string {
	text, _, _ := strings.Cut(address, "%")
	first, last, shortened := strings.Cut(text, "::")
	var groups []string
	if first != "" {
		groups = strings.Split(first, ":")
	}
	if shortened {
		zeros := 8 - len(groups)
		if last != "" {
			zeros -= strings.Count(last, ":") + 1
		}
		for range zeros {
			groups = append(groups, "0")
		}
		groups = append(groups, strings.Split(last, ":")...)
	}
	if len(groups) < 8 || strings.Contains(last, ".") { // IPv4, also within IPv6, or no address
		return address
	}
	return strings.Join(groups[:4], ":") + "::"
}
