package module

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/leash-gateway/leash/llm"
)

// OnResponseHeaders takes the answer's headers. end says that no body follows.
func (f *Flow) OnResponseHeaders(end bool) Action {
	defer f.flushHeaders(Responses)
	x := &f.x
	f.responseEnd = end
	f.meet(Responses, f.p.Next)
	if f.request == atStart || !f.p.knowsAnswers() {
		return Continue
	}
	if status, err := strconv.Atoi(f.header(Responses, ":status")); err == nil {
		x.Status = status
	}
	if f.answered || f.request != forwarded {
		return Continue // our own reply, or the host's in place of a request that never left
	}
	if f.p.carrier != nil {
		return f.carryHeaders(end)
	}
	f.begin(PhaseResponseHeader)
	if f.run() != ran {
		return f.headersOfReplacement(end)
	}
	chosen := f.modeOf()
	if f.ended {
		return f.headersOfReplacement(end)
	}
	f.response = chosen
	switch f.response {
	case buffers:
		if end {
			f.border(502, "unreadable_answer", "the provider's answer cannot be read: it has no body")
			return f.headersOfReplacement(end)
		}
		if f.p.NoHeaderPause {
			f.headersGone[Responses] = true
			f.removeHeader(Responses, "content-length")
			return Continue
		}
		return Pause
	case streams:
		x.Streamed = true
		f.start(f)
		f.removeHeader(Responses, "content-length")
	}
	return Continue
}

// modeOf decides what happens with the answer's body.
func (f *Flow) modeOf() mode {
	x := &f.x
	if x.Status > 0 && x.Status < 200 {
		f.border(502, "unreadable_answer", "the provider's answer cannot be read: its status %d is that of none", x.Status)
		return passes
	}
	if x.Format == llm.None || !f.p.readsAnswers() || x.Status < 200 || x.Status > 299 || x.Request == nil {
		return passes
	}
	if encoding := f.header(Responses, "content-encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		f.border(502, "unreadable_answer", "the provider's answer is encoded with %s though it was asked for plain", bounded(encoding))
		return passes
	}
	kind, _, _ := strings.Cut(f.header(Responses, "content-type"), ";")
	if strings.EqualFold(strings.TrimSpace(kind), "text/event-stream") {
		return streams
	}
	if x.Format == llm.GoogleStream {
		f.frames(llm.JSONArray)
		return streams
	}
	return buffers
}

// OnResponseBody takes a piece of the answer's body; size is how much of it the host has at hand.
func (f *Flow) OnResponseBody(size int, end bool) Action {
	defer f.flushHeaders(Responses)
	f.responseEnd, f.size[Responses] = f.responseEnd || end, size
	switch f.response {
	case buffers:
		if int64(size) > f.p.MaxResponseBytes {
			f.phase = PhaseResponse
			f.border(502, "answer_too_large", "the provider's answer is larger than the %d bytes that this gateway takes", f.p.MaxResponseBytes)
			if !f.ended {
				f.response = passes
			}
			return Continue
		}
		if !end {
			return Pause
		}
		return f.endResponse()
	case streams:
		return f.feedPiece(end)
	case carries:
		return f.carryBody(size, end)
	case replaces:
		f.s.SetBody(Responses, f.replacement)
		f.replacement = nil
	}
	return Continue
}

// OnResponseTrailers ends an answer that has trailers.
func (f *Flow) OnResponseTrailers() Action {
	defer f.flushHeaders(Responses)
	f.responseEnd = true
	switch f.response {
	case buffers:
		return f.endResponse()
	case streams:
		f.feed(true)
	case carries:
		if !f.carried.gone { // else nothing can be added any more
			return f.carryBody(0, true)
		}
	}
	return Continue
}

