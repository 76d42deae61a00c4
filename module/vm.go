package module

import (
	"bytes"
	"math/rand/v2"
	"strconv"

	"github.com/leash-gateway/leash/llm"
)

// A VM is what the pipelines of one VM have in common. Where Leash's modules have a filter each, an exchange goes through several of them. Its zero
// value is ready.
type VM struct {
	// open are the exchanges under way that pipelines share, by what the filters behind the first one find them by.
	open map[string]*common

	// ended are the exchanges of which modules are still to be told the end, in the order in which they ended; heldBytes is what these keep in memory.
	ended     []*Flow
	heldBytes int
}

// common is what all filters of a VM know of an exchange.
type common struct {
	caller   Caller
	by, code string // of the refusal
	facts    []fact
	fewFacts [4]fact // what facts is made of when they are few
	usage    handed
	used     bool // usage is known

	// What the first of them asked the clock for, and what the last one has read. Whoever is given the same bytes shares it, as modules of one filter do.
	started, ended moment
	headers        [2]headers
	sent           [2][]byte // the bodies that the last one has let go on whole, nil where it has not read them
	target         string    // of request
	format         llm.Format
	request        *llm.Request
	response       *llm.Response

	name    string // in open
	filters int    // that have it still
}

// join has a filter know what those before it know of its exchange, if they are of the same VM. The name by which it is found is random: no other filter
// can tell that of another exchange.
func (f *Flow) join() {
	vm := f.p.vm
	name, _ := f.s.Property(exchangeProperty)
	c := vm.open[string(name)]
	if c == nil {
		c = f.x.common
		c.name = strconv.FormatUint(rand.Uint64(), 36) //nolint:gosec // Go's own generator, which the host has given its beginning: nobody foresees it
		if vm.open == nil {
			vm.open = map[string]*common{}
		}
		vm.open[c.name] = c
		f.s.SetProperty(exchangeProperty, []byte(c.name))
	}
	c.filters++
	f.x.common = c
}

// meet is called when a side comes to a filter. Where somebody else may have changed it after the last filter that knew it, what that knew is forgotten.
func (f *Flow) meet(side Side, neighbour bool) {
	if f.p.Shared && !neighbour {
		f.x.common.headers[side], f.x.common.sent[side] = headers{}, nil
	}
}

// wholeBody is a body of which all is there: what the filter before has let go on, or else the host's.
func (f *Flow) wholeBody(side Side) []byte {
	body := f.x.common.sent[side]
	if body == nil || len(body) != f.size[side] {
		body = f.s.Body(side)
	}
	f.heldBytes += len(body)
	return body
}

// passOn notes a body that goes on whole, for the next filter.
func (f *Flow) passOn(side Side, body []byte) {
	if f.p.Shared {
		f.x.common.sent[side] = body
	}
}

// parseRequest reads the body of a request to target, unless a filter before this one has read the same.
func (f *Flow) parseRequest(target string, body []byte) (*llm.Request, error) {
	c, format := f.x.common, f.x.Format
	if r := c.request; r != nil && c.format == format && c.target == target && !r.Edited() && bytes.Equal(r.Bytes(), body) {
		return r, nil
	}
	r, err := llm.ParseRequestAt(format, target, body)
	c.request, c.format, c.target = r, format, target
	return r, err
}

// parseResponse reads an answer, unless a filter behind this one has read the same.
func (f *Flow) parseResponse(body []byte) (*llm.Response, error) {
	c := f.x.common
	if r := c.response; r != nil && c.format == f.x.Format && !r.Edited() && bytes.Equal(r.Bytes(), body) {
		return r, nil
	}
	r, err := llm.ParseResponse(f.x.Format, body)
	c.response, c.format = r, f.x.Format
	return r, err
}

// leave is for a filter whose exchange has ended.
func (f *Flow) leave() {
	c := f.x.common
	if c.filters--; c.filters == 0 {
		delete(f.p.vm.open, c.name)
	}
}

// Bounds of what waits for its Finish. It takes some microseconds for each, and the host waits meanwhile.
const (
	maxEnded     = 32
	maxHeldBytes = 1 << 20
)

// finishLater has the modules that wait for it told the end of an exchange with the next Flush, or earlier if there are many.
func (vm *VM) finishLater(f *Flow) {
	if vm.ended == nil {
		vm.ended = make([]*Flow, 0, maxEnded)
	}
	vm.ended = append(vm.ended, f)
	vm.heldBytes += f.heldBytes + int(f.textBytes) // modules may have kept what the model wrote
	if len(vm.ended) >= maxEnded || vm.heldBytes >= maxHeldBytes {
		vm.finishEnded()
	}
}

func (vm *VM) finishEnded() {
	ended := vm.ended
	vm.ended, vm.heldBytes = nil, 0
	for _, f := range ended {
		f.finishLate()
	}
}
