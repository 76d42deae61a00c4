package module_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/moduletest"
)

// diary is what modules were called for, in order.
type diary []string

// modules makes three policies that write into the diary, of which the second does what at says in its request phase.
func (d *diary) modules(second func(*module.Exchange) error) []string {
	var names []string
	for i, name := range []string{"a", "b", "c"} {
		note := func(phase string) { *d = append(*d, name+" "+phase) }
		noted := func(phase string) func(*module.Exchange) error {
			return func(*module.Exchange) error { note(phase); return nil }
		}
		s := script{
			requestHeader: noted("request header"), request: noted("request"), responseHeader: noted("response header"),
			response: noted("response"),
			event:    func(*module.Exchange, *module.Event) error { note("event"); return nil },
			finish:   func(*module.Exchange) { note("finish") },
		}
		if i == 1 && second != nil {
			s.request = func(x *module.Exchange) error { note("request"); return second(x) }
		}
		names = append(names, policy(s))
	}
	return names
}

func TestModulesRunInOrderAndAnswersPassInReverse(t *testing.T) {
	refuse := func(*module.Exchange) error { return module.Refuse(403, "no", "no") }
	tests := map[string]struct {
		exchange moduletest.Exchange
		second   func(*module.Exchange) error
		want     []string
	}{
		"a whole answer": {
			exchange: moduletest.Exchange{Request: chat, Answer: answer},
			want: []string{
				"a request header", "b request header", "c request header", "a request", "b request", "c request",
				"c response header", "b response header", "a response header", "c response", "b response", "a response",
				"a finish", "b finish", "c finish",
			},
		},
		"a stream": {
			exchange: streamOf(delta("Hi"), done),
			want: []string{
				"a request header", "b request header", "c request header", "a request", "b request", "c request",
				"c response header", "b response header", "a response header", "c event", "b event", "a event", "c event", "b event", "a event",
				"a finish", "b finish", "c finish",
			},
		},
		// c has seen the headers, before the body was taken in, so it is told the end too.
		"the first refusal ends it, and all that ran are told": {
			exchange: moduletest.Exchange{Request: chat, Answer: answer},
			second:   refuse,
			want: []string{
				"a request header", "b request header", "c request header", "a request", "b request",
				"a finish", "b finish", "c finish",
			},
		},
		"a client that leaves before the answer": {
			exchange: moduletest.Exchange{Request: chat, Leaves: moduletest.BeforeAnswer},
			want: []string{
				"a request header", "b request header", "c request header", "a request", "b request", "c request",
				"a finish", "b finish", "c finish",
			},
		},
		"a client that leaves in its request": {
			exchange: moduletest.Exchange{Request: chat, Leaves: moduletest.InRequest},
			want:     []string{"a request header", "b request header", "c request header", "a finish", "b finish", "c finish"},
		},
		"a client that leaves in the middle of a stream": {
			exchange: func() moduletest.Exchange { e := streamOf(delta("Hi")); e.Cut = true; return e }(),
			want: []string{
				"a request header", "b request header", "c request header", "a request", "b request", "c request",
				"c response header", "b response header", "a response header", "c event", "b event", "a event",
				"a finish", "b finish", "c finish",
			},
		},
		"an error of the provider has no response phase": {
			exchange: moduletest.Exchange{Request: chat, Status: 500, Answer: `{"error":{}}`},
			want: []string{
				"a request header", "b request header", "c request header", "a request", "b request", "c request",
				"c response header", "b response header", "a response header", "a finish", "b finish", "c finish",
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var d diary
			run(t, d.modules(tc.second)...).Do(tc.exchange)
			wantText(t, "calls", strings.Join(d, "\n"), strings.Join(tc.want, "\n"))
		})
	}
}

func TestModulesBehindTheOneThatRefusesAreNotToldTheEnd(t *testing.T) {
	finished := ""
	finish := func(name string) func(*module.Exchange) {
		return func(x *module.Exchange) {
			by, code := x.Refusal()
			finished += fmt.Sprintf("%s(%v %s) ", name, by != "", code)
		}
	}
	h := run(t,
		inspector(script{finish: finish("counter")}),
		policy(script{requestHeader: func(*module.Exchange) error { return module.Refuse(401, "who", "who?") }, finish: finish("auth")}),
		inspector(script{finish: finish("behind")}),
	)
	wantRefused(t, h.Do(moduletest.Exchange{Request: chat}), 401, "who")
	wantText(t, "finished", finished, "counter(true who) auth(true who) ")
}

