// Package chain takes an HTTP exchange through the modules of a pipeline as Envoy's filter chain takes it through its
// filters: requests from the first to the last, responses from the last to the first, with what each holds back.
//
// An embedder calls the On methods with what comes from client and server, and gets at its two Sinks what may go on.
// Everything happens on the Worker of the plugins (see package abi), and every call returns at once: a module that waits
// for a callout holds its part, and what was held reaches the Sink later, from Continue.
//
//	client ─ OnRequest… ─▶ [ plugin 0 ] ─▶ [ plugin 1 ] ─▶ upstream Sink
//	downstream Sink ◀─ [ plugin 0 ] ◀─ [ plugin 1 ] ◀─ OnResponse… ─ server
package chain

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leash-gateway/leash/host/abi"
)

// A Sink takes one direction of an exchange. After a call with end nothing more comes. Data belongs to the Sink.
type Sink interface {
	Headers(h *abi.Headers, end bool)
	Data(data []byte, end bool)
	Trailers(h *abi.Headers)
}

// Config is how exchanges run.
type Config struct {
	// Upstream and Downstream take what has passed.
	Upstream, Downstream Sink
	// Reset says that a module closed the stream: the client gets no (more) answer. It is called at most once.
	Reset func()
	// Properties are the attributes of the exchange. What follows from headers (request.path, response.code, …), sizes and times the chain
	// answers itself, and it keeps what modules set. Default: none.
	Properties abi.Properties
	// PropertySet, if there is one, is told what a module sets.
	PropertySet func(path string, value []byte)
	// MaxBuffer is how many bytes a module may hold back of a body; a longer request is answered with 413, a longer
	// response with 500, as in Envoy. Default 1 MiB, which is Envoy's too.
	MaxBuffer int
	// FailOpen tells for the plugins, by their place, whether an exchange goes on without one whose VM has failed (inspectors); others answer
	// 503 (policies). Default: none does.
	FailOpen []bool
}

const defaultMaxBuffer = 1 << 20

// maxState bounds the properties that modules may set in one exchange, in bytes.
const maxState = 16 << 20

// An Exchange is one exchange on its way.
type Exchange struct {
	config  Config
	filters []*filter
	state   map[string]property // what modules have set as properties
	stated  int                 // bytes of it

	request, response *abi.Headers // as they were last seen
	trailers          *abi.Headers
	answered          bool // response headers have reached the client
	local             bool // a module, or the chain for it, has answered; what the server says does not matter any more
	over              bool

	// For attributes.
	clock                       abi.Clock
	began, toServer, fromServer time.Time
	received, sent              int64 // bytes of the bodies
	details                     string
}

// property is what a module has set.
type property struct {
	value []byte
	final bool // it was declared to be set once
}

// New begins an exchange through plugins, which may live in different VMs of one Worker. Close it, whatever happens.
func New(plugins []*abi.Plugin, config Config) *Exchange {
	if config.MaxBuffer <= 0 {
		config.MaxBuffer = defaultMaxBuffer
	}
	x := &Exchange{config: config, clock: abi.SystemClock{}, details: "via_upstream"}
	if len(plugins) > 0 {
		x.clock = plugins[0].VM().Clock()
	}
	x.began = x.clock.Now()
	for i, plugin := range plugins {
		f := &filter{x: x, plugin: plugin, index: i, failOpen: i < len(config.FailOpen) && config.FailOpen[i]}
		f.side = [2]side{{f: f, direction: abi.Request, next: i + 1}, {f: f, direction: abi.Response, next: i - 1}}
		x.filters = append(x.filters, f)
	}
	return x
}

// OnRequestHeaders brings the request's headers, pseudo headers among them. They are changed in place.
func (x *Exchange) OnRequestHeaders(h *abi.Headers, end bool) {
	x.request = h
	x.headers(abi.Request, 0, h, end)
}

// OnRequestData brings a part of the request's body, which belongs to the chain from now on.
// After a local response nobody sees it.
func (x *Exchange) OnRequestData(data []byte, end bool) {
	x.received += int64(len(data))
	if !x.local {
		x.data(abi.Request, 0, data, end)
	}
}

// OnRequestTrailers brings the request's trailers and ends it.
func (x *Exchange) OnRequestTrailers(h *abi.Headers) {
	if !x.local {
		x.trailersTo(abi.Request, 0, h)
	}
}

