package module_test

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/moduletest"
)

// greeter is a whole module: it tells the provider who asks.
type greeter struct{}

func (greeter) Request(x *module.Exchange) error {
	x.SetRequestHeader("x-greeting", "hello from "+x.Caller().Tenant)
	return nil
}

func init() {
	module.Register("greeter", module.Inspector, func(struct{}) (greeter, error) { return greeter{}, nil })
}

func Example() {
	h := moduletest.New(new(testing.T), `{"modules":[{"name":"greeter"}]}`)
	got := h.Do(moduletest.Exchange{Request: `{"model":"m","messages":[{"role":"user","content":"Hi"}]}`})
	fmt.Println(got.SentHeader["x-greeting"])
	// Output: hello from
}

// bounds is the configuration of a module: decoded, with its defaults, and checked before New is called.
type bounds struct {
	MaxTokens int64         `json:"max_tokens"`
	Retry     time.Duration `json:"retry"`
}

func (b *bounds) SetDefaults() { b.MaxTokens, b.Retry = 1000, time.Minute }

func (b *bounds) Validate() error {
	if b.MaxTokens < 1 {
		return errors.New("max_tokens: must be at least 1")
	}
	return nil
}

// bounded refuses requests for too much.
type bounded struct{ bounds }

func (b bounded) Request(x *module.Exchange) error {
	if x.Request.MaxTokens <= b.MaxTokens {
		return nil
	}
	r := module.Refuse(429, "too_many_tokens", "ask for %d tokens at the most", b.MaxTokens)
	r.RetryAfter = b.Retry
	return r
}

func init() {
	module.Register("bounded", module.Policy, func(b bounds) (bounded, error) { return bounded{b}, nil })
}

func ExampleRegister() {
	h := moduletest.New(new(testing.T), `{"modules":[{"name":"bounded","config":{"max_tokens":50,"retry":"30s"}}]}`)
	got := h.Do(moduletest.Exchange{Request: `{"model":"m","max_tokens":60,"messages":[{"role":"user","content":"Hi"}]}`})
	fmt.Println(got.Status, got.Header["retry-after"], got.Body)
	fmt.Println(moduletest.Check(`{"modules":[{"name":"bounded","config":{"max_tokens":0}}]}`))
	// Output:
	// 429 30 {"error":{"message":"ask for 50 tokens at the most","type":"rate_limit_error","param":null,"code":"too_many_tokens"}}
	// modules[0] (bounded): config: max_tokens: must be at least 1
}

// checker asks another service whether a tenant may go on.
type checker struct{}

func (checker) RequestHeader(x *module.Exchange) error {
	call := module.Call{Upstream: "accounts", Method: "GET", Path: "/tenants/" + x.Caller().Tenant, Authority: "accounts", Timeout: time.Second}
	return x.Call(call, func(r module.CallResult) error {
		if r.Status != 200 { // also when there was no answer
			return module.Refuse(403, "tenant_closed", "this tenant is closed")
		}
		return nil
	})
}

func init() {
	module.Register("checker", module.Policy, func(struct{}) (checker, error) { return checker{}, nil })
}

func ExampleExchange_Call() {
	h := moduletest.New(new(testing.T), `{"modules":[{"name":"checker"}]}`)
	for _, status := range []int{200, 404, 0} {
		h.Calls = func(module.Call) module.CallResult { return module.CallResult{Status: status} }
		fmt.Println(status, "->", h.Do(moduletest.Exchange{Request: "{}"}).Status)
	}
	// Output:
	// 200 -> 200
	// 404 -> 403
	// 0 -> 403
}

// polite changes what the model says, event by event.
type polite struct{}

func (polite) Event(_ *module.Exchange, e *module.Event) error {
	for i, text := range e.Texts {
		e.SetText(i, strings.ReplaceAll(text.Value, "No", "Sorry, no"))
	}
	return nil
}

func init() {
	module.Register("polite", module.Policy, func(struct{}) (polite, error) { return polite{}, nil })
}

func ExampleEventHandler() {
	h := moduletest.New(new(testing.T), `{"modules":[{"name":"polite"}]}`)
	got := h.Do(moduletest.Exchange{
		Request:      `{"model":"m","stream":true,"messages":[{"role":"user","content":"Is it raining?"}]}`,
		AnswerHeader: map[string]string{"content-type": "text/event-stream"},
		AnswerChunks: []string{`data: {"choices":[{"index":0,"delta":{"content":"No."}}]}` + "\n\n", "data: [DONE]\n\n"},
	})
	fmt.Print(got.Body)
	// Output:
	// data: {"choices":[{"index":0,"delta":{"content":"Sorry, no."}}]}
	//
	// data: [DONE]
}

// slow lets an exchange wait.
type slow struct{}

func (slow) Request(x *module.Exchange) error {
	return x.After(2*time.Second, func() error { return nil })
}

