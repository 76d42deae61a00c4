// Command mortal is all of Leash's modules in one file, of which the logger takes the VM with it when the user says so.
package main

import (
	_ "github.com/leash-gateway/leash/filters/auth"
	_ "github.com/leash-gateway/leash/filters/contentfilter"
	_ "github.com/leash-gateway/leash/filters/costtracker"
	_ "github.com/leash-gateway/leash/filters/provider"
	_ "github.com/leash-gateway/leash/filters/ratelimit"
	_ "github.com/leash-gateway/leash/filters/route"
	_ "github.com/leash-gateway/leash/filters/tracer"
	"github.com/leash-gateway/leash/module"
	_ "github.com/leash-gateway/leash/module/proxywasm"
)

func init() {
	module.Register("logger", module.Inspector, func(struct{}) (logger, error) { return logger{}, nil })
}

func main() {}

type logger struct{}

func (logger) Request(x *module.Exchange) error {
	if x.Request != nil && x.Request.Texts[0].Value == "say: stack" {
		keep = deeper(0)
	}
	return nil
}

// keep is where results go, so that the compiler leaves the work in.
var keep int

func deeper(n int) int {
	var room [1024]byte
	room[n%len(room)] = byte(n)
	return deeper(n+1) + int(room[(n+1)%len(room)])
}
