package abi

// A StreamHost does for a stream what its module asks. Its methods are called on the worker, after the callback in which
// the module asked, and may call the stream again.
type StreamHost interface {
	Properties
	// Continue ends a Pause of a direction: what was held goes on.
	Continue(StreamType)
	// CloseStream resets the exchange, or closes a side of a connection.
	CloseStream(StreamType)
	// LocalResponse answers the exchange. As in Envoy the embedder takes it through the response phases of this stream and of those in front
	// of it.
	LocalResponse(*LocalResponse)
	// Failed says that the VM has failed, perhaps in another exchange. No callback comes any more; whether the exchange goes on without
	// the module (an inspector) or ends (a policy) is the embedder's decision.
	Failed(error)
}

// A LocalResponse is an answer that a module gives itself.
type LocalResponse struct {
	Status  int
	Headers *Headers
	Body    []byte
	// GRPCStatus is for gRPC requests; -1: none was given.
	GRPCStatus int32
	Details    string
}

// A Stream is one HTTP exchange of a plugin. The On methods are its phases: they hand to the module what has come,
// which it may change in place, until they or a later StreamHost.Continue let it pass. A phase of which the module has no callback
// is Continue. An error means that the VM has failed.
type Stream struct {
	plugin *Plugin
	host   StreamHost
	id     uint32
	closed bool

	headers  [4]*Headers // by MapType: what the module may see and change now
	bodies   [2]*Buffer  // by BufferType
	ended    bool        // the last phase brought the end of its direction
	added    [2]*Headers // trailers that the module has made itself
	logPhase bool
	replying bool            // a local response waits for the end of the callback
	declared map[string]bool // as in Plugin
}

// NewStream begins an exchange: proxy_on_context_create.
func (p *Plugin) NewStream(host StreamHost) (*Stream, error) {
	s := &Stream{plugin: p, host: host, id: p.vm.newID()}
	return s, s.create(s)
}

func (s *Stream) create(of scope) error {
	vm := s.plugin.vm
	if vm.failure != nil {
		return vm.failure
	}
	vm.contexts[s.id] = of
	if c := vm.calls.contextCreate; c.function != nil {
		vm.arguments[0], vm.arguments[1] = uint64(s.id), uint64(s.plugin.id)
		return vm.callAndSettle(of, c)
	}
	return nil
}

// OnRequestHeaders brings the request's headers; end: there is no body.
func (s *Stream) OnRequestHeaders(h *Headers, end bool) (Action, error) {
	return s.onHeaders(s.plugin.vm.calls.requestHeaders, RequestHeaders, h, end)
}

// OnRequestBody brings what has come of the request's body: what was held since the last Continue, with what is new at its end.
func (s *Stream) OnRequestBody(b *Buffer, end bool) (Action, error) {
	return s.onBody(s.plugin.vm.calls.requestBody, RequestBody, b, end)
}

// OnRequestTrailers brings the request's trailers, and so its end.
func (s *Stream) OnRequestTrailers(h *Headers) (Action, error) {
	return s.onTrailers(s.plugin.vm.calls.requestTrailers, RequestTrailers, h)
}

// OnRequestMetadata tells that n HTTP/2 metadata entries came, which modules cannot see. Envoy ignores what they answer.
func (s *Stream) OnRequestMetadata(n int) error {
	return s.onMetadata(s.plugin.vm.calls.requestMetadata, n)
}

// OnResponseHeaders brings the response's headers; end: there is no body.
func (s *Stream) OnResponseHeaders(h *Headers, end bool) (Action, error) {
	return s.onHeaders(s.plugin.vm.calls.responseHeaders, ResponseHeaders, h, end)
}

// OnResponseBody is OnRequestBody for the response.
func (s *Stream) OnResponseBody(b *Buffer, end bool) (Action, error) {
	return s.onBody(s.plugin.vm.calls.responseBody, ResponseBody, b, end)
}

// OnResponseTrailers brings the response's trailers, and so its end.
func (s *Stream) OnResponseTrailers(h *Headers) (Action, error) {
	return s.onTrailers(s.plugin.vm.calls.responseTrailers, ResponseTrailers, h)
}

// OnResponseMetadata is OnRequestMetadata for the response.
func (s *Stream) OnResponseMetadata(n int) error {
	return s.onMetadata(s.plugin.vm.calls.responseMetadata, n)
}

// Map is what the module may read of headers and trailers now; nil: nothing.
func (s *Stream) Map(which MapType) *Headers {
	if which > ResponseTrailers {
		return nil
	}
	return s.headers[which]
}

// AddedTrailers are trailers that the module made in the phase that ended the direction (Request or Response) with a
// body; nil if it made none. The embedder sends them after the body.
func (s *Stream) AddedTrailers(direction StreamType) *Headers { return s.added[direction&1] }

