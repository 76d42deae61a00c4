package chain

import "github.com/leash-gateway/leash/host/abi"

// side is one direction of an exchange at one filter: what the filter holds of it.
//
// Envoy's rules, from source/common/http/filter_manager.cc:
//   - Pause on headers: they are held; the body's callback still runs, and if it says Continue, headers and body go on.
//   - PauseAll on headers: body and trailers wait here unseen, and come to this filter after Continue.
//   - Pause on a body: it is held and shown again, longer, with each part that comes.
type side struct {
	f         *filter
	direction abi.StreamType
	next      int // place of the next filter

	headers    *abi.Headers // held, or passed: see passed
	headersEnd bool
	passed     bool // the headers are with the next filter
	passedEnd  bool // and so is the end
	stopped    bool // by PauseAll
	holding    bool // body is held, to be seen again with what comes; it may be empty
	ended      bool // the end of the body has come
	body       abi.Buffer
	trailers   *abi.Headers
	waiting    bool // what came while stopped is in body and trailers, and the filter has not seen it
}

func (s *side) onHeaders(h *abi.Headers, end bool) {
	s.headers, s.headersEnd, s.ended = h, end, end
	if !s.f.begin() {
		s.skipped(func() { s.passHeaders() })
		return
	}
	var action abi.Action
	var err error
	if s.direction == abi.Request {
		action, err = s.f.stream.OnRequestHeaders(h, end)
	} else {
		action, err = s.f.stream.OnResponseHeaders(h, end)
	}
	switch {
	case err != nil:
		s.skipped(func() { s.passHeaders() })
	case s.obsolete(h): // the callback answered itself, and that is on its way already
	case action == abi.Continue:
		s.passHeaders()
	case action == abi.PauseAll:
		s.stopped = true
	}
}

// obsolete tells whether a local response has taken the place of what is being looked at.
func (s *side) obsolete(h *abi.Headers) bool {
	return s.f.x.over || s.f.x.local && (s.direction == abi.Request || s.headers != h)
}

// skipped does what happens with a filter whose VM has failed: pass, if the exchange goes on without it or this is the answer that says so.
func (s *side) skipped(pass func()) {
	if (s.f.failOpen || s.f.x.local && s.direction == abi.Response) && !s.f.x.over {
		pass()
	}
}

func (s *side) passHeaders() {
	if s.passed || s.headers == nil {
		return
	}
	s.passed, s.passedEnd = true, s.headersEnd
	s.f.x.headers(s.direction, s.next, s.headers, s.headersEnd)
}

func (s *side) onData(data []byte, end bool) {
	s.ended = end
	if s.f.gone {
		s.skipped(func() { s.f.x.data(s.direction, s.next, data, end) })
		return
	}
	if s.f.stream == nil {
		return // a response that never had headers here
	}
	if s.stopped {
		s.waiting = true
		s.hold(data)
		return
	}
	if !s.holding {
		s.body.Take()
	}
	if s.hold(data) {
		s.ask(end)
	}
}

// hold keeps data, unless that is too much: then the exchange ends here.
func (s *side) hold(data []byte) bool {
	if s.body.Len() == 0 {
		s.body = *abi.NewBuffer(data) // it is the chain's, so that the first piece, which is often the whole, is not copied
	} else {
		s.body.Append(data)
	}
	if (s.holding || s.stopped) && s.body.Len() > s.f.x.config.MaxBuffer {
		status := 413
		if s.direction == abi.Response {
			status = 500
		}
		s.body.Take()
		if !s.f.x.local {
			s.f.x.reply(&abi.LocalResponse{Status: status, Body: []byte(tooLarge[status]), GRPCStatus: -1, Details: ErrTooLarge.Error()})
		}
		return false
	}
	return true
}

var tooLarge = map[int]string{413: "Payload Too Large", 500: "Internal Server Error"}

// ask shows the filter what there is of the body.
func (s *side) ask(end bool) {
	headers := s.headers
	var action abi.Action
	var err error
	if s.direction == abi.Request {
		action, err = s.f.stream.OnRequestBody(&s.body, end)
	} else {
		action, err = s.f.stream.OnResponseBody(&s.body, end)
	}
	switch {
	case err != nil:
		s.skipped(func() { s.passBody() })
	case s.obsolete(headers):
	case action == abi.Continue:
		s.passBody()
	case action == abi.Pause:
		s.holding = true
	default:
		s.body.Take()
		s.holding = end // so that Continue brings the end, though nothing is left
	}
}

// passBody passes headers that are still held, the body, and trailers if they are there.
func (s *side) passBody() {
	s.holding = false
	if !s.passed {
		s.headersEnd = false
		s.passHeaders()
	}
	trailers := s.trailers
	if s.ended && trailers == nil && s.f.stream != nil {
		trailers = s.f.stream.AddedTrailers(s.direction)
	}
	end := s.ended && trailers == nil
	if data := s.body.Take(); !s.passedEnd && (len(data) > 0 || end) {
		s.passedEnd = end
		s.f.x.data(s.direction, s.next, data, end)
	}
	s.trailers = nil
	if trailers != nil && !s.passedEnd {
		s.passedEnd = true
		s.f.x.trailersTo(s.direction, s.next, trailers)
	}
}

func (s *side) onTrailers(h *abi.Headers) {
	if s.f.gone {
		s.skipped(func() { s.f.x.trailersTo(s.direction, s.next, h) })
		return
	}
	s.trailers = h
	if s.stopped {
		s.waiting = true
		return
	}
	s.askTrailers()
}

func (s *side) askTrailers() {
	headers := s.headers
	var action abi.Action
	var err error
	if s.direction == abi.Request {
		action, err = s.f.stream.OnRequestTrailers(s.trailers)
	} else {
		action, err = s.f.stream.OnResponseTrailers(s.trailers)
	}
	switch {
	case err != nil:
		s.skipped(func() { s.passBody() })
	case s.obsolete(headers):
	case action == abi.Continue:
		s.passBody()
	}
}

// proceed is Continue: what is held goes on; what has waited unseen is seen first. In a callback it lets go what was held before, and
// the callback's answer holds anew.
func (s *side) proceed() {
	if s.f.x.over || s.headers == nil || s.f.x.local && s.direction == abi.Request {
		return
	}
	waiting := s.stopped && s.waiting && !s.f.gone
	s.stopped, s.waiting = false, false
	s.passHeaders()
	switch {
	case waiting:
		s.catchUp()
	case s.holding || s.trailers != nil || s.f.gone && (s.body.Len() > 0 || s.ended):
		s.passBody()
	}
}

func (s *side) catchUp() {
	trailers := s.trailers
	s.trailers = nil
	if s.body.Len() > 0 || s.ended {
		s.ask(s.ended && trailers == nil)
	}
	if trailers != nil {
		s.trailers = trailers
		s.askTrailers()
	}
}
