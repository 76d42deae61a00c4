package proxywasm

import (
	"math"
	"strconv"
	"time"

	sdk "github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"

	"github.com/leash-gateway/leash/module"
)

// httpContext takes the host's callbacks of one exchange to its flow.
type httpContext struct {
	types.DefaultHttpContext
	stream
	plugin *plugin
	flow   *module.Flow
}

func (h *httpContext) OnHttpRequestHeaders(_ int, end bool) (action types.Action) {
	defer h.decide(&action)
	return actionOf(h.flow.OnRequestHeaders(end))
}

func (h *httpContext) OnHttpRequestBody(size int, end bool) (action types.Action) {
	defer h.decide(&action)
	return actionOf(h.flow.OnRequestBody(size, end))
}

func (h *httpContext) OnHttpRequestTrailers(int) (action types.Action) {
	defer h.decide(&action)
	return actionOf(h.flow.OnRequestTrailers())
}

func (h *httpContext) OnHttpResponseHeaders(_ int, end bool) (action types.Action) {
	defer h.decide(&action)
	return actionOf(h.flow.OnResponseHeaders(end))
}

func (h *httpContext) OnHttpResponseBody(size int, end bool) (action types.Action) {
	defer h.decide(&action)
	return actionOf(h.flow.OnResponseBody(size, end))
}

func (h *httpContext) OnHttpResponseTrailers(int) (action types.Action) {
	defer h.decide(&action)
	return actionOf(h.flow.OnResponseTrailers())
}

func (h *httpContext) OnHttpStreamDone() {
	defer contain()
	h.done = true
	h.flow.OnDone()
	garbage.ended()
}

func actionOf(a module.Action) types.Action {
	if a == module.Pause {
		return types.ActionPause
	}
	return types.ActionContinue
}

// decide contains a panic of the pipeline's own code (modules are contained one by one, inside it): a pipeline with a
// policy refuses the exchange, one of inspectors lets it pass.
func (h *httpContext) decide(action *types.Action) {
	cause := recover()
	if cause == nil {
		return
	}
	logPanic(cause)
	*action = types.ActionContinue
	if h.plugin.pipeline.Policy() {
		defer contain()
		*action = types.ActionPause
		h.Reply(500, [][2]string{{"content-type", "application/json"}},
			[]byte(`{"error":{"message":"this gateway could not decide on the request; it was refused","type":"server_error","param":null,"code":"pipeline_failed"}}`))
	}
}

// stream is a module.Stream on the host's current context. The SDK's calls on headers do not fail for a context that
// lives.
type stream struct {
	id    uint32
	done  bool
	later *later
}

var _ module.Stream = (*stream)(nil)

func (s *stream) Headers(side module.Side) (headers [][2]string) {
	if side == module.Requests {
		headers, _ = sdk.GetHttpRequestHeaders()
	} else {
		headers, _ = sdk.GetHttpResponseHeaders()
	}
	return headers
}

func (s *stream) SetHeader(side module.Side, name, value string) {
	if side == module.Requests {
		_ = sdk.ReplaceHttpRequestHeader(name, value)
	} else {
		_ = sdk.ReplaceHttpResponseHeader(name, value)
	}
}

func (s *stream) RemoveHeader(side module.Side, name string) {
	if side == module.Requests {
		_ = sdk.RemoveHttpRequestHeader(name)
	} else {
		_ = sdk.RemoveHttpResponseHeader(name)
	}
}

func (s *stream) ReplaceHeaders(side module.Side, headers [][2]string) {
	if side == module.Requests {
		_ = sdk.ReplaceHttpRequestHeaders(headers)
	} else {
		_ = sdk.ReplaceHttpResponseHeaders(headers)
	}
}

func (s *stream) Body(side module.Side) (body []byte) {
	if side == module.Requests {
		body, _ = sdk.GetHttpRequestBody(0, math.MaxInt32)
	} else {
		body, _ = sdk.GetHttpResponseBody(0, math.MaxInt32)
	}
	return body
}

func (s *stream) SetBody(side module.Side, body []byte) {
	var err error
	if side == module.Requests {
		err = sdk.ReplaceHttpRequestBody(body)
	} else {
		err = sdk.ReplaceHttpResponseBody(body)
	}
	if err != nil {
		panic("set body: " + err.Error()) // what was to be replaced must not pass: the callback fails closed
	}
}

func (s *stream) Reply(status int, header [][2]string, body []byte) {
	const noGRPCStatus = -1
	if err := sdk.SendHttpResponse(uint32(status), header, body, noGRPCStatus); err != nil { //nolint:gosec // an HTTP status
		sdk.LogError("leash: reply " + strconv.Itoa(status) + ": " + err.Error())
	}
}

func (s *stream) Resume(side module.Side) {
	if side == module.Requests {
		_ = sdk.ResumeHttpRequest()
	} else {
		_ = sdk.ResumeHttpResponse()
	}
}

func (s *stream) Property(path ...string) ([]byte, bool) {
	value, err := sdk.GetProperty(path)
	return value, err == nil
}

func (s *stream) SetProperty(name string, value []byte) {
	if len(value) == 0 {
		return
	}
	_ = sdk.SetProperty([]string{name}, value)
}

func (s *stream) Call(call module.Call, done func(module.CallResult)) error {
	header := [][2]string{{":method", call.Method}, {":path", call.Path}, {":authority", call.Authority}}
	_, err := sdk.DispatchHttpCall(call.Upstream, append(header, call.Header...), call.Body, nil,
		uint32(call.Timeout/time.Millisecond), func(_, size, _ int) { //nolint:gosec // bounded by Timeout's documentation
			defer contain()
			if s.done {
				return
			}
			var result module.CallResult
			result.Header, _ = sdk.GetHttpCallResponseHeaders()
			for _, h := range result.Header {
				if h[0] == ":status" {
					result.Status, _ = strconv.Atoi(h[1])
				}
			}
			if size > 0 {
				result.Body, _ = sdk.GetHttpCallResponseBody(0, size)
			}
			_ = sdk.SetEffectiveContext(s.id)
			done(result)
		})
	return err
}

func (s *stream) After(d time.Duration, f func()) {
	s.later.after(time.Now().Add(d), func() {
		if s.done {
			return
		}
		_ = sdk.SetEffectiveContext(s.id)
		f()
	})
}
