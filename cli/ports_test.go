package cli

import (
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/leash-gateway/leash/config"
)

func TestAnAddressInUseIsToldWithItsPlaceOrAsTheDefault(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close() //nolint:errcheck // nobody connects
	const rest = "providers: {local: {base_url: 'http://127.0.0.1:9/v1'}}\nroutes: [{model: '*', provider: local}]\nallow_anonymous: true\npipeline: [{module: logger}]\n"
	address := taken.Addr().String()
	for text, want := range map[string]string{
		rest:                               "leash.yaml: listen: listen tcp " + address + ": bind: address already in use: it is the default: end what uses the address",
		"listen: " + address + "\n" + rest: "leash.yaml:1:9: listen: listen tcp " + address + ": bind: address already in use: end what uses the address",
	} {
		c, err := config.Parse("leash.yaml", []byte(text), os.LookupEnv)
		if err != nil {
			t.Fatal(err)
		}
		c.Listen = address // as if it were the default
		if err := portsAreFree(c); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestAnAddressThatCannotBeTakenSaysWhatToDo(t *testing.T) {
	for want, err := range map[string]error{
		"end what uses the address":       syscall.EADDRINUSE,
		"name an address of this machine": syscall.EADDRNOTAVAIL,
		"name a port from 1024 on":        syscall.EACCES,
	} {
		if got := otherAddress(&net.OpError{Op: "listen", Err: os.NewSyscallError("bind", err)}); !strings.HasPrefix(got, want) {
			t.Errorf("%v: got %s, want %s", err, got, want)
		}
	}
}
