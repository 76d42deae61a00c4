package nettest

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"
)

// Ports are given below those that systems give to connections, which tests that run beside each other take many of: Linux begins at 32768.
const firstPort, allPorts = 10_000, 22_768

// ports counts those that FreePort has looked at.
var ports atomic.Int64

func init() { ports.Store(int64(os.Getpid())) } // others test on this machine too

// FreePort finds a port on which nobody listens. No other test gets it before this one has ended, of this program or of another.
func FreePort(t testing.TB) int {
	t.Helper()
	for range allPorts {
		port := firstPort + int(ports.Add(1)%allPorts)
		// UDP, of which no test needs anything, keeps the number until the test listens at it itself, and afterwards.
		kept, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", port)) //nolint:noctx // it ends with the test
		if err != nil {
			continue
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)) //nolint:noctx // it is closed at once
		if err != nil {
			_ = kept.Close()
			continue
		}
		_ = l.Close()
		t.Cleanup(func() { _ = kept.Close() })
		return port
	}
	t.Fatal("no port is free")
	return 0
}

// FreeAddress is such a port with its host.
func FreeAddress(t testing.TB) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", FreePort(t))
}
