package module_test

import (
	"strings"
	"testing"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/moduletest"
)

func nothing(*module.Exchange) error { return nil }

// reader makes a module parse requests.
var reader = script{request: nothing}

func TestWhatGoesAroundAPolicyIsRefusedAndPassesAnInspector(t *testing.T) {
	big := strings.Replace(chat, "Hello", strings.Repeat("a", 1000), 1)
	tests := map[string]struct {
		exchange moduletest.Exchange
		status   int
		code     string
		message  string
	}{
		"another path":         {moduletest.Exchange{Path: "/v1/files"}, 404, "unknown_url", "does not serve POST /v1/files"},
		"another method":       {moduletest.Exchange{Method: "PUT"}, 404, "unknown_url", "PUT /v1/chat/completions"},
		"method in lower case": {moduletest.Exchange{Method: "post"}, 404, "unknown_url", ""},
		"double slashes":       {moduletest.Exchange{Path: "//v1//chat/completions"}, 404, "unknown_url", ""},
		"trailing slash":       {moduletest.Exchange{Path: "/v1/chat/completions/"}, 404, "unknown_url", ""},
		"escaped slash":        {moduletest.Exchange{Path: "/v1%2fchat/completions"}, 404, "unknown_url", ""},
		"upper case":           {moduletest.Exchange{Path: "/V1/chat/completions"}, 404, "unknown_url", ""},
		"fragment":             {moduletest.Exchange{Path: "/v1/chat/completions#x"}, 404, "unknown_url", ""},
		"long path":            {moduletest.Exchange{Path: "/" + strings.Repeat("a", 5000)}, 404, "unknown_url", strings.Repeat("a", 99) + "…:"},

		"a page of another site":   {moduletest.Exchange{Header: map[string]string{"sec-fetch-site": "cross-site", "content-type": "text/plain"}, Request: chat}, 403, "cross_site", "JSON only"},
		"another protocol":         {moduletest.Exchange{Header: map[string]string{"connection": "Upgrade", "upgrade": "websocket"}, Request: chat}, 403, "upgrade_refused", "no other protocol"},
		"another protocol, a list": {moduletest.Exchange{Method: "GET", Path: "/v1/models", Header: map[string]string{"upgrade": "websocket"}}, 403, "upgrade_refused", ""},

		"gzip":          {moduletest.Exchange{Header: map[string]string{"Content-Encoding": "gzip"}, Request: chat}, 415, "unsupported_content_encoding", "encoded with gzip"},
		"two encodings": {moduletest.Exchange{HeaderList: [][2]string{{"content-encoding", "identity"}, {"content-encoding", "br"}}, Request: chat}, 415, "unsupported_content_encoding", "identity,br"},

		"large, announced":     {moduletest.Exchange{Header: map[string]string{"content-length": "501"}, Request: chat}, 413, "request_too_large", "500 bytes"},
		"large, not announced": {moduletest.Exchange{Request: big}, 413, "request_too_large", "500 bytes"},
		"large, in pieces":     {moduletest.Exchange{RequestChunks: []string{big[:499], big[499:501], big[501:]}}, 413, "request_too_large", ""},

		"no JSON":       {moduletest.Exchange{Request: `{"model":`}, 400, "invalid_json", "cannot be read"},
		"no body":       {moduletest.Exchange{}, 400, "invalid_json", ""},
		"a key twice":   {moduletest.Exchange{Request: `{"model":"a","model":"b","messages":[{}]}`}, 400, "invalid_json", "twice"},
		"wrong field":   {moduletest.Exchange{Request: `{"model":1,"messages":[{}]}`}, 400, "invalid_request", "model"},
		"not UTF-8":     {moduletest.Exchange{Request: strings.Replace(chat, "Hello", "\xff", 1)}, 400, "invalid_json", ""},
		"with trailers": {moduletest.Exchange{Request: `{`, Trailers: true}, 400, "invalid_json", ""},
	}
	for name, tc := range tests {
		tc.exchange.Answer = "whatever"
		t.Run(name+", policy", func(t *testing.T) {
			h := moduletest.New(t, pipelineOf([]string{policy(reader)}, `"max_request_bytes":500`))
			got := h.Do(tc.exchange)
			wantRefused(t, got, tc.status, tc.code)
			if _, message := errorOf(got.Body); !strings.Contains(message, tc.message) {
				t.Errorf("got message %q, want %q in it", message, tc.message)
			}
			wantText(t, "content type", got.Header["content-type"], "application/json")
			if n := h.Metrics["leash_refusals_total.[module=border].[code="+tc.code+"].[tenant=none]"]; n != 1 {
				t.Errorf("counted %d times in %v, want once", n, h.Metrics)
			}
		})
		t.Run(name+", inspector", func(t *testing.T) {
			h := moduletest.New(t, pipelineOf([]string{inspector(reader)}, `"max_request_bytes":500`))
			got := h.Do(tc.exchange)
			wantPassed(t, got)
			wantText(t, "request", got.SentBody, tc.exchange.Request+strings.Join(tc.exchange.RequestChunks, ""))
			wantText(t, "answer", got.Body, "whatever")
		})
	}
}

