package module

import (
	"slices"
	"strconv"
	"strings"

	"github.com/leash-gateway/leash/llm"
)

// A Carrier takes an exchange to one provider, whose API may be another than the client's, and brings the answer back. It
// stands behind all other modules, alone in its pipeline, and runs once for each attempt: bodies are given to it as the
// bytes that they are, and requests have been read and judged before.
//
// CarryRequest returns what the provider reads in place of the body. It may set headers, :path among them.
//
// CarryAnswer says what becomes of the answer, whose status and headers have come. It may change headers. x.Status is 0 where they
// have not, because the answer broke off before.
//
// CarryBody is given the answer's body: all of it, or what has come of it since the last call; end says that nothing
// follows, be it that this is all or that the answer broke off, which only its content can tell. It returns what the client reads
// instead. Until it has once returned false for wait nothing of the answer goes on, its status and headers neither, and an error still
// takes its place; later errors only cut it off. Where it returns true at the end it has asked somebody else for the rest, with
// [Exchange.Elsewhere].
type Carrier interface {
	CarryRequest(x *Exchange, body []byte) ([]byte, error)
	CarryAnswer(x *Exchange) (Manner, error)
	CarryBody(x *Exchange, body []byte, end bool) (out []byte, wait bool, err error)
}

// A Manner is how an answer's body is taken.
type Manner uint8

// The manners.
const (
	Untouched Manner = iota // as it comes, unseen
	Whole                   // in one piece, which is bounded
	Pieces                  // as it comes
)

// carriage is what a Flow knows of an exchange with a carrier.
type carriage struct {
	manner   Manner
	headless bool // the answer comes as bytes, and its head is not complete
	gone     bool // the answer's headers have
	taken    int  // bytes of the body that is held back which the carrier has seen, or which are the head
}

// carryRequest gives the request to the carrier, once it is there.
func (f *Flow) carryRequest() Action {
	if !f.requestEnd {
		return Pause
	}
	defer f.flushHeaders(Requests)
	f.begin(PhaseRequest)
	body := f.s.Body(Requests)
	var out []byte
	if err := f.call(0, func() (err error) {
		out, err = f.p.carrier.CarryRequest(&f.x, body)
		return err
	}); err != nil {
		f.fail(0, err)
		return Pause
	}
	if f.p.Wire {
		return f.sendWire(out)
	}
	f.s.SetBody(Requests, out)
	f.setHeader(Requests, "content-length", strconv.Itoa(len(out)))
	f.request = forwarded
	return Continue
}

// carryHeaders asks the carrier what becomes of an answer.
func (f *Flow) carryHeaders(end bool) Action {
	if f.p.Wire && f.x.Status == 200 && !end { // the host's, for the bytes that come: what else it says is an error of its own
		f.response, f.carried.headless, f.x.Status = carries, true, 0
		return Pause
	}
	f.begin(PhaseResponseHeader)
	if err := f.carryAnswer(); err != nil {
		f.fail(0, err)
		return f.headersOfReplacement(end)
	}
	switch {
	case f.carried.manner == Untouched:
		return Continue
	case end:
		return f.carryNothing()
	}
	f.response = carries
	return Pause
}

// carryAnswer asks the carrier, once the answer's headers are known.
func (f *Flow) carryAnswer() error {
	return f.call(0, func() (err error) {
		f.carried.manner, err = f.p.carrier.CarryAnswer(&f.x)
		return err
	})
}

// carryNothing is an answer without a body. What the carrier makes of it has to be an answer of our own.
func (f *Flow) carryNothing() Action {
	var out []byte
	if err := f.call(0, func() (err error) {
		out, _, err = f.p.carrier.CarryBody(&f.x, nil, true)
		return err
	}); err != nil {
		f.fail(0, err)
		return f.headersOfReplacement(true)
	}
	if len(out) == 0 {
		return Continue
	}
	f.answered = true
	kept := slices.DeleteFunc(f.headersOf(Responses).pairs, func(h [2]string) bool {
		return strings.HasPrefix(h[0], ":") || h[0] == "content-length" || h[0] == "transfer-encoding"
	})
	f.x.common.headers[Responses].changes = nil
	f.s.Reply(f.x.Status, kept, out)
	return Pause
}

// carryBody gives a piece of the answer to the carrier.
func (f *Flow) carryBody(size int, end bool) Action {
	f.phase = PhaseResponse
	c := &f.carried
	if !c.gone && int64(size) > f.p.MaxResponseBytes {
		f.border(502, "answer_too_large", "the provider's answer is larger than the %d bytes that this gateway takes", f.p.MaxResponseBytes)
		return Continue
	}
	if c.headless {
		if action, done := f.carryHead(end); done {
			return action
		}
	}
	if c.manner == Whole && !end {
		return Pause
	}
	if f.cutOff {
		f.s.SetBody(Responses, nil)
		return Continue
	}
	in := f.s.Body(Responses)
	var out []byte
	wait := false
	err := f.call(0, func() (err error) {
		out, wait, err = f.p.carrier.CarryBody(&f.x, in[min(c.taken, len(in)):], end)
		return err
	})
	if err == nil && wait && (end || !c.gone) {
		c.taken = len(in)
		return Pause
	}
	f.letGo(out, end, err)
	return Continue
}

// letGo gives the client what the carrier has made of the answer.
func (f *Flow) letGo(out []byte, end bool, err error) {
	c := &f.carried
	switch {
	case err != nil && c.gone:
		f.out, f.phase = f.out[:0], PhaseEvent
		f.fail(0, err)
		f.s.SetBody(Responses, f.out)
		return
	case err != nil:
		f.fail(0, err)
		return
	}
	if !c.gone {
		c.gone, c.taken = true, 0
		if end {
			f.setHeader(Responses, "content-length", strconv.Itoa(len(out)))
		} else {
			f.removeHeader(Responses, "content-length")
		}
	}
	f.s.SetBody(Responses, out)
}

// Elsewhere sends a request for the rest of an answer while the end of that is held back. done is told what came of it, and returns as
// CarryBody does. It is for carriers, which have no phase in which they could wait otherwise.
func (x *Exchange) Elsewhere(call Call, done func(CallResult) (out []byte, wait bool, err error)) error {
	f := x.flow
	return f.s.Call(call, func(result CallResult) {
		if f.done || f.cutOff {
			return
		}
		f.phase = PhaseResponse
		var out []byte
		wait := false
		err := f.call(0, func() (err error) {
			out, wait, err = done(result)
			return err
		})
		if err == nil && wait {
			return
		}
		f.letGo(out, true, err)
		f.flushHeaders(Responses)
		f.s.Resume(Responses)
	})
}

// carryHead reads the head of an answer that comes as bytes, and asks the carrier what becomes of it. done says that there is nothing else
// to do for now.
func (f *Flow) carryHead(end bool) (action Action, done bool) {
	in := f.s.Body(Responses)
	size, readable := f.readHead(in)
	if size == 0 && readable && !end {
		return Pause, true
	}
	f.carried.headless, f.carried.taken = false, size
	if size == 0 {
		f.x.Status = 0
	}
	switch err := f.carryAnswer(); {
	case err != nil:
		f.fail(0, err)
		return Continue, true
	case f.carried.manner == Untouched:
		f.response = passes
		f.removeHeader(Responses, "content-length") // should it break off
		f.s.SetBody(Responses, in[size:])
		return Continue, true
	}
	return 0, false
}

// Frames says how the events of the answer stand one behind the other at the client's, for the error that ends one which a
// [Carrier] cuts off.
func (x *Exchange) Frames(framing llm.Framing) { x.flow.encoder.Framing = framing }
