// Package proxywasm runs the registered modules inside a proxy-wasm host such as Envoy: importing it is all that the
// main package of a .wasm has to do besides importing its modules.
//
//	import (
//		_ "github.com/leash-gateway/leash/filters/auth"
//		_ "github.com/leash-gateway/leash/module/proxywasm"
//	)
//
//	func main() {}
//
// It is a thin adapter: what happens to an exchange is decided in package module, which runs natively too. Every
// callback contains panics, because a panic that reaches the host kills the VM and with it every exchange of a worker.
package proxywasm

import (
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	sdk "github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"

	"github.com/leash-gateway/leash/module"
)

func init() { sdk.SetVMContext(&vm{}) }

// garbage is the VM's, which may hold several plugins.
var garbage collector

type vm struct{ types.DefaultVMContext }

// NewPluginContext begins one plugin configuration; a VM may hold several, of which a new one replaces an old one
// when the configuration is changed in a running Envoy.
func (*vm) NewPluginContext(id uint32) types.PluginContext { return &plugin{id: id} }

// A plugin is a pipeline with the Host that it runs in.
type plugin struct {
	types.DefaultPluginContext
	id       uint32
	pipeline *module.Pipeline
	metrics  metrics
	later    later
	shared   sharedData
}

// OnPluginStart builds the pipeline. A configuration that is wrong stops the plugin: Envoy then refuses the update.
func (p *plugin) OnPluginStart(int) types.OnPluginStartStatus {
	config, err := sdk.GetPluginConfiguration()
	if err != nil && err != types.ErrorStatusNotFound { //nolint:errorlint // the SDK returns its sentinels unwrapped
		sdk.LogCritical("leash: configuration: " + err.Error())
		return types.OnPluginStartStatusFailed
	}
	if p.pipeline, err = module.NewPipeline(config, p); err != nil {
		sdk.LogCritical("leash: configuration: " + err.Error())
		return types.OnPluginStartStatusFailed
	}
	return types.OnPluginStartStatusOK
}

// NewHttpContext begins an exchange.
func (p *plugin) NewHttpContext(id uint32) types.HttpContext {
	h := &httpContext{stream: stream{id: id, later: &p.later}, plugin: p}
	h.flow = p.pipeline.Start(&h.stream)
	return h
}

// OnTick fires the timers that are due and writes what has been collected.
func (p *plugin) OnTick() {
	defer contain()
	p.later.fire(time.Now())
	p.flush()
	p.later.idle()
}

// OnPluginDone writes what has been collected before the plugin ends.
func (p *plugin) OnPluginDone() bool {
	defer contain()
	p.flush()
	return true
}

// flush writes the lines and counts that have been collected.
func (p *plugin) flush() {
	for name, n := range p.later.counts {
		p.metrics.add(module.CounterMetric, name, n)
	}
	clear(p.later.counts)
	if len(p.later.lines) > 0 {
		sdk.LogInfo(string(p.later.lines))
		p.later.lines = p.later.lines[:0]
	}
}

// Now is the host's clock.
func (p *plugin) Now() time.Time { return time.Now() }

// Log writes one line into the host's log. Records (JSON objects at level info) are collected and written together.
func (p *plugin) Log(level module.Level, message string) {
	if level == module.Info && strings.HasPrefix(message, "{") {
		if p.later.line(message); len(p.later.lines) > maxLines {
			p.flush()
		}
		return
	}
	switch level {
	case module.Debug:
		sdk.LogDebug(message)
	case module.Info:
		sdk.LogInfo(message)
	case module.Warn:
		sdk.LogWarn(message)
	default:
		sdk.LogError(message)
	}
}

// Metric adds to a metric of the host. Counts are collected and added together.
func (p *plugin) Metric(kind module.MetricKind, name string, value int64) {
	defer contain()
	if kind == module.CounterMetric {
		p.later.count(name, value)
		return
	}
	p.metrics.add(kind, name, value)
}

// Shared is the host's shared data.
func (p *plugin) Shared() module.SharedData { return p.shared }

// contain keeps a panic from reaching the host, and logs it as one line: the Go runtime's own text would be written
// into the host's log a word a line.
func contain() {
	if cause := recover(); cause != nil {
		logPanic(cause)
	}
}

func logPanic(cause any) {
	defer func() { _ = recover() }() // the log call itself may be what the host refuses
	stack := strings.Split(string(debug.Stack()), "\n")
	const head, frames = 7, 10 // past this function, contain and the runtime's panic
	if len(stack) > head+frames {
		stack = stack[head : head+frames]
	}
	sdk.LogCritical(fmt.Sprintf("leash: panic: %v; %s", cause, strings.ReplaceAll(strings.Join(stack, "; "), "\t", "")))
}