func TestInspectorsAheadAreToldOfWhatTheBorderRefuses(t *testing.T) {
	var told []string
	finish := func(name string) func(*module.Exchange) {
		return func(x *module.Exchange) {
			by, code := x.Refusal()
			told = append(told, fmt.Sprint(name, " ", by, " ", code, " ", x.Status))
		}
	}
	h := run(t, inspector(script{finish: finish("ahead")}), policy(script{finish: finish("policy")}), inspector(script{finish: finish("behind")}), policy(script{finish: finish("last")}))
	wantRefused(t, h.Do(moduletest.Exchange{Path: "/v1/unknown", Request: chat}), 404, "unknown_url")
	wantText(t, "told", strings.Join(told, ", "), "ahead border unknown_url 404")
}

// phases are the phases in which a module can fail, each with a script that does so by code, and an exchange that gets
// there.
func phases(code func() error) map[string]struct {
	script   script
	exchange moduletest.Exchange
	early    bool // nothing has been sent to the provider yet
} {
	handler := func(*module.Exchange) error { return code() }
	whole, stream := moduletest.Exchange{Request: chat, Answer: answer}, streamOf(delta("Hi"), done)
	type row = struct {
		script   script
		exchange moduletest.Exchange
		early    bool
	}
	return map[string]row{
		"request header":  {script{requestHeader: handler}, whole, true},
		"request":         {script{request: handler}, whole, true},
		"body":            {script{body: handler}, moduletest.Exchange{Path: "/other", Request: "text", Answer: "text"}, true},
		"response header": {script{responseHeader: handler}, whole, false},
		"response":        {script{response: handler}, whole, false},
		"event":           {script{event: func(*module.Exchange, *module.Event) error { return code() }}, stream, false},
		"timer":           {script{request: func(x *module.Exchange) error { return x.After(1, code) }}, whole, true},
	}
}

// nobody is an exchange that is not there.
func nobody() *module.Exchange { return nil }

func TestAPolicyThatCannotDecideRefusesAndAnInspectorLetsPass(t *testing.T) {
	failures := map[string]func() error{
		"panic":       func() error { panic("secret\nof two lines") },
		"nil pointer": func() error { return nobody().After(1, nil) },
		"error":       func() error { return errors.New("secret") },
	}
	for failure, code := range failures {
		for phase, tc := range phases(code) {
			t.Run(failure+" in a policy's "+phase, func(t *testing.T) {
				finished := 0
				tc.script.finish = func(*module.Exchange) { finished++ }
				name := policy(tc.script)
				h := run(t, name)
				got := h.Do(tc.exchange)
				body := got.Body
				if phase == "event" {
					body = strings.TrimPrefix(strings.Split(got.Body, "\n")[0], "data: ")
				}
				if code, _ := errorOf(body); code != "module_failed" || got.Sent == tc.early || finished != 1 {
					t.Errorf("got %d %s, sent %v, finished %d times; want module_failed, sent %v, once", got.Status, got.Body, got.Sent, finished, !tc.early)
				}
				if phase != "event" && got.Status != 500 {
					t.Errorf("got status %d, want 500", got.Status)
				}
				wantNoSecret(t, h, got, name)
			})
			t.Run(failure+" in an inspector's "+phase, func(t *testing.T) {
				finished := 0
				tc.script.finish = func(*module.Exchange) { finished++ }
				name := inspector(tc.script)
				h := run(t, name)
				got := h.Do(tc.exchange)
				wantPassed(t, got)
				want := tc.exchange.Answer + strings.Join(tc.exchange.AnswerChunks, "")
				wantText(t, "body", got.Body, want)
				if finished != 1 {
					t.Errorf("finished %d times, want once", finished)
				}
				wantNoSecret(t, h, got, name)
			})
		}
	}
}

// wantNoSecret demands that a failure is counted and logged, in one line each, and that the client reads nothing of its cause.
func wantNoSecret(t *testing.T, h *moduletest.Host, got moduletest.Result, name string) {
	t.Helper()
	if strings.Contains(got.Body, "secret") {
		t.Errorf("the client reads the cause: %s", got.Body)
	}
	if h.Metrics["leash_module_failures_total.[module="+name+"]"] == 0 {
		t.Errorf("the failure is not counted: %v", h.Metrics)
	}
	if len(h.Logs) == 0 {
		t.Error("the failure is not logged")
	}
	for _, line := range h.Logs {
		if !strings.Contains(line, "module "+name+" failed") || strings.Contains(line, "\n") {
			t.Errorf("log line %q does not name the module in one line", line)
		}
	}
}

func TestAPanicIsLoggedWithItsPlace(t *testing.T) {
	h := run(t, inspector(script{request: func(*module.Exchange) error { panic("broken") }}))
	h.Do(moduletest.Exchange{Request: chat})
	if len(h.Logs) != 1 || !strings.Contains(h.Logs[0], "TestAPanicIsLoggedWithItsPlace") || !strings.HasSuffix(h.Logs[0], ": broken") {
		t.Errorf("got %q, want the function and the cause", h.Logs)
	}
}