func init() {
	module.Register("slow", module.Policy, func(struct{}) (slow, error) { return slow{}, nil })
}

func ExampleExchange_After() {
	h := moduletest.New(new(testing.T), `{"modules":[{"name":"slow"}]}`)
	before := h.Clock
	h.Do(moduletest.Exchange{Request: `{"model":"m","messages":[{"role":"user","content":"Hi"}]}`})
	fmt.Println(h.Clock.Sub(before))
	// Output: 2s
}

// counting counts the words of answers, in the metric words_total.
type counting struct{ words int64 }

var words = module.Counter("words_total", "model")

func (counting) Response(x *module.Exchange) error {
	for _, text := range x.Response.Texts {
		module.Local[counting](x).words += int64(len(strings.Fields(text.Value)))
	}
	return nil
}

func (counting) Finish(x *module.Exchange) {
	x.Count(words, module.Local[counting](x).words, x.Request.Model)
}

func init() {
	module.Register("counting", module.Inspector, func(struct{}) (counting, error) { return counting{}, nil })
}

func ExampleLocal() {
	h := moduletest.New(new(testing.T), `{"modules":[{"name":"counting"}]}`)
	h.Do(moduletest.Exchange{
		Request: `{"model":"m","messages":[{"role":"user","content":"Hi"}]}`,
		Answer:  `{"choices":[{"message":{"content":"Good morning to you"}}]}`,
	})
	fmt.Println(h.Metrics)
	// Output: map[words_total.[model=m]:4]
}

func ExampleDecode() {
	var b bounds
	fmt.Println(module.Decode([]byte(`{"retry":"5s"}`), &b), b.MaxTokens, b.Retry)
	fmt.Println(module.Decode([]byte(`{"retry":5}`), &b))
	// Output:
	// <nil> 1000 5s
	// retry: 5 is not a duration (such as "90s" or "1h")
}

// instructed puts a system prompt ahead of those of clients, whose API it is.
type instructed struct{}

func (instructed) Request(x *module.Exchange) error {
	x.AddSystemPrompt("Be brief.")
	return nil
}

func init() {
	module.Register("instructed", module.Policy, func(struct{}) (instructed, error) { return instructed{}, nil })
}

func ExampleExchange_AddSystemPrompt() {
	h := moduletest.New(new(testing.T), `{"modules":[{"name":"instructed"}]}`)
	got := h.Do(moduletest.Exchange{Request: `{"model":"m","messages":[{"role":"user","content":"Hi"}]}`})
	fmt.Println(got.SentBody)
	// Output: {"model":"m","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"}]}
}

// sequential lets models call one tool at a time. What has a method of x or x.Request needs no body: AddSystemPrompt, SetModel, SetText.
type sequential struct{}

func (sequential) Request(x *module.Exchange) error {
	if x.Format != llm.OpenAIChat || x.Request.Tools == 0 {
		return nil
	}
	return x.SetRequestBody(bytes.Replace(x.RequestBody(), []byte(`{`), []byte(`{"parallel_tool_calls":false,`), 1))
}

func init() {
	module.Register("sequential", module.Policy, func(struct{}) (sequential, error) { return sequential{}, nil })
}

func ExampleExchange_SetRequestBody() {
	h := moduletest.New(new(testing.T), `{"modules":[{"name":"sequential"}]}`)
	got := h.Do(moduletest.Exchange{Request: `{"model":"m","tools":[{}],"messages":[{"role":"user","content":"Hi"}]}`})
	fmt.Println(got.SentBody)
	// Output: {"parallel_tool_calls":false,"model":"m","tools":[{}],"messages":[{"role":"user","content":"Hi"}]}
}

// teller tells a service of each exchange when it is over. Nobody waits for that.
type teller struct{}

func (teller) FinishesLate() {}
func (teller) Finish(x *module.Exchange) {
	call := module.Call{Upstream: "provider.collector", Method: "POST", Path: "/records", Authority: "collector", Body: strconv.AppendInt(nil, int64(x.Status), 10)}
	if err := x.Send(call, nil); err != nil {
		x.Log(module.Error, err.Error())
	}
}

func init() {
	module.Register("teller", module.Inspector, func(struct{}) (teller, error) { return teller{}, nil })
}

func ExampleExchange_Send() {
	h := moduletest.New(new(testing.T), `{"modules":[{"name":"teller"}]}`)
	h.Calls = func(module.Call) module.CallResult { return module.CallResult{Status: 202} }
	h.Do(moduletest.Exchange{Request: `{"model":"m","messages":[{"role":"user","content":"Hi"}]}`, Answer: `{"choices":[]}`})
	fmt.Println(h.Called[0].Method, h.Called[0].Path, string(h.Called[0].Body))
	// Output: POST /records 200
}
