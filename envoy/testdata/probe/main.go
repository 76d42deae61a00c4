// Command probe is the .wasm of this package's tests: it says that it ran, picks a route, and goes wrong when told to.
// It is written against the SDK alone, so that what is tested is Envoy's side only.
package main

import (
	"strconv"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
	"github.com/tidwall/gjson"
)

func main() {}

func init() {
	proxywasm.SetPluginContext(func(uint32) types.PluginContext { return &plugin{} })
}

type plugin struct {
	types.DefaultPluginContext
	say, route string
}

// OnPluginStart takes {"modules":[{"config":{"say":TEXT,"refuse":BOOL}}, {"name":"route","config":{"routes":[...]}}]}.
func (p *plugin) OnPluginStart(int) types.OnPluginStartStatus {
	data, err := proxywasm.GetPluginConfiguration()
	if err != nil {
		return types.OnPluginStartStatusFailed
	}
	modules := gjson.GetBytes(data, "modules")
	if modules.Get("#(config.refuse==true)").Exists() {
		proxywasm.LogError("the module refuses its configuration, as it was told to")
		return types.OnPluginStartStatusFailed
	}
	p.say = modules.Get("0.config.say").String()
	p.route = modules.Get(`#(name=="route").config.routes.0.name`).String()
	return types.OnPluginStartStatusOK
}

// NewHttpContext makes the context of a request.
func (p *plugin) NewHttpContext(uint32) types.HttpContext { return &exchange{plugin: p} }

type exchange struct {
	types.DefaultHttpContext
	plugin *plugin
}

// OnHttpRequestHeaders does what the header x-probe says.
func (x *exchange) OnHttpRequestHeaders(int, bool) types.Action {
	if x.plugin.route != "" {
		_ = proxywasm.ReplaceHttpRequestHeader("x-leash-route", x.plugin.route)
	}
	switch what, _ := proxywasm.GetHttpRequestHeader("x-probe"); what {
	case "log":
		proxywasm.LogInfo(`{"event":"exchange","who":"` + x.plugin.say + `"}`)
		proxywasm.LogInfo("a line of a module")
	case "share":
		err := proxywasm.SetSharedData("key", []byte("value"), 0)
		_ = proxywasm.SendHttpResponse(200, [][2]string{{"x-failed", strconv.FormatBool(err != nil)}}, nil, -1)
	case "echo":
		forged, _ := proxywasm.GetHttpRequestHeader("x-leash-tenant")
		_ = proxywasm.SendHttpResponse(200, [][2]string{{"x-forged", forged}}, nil, -1)
	case x.plugin.say + " dies":
		if x.plugin.say != "" {
			panic("as told")
		}
	case x.plugin.say + " exhausts its stack":
		if x.plugin.say != "" {
			deeper(0)
		}
	}
	return types.ActionContinue
}

// OnHttpResponseHeaders says that the module has run.
func (x *exchange) OnHttpResponseHeaders(int, bool) types.Action {
	if x.plugin.say != "" {
		_ = proxywasm.AddHttpResponseHeader("x-said", x.plugin.say)
	}
	return types.ActionContinue
}

//go:noinline
func deeper(n int) int { return deeper(n+1) + n }
