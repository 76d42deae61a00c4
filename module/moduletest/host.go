// Package moduletest runs modules natively, without Wasm and without Envoy, so that a policy is tested in
// milliseconds. It takes an exchange through the same pipeline that the .wasm runs.
//
//	h := moduletest.New(t, `{"modules":[{"name":"hello"}]}`)
//	got := h.Do(moduletest.Exchange{Request: body, Answer: answer})
package moduletest

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/module"
)

// A Host is a fake host with a pipeline in it. Its clock stands still unless it is set.
type Host struct {
	// Clock is what modules see as the time.
	Clock time.Time
	// Logs are the lines that modules wrote; Metrics the sums of counters, and the last values of the others, by name
	// and labels as in leash_tokens_total.[tenant=acme].
	Logs    []string
	Metrics map[string]int64
	// Data is what modules share.
	Data map[string][]byte
	// Calls answers the outbound calls of modules; without it every call fails.
	Calls func(module.Call) module.CallResult

	t        testing.TB
	pipeline *module.Pipeline
	versions map[string]uint32
}

var _ module.Host = (*Host)(nil)

// New builds the pipeline of a configuration as Envoy would give it to the .wasm. A configuration that is refused
// fails the test.
func New(t testing.TB, config string) *Host {
	t.Helper()
	h := &Host{
		t: t, Clock: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC),
		Metrics: map[string]int64{}, Data: map[string][]byte{}, versions: map[string]uint32{},
	}
	var err error
	if h.pipeline, err = module.NewPipeline([]byte(config), h); err != nil {
		t.Fatalf("build pipeline: %v", err)
	}
	return h
}

// Now is the fake clock.
func (h *Host) Now() time.Time { return h.Clock }

// Log keeps the line.
func (h *Host) Log(_ module.Level, message string) { h.Logs = append(h.Logs, message) }

// Metric keeps the value.
func (h *Host) Metric(kind module.MetricKind, name string, value int64) {
	if kind == module.CounterMetric {
		value += h.Metrics[name]
	}
	h.Metrics[name] = value
}

// Shared is the host's shared data.
func (h *Host) Shared() module.SharedData { return sharedData{h} }

type sharedData struct{ h *Host }

func (s sharedData) Get(key string) ([]byte, uint32) { return s.h.Data[key], s.h.versions[key] }

func (s sharedData) Set(key string, value []byte, version uint32) bool {
	if version != 0 && s.h.versions[key] != version {
		return false
	}
	s.h.Data[key] = append([]byte(nil), value...)
	s.h.versions[key]++
	return true
}

// An Exchange is a request and what the provider answers.
type Exchange struct {
	// Method and Path are POST and /v1/chat/completions by default.
	Method, Path string
	Header       map[string]string
	Request      string
	// RequestChunks, where set, is the request's body in pieces, instead of Request.
	RequestChunks []string
	// Status is 200 by default. A streamed answer has the content type text/event-stream in AnswerHeader and comes in
	// AnswerChunks; any other comes in Answer.
	Status       int
	AnswerHeader map[string]string
	Answer       string
	AnswerChunks []string
	// Cut leaves the answer without an end, as a client does that disconnects.
	Cut bool
	// Properties are what the host knows of the exchange, path elements joined with dots.
	Properties map[string]string
}

// A Result is what came out of an exchange.
type Result struct {
	// Sent says whether the request reached the provider; SentBody and SentHeader are what it read.
	Sent       bool
	SentBody   string
	SentHeader map[string]string
	// Status, Header and Body are what the client read.
	Status int
	Header map[string]string
	Body   string
	// Chunks are the pieces in which Body came.
	Chunks []string
	// Properties are the host's, with what modules have added.
	Properties map[string]string
}

// Do takes an exchange through the pipeline.
func (h *Host) Do(e Exchange) Result {
	h.t.Helper()
	s := newStream(h, e)
	flow := h.pipeline.Start(s)
	if s.request(flow, e) {
		s.answer(flow, e)
	}
	flow.OnDone()
	return s.result
}

// stream is one fake exchange.
type stream struct {
	h       *Host
	header  [2]map[string]string
	body    [2][]byte
	resumed [2]bool
	replied bool
	props   map[string]string
	later   []func()
	result  Result
}

var _ module.Stream = (*stream)(nil)

