package module_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/moduletest"
)

// cut cuts a body into pieces whose lengths are the bytes of cuts, over and over. There is always one.
func cut(body string, cuts []byte) []string {
	var pieces []string
	for i := 0; len(cuts) > 0 && i < 1000; i++ {
		n := min(int(cuts[i%len(cuts)]), len(body))
		pieces, body = append(pieces, body[:n]), body[n:]
	}
	return append(pieces, body)
}

// outcome is what an exchange came to, for client, provider and modules, without how it was cut.
func outcome(h *moduletest.Host, e moduletest.Exchange) string {
	var end string
	got := h.Do(e)
	for _, line := range h.Logs {
		end += line + "\n"
	}
	h.Logs = nil
	got.Chunks = nil
	return fmt.Sprintf("%+v\n%s", got, end)
}

// fuzzed are modules that read and change all there is.
func fuzzed() []string {
	edit := script{
		requestHeader: func(x *module.Exchange) error { return x.After(1, func() error { return nil }) },
		request: func(x *module.Exchange) error {
			if x.Request != nil && len(x.Request.Texts) > 0 {
				x.Request.SetText(0, x.Request.Texts[0].Value+"!")
			}
			return x.After(1, func() error { return nil })
		},
		response: func(x *module.Exchange) error {
			for i := range x.Response.Texts {
				x.Response.SetText(i, "?")
			}
			return x.After(1, func() error { return nil })
		},
		event: upper.event,
		finish: func(x *module.Exchange) {
			x.Log(module.Info, fmt.Sprint(x.Status, x.Usage, x.UsageEstimated, x.Completed, x.Streamed, x.FirstToken().IsZero()))
		},
		usage: true,
	}
	return []string{register(module.Inspector, script{finish: edit.finish}), register(module.Policy, edit), register(module.Policy, holder), register(module.Policy, cutter)}
}

// FuzzChunking holds that how bodies are cut makes no difference to anybody, and that nothing panics whatever the bytes. Where trailers end a stream that
// has no end of its own it makes one: what is still held back can go on only with the piece that came last, unless that has gone on already.
func FuzzChunking(f *testing.F) {
	stream := delta("a") + ": ping\n\n" + delta("") + delta("stop") + usageEvent + done
	for _, cuts := range []string{"\x01", "\x02\x00\x07", "\xff"} {
		f.Add(chat, answer, false, false, []byte(cuts))
		f.Add(chatStream, stream, true, true, []byte(cuts))
		f.Add(chatStream, delta("a")+"data: {\n\ndata: x", true, false, []byte(cuts))
		f.Add(`{`, "\xff", false, true, []byte(cuts))
	}
	names := fuzzed()
	f.Fuzz(func(t *testing.T, request, answer string, streamed, early bool, cuts []byte) {
		trailers := early && (!streamed || strings.HasSuffix(answer, done))
		e := moduletest.Exchange{RequestChunks: []string{request}, AnswerChunks: []string{answer}, Trailers: trailers, EarlyCalls: early}
		if streamed {
			e.AnswerHeader = map[string]string{"content-type": "text/event-stream"}
		}
		config := pipelineOf(names, `"max_request_bytes":100000`, `"max_response_bytes":100000`)
		h := moduletest.New(t, config)
		want := outcome(h, e)
		e.RequestChunks, e.AnswerChunks = cut(request, cuts), cut(answer, cuts)
		wantText(t, "cut into pieces", outcome(h, e), want)
		for name := range h.Metrics {
			if len(name) > 27 && name[:27] == "leash_module_failures_total" {
				t.Errorf("a module failed: %v", h.Metrics)
			}
		}
	})
}
