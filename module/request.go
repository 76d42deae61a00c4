package module

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/module/printf"
)

// OnRequestHeaders takes the request's headers. end says that no body follows.
func (f *Flow) OnRequestHeaders(end bool) Action {
	defer f.flushHeaders(Requests)
	x := &f.x
	if f.p.Shared {
		f.join()
	}
	f.meet(Requests, f.p.Previous)
	x.started = f.p.once(&x.common.started)
	x.ID = f.header(Requests, "x-request-id")
	x.Method = f.header(Requests, ":method")
	path := f.header(Requests, ":path")
	var query string
	x.Path, query, _ = strings.Cut(path, "?")
	x.Format = llm.FormatOf(x.Method, x.Path)
	if x.Format == llm.OpenAIModels {
		x.Format = f.modelsFormat()
	}
	if slices.Contains(f.p.Passthrough, x.Path) { // the operator lets it through as it is
		x.Format = llm.None
	}
	f.target = x.Path
	if query = x.Format.Query(query); query != "" {
		f.target += "?" + query
	}
	if f.target != path && x.Format != llm.None && f.p.policy {
		// The formats know next to no query, but some providers take keys from there.
		f.setHeader(Requests, ":path", f.target)
	}
	f.request, f.requestEnd = atHeader, end
	if f.p.carrier != nil {
		f.removeHeader(Requests, "accept-encoding") // what it is to read must be plain
		return f.carryRequest()
	}
	f.begin(PhaseRequestHeader)
	f.checkHeaders()
	action := f.proceed()
	if f.p.NoHeaderPause && !f.ended && f.request < forwarded && f.pending == 0 {
		// The body may still change, and this is the last chance to say so.
		f.headersGone[Requests] = true
		f.removeHeader(Requests, "content-length")
		return Continue
	}
	return action
}

// checkHeaders refuses what would go around the modules.
func (f *Flow) checkHeaders() {
	x := &f.x
	unknown := x.Format == llm.None && !f.p.passes(x.Path)
	// Envoy takes this header off where nobody upgrades connections. What follows it is another protocol, of which no end comes.
	if (unknown || x.Format != llm.None) && f.header(Requests, "upgrade") != "" {
		f.border(403, "upgrade_refused", "this gateway speaks HTTP/1.1 and HTTP/2 only, no other protocol over them")
		if !f.p.policy {
			x.Format = llm.None // there is no body to wait for
		}
		return
	}
	if unknown {
		f.border(404, "unknown_url", "this gateway does not serve %s %s: check the method and the exact path", bounded(x.Method), bounded(x.Path))
		return
	}
	if encoding := f.header(Requests, "content-encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		f.border(415, "unsupported_content_encoding", "the body is encoded with %s, which this gateway does not read: send it plain", bounded(encoding))
		return
	}
	if length, err := strconv.ParseInt(f.header(Requests, "content-length"), 10, 64); err == nil && length > f.p.MaxRequestBytes {
		f.tooLarge()
		return
	}
	if f.p.readsAnswers() && x.Format != llm.None {
		f.removeHeader(Requests, "accept-encoding")
	}
	if x.Format == llm.None || x.Format.ListsModels() || f.header(Requests, "content-type") == readAs {
		return
	}
	if f.header(Requests, "sec-fetch-site") == "cross-site" {
		f.border(403, "cross_site", "a web page of another site may send JSON only, for which its browser asks first")
		return
	}
	if f.p.policy {
		f.setHeader(Requests, "content-type", readAs)
	}
}

// readAs is what bodies are read as. A provider that took the client's word for another encoding (UTF-7 is ASCII too) or another format would
// read other texts than the modules.
const readAs = "application/json"

func (f *Flow) tooLarge() {
	f.border(413, "request_too_large", "the body is larger than the %d bytes that this gateway takes", f.p.MaxRequestBytes)
}

