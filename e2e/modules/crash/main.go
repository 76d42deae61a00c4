// Command crash is a module for the tests that goes wrong in the way that the user's message names, as a policy and as
// an inspector.
package main

import (
	"strings"
	"time"

	"github.com/leash-gateway/leash/module"
	_ "github.com/leash-gateway/leash/module/proxywasm"
)

func init() {
	module.Register("crash-policy", module.Policy, build)
	module.Register("crash-inspector", module.Inspector, build)
}

func main() {}

type config struct {
	// Fail makes the construction of the module fail, as a wrong configuration does.
	Fail bool `json:"fail"`
}

func build(c config) (crash, error) {
	if c.Fail {
		return crash{}, module.Refuse(0, "fail", "was told to fail")
	}
	return crash{}, nil
}

type crash struct{}

func (crash) Request(x *module.Exchange) error {
	if x.Request == nil || len(x.Request.Texts) == 0 {
		return nil
	}
	what := strings.TrimPrefix(x.Request.Texts[0].Value, "say: ")
	switch what {
	case "panic":
		panic("a secret of the module")
	case "nil":
		var nobody *module.Exchange
		nobody.ID = "x"
	case "stack":
		keep = deeper(0)
	case "memory":
		for {
			hoard = append(hoard, make([]byte, 64<<20))
			hoard[len(hoard)-1][0] = 1
		}
	case "loop":
		for {
			turns++
		}
	case "wait":
		return x.After(300*time.Millisecond, func() error {
			x.SetRequestHeader("x-waited", "yes")
			return nil
		})
	case "refuse later":
		return x.After(50*time.Millisecond, func() error { return module.Refuse(403, "refused_later", "after some thought") })
	case "metadata":
		who, _ := x.Property("metadata", "filter_metadata", "own", "who")
		x.SetRequestHeader("x-who", string(who))
		x.SetFact("who", string(who))
	case "ask":
		return x.Call(module.Call{Upstream: "provider.openai", Method: "GET", Path: "/v1/models", Authority: "provider"},
			func(r module.CallResult) error {
				if r.Status != 200 {
					return module.Refuse(403, "asked", "was told %d", r.Status)
				}
				return nil
			})
	}
	return nil
}

func (crash) Event(_ *module.Exchange, e *module.Event) error {
	for _, t := range e.Texts {
		if strings.Contains(t.Value, "boom") {
			panic("in an event")
		}
	}
	return nil
}

var (
	keep  int
	hoard [][]byte
	turns int
)

//go:noinline
func deeper(n int) int {
	var room [1024]byte
	room[n%len(room)] = byte(n)
	return deeper(n+1) + int(room[(n+1)%len(room)])
}
