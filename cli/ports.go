package cli

import (
	"errors"
	"io/fs"
	"net"
	"syscall"

	"github.com/leash-gateway/leash/config"
)

// portsAreFree says early and clearly what Envoy would say late. Its error is no *config.Error: in a moment the same leash.yaml may be good.
func portsAreFree(c *config.Config) error {
	for _, a := range []struct{ path, address string }{
		{"listen", c.Listen}, {"control.listen", c.Control.Listen}, {"envoy.admin", c.Envoy.Admin},
	} {
		l, err := net.Listen("tcp", a.address) //nolint:noctx // closed at once
		if err != nil {
			whose := ""
			if !c.Given(a.path) {
				whose = "it is the default: "
			}
			return errors.New(c.Errorf(a.path, "%v: %s%s", err, whose, otherAddress(err)).Error())
		}
		_ = l.Close()
	}
	return nil
}

// otherAddress says what to do about an address that cannot be listened on.
func otherAddress(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "name an address of this machine, or 0.0.0.0 for all of them"
	case errors.Is(err, fs.ErrPermission):
		return "name a port from 1024 on, or let this program take lower ones (CAP_NET_BIND_SERVICE)"
	}
	return "end what uses the address, or name another"
}
