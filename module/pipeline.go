package module

import (
	"errors"
	"slices"

	"github.com/leash-gateway/leash/module/printf"
)

// settings is the configuration that a Leash .wasm gets from its host.
type settings struct {
	// Modules run in this order.
	Modules []moduleSettings `json:"modules"`
	// MaxRequestBytes bounds a request's body; past it the client reads 413.
	MaxRequestBytes int64 `json:"max_request_bytes"`
	// MaxResponseBytes bounds an answer that is not streamed.
	MaxResponseBytes int64 `json:"max_response_bytes"`
	// Passthrough are the paths that are no LLM traffic and may pass all the same, uninspected.
	Passthrough []string `json:"passthrough"`
	// Handover is set where one pipeline is spread over several filters: they hand facts on as host properties.
	Handover bool `json:"handover"`
	// Shared is set where one pipeline is spread over several filters of one VM.
	Shared bool `json:"shared"`
	// Previous and Next say that the filter directly ahead of this one and the one directly behind it are of the same VM. What they let go on is what
	// comes here, so it is not asked for again.
	Previous bool `json:"previous"`
	Next     bool `json:"next"`
	// NoHeaderPause is for hosts that cannot hold headers back while the body arrives (an Envoy filter without
	// allow_on_headers_stop_iteration): headers then leave before the body has been looked at, so modules can refuse
	// but not change headers, and a refused answer keeps its status.
	NoHeaderPause bool `json:"no_header_pause"`
	// Wire is for a carrier whose host takes requests as bytes, and gives answers so.
	Wire bool `json:"wire"`
}

type moduleSettings struct {
	Name    string               `json:"name"`
	Config  RawConfig            `json:"config"`
	Tenants map[string]RawConfig `json:"tenants"`
}

// SetDefaults sets the bounds that hold where the configuration names none.
func (s *settings) SetDefaults() {
	s.MaxRequestBytes = 10 << 20
	s.MaxResponseBytes = 32 << 20
}

// A Pipeline runs modules in order over the exchanges of one host. It is used by one goroutine at a time.
type Pipeline struct {
	settings
	host     Host
	vm       *VM
	slots    []slot
	needs    Phase
	policy   bool // a policy is among the modules: what cannot be read is refused
	first    int  // index of the first policy
	handover bool
	carrier  Carrier // alone in its pipeline
	bodies   bool    // of requests are shown
	families families
	// unflushed says that a module has put something off.
	unflushed bool
	// late says that there are modules which may be told the end of an exchange later.
	late bool
	// shown says that some of a request's body has been shown, or that it has been said that none was.
	shown bool
}

type slot struct {
	name    string
	kind    Kind
	base    *instance
	tenants map[string]*instance
	told    bool // its author has been told of a mistake
}

// of returns the instance with the configuration of the exchange's tenant.
func (s *slot) of(x *Exchange) *instance {
	if len(s.tenants) > 0 {
		if in, ok := s.tenants[x.Caller().Tenant]; ok {
			return in
		}
	}
	return s.base
}

// NewPipeline builds the modules that config names. A .wasm that holds a single module may also be given that module's
// own configuration alone. An error names the module and the path of the value that is wrong. Whoever only wants to know that needs no host.
func NewPipeline(config []byte, host Host) (*Pipeline, error) {
	p := &Pipeline{host: host, first: -1}
	if names := Names(); len(names) == 1 && !namesModules(config) {
		p.SetDefaults()
		p.Modules = []moduleSettings{{Name: names[0], Config: config}}
	} else if err := Decode(config, &p.settings); err != nil {
		return nil, err
	}
	if len(p.Modules) == 0 {
		return nil, errors.New("modules: names no module")
	}
	p.handover = p.Handover
	for i, m := range p.Modules {
		s, err := newSlot(m)
		if err != nil {
			return nil, printf.Errorf("modules[%d] (%s): %w", i, m.Name, err)
		}
		if s.kind == Policy && !p.policy {
			p.policy, p.first = true, i
		}
		if p.NoHeaderPause && (s.base.holds || s.base.carry != nil) {
			return nil, printf.Errorf("no_header_pause: modules[%d] (%s) sets headers by what is in the body, and they have left by then: "+
				"it needs a host that holds them back, which Envoy does with allow_on_headers_stop_iteration: true", i, m.Name)
		}
		p.take(s.base)
		for _, in := range s.tenants {
			p.take(in)
		}
		p.slots = append(p.slots, s)
		p.carrier = s.base.carry
	}
	if p.needs&PhaseCarry != 0 && (len(p.slots) > 1 || len(p.slots[0].tenants) > 0) {
		return nil, errors.New("modules: one that takes exchanges to a provider stands alone, and has no configuration for tenants")
	}
	if host != nil {
		p.vm, p.bodies = host.VM(), host.RequestBodies()
	}
	return p, nil
}

