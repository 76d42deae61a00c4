//go:build wasip1

package proxywasm

import (
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/printf"
)

// garbage is the VM's, which may hold several plugins.
var garbage collector

// vm is what the plugins of the VM have in common.
var vm module.VM

// scratch is what is handed to the host; it is built anew for each call.
var scratch []byte

// A plugin is a pipeline with the Host that it runs in.
type plugin struct {
	id       uint32
	pipeline *module.Pipeline
	later    later
	calls    map[uint32]call // by the host's number
	apart    int             // of these that no exchange waits for
}

var _ module.Host = (*plugin)(nil)

// call is a request to another service that has not been answered yet.
type call struct {
	exchange *exchange // that waits for it; nil where none does
	done     func(module.CallResult)
}

// start builds the pipeline. A configuration that is wrong stops the plugin: Envoy then refuses the update.
func (p *plugin) start(size uint32) bool {
	var config []byte
	if size > 0 {
		config = taken(hostGetBuffer(configuration, 0, size, toData, toSize))
	}
	var err error
	if p.pipeline, err = module.NewPipeline(config, p); err != nil {
		log(levelCritical, "leash: configuration: "+err.Error())
		return false
	}
	// A module whose method the host never calls would let everything pass.
	switch {
	case p.pipeline.NeedsRequestBody() && !compiled.requestBody:
		return leftOut("the bodies of requests", "leash_no_request_body")
	case p.pipeline.NeedsResponse() && !compiled.response:
		return leftOut("answers", "leash_no_response")
	case p.pipeline.NeedsResponse() && !compiled.responseBody:
		return leftOut("the bodies of answers", "leash_no_response_body")
	}
	return true
}

func leftOut(what, tag string) bool {
	log(levelCritical, "leash: a module looks at "+what+", but this .wasm was built without: name the phase in module.yaml, and build without the tag "+tag)
	return false
}

// tick fires the timers that are due and writes what has been collected.
func (p *plugin) tick() {
	p.later.fire(now())
	p.flush()
	if p.later.send != nil {
		p.later.send()
	}
	p.later.idle()
}

// flush writes the lines and counts that have been collected.
func (p *plugin) flush() {
	p.later.unflushed = false
	p.pipeline.Flush()
	for _, s := range p.later.counts {
		if id, defined := define(s); defined {
			_ = hostIncrementMetric(id, s.Pending)
		}
		s.Pending = 0
	}
	p.later.counts = p.later.counts[:0]
	p.writeLines()
}

func (p *plugin) writeLines() {
	if len(p.later.lines) > 0 {
		log(levelInfo, text(p.later.lines))
		p.later.lines = p.later.lines[:0]
	}
}

// define makes a series known to the host, once, and returns the host's number for it.
func define(s *module.Series) (id uint32, defined bool) {
	if s.ID == 0 {
		if hostDefineMetric(uint32(s.Kind), s.Name, toNumber) != ok {
			return 0, false
		}
		s.ID = returned.number + 1 // the host's begin at 0
	}
	return s.ID - 1, true
}

// maxApart is how many calls may be on their way for which no exchange waits: they are in memory as long as nobody answers.
const maxApart = 256

// sendRequests makes the calls for which no exchange waits. It does so on a tick, where they are the plugin's own: the host gives up those
// of an exchange when that ends.
func (p *plugin) sendRequests() {
	requests := p.later.requests
	p.later.requests = nil
	for _, r := range requests {
		p.sendApart(r)
	}
}

func (p *plugin) sendApart(r request) {
	defer contain()
	err := error(callError{r.call.Upstream, tooMany})
	if p.apart < maxApart {
		err = p.send(r.call, call{done: r.done})
	}
	if err != nil {
		log(levelError, "leash: "+err.Error())
		r.done(module.CallResult{})
		return
	}
	p.apart++
}