// OnResponseHeaders brings the response's headers. After a local response it and its body are ignored.
func (x *Exchange) OnResponseHeaders(h *abi.Headers, end bool) {
	if x.local || x.over {
		return
	}
	x.response = h
	x.cameIf(end)
	x.headers(abi.Response, len(x.filters)-1, h, end)
}

// Instead says what the client has read in the place of an answer whose headers modules hold back. They see no more of it, but for response.code.
func (x *Exchange) Instead(h *abi.Headers) { x.response = h }

// OnResponseData brings a part of the response's body, which belongs to the chain from now on.
func (x *Exchange) OnResponseData(data []byte, end bool) {
	if !x.local {
		x.cameIf(end)
		x.data(abi.Response, len(x.filters)-1, data, end)
	}
}

// OnResponseTrailers brings the response's trailers and ends it.
func (x *Exchange) OnResponseTrailers(h *abi.Headers) {
	if !x.local {
		x.cameIf(true)
		x.trailersTo(abi.Response, len(x.filters)-1, h)
	}
}

// cameIf notes the time at which the whole answer has come.
func (x *Exchange) cameIf(whole bool) {
	if whole {
		x.fromServer = x.clock.Now()
	}
}

// Close ends the exchange for all modules: they log and forget it. More calls do nothing.
func (x *Exchange) Close() {
	if x.over {
		return
	}
	x.over = true
	for _, f := range x.filters {
		if f.stream != nil {
			_ = f.stream.Close(x.request, x.response, x.trailers) // a VM that fails now has told its streams
		}
	}
}

// headers takes headers to the filter at a place, or out of the chain.
func (x *Exchange) headers(direction abi.StreamType, at int, h *abi.Headers, end bool) {
	switch s := x.at(direction, at); {
	case x.over:
	case s != nil:
		s.onHeaders(h, end)
	case direction == abi.Request:
		if !x.local {
			x.toServer = x.clock.Now()
			x.config.Upstream.Headers(h, end)
		}
	default:
		x.answered = true
		x.config.Downstream.Headers(h, end)
	}
}

func (x *Exchange) data(direction abi.StreamType, at int, data []byte, end bool) {
	switch s := x.at(direction, at); {
	case x.over:
	case s != nil:
		s.onData(data, end)
	case direction == abi.Request:
		if !x.local {
			x.config.Upstream.Data(data, end)
		}
	default:
		x.sent += int64(len(data))
		x.config.Downstream.Data(data, end)
	}
}

func (x *Exchange) trailersTo(direction abi.StreamType, at int, h *abi.Headers) {
	if direction == abi.Response {
		x.trailers = h
	}
	switch s := x.at(direction, at); {
	case x.over:
	case s != nil:
		s.onTrailers(h)
	case direction == abi.Request:
		if !x.local {
			x.config.Upstream.Trailers(h)
		}
	default:
		x.config.Downstream.Trailers(h)
	}
}

func (x *Exchange) at(direction abi.StreamType, at int) *side {
	if at < 0 || at >= len(x.filters) {
		return nil
	}
	return &x.filters[at].side[direction]
}

// reply answers the client instead of the server. While no header has reached the client the answer goes through the response
// phases of all modules, unless they have seen another one's already.
func (x *Exchange) reply(r *abi.LocalResponse) {
	if x.over {
		return
	}
	if x.answered {
		x.reset()
		return
	}
	direct := x.response != nil
	x.local, x.details = true, strings.ReplaceAll(r.Details, " ", "_")
	h := abi.NewHeaders(":status", strconv.Itoa(r.Status))
	for name, value := range r.Headers.All() {
		h.Add(name, value)
	}
	body := r.Body
	if strings.HasPrefix(x.request.Value("content-type"), "application/grpc") {
		h, body = grpcAnswer(r, h), nil
	} else if len(body) > 0 {
		h.Set("content-length", strconv.Itoa(len(body)))
		if h.Value("content-type") == "" {
			h.Set("content-type", "text/plain")
		}
	}
	if x.request.Value(":method") == "HEAD" {
		body = nil
	}
	x.response = h
	first := len(x.filters) - 1
	if direct {
		first = -1
	}
	for _, f := range x.filters {
		f.side[abi.Response] = side{f: f, direction: abi.Response, next: f.index - 1}
	}
	x.headers(abi.Response, first, h, len(body) == 0)
	if len(body) > 0 {
		x.data(abi.Response, first, body, true)
	}
}

