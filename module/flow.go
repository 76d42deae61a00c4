package module

import (
	"cmp"
	"encoding/binary"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/module/printf"
)

// A Flow takes one exchange through a pipeline. Its host calls the On methods in the order of HTTP, from one goroutine,
// and OnDone last, once.
type Flow struct {
	p *Pipeline
	s Stream
	x Exchange

	// phase and cursor say where the modules are: cursor is the slot that runs next.
	phase   Phase
	cursor  int
	running bool
	pending int   // calls and timers that the current module waits for
	unsent  error // why a call of the module that runs was not sent
	ended   bool  // answered or refused: no module runs any more but for Finish
	done    bool
	last    int // the highest slot that took part

	request     stage
	requestEnd  bool
	response    mode
	responseEnd bool
	answered    bool    // by Reply: the answer that comes by is our own
	deferred    func()  // is that reply, until the rest of the request has come
	size        [2]int  // of the bodies, as far as the host has told
	headersGone [2]bool // ahead of the body: NoHeaderPause
	target      string  // the path and what of the query means something
	body        []byte
	bodySet     bool
	replacement []byte

	stream
	carried    carriage
	usageKnown bool
	textBytes  int64
	heldBytes  int // of the bodies that the exchange keeps in memory
}

// stage is how far a request has come.
type stage uint8

const (
	atStart stage = iota
	atHeader
	atBody
	atRequest
	forwarded
)

// mode is what happens with an answer's body.
type mode uint8

const (
	passes mode = iota
	buffers
	streams
	replaces
	carries
)

// Start begins an exchange on s.
func (p *Pipeline) Start(s Stream) *Flow {
	f := &Flow{p: p, s: s, last: -1}
	f.x.flow, f.x.common = f, &f.x.own
	return f
}

// A Metric of the pipeline itself.
var (
	refusals = Counter("leash_refusals_total", "module", "code", "tenant")
	failures = Counter("leash_module_failures_total", "module")
)

// outcome is how a run of the modules over one phase ended.
type outcome uint8

const (
	ran outcome = iota
	waits
	stopped
)

// run lets the modules that are still to come in this phase work.
func (f *Flow) run() outcome {
	step := 1
	if f.phase >= PhaseResponseHeader {
		step = -1
	}
	for ; f.cursor >= 0 && f.cursor < len(f.p.slots); f.cursor += step {
		if f.pending > 0 {
			return waits
		}
		slot := &f.p.slots[f.cursor]
		in := slot.of(&f.x)
		if in.needs&f.phase == 0 {
			continue
		}
		if err := f.call(f.cursor, func() error { return in.handle(f.phase, &f.x) }); err != nil && f.fail(f.cursor, err) {
			return stopped
		}
	}
	if f.pending > 0 {
		return waits
	}
	return ran
}

func (in *instance) handle(phase Phase, x *Exchange) error {
	switch phase {
	case PhaseRequestHeader:
		return in.requestHeader.RequestHeader(x)
	case PhaseRequest:
		return in.request.Request(x)
	case PhaseBody:
		return in.body.RequestBody(x)
	case PhaseResponseHeader:
		return in.responseHeader.ResponseHeader(x)
	case PhaseResponse:
		return in.response.Response(x)
	case PhaseFinish:
		in.finish.Finish(x)
	}
	return nil
}

// begin sets the modules at the start of a phase.
func (f *Flow) begin(phase Phase) {
	f.phase, f.cursor = phase, 0
	if phase >= PhaseResponseHeader {
		f.cursor = len(f.p.slots) - 1
	}
}

// call runs a module's code and turns a panic into an error: one exchange may fail, the VM must not.
func (f *Flow) call(slot int, code func() error) (err error) {
	f.x.slot, f.running = slot, true
	f.last = max(f.last, slot)
	f.unsent = nil
	defer func() {
		f.running = false
		if cause := recover(); cause != nil {
			err = panicError(cause)
		}
	}()
	if err = code(); err == nil && f.unsent != nil { // who does not look at Call's error lets the exchange pass
		f.tell("goes on although a call was not sent: " + f.unsent.Error())
	}
	return err
}

