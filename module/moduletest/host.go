// Package moduletest runs modules natively, without Wasm and without Envoy, so that a policy is tested in
// milliseconds. It takes an exchange through the same pipeline that the .wasm runs:
//
//	h := moduletest.New(t, `{"modules":[{"name":"hello"}]}`)
//	got := h.Do(moduletest.Exchange{Request: body, Answer: answer})
//	if got.Status != 200 { … }
//
// What the module reads of its surroundings is set on the [Host] (the clock, shared data, the answers to outbound calls)
// or on the [Exchange] (headers, properties, how bodies are cut into pieces, when the client leaves). What it did is read
// off the [Result] and the Host (metrics, log lines). Time passes only where a module waits for a timer, so no test has to
// sleep.
//
// A Host is for one test and one goroutine. It may do many exchanges, one after the other; its state stays.
package moduletest

import (
	"encoding/json"
	"maps"
	"testing"
	"time"

	"github.com/leash-gateway/leash/module"
)

// A Host is a fake host with a pipeline in it. It is made by New or NewSeparate; all fields may be set and read between
// exchanges.
type Host struct {
	// Clock is what modules see as the time. It begins at noon (UTC) on the 1st of November 2026, and moves only to the
	// time at which a timer fires.
	Clock time.Time
	// Logs are the lines that modules wrote; Metrics the sums of counters, and the last values of the others, by name
	// and labels as in leash_tokens_total.[tenant=acme].
	Logs    []string
	Metrics map[string]int64
	// Asked counts how often filters have asked for the headers or the body of a side.
	Asked int
	// Data is what modules share.
	Data map[string][]byte
	// Calls answers the outbound calls of modules; without it every call fails at once, as in a host that does not know
	// the upstream. Called are the calls that were made.
	Calls  func(module.Call) module.CallResult
	Called []module.Call

	t             testing.TB
	filters       []*module.Pipeline
	noHeaderPause bool
	versions      map[string]uint32
	unflushed     bool
	requests      []request
	vm            module.VM
}

var _ module.Host = (*Host)(nil)

// New builds the pipeline of a configuration as Envoy would give it to the .wasm. A configuration that is refused
// fails the test; see Check for those that should be.
func New(t testing.TB, config string) *Host {
	t.Helper()
	h := newHost(t)
	h.add(config)
	return h
}

// NewSeparate builds the same modules as New, but each as a filter of its own, as where every module is a .wasm of its
// own: they hand facts to each other through the host. A module should do the same in both.
func NewSeparate(t testing.TB, config string) *Host {
	t.Helper()
	return separate(t, config, func(bool, bool) []string { return []string{"handover"} })
}

// NewLayered builds the same modules as NewSeparate, but as filters that share a VM and stand side by side.
func NewLayered(t testing.TB, config string) *Host {
	t.Helper()
	return separate(t, config, func(first, last bool) []string {
		ways := []string{"shared"}
		if !first {
			ways = append(ways, "previous")
		}
		if !last {
			ways = append(ways, "next")
		}
		return ways
	})
}

// NewSpread builds the same modules as NewLayered, but between their filters others may stand.
func NewSpread(t testing.TB, config string) *Host {
	t.Helper()
	return separate(t, config, func(bool, bool) []string { return []string{"shared"} })
}

// separate builds modules as filters that hand facts on in the ways that settings say.
func separate(t testing.TB, config string, ways func(first, last bool) []string) *Host {
	t.Helper()
	var all map[string]json.RawMessage
	var modules struct{ Modules []json.RawMessage }
	for _, target := range []any{&all, &modules} {
		if err := json.Unmarshal([]byte(config), target); err != nil {
			t.Fatalf("separate modules: %v", err)
		}
	}
	h := newHost(t)
	for i, one := range modules.Modules {
		settings := maps.Clone(all)
		settings["modules"] = json.RawMessage("[" + string(one) + "]")
		for _, way := range ways(i == 0, i == len(modules.Modules)-1) {
			settings[way] = json.RawMessage("true")
		}
		own, err := json.Marshal(settings)
		if err != nil {
			t.Fatalf("separate modules: %v", err)
		}
		h.add(string(own))
	}
	return h
}

// Check returns what is wrong with a pipeline's configuration, nil when nothing is.
func Check(config string) error {
	_, err := module.NewPipeline([]byte(config), &Host{})
	return err
}

func newHost(t testing.TB) *Host {
	t.Helper()
	return &Host{
		t: t, Clock: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC),
		Metrics: map[string]int64{}, Data: map[string][]byte{}, versions: map[string]uint32{},
	}
}

// add builds a pipeline as the last filter of the host.
func (h *Host) add(config string) {
	h.t.Helper()
	p, err := module.NewPipeline([]byte(config), h)
	if err != nil {
		h.t.Fatalf("build pipeline: %v", err)
	}
	h.filters = append(h.filters, p)
	var host struct {
		NoHeaderPause bool `json:"no_header_pause"`
	}
	_ = json.Unmarshal([]byte(config), &host) // NewPipeline has checked it
	h.noHeaderPause = h.noHeaderPause || host.NoHeaderPause
}

// Unix is the fake clock.
func (h *Host) Unix() (seconds, nanoseconds int64) {
	return h.Clock.Unix(), int64(h.Clock.Nanosecond())
}

// Log keeps the line.
func (h *Host) Log(_ module.Level, message string) { h.Logs = append(h.Logs, message) }

// Metric keeps the value.
func (h *Host) Metric(s *module.Series, value int64) {
	if s.Kind == module.CounterMetric {
		value += h.Metrics[s.Name]
	}
	h.Metrics[s.Name] = value
}

// RequestBodies are shown.
func (*Host) RequestBodies() bool { return true }

// FlushSoon makes modules flush at the end of the exchange.
func (h *Host) FlushSoon() { h.unflushed = true }

func (h *Host) flush() {
	if !h.unflushed {
		return
	}
	h.unflushed = false
	for _, p := range h.filters {
		p.Flush()
	}
}

// request is a call that no exchange waits for.
type request struct {
	call module.Call
	done func(module.CallResult)
}

// Send sends a request when the exchange is over. What is sent then, as when one is tried again, goes with the next exchange.
func (h *Host) Send(call module.Call, done func(module.CallResult)) error {
	h.requests = append(h.requests, request{call, done})
	return nil
}

func (h *Host) sendRequests() {
	requests := h.requests
	h.requests = nil
	for _, r := range requests {
		if h.Calls == nil {
			h.Log(module.Error, "no upstream "+r.call.Upstream)
			r.done(module.CallResult{})
			continue
		}
		h.Called = append(h.Called, r.call)
		r.done(h.Calls(r.call))
	}
}

// VM is what the filters have in common.
func (h *Host) VM() *module.VM { return &h.vm }

// Shared is the host's shared data.
func (h *Host) Shared() module.SharedData { return sharedData{h} }

type sharedData struct{ h *Host }

func (s sharedData) Get(key string) ([]byte, uint32) { return s.h.Data[key], s.h.versions[key] }

// Set takes version 0 for a write that asks for nothing, as Envoy does.
func (s sharedData) Set(key string, value []byte, version uint32) bool {
	if s.h.versions[key] != version {
		return false
	}
	s.h.Data[key] = append([]byte(nil), value...)
	s.h.versions[key]++
	return true
}