// send makes a call, whose answer is awaited.
func (p *plugin) send(c module.Call, awaited call) error {
	header := [][2]string{{":method", c.Method}, {":path", c.Path}, {":authority", c.Authority}}
	scratch = appendPairs(scratch[:0], append(header, c.Header...))
	s := hostCall(c.Upstream, first(scratch), uint32(len(scratch)), first(c.Body), uint32(len(c.Body)),
		first(noTrailers[:]), uint32(len(noTrailers)), uint32(c.Timeout/time.Millisecond), toNumber)
	if s != ok {
		return callError{c.Upstream, s}
	}
	if p.calls == nil {
		p.calls = map[uint32]call{}
	}
	p.calls[returned.number] = awaited
	return nil
}

// noTrailers is a list of none.
var noTrailers [4]byte

// callError says that the host has not even sent a call.
type callError struct {
	upstream string
	status   status
}

func (e callError) Error() string {
	text := "call " + e.upstream + ": "
	switch e.status {
	case badArgument:
		return text + "this host knows no such upstream"
	case tooMany:
		return text + "too many are on their way already, so this one is not sent"
	default:
		return text + e.status.String()
	}
}

// tooMany is no status of the host's.
const tooMany status = 1000

// answered brings the answer of a call, or that there is none.
func (p *plugin) answered(number, bodySize uint32) {
	c, known := p.calls[number]
	delete(p.calls, number)
	if known && c.exchange == nil {
		p.apart--
	}
	if !known || c.exchange != nil && c.exchange.done {
		return
	}
	var result module.CallResult
	result.Header = pairs(taken(hostGetHeaders(callHeaders, toData, toSize)))
	for _, h := range result.Header {
		if h[0] == ":status" {
			result.Status, _ = strconv.Atoi(h[1])
		}
	}
	if bodySize > 0 {
		result.Body = taken(hostGetBuffer(callBody, 0, bodySize, toData, toSize))
	}
	if c.exchange != nil {
		_ = hostSetEffectiveContext(c.exchange.id)
	}
	c.done(result)
}

// Unix is the host's clock.
func (p *plugin) Unix() (seconds, nanoseconds int64) { return now() / 1e9, now() % 1e9 }

// Log writes one line into the host's log. Records (JSON objects at level info) are collected and written together.
func (p *plugin) Log(level module.Level, message string) {
	if level == module.Info && strings.HasPrefix(message, "{") {
		if p.later.line(message); len(p.later.lines) > maxLines {
			p.writeLines()
		}
		return
	}
	log(int32(level), message)
}

// Metric adds to a metric of the host. Counts are collected and added together.
func (p *plugin) Metric(s *module.Series, value int64) {
	if s.Kind == module.CounterMetric {
		p.later.count(s, value)
	} else if id, defined := define(s); defined {
		_ = hostRecordMetric(id, uint64(value))
	}
}

// RequestBodies says whether this .wasm was built with their callback.
func (*plugin) RequestBodies() bool { return compiled.requestBody }

// FlushSoon flushes the pipeline on the next tick.
func (p *plugin) FlushSoon() {
	p.later.unflushed = true
	p.later.tick(flushTick)
}

// Send sends a request on the next tick.
func (p *plugin) Send(call module.Call, done func(module.CallResult)) error {
	p.later.requests = append(p.later.requests, request{call, done})
	p.later.send = p.sendRequests
	p.later.tick(flushTick)
	return nil
}

// VM is what the plugins of the VM have in common.
func (*plugin) VM() *module.VM { return &vm }

// Shared is the host's shared data.
func (p *plugin) Shared() module.SharedData { return sharedData{} }

// Levels as the host numbers them; module.Level's are the same.
const (
	levelInfo     = int32(module.Info)
	levelError    = int32(module.Error)
	levelCritical = 5
)

func log(level int32, message string) { _ = hostLog(level, message) }

// contain keeps a panic from reaching the host, and logs it as one line: the Go runtime's own text would be written
// into the host's log a word a line.
func contain() {
	if cause := recover(); cause != nil {
		logPanic(cause)
	}
}

func logPanic(cause any) {
	stack := strings.Split(string(debug.Stack()), "\n")
	const head, frames = 7, 10 // past this function, contain and the runtime's panic
	if len(stack) > head+frames {
		stack = stack[head : head+frames]
	}
	log(levelCritical, printf.Sprintf("leash: panic: %v; %s", cause, strings.ReplaceAll(strings.Join(stack, "; "), "\t", "")))
}
