package module_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/moduletest"
)

// script is a module for one test: it has the phases that are set.
type script struct {
	requestHeader  func(*module.Exchange) error
	request        func(*module.Exchange) error
	body           func(*module.Exchange) error
	responseHeader func(*module.Exchange) error
	response       func(*module.Exchange) error
	event          func(*module.Exchange, *module.Event) error
	finish         func(*module.Exchange)
	usage          bool
}

func (s script) RequestHeader(x *module.Exchange) error          { return s.requestHeader(x) }
func (s script) Request(x *module.Exchange) error                { return s.request(x) }
func (s script) RequestBody(x *module.Exchange) error            { return s.body(x) }
func (s script) ResponseHeader(x *module.Exchange) error         { return s.responseHeader(x) }
func (s script) Response(x *module.Exchange) error               { return s.response(x) }
func (s script) Event(x *module.Exchange, e *module.Event) error { return s.event(x, e) }
func (s script) Finish(x *module.Exchange)                       { s.finish(x) }
func (s script) ReadsUsage() bool                                { return s.usage }
func (s script) Needs() (needs module.Phase) {
	for phase, set := range map[module.Phase]bool{
		module.PhaseRequestHeader: s.requestHeader != nil, module.PhaseRequest: s.request != nil,
		module.PhaseBody: s.body != nil, module.PhaseResponseHeader: s.responseHeader != nil,
		module.PhaseResponse: s.response != nil, module.PhaseEvent: s.event != nil, module.PhaseFinish: s.finish != nil,
	} {
		if set {
			needs |= phase
		}
	}
	return needs
}

var registered atomic.Int64

// register makes a module known under a name of its own, since a name can be registered only once.
func register(kind module.Kind, s script) string {
	name := string(kind) + strconv.FormatInt(registered.Add(1), 10)
	module.Register(name, kind, func(struct{}) (script, error) { return s, nil })
	return name
}

func policy(s script) string    { return register(module.Policy, s) }
func inspector(s script) string { return register(module.Inspector, s) }

// pipelineOf is the configuration of a pipeline of these modules, with further settings such as `"handover":true`.
func pipelineOf(names []string, settings ...string) string {
	modules := make([]map[string]string, len(names))
	for i, name := range names {
		modules[i] = map[string]string{"name": name}
	}
	list, _ := json.Marshal(modules)
	return `{` + strings.Join(append([]string{`"modules":` + string(list)}, settings...), ",") + `}`
}

// run builds a pipeline of modules.
func run(t testing.TB, names ...string) *moduletest.Host {
	t.Helper()
	return moduletest.New(t, pipelineOf(names))
}

const (
	chat       = `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hello"}]}`
	chatStream = `{"stream":true,"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hello"}]}`
	answer     = `{"id":"c1","model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"Hi there"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}`
	done       = "data: [DONE]\n\n"
)

// delta is an event of a stream.
func delta(text string) string {
	return `data: {"id":"c1","model":"gpt-4o-mini","choices":[{"index":0,"delta":{"content":` + strconv.Quote(text) + `},"finish_reason":null}]}` + "\n\n"
}

const usageEvent = `data: {"id":"c1","model":"gpt-4o-mini","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}` + "\n\n"

// streamOf is an exchange with a streamed answer.
func streamOf(events ...string) moduletest.Exchange {
	return moduletest.Exchange{
		Request: chatStream, AnswerHeader: map[string]string{"content-type": "text/event-stream"}, AnswerChunks: events,
	}
}

// errorOf is the code and the message of an error in OpenAI's form, "" and "" when body is none.
func errorOf(body string) (code, message string) {
	var e struct {
		Error struct{ Code, Message string }
	}
	_ = json.Unmarshal([]byte(body), &e)
	return e.Error.Code, e.Error.Message
}

// wantRefused fails the test unless the client read a refusal and the provider nothing.
func wantRefused(t *testing.T, got moduletest.Result, status int, code string) {
	t.Helper()
	if c, _ := errorOf(got.Body); got.Status != status || c != code || got.Sent {
		t.Errorf("got status %d, code %q, sent %v; want %d, %q and not sent; body %s", got.Status, c, got.Sent, status, code, got.Body)
	}
}

// wantPassed fails the test unless the provider's answer reached the client.
func wantPassed(t *testing.T, got moduletest.Result) {
	t.Helper()
	if got.Status != 200 || !got.Sent {
		t.Errorf("got status %d, sent %v; want 200 and sent; body %s", got.Status, got.Sent, got.Body)
	}
}

func wantText(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\ngot  %s\nwant %s", what, got, want)
	}
}

func wantPart(t *testing.T, what, got, part string) {
	t.Helper()
	if !strings.Contains(got, part) {
		t.Errorf("%s:\ngot  %s\nwant %s in it", what, got, part)
	}
}
