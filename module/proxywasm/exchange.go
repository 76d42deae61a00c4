//go:build wasip1

package proxywasm

import (
	"math"
	"strconv"
	"time"

	"github.com/leash-gateway/leash/module"
)

// exchange is an HTTP exchange of the host, with its way through the pipeline. It is the module.Stream of its flow: the
// host's calls concern the exchange whose callback is running.
type exchange struct {
	id     uint32
	plugin *plugin
	flow   *module.Flow
	done   bool
}

var _ module.Stream = (*exchange)(nil)

func newExchange(id uint32, p *plugin) *exchange {
	x := &exchange{id: id, plugin: p}
	x.flow = p.pipeline.Start(x)
	return x
}

// decide contains a panic of the pipeline's own code (modules are contained one by one, inside it): a pipeline with a
// policy refuses the exchange, one of inspectors lets it pass.
func (x *exchange) decide(action *int32) {
	cause := recover()
	if cause == nil {
		return
	}
	logPanic(cause)
	*action = actionContinue
	if x.plugin.pipeline.Policy() {
		defer contain()
		*action = actionPause
		x.Reply(500, [][2]string{{"content-type", "application/json"}},
			[]byte(`{"error":{"message":"this gateway could not decide on the request; it was refused","type":"server_error","param":null,"code":"pipeline_failed"}}`))
	}
}

func mapOf(s module.Side) headerMap {
	if s == module.Requests {
		return requestHeaders
	}
	return responseHeaders
}

func bufferOf(s module.Side) buffer {
	if s == module.Requests {
		return requestBody
	}
	return responseBody
}

// Headers are all headers.
func (*exchange) Headers(s module.Side) [][2]string {
	return pairs(taken(hostGetHeaders(mapOf(s), toData, toSize)))
}

// SetHeader sets one.
func (*exchange) SetHeader(s module.Side, name, value string) {
	check(hostReplaceHeader(mapOf(s), name, value), "set header ", name)
}

// RemoveHeader removes one.
func (*exchange) RemoveHeader(s module.Side, name string) {
	check(hostRemoveHeader(mapOf(s), name), "remove header ", name)
}

// ReplaceHeaders puts these headers in the place of all.
func (*exchange) ReplaceHeaders(s module.Side, headers [][2]string) {
	scratch = appendPairs(scratch[:0], headers)
	check(hostSetHeaders(mapOf(s), first(scratch), uint32(len(scratch))), "set headers", "")
}

// check fails the callback where the host refuses what must not be left undone: a policy's exchange is then refused.
func check(s status, what, name string) {
	if s != ok {
		panic(what + name + ": " + s.String())
	}
}

// Body is what the host has buffered.
func (*exchange) Body(s module.Side) []byte {
	return taken(hostGetBuffer(bufferOf(s), 0, math.MaxInt32, toData, toSize))
}

// SetBody replaces it.
func (*exchange) SetBody(s module.Side, body []byte) {
	check(hostSetBuffer(bufferOf(s), 0, math.MaxInt32, first(body), uint32(len(body))), "set body", "")
}

// replyDetails is what Envoy's access logs have as %RESPONSE_CODE_DETAILS% of such an answer, as they have where a module host gives it.
const replyDetails = "leash"

// Reply answers the client in the provider's place.
func (*exchange) Reply(code int, header [][2]string, body []byte) {
	scratch = appendPairs(scratch[:0], header)
	const noGRPCStatus = -1
	s := hostReply(uint32(code), replyDetails, first(body), uint32(len(body)), first(scratch), uint32(len(scratch)), noGRPCStatus)
	if s != ok {
		log(levelError, "leash: reply "+strconv.Itoa(code)+": "+s.String())
	}
}

// Resume lets a paused side go on.
func (*exchange) Resume(s module.Side) {
	kind := requestStream
	if s == module.Responses {
		kind = responseStream
	}
	_ = hostContinue(kind) // of one that has ended there is nothing to go on
}

// Property reads a property of the host.
func (*exchange) Property(path ...string) ([]byte, bool) {
	scratch = scratch[:0]
	for i, name := range path {
		if i > 0 {
			scratch = append(scratch, 0)
		}
		scratch = append(scratch, name...)
	}
	s := hostGetProperty(first(scratch), uint32(len(scratch)), toData, toSize)
	return taken(s), s == ok
}

// SetProperty writes a property of the module's own.
func (*exchange) SetProperty(name string, value []byte) {
	if len(value) > 0 {
		check(hostSetProperty(name, first(value), uint32(len(value))), "set property ", name)
	}
}

// Call sends a request to an upstream.
func (x *exchange) Call(c module.Call, done func(module.CallResult)) error {
	return x.plugin.send(c, call{x, done})
}

// After calls f once, d from now.
func (x *exchange) After(d time.Duration, f func()) {
	x.plugin.later.after(now()+int64(d), x, func() {
		if !x.done { // by another timer that was due
			_ = hostSetEffectiveContext(x.id)
			f()
		}
	})
}
