package module_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/moduletest"
)

// textOf is what the client read of a stream, and whether the stream said that it is over.
func textOf(t *testing.T, body string) (text string, ended bool) {
	t.Helper()
	var d llm.Decoder
	read := func(f llm.Frame) error {
		if f.Data == nil {
			return nil
		}
		e, err := llm.ParseEvent(llm.OpenAIChat, f.Data)
		if err != nil {
			return err
		}
		for i := range e.Texts {
			text += e.Texts[i].Value
		}
		ended = ended || e.Done
		return nil
	}
	if err := d.Feed([]byte(body), read); err != nil {
		t.Fatalf("the client cannot read %q: %v", body, err)
	}
	if err := d.Flush(read); err != nil {
		t.Fatalf("the client cannot read %q: %v", body, err)
	}
	return text, ended
}

// upper changes events, first holds the first text back until another event comes, dropper drops the odd ones, and
// cutter ends the stream at the word "stop".
var (
	upper = script{event: func(_ *module.Exchange, e *module.Event) error {
		for i := range e.Texts {
			e.SetText(i, strings.ToUpper(e.Texts[i].Value))
		}
		return nil
	}}
	holder = script{event: func(x *module.Exchange, e *module.Event) error {
		held := module.Local[*llm.Event](x)
		if *held != nil {
			e.InsertBefore(*held)
			*held = nil
		} else if len(e.Texts) > 0 {
			*held = e.WithText(0, "<"+e.Texts[0].Value+">")
			e.Drop()
		}
		return nil
	}}
	dropper = script{event: func(x *module.Exchange, e *module.Event) error {
		n := module.Local[int](x)
		if *n++; *n%2 == 1 && len(e.Texts) > 0 {
			e.Drop()
		}
		return nil
	}}
	cutter = script{event: func(_ *module.Exchange, e *module.Event) error {
		if len(e.Texts) > 0 && strings.Contains(e.Texts[0].Value, "stop") {
			return module.Refuse(403, "stopped", "no more")
		}
		return nil
	}}
)

func TestStreamEventsAreChangedHeldBackDroppedAndCutOff(t *testing.T) {
	tests := map[string]struct {
		scripts []script
		events  []string
		want    string
	}{
		"untouched":          {[]script{cutter}, []string{delta("a"), ": comment\n\n", delta("b"), done}, "ab"},
		"changed":            {[]script{upper}, []string{delta("a"), delta("b"), done}, "AB"},
		"held back":          {[]script{holder}, []string{delta("a"), delta("b"), done}, "<a>b"},
		"held to [DONE]":     {[]script{holder}, []string{delta("a"), done}, "<a>"},
		"held to the end":    {[]script{holder}, []string{delta("a")}, "<a>"},
		"dropped":            {[]script{dropper}, []string{delta("a"), delta("b"), delta("c"), done}, "b"},
		"cut off":            {[]script{cutter}, []string{delta("a"), delta("stop"), delta("b"), done}, "a"},
		"cut off in a piece": {[]script{cutter}, []string{delta("a") + delta("stop") + delta("b") + done}, "a"},
		// The one that stands first sees the events last.
		"held back, then changed": {[]script{upper, holder}, []string{delta("a"), delta("b"), done}, "<A>B"},
		"changed, then held back": {[]script{holder, upper}, []string{delta("a"), delta("b"), done}, "<A>B"},
		"held back, then cut off": {[]script{cutter, holder}, []string{delta("stop"), delta("b"), done}, ""},
		"dropped before the cut":  {[]script{cutter, dropper}, []string{delta("stop"), delta("b"), done}, "b"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var names []string
			for _, s := range tc.scripts {
				names = append(names, policy(s))
			}
			got := run(t, names...).Do(streamOf(tc.events...))
			text, ended := textOf(t, got.Body)
			wantText(t, "text", text, tc.want)
			cut := strings.Contains(got.Body, `"code":"stopped"`)
			if wantCut := strings.Contains(name, "cut off"); cut != wantCut || ended != (wantCut || strings.HasSuffix(strings.Join(tc.events, ""), done)) {
				t.Errorf("cut %v, ended %v in %s", cut, ended, got.Body)
			}
		})
	}
}

func TestTheEndThatAStreamDidNotHaveIsNotSent(t *testing.T) {
	got := run(t, policy(holder)).Do(streamOf(delta("a"), delta("b")))
	if strings.Contains(got.Body, "[DONE]") {
		t.Errorf("got %s", got.Body)
	}
}

// TestAStreamOfAnthropicsMayEndAsAChat has what vLLM sends.
func TestAStreamOfAnthropicsMayEndAsAChat(t *testing.T) {
	const stream = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\ndata: [DONE]\n\n"
	got := run(t, policy(upper)).Do(moduletest.Exchange{
		Path: "/v1/messages", Request: `{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}]}`,
		AnswerHeader: map[string]string{"content-type": "text/event-stream"}, AnswerChunks: []string{stream},
	})
	if got.Body != stream {
		t.Errorf("got %q, want %q", got.Body, stream)
	}
}