func newStream(h *Host, e Exchange) *stream {
	s := &stream{h: h, props: map[string]string{"source.address": "192.0.2.1:4711"}}
	for k, v := range e.Properties {
		s.props[k] = v
	}
	s.header[module.Requests] = map[string]string{
		":method": or(e.Method, "POST"), ":path": or(e.Path, "/v1/chat/completions"), "x-request-id": "test-request",
	}
	s.header[module.Responses] = map[string]string{"content-type": "application/json"}
	for k, v := range e.Header {
		s.header[module.Requests][strings.ToLower(k)] = v
	}
	s.result.Properties = s.props
	return s
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// request takes the request in, and says whether it went on to the provider.
func (s *stream) request(flow *module.Flow, e Exchange) bool {
	chunks := e.RequestChunks
	if chunks == nil && e.Request != "" {
		chunks = []string{e.Request}
	}
	action := flow.OnRequestHeaders(len(chunks) == 0)
	for i, chunk := range chunks {
		if s.replied {
			break
		}
		s.body[module.Requests] = append(s.body[module.Requests], chunk...)
		action = flow.OnRequestBody(len(s.body[module.Requests]), i == len(chunks)-1)
	}
	s.settle()
	if s.replied || action == module.Pause && !s.resumed[module.Requests] {
		return false
	}
	s.result.Sent, s.result.SentBody, s.result.SentHeader = true, string(s.body[module.Requests]), s.header[module.Requests]
	return true
}

// settle runs what waits for calls and timers.
func (s *stream) settle() {
	for len(s.later) > 0 {
		next := s.later[0]
		s.later = s.later[1:]
		next()
	}
}

// answer takes the provider's answer to the client.
func (s *stream) answer(flow *module.Flow, e Exchange) {
	if e.Status == 0 {
		e.Status = 200
	}
	header := s.header[module.Responses]
	header[":status"] = strconv.Itoa(e.Status)
	for k, v := range e.AnswerHeader {
		header[strings.ToLower(k)] = v
	}
	chunks := e.AnswerChunks
	if chunks == nil {
		chunks = []string{e.Answer}
	}
	flow.OnResponseHeaders(len(chunks) == 0)
	held := ""
	for i, chunk := range chunks {
		if s.replied {
			break
		}
		s.body[module.Responses] = []byte(held + chunk)
		end := i == len(chunks)-1 && !e.Cut
		action := flow.OnResponseBody(len(s.body[module.Responses]), end)
		s.settle()
		if action == module.Pause && !s.resumed[module.Responses] {
			held = string(s.body[module.Responses])
			continue
		}
		held = ""
		s.result.Chunks = append(s.result.Chunks, string(s.body[module.Responses]))
		s.result.Body += string(s.body[module.Responses])
	}
	if !s.replied {
		s.result.Status, s.result.Header = status(header), header
	}
}

func (s *stream) SetHeader(side module.Side, name, value string) { s.header[side][name] = value }
func (s *stream) RemoveHeader(side module.Side, name string)     { delete(s.header[side], name) }
func (s *stream) Body(side module.Side) []byte                   { return s.body[side] }
func (s *stream) Resume(side module.Side)                        { s.resumed[side] = true }
func (s *stream) SetProperty(name string, value []byte)          { s.props[name] = string(value) }
func (s *stream) After(_ time.Duration, f func())                { s.later = append(s.later, f) }
func (s *stream) SetBody(side module.Side, body []byte) {
	s.body[side] = append([]byte(nil), body...)
}

// Headers lists the headers in the order of their names, so that tests are told the same each time.
func (s *stream) Headers(side module.Side) [][2]string {
	var pairs [][2]string
	for _, name := range slices.Sorted(maps.Keys(s.header[side])) {
		pairs = append(pairs, [2]string{name, s.header[side][name]})
	}
	return pairs
}

// ReplaceHeaders puts these headers in the place of all.
func (s *stream) ReplaceHeaders(side module.Side, headers [][2]string) {
	clear(s.header[side])
	for _, h := range headers {
		s.header[side][h[0]] = h[1]
	}
}

// Reply takes the answer of the modules.
func (s *stream) Reply(status int, header [][2]string, body []byte) {
	if s.replied {
		s.h.t.Errorf("the exchange was answered twice: %d %s", status, body)
	}
	s.replied = true
	s.result.Status, s.result.Body, s.result.Header = status, string(body), map[string]string{}
	for _, h := range header {
		s.result.Header[h[0]] = h[1]
	}
}

func (s *stream) Property(path ...string) ([]byte, bool) {
	value, ok := s.props[strings.Join(path, ".")]
	return []byte(value), ok
}

func (s *stream) Call(call module.Call, done func(module.CallResult)) error {
	if s.h.Calls == nil {
		return errors.New("no upstream " + call.Upstream)
	}
	s.later = append(s.later, func() { done(s.h.Calls(call)) })
	return nil
}

func status(header map[string]string) int {
	n, _ := strconv.Atoi(header[":status"])
	return n
}