func TestAnExchangeThatIsWithinTheBoundsPasses(t *testing.T) {
	tests := map[string]moduletest.Exchange{
		"chat":              {Request: chat},
		"exactly the bound": {Request: chat + strings.Repeat(" ", 500-len(chat)), Header: map[string]string{"content-length": "500"}},
		"identity":          {Request: chat, Header: map[string]string{"content-encoding": "Identity"}},
		"list of models":    {Method: "GET", Path: "/v1/models"},
		"passthrough":       {Method: "GET", Path: "/health"},
		"another protocol":  {Method: "GET", Path: "/health", Header: map[string]string{"upgrade": "websocket"}},
		"with trailers":     {Request: chat, Trailers: true},
	}
	for name, exchange := range tests {
		t.Run(name, func(t *testing.T) {
			h := moduletest.New(t, pipelineOf([]string{policy(reader)}, `"max_request_bytes":500`, `"passthrough":["/health"]`))
			exchange.Answer = answer
			got := h.Do(exchange)
			wantPassed(t, got)
			wantText(t, "request", got.SentBody, exchange.Request)
			wantText(t, "answer", got.Body, answer)
		})
	}
}

// opening is an exchange of which there is no more yet than a request's headers.
type opening struct {
	travelling
	headers [][2]string
}

func (o *opening) Headers(module.Side) [][2]string { return o.headers }

func TestAnInspectorDoesNotWaitForTheEndOfAnotherProtocol(t *testing.T) {
	for _, method := range []string{"GET /v1/models", "POST /v1/chat/completions"} {
		method, path, _ := strings.Cut(method, " ")
		p := pipeline(t, moduletest.New(t, pipelineOf([]string{inspector(reader)})), pipelineOf([]string{inspector(reader)}))
		flow := p.Start(&opening{headers: [][2]string{{":method", method}, {":path", path}, {"upgrade", "websocket"}}})
		if got := flow.OnRequestHeaders(false); got != module.Continue {
			t.Errorf("%s: the headers wait for a body", method)
		}
	}
}

func TestAProviderReadsABodyAsTheModulesHaveReadIt(t *testing.T) {
	for _, sent := range []string{"", "application/json", "application/json; charset=utf-7", "application/x-protobuf", "multipart/form-data; boundary=x"} {
		for kind, want := range map[string]string{policy(reader): "application/json", inspector(reader): sent} {
			h := moduletest.New(t, pipelineOf([]string{kind}, `"max_request_bytes":500`))
			got := h.Do(moduletest.Exchange{Header: map[string]string{"content-type": sent}, Request: chat, Answer: "{}"})
			wantText(t, "content type for "+sent, got.SentHeader["content-type"], want)
		}
	}
}

