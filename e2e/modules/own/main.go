// Command own is two modules for the tests, as somebody would write them: one puts a system prompt into requests, one tells a service what has ended.
package main

import (
	"bytes"
	"strconv"

	"github.com/leash-gateway/leash/module"
	_ "github.com/leash-gateway/leash/module/proxywasm"
)

func init() {
	module.Register("instruct", module.Policy, func(struct{}) (instruct, error) { return instruct{}, nil })
	module.Register("tell", module.Inspector, func(struct{}) (tell, error) { return tell{}, nil })
}

func main() {}

type instruct struct{}

func (instruct) Request(x *module.Exchange) error {
	if x.Request == nil {
		return nil
	}
	return x.SetRequestBody(bytes.Replace(x.RequestBody(), []byte(`"messages":[`), []byte(`"messages":[{"role":"system","content":"keep the house rule"},`), 1))
}

type tell struct{}

func (tell) ReadsUsage() bool { return true }
func (tell) FinishesLate()    {}

func (tell) Finish(x *module.Exchange) {
	record := x.Caller().Tenant + " " + strconv.Itoa(x.Status) + " " + strconv.FormatBool(x.Usage.Output > 0)
	if err := x.Send(module.Call{Upstream: "provider.collector", Method: "POST", Path: "/records", Authority: "collector", Body: []byte(record)}, nil); err != nil {
		x.Log(module.Error, err.Error())
	}
}
