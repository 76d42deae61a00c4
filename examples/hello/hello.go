// Command hello is a whole module: it greets the provider.
package main

import (
	"github.com/leash-gateway/leash/module"
	_ "github.com/leash-gateway/leash/module/proxywasm"
)

type hello struct{}

func (hello) Request(x *module.Exchange) error {
	x.SetRequestHeader("x-greeting", "hello from "+x.Caller().Tenant)
	return nil
}

func init() {
	module.Register("hello", module.Inspector, func(struct{}) (hello, error) { return hello{}, nil })
}

func main() {}