func TestAPanicInFinishDoesNotKeepTheOthersFromTheirs(t *testing.T) {
	finished := false
	h := run(t,
		policy(script{finish: func(*module.Exchange) { panic("broken") }}),
		inspector(script{finish: func(*module.Exchange) { finished = true }}),
	)
	wantPassed(t, h.Do(moduletest.Exchange{Request: chat, Answer: answer}))
	if !finished || len(h.Logs) != 1 {
		t.Errorf("finished %v, logs %q; want true and one line", finished, h.Logs)
	}
}

func TestAnInspectorCannotRefuse(t *testing.T) {
	h := run(t, inspector(script{request: func(*module.Exchange) error { return module.Refuse(403, "no", "no") }}))
	wantPassed(t, h.Do(moduletest.Exchange{Request: chat, Answer: answer}))
	if len(h.Logs) != 1 || !strings.Contains(h.Logs[0], "no: no") {
		t.Errorf("got %q, want the refusal logged", h.Logs)
	}
}

type configured struct {
	Limit int      `json:"limit"`
	Words []string `json:"words"`
}

func (c *configured) SetDefaults() { c.Limit = 7 }
func (c *configured) Validate() error {
	if c.Limit < 0 {
		return errors.New("limit: must not be negative")
	}
	return nil
}

type limiter struct{ configured }

func (l limiter) Request(x *module.Exchange) error {
	x.SetRequestHeader("x-limit", fmt.Sprint(l.Limit))
	return nil
}

type idle struct{}

func init() {
	module.Register("limiter", module.Policy, func(c configured) (limiter, error) { return limiter{c}, nil })
	module.Register("idle", module.Policy, func(struct{}) (idle, error) { return idle{}, nil })
	module.Register("unbuildable", module.Policy, func(struct{}) (idle, error) { return idle{}, errors.New("no key file") })
	module.Register("tenant-of-path", module.Policy, func(struct{}) (script, error) {
		return script{requestHeader: func(x *module.Exchange) error {
			x.SetCaller(module.Caller{Tenant: x.RequestHeader("x-tenant")})
			return nil
		}}, nil
	})
}

func TestAWrongConfigurationNamesTheModuleAndThePath(t *testing.T) {
	tests := map[string]struct{ config, want string }{
		"no JSON":             {`{`, "configuration: invalid JSON at byte 1"},
		"no modules":          {`{"modules":[]}`, "modules: names no module"},
		"nothing at all":      {``, "modules: names no module"},
		"unknown setting":     {`{"modlues":[]}`, "modlues: unknown field"},
		"wrong setting":       {`{"modules":[{"name":"limiter"}],"max_request_bytes":"10"}`, `max_request_bytes: "10" is not a whole number`},
		"unknown module":      {`{"modules":[{"name":"limitter"}]}`, "modules[0] (limitter): is not in this .wasm, which holds ["},
		"a module's field":    {`{"modules":[{"name":"limiter"},{"name":"limiter","config":{"words":["a",1]}}]}`, "modules[1] (limiter): config: words[1]: 1 is not a string"},
		"a module's check":    {`{"modules":[{"name":"limiter","config":{"limit":-1}}]}`, "modules[0] (limiter): config: limit: must not be negative"},
		"a tenant's":          {`{"modules":[{"name":"limiter","tenants":{"acme":{"limit":"x"}}}]}`, `modules[0] (limiter): config for tenant acme: limit: "x" is not a whole number`},
		"a constructor fails": {`{"modules":[{"name":"unbuildable"}]}`, "modules[0] (unbuildable): config: no key file"},
		"no phase":            {`{"modules":[{"name":"idle"}]}`, "implements no phase: give it a Request, Response, Event or Finish method"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if err := moduletest.Check(tc.config); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestATenantGetsItsOwnConfiguration(t *testing.T) {
	h := moduletest.New(t, `{"modules":[{"name":"tenant-of-path"},{"name":"limiter","config":{"limit":1},"tenants":{"acme":{"limit":2},"plain":{}}}]}`)
	for tenant, want := range map[string]string{"acme": "2", "other": "1", "": "1", "plain": "7"} {
		got := h.Do(moduletest.Exchange{Header: map[string]string{"x-tenant": tenant}, Request: chat, Answer: answer})
		wantText(t, "limit of "+tenant, got.SentHeader["x-limit"], want)
	}
}

func TestANameIsRegisteredOnce(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("got no panic for a name that is taken")
		}
	}()
	module.Register("limiter", module.Policy, func(struct{}) (idle, error) { return idle{}, nil })
}

func TestLookupTellsWhatWasRegistered(t *testing.T) {
	if d, ok := module.Lookup("limiter"); !ok || d.Name != "limiter" || d.Kind != module.Policy {
		t.Errorf("got %v %v, want the policy limiter", d, ok)
	}
	if _, ok := module.Lookup("nobody"); ok {
		t.Error("a module that nobody registered is known")
	}
}