func TestAQueryIsTakenOffWhereTheFormatHasNone(t *testing.T) {
	tests := map[string]struct {
		names []string
		path  string
		want  string
	}{
		"policy":      {[]string{policy(reader)}, "/v1/chat/completions?api-key=x", "/v1/chat/completions"},
		"inspector":   {[]string{inspector(reader)}, "/v1/chat/completions?api-key=x", "/v1/chat/completions?api-key=x"},
		"passthrough": {[]string{policy(reader)}, "/health?full=1", "/health?full=1"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := moduletest.New(t, pipelineOf(tc.names, `"passthrough":["/health"]`)).Do(moduletest.Exchange{Path: tc.path, Request: chat, Answer: answer})
			wantPassed(t, got)
			wantText(t, "path", got.SentHeader[":path"], tc.want)
		})
	}
}

func TestAnswersAreAskedForPlainOnlyWhereSomebodyReadsThem(t *testing.T) {
	tests := map[string]struct {
		script script
		want   string
	}{
		"nobody":  {reader, "gzip"},
		"answers": {script{response: nothing}, ""},
		"events":  {script{event: func(*module.Exchange, *module.Event) error { return nil }}, ""},
		"usage":   {script{finish: func(*module.Exchange) {}, usage: true}, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := run(t, policy(tc.script)).Do(moduletest.Exchange{Header: map[string]string{"Accept-Encoding": "gzip"}, Request: chat, Answer: answer})
			wantPassed(t, got)
			wantText(t, "accept-encoding", got.SentHeader["accept-encoding"], tc.want)
		})
	}
}

func TestAnAnswerThatCannotBeReadIsRefusedByAPolicyAndPassesAnInspector(t *testing.T) {
	stream := map[string]string{"Content-Type": "Text/Event-Stream; charset=utf-8"}
	tests := map[string]struct {
		exchange moduletest.Exchange
		code     string
		message  string
	}{
		"compressed": {moduletest.Exchange{AnswerHeader: map[string]string{"content-encoding": "gzip"}, Answer: answer}, "unreadable_answer", "encoded with gzip"},
		"no JSON":    {moduletest.Exchange{Answer: `{`}, "unreadable_answer", "cannot be read"},
		"no body":    {moduletest.Exchange{AnswerChunks: []string{}}, "unreadable_answer", "cannot be read"},
		"too large":  {moduletest.Exchange{AnswerChunks: []string{answer[:20], strings.Repeat("a", 2000), answer[20:]}}, "answer_too_large", "1000 bytes"},
		"compressed, without a body": {
			moduletest.Exchange{AnswerHeader: map[string]string{"content-encoding": "gzip"}, AnswerChunks: []string{}}, "unreadable_answer", "",
		},
		"compressed stream": {
			moduletest.Exchange{AnswerHeader: map[string]string{"content-type": "text/event-stream", "content-encoding": "br"}, Answer: "…"}, "unreadable_answer", "br",
		},
		"stream of no JSON":     {moduletest.Exchange{AnswerHeader: stream, AnswerChunks: []string{"data: {\n\n", done}}, "unreadable_answer", "stream cannot be read"},
		"event without an end":  {moduletest.Exchange{AnswerHeader: stream, AnswerChunks: []string{strings.Repeat("a", llm.DefaultMaxEvent+1), delta("Hi")}}, "unreadable_answer", "larger than the bound"},
		"last event of no JSON": {moduletest.Exchange{AnswerHeader: stream, AnswerChunks: []string{"data: {"}}, "unreadable_answer", ""},
	}
	readers := map[string]script{
		"reads all":   {response: nothing, event: func(*module.Exchange, *module.Event) error { return nil }},
		"reads usage": {finish: func(*module.Exchange) {}, usage: true},
	}
	for name, tc := range tests {
		tc.exchange.Request = `{"stream_options":{"include_usage":true},` + chatStream[1:]
		sent := tc.exchange.Answer + strings.Join(tc.exchange.AnswerChunks, "")
		for reads, script := range readers {
			t.Run(name+", policy "+reads, func(t *testing.T) {
				h := moduletest.New(t, pipelineOf([]string{policy(script)}, `"max_response_bytes":1000`))
				got := h.Do(tc.exchange)
				first, rest, streamed := strings.Cut(strings.TrimPrefix(strings.TrimLeft(got.Body, "\n"), "data: "), "\n\n")
				code, message := errorOf(first)
				if code != tc.code || !strings.Contains(message, tc.message) {
					t.Errorf("got %d %.200s, want %s: %s", got.Status, got.Body, tc.code, tc.message)
				}
				if streamed {
					wantText(t, "end of the stream", rest, done)
				} else if got.Status != 502 || got.Header["content-type"] != "application/json" || got.Header["content-encoding"] != "" {
					t.Errorf("got status %d and headers %v, want 502 and plain JSON", got.Status, got.Header)
				}
			})
			t.Run(name+", inspector "+reads, func(t *testing.T) {
				h := moduletest.New(t, pipelineOf([]string{inspector(script)}, `"max_response_bytes":1000`))
				got := h.Do(tc.exchange)
				wantPassed(t, got)
				if got.Body != sent {
					t.Errorf("got %d bytes %.100q, want %d bytes %.100q", len(got.Body), got.Body, len(sent), sent)
				}
			})
		}
	}
}

