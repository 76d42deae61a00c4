package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, written as 512KiB, 10MiB, 1GiB or plainly.
type Size int64

// UnmarshalText reads a size.
func (s *Size) UnmarshalText(text []byte) error {
	number, factor := string(text), int64(1)
	for _, unit := range []struct {
		suffix string
		factor int64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}} {
		if rest, ok := strings.CutSuffix(number, unit.suffix); ok {
			number, factor = strings.TrimSpace(rest), unit.factor
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 1 || n > 1<<40/factor {
		return fmt.Errorf("%q is not a size: write it as 512KiB, 10MiB or 1GiB", text)
	}
	*s = Size(n * factor)
	return nil
}

// MarshalText writes the number of bytes.
func (s Size) MarshalText() ([]byte, error) { return strconv.AppendInt(nil, int64(s), 10), nil }

// Duration is a time span, written as 500ms, 90s or 1h30m.
type Duration time.Duration

// UnmarshalText reads a duration, which must be positive.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a duration: write it as 500ms, 90s or 1h30m", text)
	}
	if parsed <= 0 {
		return fmt.Errorf("%q is not longer than nothing: write it as 500ms, 90s or 1h30m, or leave the field out", text)
	}
	if parsed < time.Millisecond {
		return fmt.Errorf("%q is less than a millisecond, the shortest time that Envoy can be told: it would take it for none", text)
	}
	*d = Duration(parsed)
	return nil
}

// MarshalText writes the duration.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Network are the addresses that begin alike, written as 10.20.0.0/16 or 2001:db8::/32.
type Network struct{ netip.Prefix }

// UnmarshalText reads a network. One of all addresses is none: whoever trusts everybody takes for the client what that says.
func (n *Network) UnmarshalText(text []byte) error {
	parsed, err := netip.ParsePrefix(string(text))
	if address, alone := netip.ParseAddr(string(text)); err != nil && alone == nil && address.Zone() == "" {
		return fmt.Errorf("%q is an address: write its network, %s for it alone", text, netip.PrefixFrom(address.Unmap(), address.Unmap().BitLen()))
	}
	switch {
	case err != nil:
		return fmt.Errorf("%q is not a network: write it as 10.20.0.0/16 or 2001:db8::/32", text)
	case parsed.Bits() == 0:
		return fmt.Errorf("%q are all addresses, so that every client could say which one is its own: name the proxies' alone", text)
	case parsed.Addr().Is4In6():
		return fmt.Errorf("%q is an IPv4 network within IPv6: write it as IPv4, such as 10.20.0.0/16", text)
	case parsed != parsed.Masked():
		return fmt.Errorf("%q has bits behind its first %d: write %s", text, parsed.Bits(), parsed.Masked())
	}
	n.Prefix = parsed
	return nil
}

// UnmarshalText reads a URL.
func (u *URL) UnmarshalText(text []byte) error {
	parsed, err := url.Parse(strings.TrimRight(string(text), "/"))
	switch {
	case err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https":
		return fmt.Errorf("%q is not a URL such as https://example.com/v1", text)
	case parsed.User != nil:
		return fmt.Errorf("the URL holds a user name or password: give the key in api_key")
	case parsed.Port() != "" && !isPort(parsed.Port()):
		return fmt.Errorf("%q has no port of 1 to 65535", text)
	case parsed.RawQuery != "" || parsed.Fragment != "":
		return fmt.Errorf("%q has a query or fragment, which a base URL has not", text)
	}
	u.URL = *parsed
	return nil
}

func isPort(text string) bool {
	port, err := strconv.ParseUint(text, 10, 16)
	return err == nil && port > 0
}

// MarshalText writes the URL.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// HostPort are where a URL leads, with the port that its scheme has where it names none.
func HostPort(u *url.URL) (host string, port uint16) {
	host = u.Hostname()
	if n, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
		return host, uint16(n)
	}
	if u.Scheme == "https" {
		return host, 443
	}
	return host, 80
}
