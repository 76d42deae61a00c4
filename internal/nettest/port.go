package nettest

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"
)

// lastPort is the last that FreePort has given. It counts below the ports that systems give to connections, which tests that run beside each
// other take many of.
var lastPort atomic.Int64

func init() { lastPort.Store(int64(10_000 + os.Getpid()%20_000)) } // others test on this machine too

// FreePort finds a port on which nobody listens, and gives each once.
func FreePort(t testing.TB) int {
	t.Helper()
	for {
		port := int(lastPort.Add(1))
		if port >= 32_768 { // the first that Linux gives to connections
			t.Fatal("no port is free")
		}
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil { //nolint:noctx // it is closed at once
			_ = l.Close()
			return port
		}
	}
}

// FreeAddress is such a port with its host.
func FreeAddress(t testing.TB) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", FreePort(t))
}