// take has the pipeline ask of the host what a module needs.
func (p *Pipeline) take(in *instance) {
	p.needs |= in.needs
	in.late = in.late && !p.handover // what filters hand on is the host's
	p.late = p.late || in.late
}

// namesModules says whether a configuration is a pipeline's, and not that of a single module.
func namesModules(config []byte) bool {
	whole, err := checked(config)
	return err == nil && whole.has("modules")
}

func newSlot(m moduleSettings) (slot, error) {
	definition, known := Lookup(m.Name)
	if !known {
		return slot{}, printf.Errorf("is not in this .wasm, which holds %v", Names())
	}
	s := slot{name: m.Name, kind: definition.Kind, tenants: map[string]*instance{}}
	var err error
	if s.base, err = build(definition, m.Config); err != nil {
		return s, printf.Errorf("config: %w", err)
	}
	for tenant, config := range m.Tenants {
		if s.tenants[tenant], err = build(definition, config); err != nil {
			return s, printf.Errorf("config for tenant %s: %w", tenant, err)
		}
	}
	return s, nil
}

// build makes a module. One whose constructor panics is refused as one that returns an error.
func build(d Definition, config []byte) (in *instance, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = panicError(cause)
		}
	}()
	m, err := d.New(config)
	if err != nil {
		return nil, err
	}
	made, err := newInstance(m)
	return &made, err
}

// Flush lets modules do what they have put off.
func (p *Pipeline) Flush() {
	if !p.unflushed {
		return
	}
	p.vm.finishEnded()
	p.unflushed = false
	for i := range p.slots {
		s := &p.slots[i]
		p.flush(s, s.base)
		for _, in := range s.tenants {
			p.flush(s, in)
		}
	}
}

// flushSoon asks for a Flush.
func (p *Pipeline) flushSoon() {
	if !p.unflushed {
		p.unflushed = true
		p.host.FlushSoon()
	}
}

func (p *Pipeline) flush(s *slot, in *instance) {
	if in.flush == nil {
		return
	}
	defer p.contain(s, "failed to flush")
	in.flush.Flush(p.hostOf(s))
}

// moduleHost is the host as one of the modules has it.
type moduleHost struct {
	Host
	p *Pipeline
	s *slot
}

func (p *Pipeline) hostOf(s *slot) moduleHost { return moduleHost{p.host, p, s} }

// Send sends what can be sent, and contains what the module makes of the answer.
func (h moduleHost) Send(call Call, done func(CallResult)) error {
	if err := call.prepare(); err != nil {
		return err
	}
	return h.Host.Send(call, func(result CallResult) {
		defer h.p.contain(h.s, "failed with what came of a call")
		if done != nil {
			done(result)
		}
	})
}

// contain is deferred around what a module does outside of an exchange.
func (p *Pipeline) contain(s *slot, what string) {
	if cause := recover(); cause != nil {
		p.host.Log(Error, "module "+s.name+" "+what+": "+panicError(cause).Error())
		p.host.Metric(p.families.series(failures, []string{s.name}), 1)
	}
}

// readsAnswers says whether any module looks into answers.
func (p *Pipeline) readsAnswers() bool {
	return p.needs&(PhaseResponse|PhaseEvent|PhaseUsage) != 0
}

// knowsAnswers says whether any module is told of answers.
func (p *Pipeline) knowsAnswers() bool {
	return p.readsAnswers() || p.needs&(PhaseResponseHeader|PhaseFinish|PhaseCarry) != 0
}

// NeedsRequestBody says whether the host must call with the bodies of requests. Modules that only look at answers are
// shown the request too.
func (p *Pipeline) NeedsRequestBody() bool {
	return p.needs&(PhaseRequest|PhaseUsage|PhaseBody|PhaseResponse|PhaseEvent) != 0
}

// NeedsResponse says whether the host must call with answers.
func (p *Pipeline) NeedsResponse() bool { return p.knowsAnswers() }

// warnOfPause tells, once, of a host that may hold back bodies for as long as headers are held back. Such requests wait for ever.
func (p *Pipeline) warnOfPause() {
	if !p.shown {
		p.shown = true
		p.host.Log(Warn, "a request ended before any of its body came. If all do, the host holds the body back while the headers are held: "+
			"set allow_on_headers_stop_iteration: true in the config of Envoy's Wasm filter or, where that cannot be set, no_header_pause: true beside modules")
	}
}

// passes says whether a path that is no LLM traffic may pass.
func (p *Pipeline) passes(path string) bool {
	return !p.policy || p.needs&PhaseBody != 0 || slices.Contains(p.Passthrough, path)
}

// Policy says whether a policy is in the pipeline, which is then the pipeline's kind.
func (p *Pipeline) Policy() bool { return p.policy }