// Close ends the exchange: proxy_on_log, which sees the headers given here (nil: there were none), proxy_on_done, proxy_on_delete, in
// this order as in Envoy. It must be called exactly once, also after a failure; more calls do nothing.
func (s *Stream) Close(request, response, trailers *Headers) error {
	if s.closed {
		return nil
	}
	s.closed = true
	vm := s.plugin.vm
	defer delete(vm.contexts, s.id)
	if vm.failure != nil {
		return vm.failure
	}
	s.logPhase = true
	s.headers = [4]*Headers{RequestHeaders: request, ResponseHeaders: response, ResponseTrailers: trailers}
	s.bodies = [2]*Buffer{}
	if err := s.end(s, vm.calls.log); err != nil {
		return err
	}
	s.logPhase = false
	s.headers = [4]*Headers{}
	if err := s.end(s, vm.calls.done); err != nil {
		return err
	}
	return s.end(s, vm.calls.delete)
}

func (s *Stream) end(of scope, c callback) error {
	if c.function == nil {
		return nil
	}
	s.plugin.vm.arguments[0] = uint64(s.id)
	return s.plugin.vm.callAndSettle(of, c)
}

func (s *Stream) onHeaders(c callback, which MapType, h *Headers, end bool) (Action, error) {
	s.headers[which], s.ended = h, end
	action, err := s.phase(c, uint64(h.Len()), end, headersPhase) //nolint:gosec // never negative
	if action == Continue {
		s.headers[which] = nil
	}
	return action, err
}

func (s *Stream) onBody(c callback, which BufferType, b *Buffer, end bool) (Action, error) {
	s.bodies[which], s.ended = b, end
	action, err := s.phase(c, uint64(b.Len()), end, bodyPhase) //nolint:gosec // never negative
	if action == Continue {
		s.bodies[which] = nil
	}
	return action, err
}

func (s *Stream) onTrailers(c callback, which MapType, h *Headers) (Action, error) {
	s.headers[which] = h
	action, err := s.phase(c, uint64(h.Len()), false, trailersPhase) //nolint:gosec // never negative
	if action == Continue {
		s.headers[which] = nil
	}
	return action, err
}

func (s *Stream) onMetadata(c callback, n int) error {
	_, err := s.phase(c, uint64(n), false, metadataPhase) //nolint:gosec // never negative
	return err
}

// phase is which of the rules applies to the result of a callback.
type phase uint8

const (
	headersPhase phase = iota
	bodyPhase
	trailersPhase
	metadataPhase
)

// phase runs a callback of two or three parameters and makes an action of its result. BenchmarkCallback measures it.
func (s *Stream) phase(c callback, size uint64, end bool, which phase) (action Action, err error) {
	vm := s.plugin.vm
	if vm.failure != nil {
		return Continue, vm.failure
	}
	if c.function == nil || s.closed {
		return Continue, nil
	}
	vm.arguments[0], vm.arguments[1], vm.arguments[2] = uint64(s.id), size, 0
	if end {
		vm.arguments[2] = 1
	}
	result, err := vm.call(s, c, vm.program.engine.deadline)
	if err != nil {
		return Continue, err
	}
	switch which {
	case headersPhase:
		action = s.headersAction(result)
	case bodyPhase:
		action = s.bodyAction(result)
	case trailersPhase:
		action = s.trailersAction(result)
	case metadataPhase: // Envoy does not look at it
	}
	vm.settle()
	return action, nil
}

func (s *Stream) headersAction(result uint32) Action {
	const stopIteration, endStream, stopAllAndWatermark = 1, 2, 4
	switch {
	case s.plugin.vm.stopped || result > stopAllAndWatermark:
		return PauseAll
	case result == 0 || result == endStream:
		return Continue
	case result == stopIteration && s.plugin.config.AllowOnHeadersStopIteration:
		return Pause
	}
	return PauseAll
}

func (s *Stream) bodyAction(result uint32) Action {
	const stopAndWatermark = 2
	switch {
	case s.plugin.vm.stopped || result > stopAndWatermark:
		return PauseNoBuffer
	case result == 0:
		return Continue
	}
	return Pause
}

func (s *Stream) trailersAction(result uint32) Action {
	if s.plugin.vm.stopped || result != 0 {
		return Pause
	}
	return Continue
}

// forget is what Envoy's continueStream does: whatever the direction, it takes the request's parts away from the module.
func (s *Stream) forget() {
	s.headers[RequestHeaders], s.headers[RequestTrailers], s.bodies[RequestBody] = nil, nil, nil
}

// mutable is a map that the module may change. In the phase that ends a direction with a body, trailers come into being by being asked for.
func (s *Stream) mutable(which MapType) *Headers {
	if s.logPhase {
		return nil
	}
	body, direction := RequestBody, Request
	if which == ResponseTrailers {
		body, direction = ResponseBody, Response
	}
	if (which == RequestTrailers || which == ResponseTrailers) && s.headers[which] == nil && s.bodies[body] != nil && s.ended {
		s.added[direction] = &Headers{}
		s.headers[which] = s.added[direction]
	}
	return s.headers[which]
}

func (s *Stream) root() *Plugin     { return s.plugin }
func (s *Stream) contextID() uint32 { return s.id }
func (s *Stream) stream() *Stream   { return s }
func (s *Stream) conn() *Conn       { return nil }
func (s *Stream) failed(err error) {
	if !s.closed {
		s.host.Failed(err)
	}
}