func (f *Flow) endResponse() Action {
	f.begin(PhaseResponse)
	body := f.wholeBody(Responses)
	answer, err := f.parseResponse(body)
	if err != nil {
		f.border(502, "unreadable_answer", "the provider's answer cannot be read: %s", err.Error())
		return Continue
	}
	f.x.Response = answer
	if answer.HasUsage || answer.Error { // an error that says nothing of usage has none
		f.x.Usage, f.usageKnown = answer.Usage, true
	}
	if answer.Error {
		f.x.AnswerError = llm.ErrorInAnswer
	}
	for i := range answer.Texts {
		f.textBytes += int64(len(answer.Texts[i].Value))
	}
	return f.finishResponse()
}

// finishResponse runs the modules over a whole answer and lets it go.
func (f *Flow) finishResponse() Action {
	defer f.flushHeaders(Responses)
	switch f.run() {
	case waits:
		return Pause
	case ran:
		body := f.x.Response.Bytes()
		f.passOn(Responses, body)
		if f.x.Response.Edited() {
			f.s.SetBody(Responses, body)
			if !f.p.NoHeaderPause {
				f.setHeader(Responses, "content-length", strconv.Itoa(len(body)))
			}
		}
	}
	f.response = passes
	return Continue
}

// replace puts an error in the place of the provider's answer. Its headers must not have left yet; with NoHeaderPause
// only its body is replaced.
func (f *Flow) replace(r *Refusal, body []byte) {
	if !f.p.NoHeaderPause || f.phase == PhaseResponseHeader {
		f.setHeader(Responses, ":status", strconv.Itoa(r.Status))
		f.setHeader(Responses, "content-length", strconv.Itoa(len(body)))
		f.removeHeader(Responses, "content-encoding")
		for _, h := range r.header() {
			f.setHeader(Responses, lower(h[0]), h[1])
		}
		f.x.Status = r.Status
	}
	f.response = replaces
	f.passOn(Responses, nil)
	if f.phase == PhaseResponseHeader {
		f.replacement = body
		return
	}
	f.s.SetBody(Responses, body)
}

// headersOfReplacement lets the headers of a replaced answer go; one without a body has none to be replaced.
func (f *Flow) headersOfReplacement(end bool) Action {
	if end && f.response == replaces {
		body := f.replacement
		f.replacement, f.answered = nil, true
		f.x.common.headers[Responses].changes = nil // they were for the answer that is given up
		f.s.Reply(f.x.Status, f.headerOf(f.x.refused), body)
		return Pause
	}
	return Continue
}

// settleUsage completes x.Usage before the modules are told the end.
func (f *Flow) settleUsage() {
	x := &f.x
	if f.p.needs&PhaseUsage == 0 {
		f.takeHandedUsage()
		return
	}
	if !f.usageKnown && !f.takeHandedUsage() && x.Request != nil && f.request == forwarded && x.Status >= 200 && x.Status <= 299 {
		f.estimateUsage()
	}
	f.handUsage()
}

// takeHandedUsage takes the usage that another filter has handed on, if one has.
func (f *Flow) takeHandedUsage() bool {
	x := &f.x
	handed, ok := f.handedUsage()
	if ok {
		x.Usage, x.UsageEstimated, x.AnswerError = handed.usage, handed.estimated, cmp.Or(x.AnswerError, handed.err)
	}
	return ok
}

// estimateUsage completes a usage that the provider has not told.
func (f *Flow) estimateUsage() {
	x := &f.x
	x.UsageEstimated = true
	if x.Usage.Input == 0 { // else the stream's beginning has told it
		x.Usage.Input = x.Request.EstimateTokens()
	}
	x.Usage.Output = max(x.Usage.Output, llm.EstimateTokens(f.textBytes))
}

// handRefused hands on the usage of an answer that is refused: the provider has given it, and filters ahead of this one are shown no more of it.
func (f *Flow) handRefused() {
	x := &f.x
	if x.Request == nil || f.phase != PhaseEvent && (f.phase != PhaseResponse || x.Response == nil) {
		return
	}
	told := x.Usage
	if !f.usageKnown {
		f.estimateUsage()
	}
	f.handUsage()
	x.Usage, x.UsageEstimated = told, false
}