// panicError is the panic in one line, with the place: a host's log shows the runtime's own text a word a line. The place is the module's own, where
// it has called the kit with what that cannot take.
func panicError(cause any) error {
	place, inKit := "an unknown place", true
	var callers [16]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(3, callers[:])])
	for more := true; more && inKit; {
		var frame runtime.Frame
		frame, more = frames.Next()
		if strings.HasPrefix(frame.Function, "runtime.") {
			continue
		}
		below, ofKit := strings.CutPrefix(frame.Function, "github.com/leash-gateway/leash/")
		inKit = ofKit && (strings.HasPrefix(below, "module.") || strings.HasPrefix(below, "module/") || strings.HasPrefix(below, "llm."))
		if ofKit && (strings.HasPrefix(below, "module.(*Flow).call") || strings.HasPrefix(below, "module.(*VM).")) {
			break // the mistake is the kit's own
		}
		if !inKit || place == "an unknown place" {
			place = frame.Function + ":" + strconv.Itoa(frame.Line)
		}
	}
	return printf.Errorf("panic in %s: %s", place, strings.ReplaceAll(printf.Sprintf("%v", cause), "\n", " "))
}

// fail decides what a module's error means and says whether the exchange ends with it.
func (f *Flow) fail(slot int, err error) bool {
	s := &f.p.slots[slot]
	refusal, answer, err := decisionOf(f.phase, err)
	switch {
	case answer != nil:
		f.reply(cmp.Or(answer.Status, 200), answer.header(), answer.Body)
		return true
	case refusal != nil && s.kind == Policy:
		f.refuse(s.name, refusal)
		return true
	case refusal != nil:
		err = refusal
	}
	f.p.host.Log(Error, "module "+s.name+" failed in the "+f.phase.String()+" phase: "+err.Error())
	f.x.Count(failures, 1, s.name)
	if s.kind != Policy {
		return false
	}
	f.refuse(s.name, undecided())
	return true
}

// refuse ends the exchange with an error to the client.
func (f *Flow) refuse(by string, r *Refusal) {
	f.x.refused = r
	f.x.common.by, f.x.common.code = by, r.Code
	f.last = max(f.last, f.p.first-1) // inspectors ahead of the first policy see what it refuses
	if f.p.handover {
		f.s.SetProperty(refusedProperty, []byte(by+"\x00"+r.Code))
	}
	if f.p.carrier == nil || f.phase < PhaseResponseHeader { // an answer that is none is counted as its attempt, and another may follow
		f.x.Count(refusals, 1, by, r.Code, f.x.Caller().Tenant)
	}
	f.handRefused()
	if f.phase == PhaseEvent {
		f.ended = true
		f.cut(r)
		return
	}
	body := llm.ErrorBody(f.x.Format, r.Status, r.Code, r.Message)
	switch f.phase {
	case PhaseResponseHeader, PhaseResponse:
		f.ended = true
		f.replace(r, body)
	default:
		f.reply(r.Status, f.headerOf(r), body)
	}
}

// headerOf is that of a refusal in place of an answer. Clients of Anthropic's tell people the id that they read in request-id; those of OpenAI's read
// x-request-id, which every answer has.
func (f *Flow) headerOf(r *Refusal) [][2]string {
	header := r.header()
	if f.x.Format.Family() == llm.Anthropic && f.x.ID != "" {
		header = append(header, [2]string{"request-id", f.x.ID})
	}
	return header
}

func (f *Flow) reply(status int, header [][2]string, body []byte) {
	f.ended, f.answered = true, true
	f.x.common.headers[Requests].changes = nil // they were for the provider
	f.x.Status = status
	f.deferred = func() { f.s.Reply(status, header, body) }
	if f.requestEnd || !f.p.bodies || f.p.Wire || f.p.NoHeaderPause {
		f.sendDeferred()
	} else {
		f.s.After(restOfRequest, f.sendDeferred)
	}
}

// restOfRequest is how long an answer waits for the rest of the request. Ahead of it, the answer costs the client its connection in HTTP/1, and
// some clients of HTTP/2 read an error of the stream instead.
const restOfRequest = time.Second

// drop takes a piece of a request that has been answered.
func (f *Flow) drop(end bool) {
	switch {
	case end:
		f.sendDeferred()
	case f.deferred != nil:
		f.s.SetBody(Requests, nil)
	}
}

func (f *Flow) sendDeferred() {
	if reply := f.deferred; reply != nil {
		f.deferred = nil
		reply()
	}
}

// border refuses what no module should have to see, in the name of the pipeline. It is not for inspectors.
func (f *Flow) border(status int, code, format string, args ...any) {
	if f.p.policy {
		f.refuse("border", Refuse(status, code, format, args...))
	}
}

// Waits says whether a module waits for a call or a timer.
func (f *Flow) Waits() bool { return f.pending > 0 && !f.ended && !f.done }