func TestUsageIsAskedForAndHiddenFromAClientThatDidNotAsk(t *testing.T) {
	asked := `{"stream_options":{"include_usage":true},` + chatStream[1:]
	events := []string{delta("Hi"), usageEvent, done}
	tests := map[string]struct {
		request string
		usage   bool
		events  []string
		want    string
	}{
		"nobody reads it":            {chatStream, false, events, delta("Hi") + usageEvent + done},
		"the client did not ask":     {chatStream, true, events, delta("Hi") + done},
		"the client asked":           {asked, true, events, delta("Hi") + usageEvent + done},
		"the provider does not know": {chatStream, true, []string{delta("Hi there you"), done}, delta("Hi there you") + done},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var usage llm.Usage
			var estimated bool
			h := run(t, inspector(script{request: nothing, usage: tc.usage, finish: func(x *module.Exchange) {
				usage, estimated = x.Usage, x.UsageEstimated
			}}))
			e := streamOf(tc.events...)
			e.Request = tc.request
			got := h.Do(e)
			wantText(t, "stream", got.Body, tc.want)
			if asks := strings.Contains(got.SentBody, `"include_usage":true`); asks != (tc.usage || tc.request == asked) {
				t.Errorf("the provider reads %s", got.SentBody)
			}
			switch known := len(tc.events) == 3; {
			case !tc.usage && usage != llm.Usage{}:
				t.Errorf("got usage %+v that nobody reads", usage)
			case tc.usage && known && (usage.Input != 9 || usage.Output != 2 || estimated):
				t.Errorf("got usage %+v, estimated %v; want 9 and 2", usage, estimated)
			case tc.usage && !known && (usage.Input == 0 || usage.Output == 0 || !estimated):
				t.Errorf("got usage %+v, estimated %v; want an estimate", usage, estimated)
			}
		})
	}
}

func TestUsageOfAWholeAnswerIsRead(t *testing.T) {
	tests := map[string]struct {
		exchange  moduletest.Exchange
		input     int64
		estimated bool
	}{
		"told":              {moduletest.Exchange{Answer: answer}, 9, false},
		"not told":          {moduletest.Exchange{Answer: `{"choices":[{"message":{"content":"Hi"}}]}`}, 6, true},
		"error of provider": {moduletest.Exchange{Answer: `{"error":{}}`, Status: 500}, 0, false},
		"never sent":        {moduletest.Exchange{Leaves: moduletest.InRequest}, 0, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var usage llm.Usage
			var estimated bool
			tc.exchange.Request = chat
			run(t, inspector(script{usage: true, finish: func(x *module.Exchange) { usage, estimated = x.Usage, x.UsageEstimated }})).Do(tc.exchange)
			if usage.Input != tc.input || estimated != tc.estimated {
				t.Errorf("got %+v, estimated %v; want input %d, %v", usage, estimated, tc.input, tc.estimated)
			}
		})
	}
}

func TestFirstTokenIsTheTimeOfTheFirstText(t *testing.T) {
	var first, started time.Time
	var streamed bool
	var h *moduletest.Host
	h = run(t, policy(script{
		event:  func(*module.Exchange, *module.Event) error { h.Clock = h.Clock.Add(time.Second); return nil },
		finish: func(x *module.Exchange) { first, started, streamed = x.FirstToken(), x.Started(), x.Streamed },
	}))
	h.Do(streamOf(delta(""), delta("a"), delta("b"), done))
	if got := first.Sub(started); got != time.Second || !streamed {
		t.Errorf("got the first token after %v, streamed %v; want 1s", got, streamed)
	}
}

func TestWholeAnswersAreChangedWithTheirLength(t *testing.T) {
	s := script{response: func(x *module.Exchange) error {
		x.Response.SetText(0, "[redacted]")
		return nil
	}}
	for _, trailers := range []bool{false, true} {
		got := run(t, policy(s)).Do(moduletest.Exchange{Request: chat, Answer: answer, Trailers: trailers, AnswerHeader: map[string]string{"content-length": "9"}})
		wantText(t, "body", got.Body, strings.Replace(answer, "Hi there", "[redacted]", 1))
		wantText(t, "length", got.Header["content-length"], fmt.Sprint(len(got.Body)))
	}
}

func TestBodiesThatAreNoChatAreReadAndReplaced(t *testing.T) {
	s := script{body: func(x *module.Exchange) error {
		return x.SetRequestBody([]byte(strings.ToUpper(string(x.RequestBody()))))
	}}
	got := run(t, policy(s)).Do(moduletest.Exchange{Method: "PUT", Path: "/notes", RequestChunks: []string{"he", "llo"}, Answer: "kept"})
	wantText(t, "request", got.SentBody, "HELLO")
	wantText(t, "length", got.SentHeader["content-length"], "5")
	wantText(t, "answer", got.Body, "kept")
}

// TestAnEventMayBeAsLargeAsARequest: OpenAI's responses begin with what was asked.
func TestAnEventMayBeAsLargeAsARequest(t *testing.T) {
	asked := strings.Repeat("long ", 1<<20)
	stream := "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"r\",\"status\":\"in_progress\",\"instructions\":\"" + asked + "\"}}\n\n" +
		"event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"r\",\"status\":\"completed\",\"output\":[]}}\n\n"
	e := streamOf(stream[:1<<20], stream[1<<20:])
	e.Path, e.Request = "/v1/responses", `{"model":"m","stream":true,"input":"hi"}`
	got := run(t, policy(script{event: func(*module.Exchange, *module.Event) error { return nil }})).Do(e)
	if got.Status != 200 || got.Body != stream {
		t.Errorf("got %d and %d bytes, want %d as they came: %.200s", got.Status, len(got.Body), len(stream), got.Body)
	}
}
