package gateway

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/host/abi/chain"
)

// restPrefix and the name of a provider is where the module provider of another one asks for the rest of a stream that has broken off: the way
// that an attempt takes, which is an internal listener of this name in Envoy.
const restPrefix = "carry."

// rest makes one attempt of a call, beside the exchange that waits for it.
func (c *caller) rest(ctx context.Context, call *abi.HTTPCall) *abi.HTTPAnswer {
	n := (*generation)(c)
	target, err := url.ParseRequestURI(call.Headers.Value(":path"))
	if err != nil {
		return noAnswer(err)
	}
	answer := &keptAnswer{header: http.Header{}}
	x := &exchange{
		generation: n, writer: answer, controller: http.NewResponseController(answer),
		request: (&http.Request{Method: call.Headers.Value(":method"), URL: target, ProtoMajor: 1, ProtoMinor: 1}).WithContext(ctx),
	}
	x.upload.open(x)
	x.begin(ctx, call.Headers)
	whole := false
	defer func() { x.end(whole) }()
	x.do(func() {
		x.worker.mend()
		x.chain = chain.New(nil, chain.Config{Upstream: &x.up, Downstream: &x.down, Reset: func() { x.stop(errReset) }, Properties: &x.attributes})
		x.chain.OnRequestHeaders(call.Headers, true)
	})
	to, _ := n.routes.find(http.MethodPost, target.Path, call.Headers.Value(config.RouteHeader))
	number, _ := strconv.Atoi(call.Headers.Value(config.AttemptHeader))
	a := x.newAttempt(call.Headers, to, number)
	if a == nil {
		return noAnswer(abi.ErrUnknownCluster)
	}
	a.last = true // whoever has asked asks the next one
	if whole, _ = a.run(call.Headers.Clone(), call.Body); !whole || answer.tooLong {
		return noAnswer(context.Cause(x.ctx))
	}
	return &abi.HTTPAnswer{Headers: allHeaders(x.status, answer.header), Body: answer.body.Bytes()}
}

// A keptAnswer is one for the module that waits for it.
type keptAnswer struct {
	header  http.Header
	body    bytes.Buffer
	tooLong bool
}

var _ http.ResponseWriter = (*keptAnswer)(nil)

// Header is the answer's.
func (a *keptAnswer) Header() http.Header { return a.header }

// WriteHeader does nothing: the exchange knows its status.
func (*keptAnswer) WriteHeader(int) {}

// Write keeps a piece of the body.
func (a *keptAnswer) Write(b []byte) (int, error) {
	if a.tooLong = a.tooLong || a.body.Len()+len(b) > maxCallBytes; a.tooLong {
		return 0, errLongAnswer
	}
	return a.body.Write(b)
}