// bounded keeps what a client sent short enough for an error message.
func bounded(s string) string {
	const most = 100
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// OnRequestBody takes a piece of the body; size is how much the host has buffered of it.
func (f *Flow) OnRequestBody(size int, end bool) Action {
	f.p.shown, f.size[Requests] = true, size
	if f.ended {
		f.drop(end)
		return Pause
	}
	if f.request == forwarded && f.p.Wire {
		return Pause // all of it has gone on, but for its end
	}
	if f.request == forwarded || f.request == atStart {
		return Continue
	}
	if int64(size) > f.p.MaxRequestBytes && f.p.policy {
		f.tooLarge()
		f.drop(end)
		return Pause
	}
	switch {
	case f.p.Wire && !f.wireWhole(size):
		if end {
			f.border(411, "length_required", "the length of the request is not known any more: what stands behind Leash's modules must leave content-length as it is")
		}
		return Pause
	case !end && !f.p.Wire:
		return Pause
	}
	return f.endRequest()
}

// OnRequestTrailers ends a body that has trailers.
func (f *Flow) OnRequestTrailers() Action {
	f.p.shown = true
	switch {
	case f.ended:
		f.sendDeferred()
		return Pause
	case f.request == forwarded && f.p.Wire:
		return Pause
	case f.request == forwarded || f.request == atStart:
		return Continue
	default:
		return f.endRequest()
	}
}

func (f *Flow) endRequest() Action {
	f.requestEnd = true
	if f.pending > 0 {
		return Pause
	}
	return f.proceed()
}

// proceed takes the request as far as it can go.
func (f *Flow) proceed() Action {
	defer f.flushHeaders(Requests)
	if f.p.carrier != nil {
		return f.carryRequest()
	}
	for !f.ended {
		switch f.request {
		case atHeader:
			if f.run() != ran {
				return Pause
			}
			if !f.needsRequestBody() {
				f.request = forwarded
				return Continue
			}
			f.request = atBody
		case atBody:
			if !f.requestEnd {
				return Pause
			}
			if f.takeBody(); f.ended {
				return Pause
			}
			f.request = atRequest
		case atRequest:
			if f.run() != ran {
				return Pause
			}
			f.sendBody()
			f.passOn(Requests, f.body)
			f.request = forwarded
			return Continue
		default:
			return Continue
		}
	}
	return Pause
}

func (f *Flow) needsRequestBody() bool {
	switch {
	case f.x.Format == llm.None:
		return f.p.needs&PhaseBody != 0
	case f.x.Format.ListsModels():
		return f.p.needs&PhaseRequest != 0
	default:
		return f.p.NeedsRequestBody()
	}
}

// takeBody parses the request and sets the modules at the start of the phase that it is for.
func (f *Flow) takeBody() {
	f.body = f.wholeBody(Requests)
	if f.x.Format == llm.None {
		f.begin(PhaseBody)
		return
	}
	f.begin(PhaseRequest)
	if f.x.Format.ListsModels() {
		return
	}
	request, err := f.parseRequest(f.target, f.body)
	if err != nil {
		code := "invalid_request"
		if _, isSyntax := errors.AsType[*llm.SyntaxError](err); isSyntax {
			code = "invalid_json"
		}
		f.border(400, code, "the request cannot be read: %s", err.Error())
		f.cursor = len(f.p.slots) // an inspector has nothing to inspect here
		return
	}
	f.x.Request = request
	f.askUsage(request.WantsUsage)
}

// askUsage makes the provider tell the usage of a stream if a module reads it, and hides that from a client that did not want it.
func (f *Flow) askUsage(wanted bool) {
	if r := f.x.Request; f.p.needs&PhaseUsage != 0 && r.Stream && !r.WantsUsage {
		r.AskUsage()
		f.hideUsage = f.hideUsage || !wanted
	}
}

// errNoBody says that a body was to be replaced where there is none, or no more.
var errNoBody = errors.New("the body of a request can be replaced in the request phase and in the body phase only, and a request for the list of models has none")

// setRequestBody replaces the body by a module's own.
func (f *Flow) setRequestBody(body []byte) error {
	old := f.x.Request
	switch {
	case f.phase != PhaseBody && (f.phase != PhaseRequest || old == nil):
		return errNoBody
	case old != nil:
		request, err := f.parseRequest(old.Path(), body)
		if err != nil {
			return printf.Errorf("the new body cannot be read: %w", err)
		}
		f.x.Request = request
		f.askUsage(old.WantsUsage)
	}
	f.body, f.bodySet = body, true
	f.heldBytes += len(body)
	return nil
}

// sendBody gives the host what the modules have made of the request.
func (f *Flow) sendBody() {
	if f.x.Request != nil {
		if path := f.x.Request.Path(); path != f.target { // another model, where the path has it
			f.setHeader(Requests, ":path", path)
		}
	}
	switch {
	case f.x.Request != nil && f.x.Request.Edited():
		f.body = f.x.Request.Bytes()
	case f.bodySet:
	case f.header(Requests, "content-length") == "" && !f.p.NoHeaderPause: // it came in chunks, which not every provider reads
		f.setHeader(Requests, "content-length", strconv.Itoa(len(f.body)))
		return
	default:
		return
	}
	f.s.SetBody(Requests, f.body)
	if !f.p.NoHeaderPause {
		f.setHeader(Requests, "content-length", strconv.Itoa(len(f.body)))
	}
}

// modelsFormat tells whose list of models is asked for at the path that three APIs have in common. Google's clients name themselves in a
// header that is still there when the key has been taken away.
func (f *Flow) modelsFormat() llm.Format {
	switch {
	case f.header(Requests, "anthropic-version") != "":
		return llm.AnthropicModels
	case f.header(Requests, "x-goog-api-client") != "", f.header(Requests, "x-goog-api-key") != "":
		return llm.GoogleModels
	default:
		return llm.OpenAIModels
	}
}
