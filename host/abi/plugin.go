package abi

import (
	"fmt"
	"time"
)

// PluginConfig is one configuration of a module.
type PluginConfig struct {
	// Name is for logs and the property plugin_name.
	Name string
	// RootID tells a module that holds several plugins which one is meant.
	RootID string
	// Configuration is what proxy_on_configure is about.
	Configuration []byte
	// AllowOnHeadersStopIteration lets a module pause on headers and still see the body, as the option of that name in
	// Envoy's PluginConfig. Without it, Pause on headers becomes PauseAll.
	AllowOnHeadersStopIteration bool
	// Properties are what the plugin sees outside of streams, as "xds.node". Default: none but its own.
	Properties Properties
}

// Properties are the attributes of an exchange, connection or plugin. A path is of one or more names, joined by zero
// bytes: "request\x00headers\x00host". plugin_name, plugin_root_id and plugin_vm_id are answered before Properties are asked.
//
// Values are bytes as Envoy serializes them: strings as they are, integers, durations and times (nanoseconds) as 8 bytes
// little-endian, bool as one byte, lists and maps as pairs, messages as protobuf.
// https://www.envoyproxy.io/docs/envoy/v1.40.0/intro/arch_overview/advanced/attributes
type Properties interface {
	Property(path string) (value []byte, status Status)
	// SetProperty must copy value if it keeps it.
	SetProperty(path string, value []byte) Status
}

// A Plugin is one configuration of a module in a VM: a root context.
type Plugin struct {
	vm     *VM
	config PluginConfig
	id     uint32

	configuring bool
	closing     bool // proxy_on_done answered false

	tick     time.Duration
	stopTick func()

	status        Status // of the last callout, for proxy_get_status
	statusMessage string
	answer        *HTTPAnswer
	grpcMessage   *Buffer
	grpcMetadata  [2]*Headers // initial, trailing
	foreign       *Buffer
	declared      map[string]bool // properties, and whether they may be set only once
}

// NewPlugin creates a plugin and configures it. A plugin that refuses its configuration (ErrRefused) is not usable, the VM is.
func (vm *VM) NewPlugin(config PluginConfig) (*Plugin, error) {
	if vm.failure != nil {
		return nil, vm.failure
	}
	p := &Plugin{vm: vm, config: config, id: vm.newID()}
	vm.contexts[p.id] = p
	if err := p.start(); err != nil {
		p.stopTicks()
		delete(vm.contexts, p.id)
		return nil, fmt.Errorf("start plugin %s: %w", config.Name, err)
	}
	return p, nil
}

func (p *Plugin) start() error {
	p.configuring = true
	defer func() { p.configuring = false }()
	calls, size := &p.vm.calls, uint64(len(p.config.Configuration))
	if _, err := p.callback(calls.contextCreate, 0); err != nil {
		return err
	}
	for _, step := range []struct {
		callback callback
		size     uint64
	}{
		{calls.vmStart, uint64(len(p.vm.config.Configuration))},
		{calls.configure, size},
	} {
		if step.callback.function == nil {
			continue
		}
		accepted, err := p.callback(step.callback, step.size)
		if err != nil {
			return err
		}
		if accepted == 0 {
			return fmt.Errorf("%s: %w", step.callback.name, ErrRefused)
		}
	}
	return nil
}

// Validate asks the module what it thinks of a configuration without applying it. Modules without such a callback, which are nearly all,
// accept everything.
func (p *Plugin) Validate(configuration []byte) (bool, error) {
	c := p.vm.calls.validateConfiguration
	if c.function == nil {
		return true, nil
	}
	saved := p.config.Configuration
	p.config.Configuration, p.configuring = configuration, true
	defer func() { p.config.Configuration, p.configuring = saved, false }()
	accepted, err := p.callback(c, uint64(len(configuration)))
	return accepted != 0, err
}

// callback runs a callback that may take as long as a start.
func (p *Plugin) callback(c callback, argument uint64) (uint32, error) {
	if c.function == nil {
		return 0, nil
	}
	p.vm.arguments[0], p.vm.arguments[1] = uint64(p.id), argument
	result, err := p.vm.call(p, c, p.vm.program.engine.startDeadline)
	if err == nil {
		p.vm.settle()
	}
	return result, err
}

// SetsOnce tells whether the plugin has declared a property, by its path, as one that cannot be set again.
func (p *Plugin) SetsOnce(path string) bool { return p.declared[path] }

// VM is where the plugin lives.
func (p *Plugin) VM() *VM { return p.vm }

// Close ends the plugin: proxy_on_done, and proxy_on_delete. Its streams must be closed before. A module that is not done yet
// (it answered false) stays until it calls proxy_done or its VM is closed; closed is false then.
func (p *Plugin) Close() (closed bool, err error) {
	if p.vm.contexts[p.id] == nil || p.closing {
		return !p.closing, nil
	}
	if p.vm.calls.done.function != nil {
		done, err := p.callback(p.vm.calls.done, 0)
		if err != nil {
			return true, err
		}
		if done == 0 {
			p.closing = true
			return false, nil
		}
	}
	return true, p.remove()
}

func (p *Plugin) remove() error {
	p.stopTicks()
	p.vm.http.cancelOf(p)
	p.vm.grpc.cancelOf(p)
	_, err := p.callback(p.vm.calls.delete, 0)
	delete(p.vm.contexts, p.id)
	return err
}

// CallForeign calls proxy_on_foreign_function with data, and tells whether the module has one.
func (p *Plugin) CallForeign(id uint32, data []byte) (bool, error) {
	c := p.vm.calls.foreignFunction
	if c.function == nil {
		return false, p.vm.failure
	}
	p.foreign = NewBuffer(data)
	p.vm.arguments[0], p.vm.arguments[1], p.vm.arguments[2] = uint64(p.id), uint64(id), uint64(len(data))
	err := p.vm.callAndSettle(p, c)
	p.foreign = nil
	return true, err
}

// setTick begins, changes or (0) ends the ticks.
func (p *Plugin) setTick(period time.Duration) {
	p.stopTicks()
	p.tick = period
	if period > 0 {
		p.armTick()
	}
}

func (p *Plugin) armTick() {
	stopped := false
	stop := p.vm.config.Host.Clock.AfterFunc(p.tick, func() {
		p.vm.worker.Post(func() {
			if !stopped {
				p.onTick()
			}
		})
	})
	p.stopTick = func() {
		stopped = true
		stop()
	}
}

func (p *Plugin) stopTicks() {
	if p.stopTick != nil {
		p.stopTick()
	}
	p.tick, p.stopTick = 0, nil
}

func (p *Plugin) onTick() {
	p.stopTick = nil
	if p.vm.failure != nil {
		return
	}
	if c := p.vm.calls.tick; c.function != nil {
		p.vm.arguments[0] = uint64(p.id)
		if p.vm.callAndSettle(p, c) != nil {
			return
		}
	}
	if p.tick > 0 && p.stopTick == nil { // the tick itself may have changed it
		p.armTick()
	}
}

func (p *Plugin) root() *Plugin     { return p }
func (p *Plugin) contextID() uint32 { return p.id }
func (p *Plugin) stream() *Stream   { return nil }
func (p *Plugin) conn() *Conn       { return nil }
func (p *Plugin) failed(error)      { p.stopTicks() }

func (vm *VM) newID() uint32 {
	for {
		id := vm.nextID
		vm.nextID++
		if _, taken := vm.contexts[id]; !taken && id != 0 {
			return id
		}
	}
}