// grpcAnswer is the form of an answer that a gRPC client understands: status 200 and its own status in the headers.
func grpcAnswer(r *abi.LocalResponse, h *abi.Headers) *abi.Headers {
	status := int(r.GRPCStatus)
	if status < 0 {
		status = GRPCStatus(r.Status)
	}
	h.Set(":status", "200")
	h.Set("content-type", "application/grpc")
	h.Set("grpc-status", strconv.Itoa(status))
	if len(r.Body) > 0 {
		h.Set("grpc-message", percentEncode(r.Body))
	}
	return h
}

// GRPCStatus is the gRPC status of an HTTP status that is an error. https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md
func GRPCStatus(status int) int {
	switch status {
	case 400:
		return 13
	case 401:
		return 16
	case 403:
		return 7
	case 404:
		return 12
	case 429, 502, 503, 504:
		return 14
	}
	return 2
}

func percentEncode(message []byte) string {
	const hex = "0123456789ABCDEF"
	var out []byte
	for _, c := range message {
		if c < ' ' || c > '~' || c == '%' {
			out = append(out, '%', hex[c>>4], hex[c&15])
		} else {
			out = append(out, c)
		}
	}
	return string(out)
}

func (x *Exchange) reset() {
	if !x.over {
		x.Close()
		if x.config.Reset != nil {
			x.config.Reset()
		}
	}
}

// filter is one plugin's place in the chain. It is the StreamHost of its stream.
type filter struct {
	x        *Exchange
	plugin   *abi.Plugin
	stream   *abi.Stream // nil before the first phase and after a failure
	index    int
	failOpen bool
	gone     bool
	side     [2]side
}

var _ abi.StreamHost = (*filter)(nil)

// Property is what a module has set, or the exchange's attribute.
func (f *filter) Property(path string) ([]byte, abi.Status) {
	if value, found := f.ofHeaders(path); found {
		return value, abi.OK
	}
	if f.x.config.Properties != nil {
		if value, status := f.x.config.Properties.Property(path); status != abi.NotFound {
			return value, status
		}
	}
	// In Envoy what modules set is filter state, under names of its own.
	if path == "filter_state" {
		return nil, abi.SerializationFailure
	}
	name, isState := strings.CutPrefix(path, "filter_state\x00wasm.")
	if one, found := f.x.state[name]; found && (isState || !strings.Contains(path, "\x00")) {
		return one.value, abi.OK
	}
	if value, found := f.own(path); found {
		return value, abi.OK
	}
	return nil, abi.NotFound
}

// SetProperty keeps a value for all modules of the exchange.
func (f *filter) SetProperty(path string, value []byte) abi.Status {
	if f.x.state == nil {
		f.x.state = map[string]property{}
	}
	old, known := f.x.state[path]
	if old.final {
		return abi.BadArgument
	}
	grows := len(path) + len(value) - len(old.value)
	if grows > 0 && f.x.stated+grows > maxState {
		return abi.InternalFailure
	}
	f.x.stated += grows
	f.x.state[path] = property{slices.Clone(value), !known && f.plugin.SetsOnce(path)}
	if f.x.config.PropertySet != nil {
		f.x.config.PropertySet(path, f.x.state[path].value)
	}
	return abi.OK
}

// Continue lets go what was held.
func (f *filter) Continue(direction abi.StreamType) { f.side[direction&1].proceed() }

// CloseStream resets the exchange.
func (f *filter) CloseStream(abi.StreamType) { f.x.reset() }

// LocalResponse answers the client.
func (f *filter) LocalResponse(r *abi.LocalResponse) {
	if !f.x.local {
		f.x.reply(r)
	}
}

// Failed decides what becomes of the exchange whose module is gone.
func (f *filter) Failed(error) {
	if f.gone || f.x.over {
		return
	}
	f.gone = true
	if f.failOpen {
		f.side[abi.Request].proceed()
		f.side[abi.Response].proceed()
		return
	}
	if !f.x.local {
		f.x.reply(&abi.LocalResponse{Status: 503, GRPCStatus: 14, Details: "wasm_fail_stream"})
	}
}

// begin makes the stream, with the first phase that comes. It tells whether there is one to ask.
func (f *filter) begin() bool {
	if f.stream == nil && !f.gone {
		stream, err := f.plugin.NewStream(f)
		if err != nil {
			f.Failed(err)
			return false
		}
		f.stream = stream
	}
	return !f.gone
}

// ErrTooLarge is the detail of an answer to a body that is too long to be held.
var ErrTooLarge = errors.New("body longer than a module may hold")
