package moduletest

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/leash-gateway/leash/module"
)

// filter is a pipeline in its place in the host, with one exchange in it. Bodies are held back while the pipeline says
// so, as Envoy does.
type filter struct {
	*travel
	flow    *module.Flow
	body    [2][]byte
	open    bool // the headers of the side have gone on
	resumed bool
}

var _ module.Stream = (*filter)(nil)

// message is the body of one side, and how it ends.
type message struct {
	side     module.Side
	pieces   []string
	trailers bool
	cut      bool // it does not end
}

// pass takes one side of the exchange through the filter, and returns the pieces of the body that come out of it.
func (f *filter) pass(in message) (out []string) {
	onHeaders, onBody, onTrailers := f.flow.OnRequestHeaders, f.flow.OnRequestBody, f.flow.OnRequestTrailers
	if in.side == module.Responses {
		onHeaders, onBody, onTrailers = f.flow.OnResponseHeaders, f.flow.OnResponseBody, f.flow.OnResponseTrailers
	}
	// goesOn says whether the exchange does, after a callback.
	goesOn := func(action module.Action, early bool) bool {
		if early {
			f.settle()
		}
		if action == module.Continue || f.resumed {
			f.open, f.resumed = true, false
			if f.body[in.side] != nil {
				out = append(out, string(f.body[in.side]))
				f.body[in.side] = nil
			}
		}
		return !f.replied && !f.left
	}
	ends := !in.trailers && !in.cut
	// A host that cannot hold headers back alone holds back everything: no body comes before they have gone on.
	if !goesOn(onHeaders(ends && len(in.pieces) == 0), f.e.EarlyCalls || f.h.noHeaderPause) || f.h.noHeaderPause && !f.open {
		return nil
	}
	for i, piece := range in.pieces {
		f.body[in.side] = append(f.body[in.side], piece...)
		if f.body[in.side] == nil {
			f.body[in.side] = []byte{}
		}
		if !goesOn(onBody(len(f.body[in.side]), ends && i == len(in.pieces)-1), f.e.EarlyCalls) {
			return nil
		}
	}
	if in.trailers && !goesOn(onTrailers(), f.e.EarlyCalls) {
		return nil
	}
	if !goesOn(module.Pause, true) {
		return nil
	}
	if f.body[in.side] != nil && !in.cut { // it is held for ever
		f.open = false
	}
	return out
}

// Headers lists the headers.
func (f *filter) Headers(side module.Side) [][2]string {
	f.h.Asked++
	return append([][2]string(nil), f.header[side]...)
}

func (f *filter) SetHeader(side module.Side, name, value string) {
	f.RemoveHeader(side, name)
	if f.mayChange(side) {
		f.header[side] = append(f.header[side], [2]string{strings.ToLower(name), value})
	}
}

func (f *filter) RemoveHeader(side module.Side, name string) {
	if !f.mayChange(side) {
		return
	}
	kept := f.header[side][:0]
	for _, h := range f.header[side] {
		if h[0] != strings.ToLower(name) {
			kept = append(kept, h)
		}
	}
	f.header[side] = kept
}

// ReplaceHeaders puts these headers in the place of all.
func (f *filter) ReplaceHeaders(side module.Side, headers [][2]string) {
	if f.mayChange(side) {
		f.header[side] = append([][2]string(nil), headers...)
	}
}

// mayChange says whether headers are still here: those that have gone on cannot be changed any more.
func (f *filter) mayChange(module.Side) bool { return !f.open }

// Body is what is held of a body.
func (f *filter) Body(side module.Side) []byte {
	f.h.Asked++
	return f.body[side]
}

func (f *filter) SetBody(side module.Side, body []byte) {
	if f.body[side] == nil {
		f.h.t.Errorf("a body is set of which nothing is held: %q", body)
	}
	f.body[side] = append([]byte{}, body...)
}

func (f *filter) Resume(module.Side) { f.resumed = true }

// Reply takes the answer of the modules.
func (f *filter) Reply(status int, header [][2]string, body []byte) {
	if f.replied {
		f.h.t.Errorf("the exchange was answered twice: %d %s", status, body)
	}
	f.replied, f.waiting = true, nil // what still waits can do nothing any more
	f.header[module.Responses] = [][2]string{{":status", strconv.Itoa(status)}}
	for _, h := range header {
		f.header[module.Responses] = append(f.header[module.Responses], [2]string{strings.ToLower(h[0]), h[1]})
	}
	f.result.Body = string(body)
}

func (f *filter) Property(path ...string) ([]byte, bool) {
	value, ok := f.props[strings.Join(path, ".")]
	return []byte(value), ok
}

func (f *filter) SetProperty(name string, value []byte) { f.props[name] = string(value) }

func (f *filter) Call(call module.Call, done func(module.CallResult)) error {
	if f.h.Calls == nil {
		return errors.New("no upstream " + call.Upstream)
	}
	f.h.Called = append(f.h.Called, call)
	f.waiting = append(f.waiting, wait{f.h.Clock, func() { done(f.h.Calls(call)) }})
	return nil
}

func (f *filter) After(d time.Duration, run func()) {
	f.waiting = append(f.waiting, wait{f.h.Clock.Add(d), run})
}