// wait makes the current module wait; the function that it returns ends that.
func (f *Flow) wait() (func(decide func() error), error) {
	if f.phase != PhaseRequestHeader && f.phase != PhaseRequest && f.phase != PhaseBody && f.phase != PhaseResponse {
		return nil, errTooLate
	}
	slot := f.x.slot
	f.pending++
	return func(decide func() error) {
		if f.ended || f.done {
			return
		}
		inside := f.running
		err := f.call(slot, decide)
		f.running = inside
		f.pending--
		switch {
		case err != nil && f.fail(slot, err):
			if f.phase == PhaseResponse && !inside { // the refusal stands in the place of the answer: let it go
				f.flushHeaders(Responses)
				f.s.Resume(Responses)
			}
		case f.pending == 0 && !inside:
			f.resume()
		}
	}, nil
}

// resume goes on where the modules had been waiting.
func (f *Flow) resume() {
	if f.phase == PhaseResponse {
		if f.finishResponse() == Continue {
			f.s.Resume(Responses)
		}
		return
	}
	action := f.proceed()
	if f.p.NoHeaderPause && !f.ended && f.request == atBody && !f.requestEnd && f.pending == 0 {
		// This host brings no body before the headers have gone.
		f.headersGone[Requests] = true
		f.removeHeader(Requests, "content-length")
		f.flushHeaders(Requests)
		action = Continue
	}
	if action == Continue {
		f.s.Resume(Requests)
	}
}

// OnDone ends the exchange. Every module that took part is told: in the pipeline's order, and those that may be told later after the others.
func (f *Flow) OnDone() {
	if f.done || f.request == atStart {
		return
	}
	f.done, f.x.ended = true, f.p.once(&f.x.common.ended)
	if f.x.refused == nil && !f.answered && f.request != atHeader {
		f.last = len(f.p.slots) - 1
	}
	held := f.phase == PhaseResponse && f.pending > 0 && !f.ended // the answer ended here, not at the client
	f.x.Completed = f.responseEnd && !held && !f.lost || f.answered && f.deferred == nil
	if f.request == atBody && !f.requestEnd && !f.ended && !f.p.NoHeaderPause {
		f.p.warnOfPause()
	}
	f.settleUsage()
	if f.p.carrier == nil && !f.answered && (f.x.Status == 0 || f.response == buffers && !f.headersGone[Responses]) {
		f.readInstead()
	}
	f.phase, f.pending = PhaseFinish, 0
	if f.finish(false); f.p.Shared {
		f.leave()
	}
	if f.p.late {
		f.x.ClientAddress() // is known from then on
		f.s = gone{}
		f.p.vm.finishLater(f)
		f.p.flushSoon()
	}
}

// readInstead finds out what the client has read where the headers of the provider's answer have not got past this filter, or never got here: an
// error of the host's that no filter has seen, as when the provider breaks off in the middle of an answer that is read in whole; or nothing.
func (f *Flow) readInstead() {
	const least = 400 // what is less is the provider's own
	f.x.Status = 0
	if raw, ok := f.s.Property("response", "code"); ok && len(raw) == 8 {
		if code := binary.LittleEndian.Uint64(raw); code >= least && code <= 599 {
			f.x.Status, f.x.Completed = int(code), true
		}
	}
}

// gone is the host's exchange when it is over: all that may still be asked for is not there.
type gone struct{ Stream }

func (gone) Headers(Side) [][2]string          { return nil }
func (gone) Property(...string) ([]byte, bool) { return nil, false }

// finishLate tells the end to the modules that wait for it. It contains what is not a module's own panic: other exchanges are still to come.
func (f *Flow) finishLate() {
	defer func() {
		if cause := recover(); cause != nil {
			f.p.host.Log(Error, "the end of an exchange could not be told: "+panicError(cause).Error())
		}
	}()
	f.finish(true)
}

// finish tells the end to the modules that may be told later, or to the others.
func (f *Flow) finish(late bool) {
	for i := 0; i <= f.last; i++ {
		in := f.p.slots[i].of(&f.x)
		if in.needs&PhaseFinish == 0 || in.late != late {
			continue
		}
		if err := f.call(i, func() error { return in.handle(PhaseFinish, &f.x) }); err != nil {
			f.p.host.Log(Error, "module "+f.p.slots[i].name+" failed in the finish phase: "+err.Error())
			f.x.Count(failures, 1, f.p.slots[i].name)
		}
	}
}