func TestAStreamThatAnInspectorCannotReadPassesByteForByte(t *testing.T) {
	half := strings.Repeat("a", 600<<10)
	tests := map[string][]string{
		"after an event in the same piece": {delta("Hi") + half + half, half, done},
		"over several pieces":              {delta("Hi"), "data: " + half, half, delta("you"), done},
		"after a piece of an event":        {delta("Hi")[:30], delta("Hi")[30:] + "data: ", half, half, done},
		"at the end":                       {delta("Hi"), half, half},
		"lines that end with CR":           {"data: {}\r\r", half, half, done},
	}
	for name, events := range tests {
		t.Run(name, func(t *testing.T) {
			h := run(t, inspector(script{event: func(*module.Exchange, *module.Event) error { return nil }}))
			if got := h.Do(streamOf(events...)); got.Body != strings.Join(events, "") {
				t.Errorf("got %d bytes, want the %d that were sent", len(got.Body), len(strings.Join(events, "")))
			}
		})
	}
}

// An answer that is called a stream and is none would be read by whoever does not look at what it is called.
func TestWhatIsNoEventDoesNotPassAPolicyInAStream(t *testing.T) {
	whole := `{"choices":[{"message":{"content":"Hi"}}]}` + "\n\n"
	mixed := strings.TrimSuffix(delta("Hi"), "\n") + whole
	looks := script{event: func(*module.Exchange, *module.Event) error { return nil }}
	for _, tc := range []struct{ name, sent, want string }{
		{"an answer", whole, ""},
		{"beside an event", mixed, delta("Hi")},
		{"a comment", ": ping\n\nid: 1\nretry: 2\n\n", ": ping\n\nid: 1\nretry: 2\n\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			wantText(t, "policy", run(t, policy(looks)).Do(streamOf(tc.sent, done)).Body, tc.want+done)
			wantText(t, "inspector", run(t, inspector(looks)).Do(streamOf(tc.sent, done)).Body, tc.sent+done)
		})
	}
}

func TestAnUnreadableStreamIsCutEvenWhereNobodyChangesIt(t *testing.T) {
	h := run(t, policy(script{finish: func(*module.Exchange) {}, usage: true}))
	e := streamOf(delta("Hi"), delta("never")[:20]+"\n\n", delta("dropped"), done)
	e.Request = `{"stream_options":{"include_usage":true},` + chatStream[1:]
	e.AnswerHeader["content-length"] = "1000"
	got := h.Do(e)
	wantText(t, "the first piece", got.Chunks[0], delta("Hi"))
	if code, _ := errorOf(strings.TrimPrefix(strings.TrimSpace(strings.TrimSuffix(got.Chunks[1], done)), "data: ")); code != "unreadable_answer" {
		t.Errorf("got %q, want unreadable_answer", got.Chunks[1])
	}
	wantText(t, "the rest", got.Chunks[2]+got.Chunks[3], "")
	wantText(t, "content length", got.Header["content-length"], "")
}
