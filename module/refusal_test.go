package module_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/moduletest"
)

func TestARefusalIsWrittenInTheClientsForm(t *testing.T) {
	limit := module.Refuse(429, "rate_limit_exceeded", `no more than %d a minute for "%s"`, 5, "you")
	limit.RetryAfter, limit.Header = 1500*time.Millisecond, [][2]string{{"X-Reset", "2s"}}
	const body = `{"error":{"message":"no more than 5 a minute for \"you\"","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"}}`
	refuse := func(*module.Exchange) error { return limit }
	wrapped := func(*module.Exchange) error { return fmt.Errorf("ask: %w", limit) }
	tests := map[string]struct {
		script script
		chunks []string
	}{
		"request header":                {script: script{requestHeader: refuse}},
		"request":                       {script: script{request: refuse}},
		"request, wrapped":              {script: script{request: wrapped}},
		"response header":               {script: script{responseHeader: refuse}},
		"response header of no body":    {script: script{responseHeader: refuse}, chunks: []string{}},
		"response header of several":    {script: script{responseHeader: refuse}, chunks: []string{answer[:9], answer[9:]}},
		"response":                      {script: script{response: refuse}},
		"response, wrapped, in pieces":  {script: script{response: wrapped}, chunks: []string{answer[:9], answer[9:], ""}},
		"response, after a timer":       {script: script{response: func(x *module.Exchange) error { return x.After(1, func() error { return limit }) }}},
		"request header, after a timer": {script: script{requestHeader: func(x *module.Exchange) error { return x.After(1, func() error { return limit }) }}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			status := 0
			tc.script.finish = func(x *module.Exchange) { status = x.Status }
			got := run(t, policy(tc.script)).Do(moduletest.Exchange{Request: chat, Answer: answer, AnswerChunks: tc.chunks})
			wantText(t, "body", got.Body, body)
			header := fmt.Sprint(got.Status, got.Header["retry-after"], got.Header["X-Reset"], got.Header["x-reset"], got.Header["content-type"])
			wantText(t, "status and headers", header, fmt.Sprint(429, "2", got.Header["X-Reset"], got.Header["x-reset"], "application/json"))
			if got.Header["X-Reset"]+got.Header["x-reset"] != "2s" {
				t.Errorf("got headers %v, want x-reset", got.Header)
			}
			if length := got.Header["content-length"]; length != "" && length != fmt.Sprint(len(body)) {
				t.Errorf("got content length %s of %d bytes", length, len(body))
			}
			if status != 429 {
				t.Errorf("Finish saw status %d, want 429", status)
			}
		})
	}
}

func TestAModuleMayAnswerInTheProvidersPlace(t *testing.T) {
	cached := &module.Answer{Status: 200, ContentType: "text/plain", Body: []byte("cached")}
	give := func(*module.Exchange) error { return cached }
	tests := map[string]struct {
		script script
		want   string
	}{
		"at the headers":                {script{requestHeader: give}, "200 text/plain cached"},
		"at the request":                {script{request: give}, "200 text/plain cached"},
		"too late, it is a failure":     {script{responseHeader: give}, "500 application/json "},
		"too late with the answer":      {script{response: give}, "500 application/json "},
		"after a timer, at the request": {script{request: func(x *module.Exchange) error { return x.After(1, func() error { return cached }) }}, "200 text/plain cached"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			completed := false
			tc.script.finish = func(x *module.Exchange) { completed = x.Completed }
			got := run(t, policy(tc.script)).Do(moduletest.Exchange{Request: chat, Answer: answer})
			if code, _ := errorOf(got.Body); code != "" {
				got.Body = ""
			}
			wantText(t, "answer", fmt.Sprint(got.Status, " ", got.Header["content-type"], " ", got.Body), tc.want)
			if !completed {
				t.Error("the exchange is not completed")
			}
		})
	}
	if !strings.Contains(cached.Error(), "answered") {
		t.Errorf("got %q", cached.Error())
	}
}

func TestARefusalSaysItsCodeAndMessage(t *testing.T) {
	wantText(t, "without", module.Refuse(400, "c", "sure").Error(), "c: sure")
	wantText(t, "with", module.Refuse(400, "c", "%d%% sure", 100).Error(), "c: 100% sure")
	if r, ok := errors.AsType[*module.Refusal](fmt.Errorf("a: %w", module.Refuse(400, "c", "m"))); !ok || r.Status != 400 {
		t.Errorf("got %v, want the refusal", r)
	}
}

func TestARefusalIsGivenWithTheRestOfTheRequest(t *testing.T) {
	pieces := strings.Split(strings.Repeat("{;", 5), ";")
	for name, e := range map[string]moduletest.Exchange{
		"it has come":           {Request: chat},
		"it comes in pieces":    {RequestChunks: pieces},
		"it comes in trailers":  {RequestChunks: pieces, Trailers: true},
		"there is none":         {Method: "GET", Path: "/v1/models"},
		"it does not come":      {RequestChunks: pieces, Leaves: moduletest.InRequest},
		"it is more than fits":  {RequestChunks: []string{"{", strings.Repeat(" ", 11<<20)}, Leaves: moduletest.InRequest},
		"it comes after a call": {RequestChunks: pieces, EarlyCalls: true, Header: map[string]string{"x-ask": "first"}},
	} {
		t.Run(name, func(t *testing.T) {
			refuse := func() error { return module.Refuse(401, "no", "no") }
			completed := false
			h := run(t, policy(script{
				requestHeader: func(x *module.Exchange) error {
					if x.RequestHeader("x-ask") != "" {
						return x.After(time.Millisecond, refuse)
					}
					return refuse()
				},
				request: func(*module.Exchange) error { t.Error("what has been refused is shown"); return nil },
				finish:  func(x *module.Exchange) { completed = x.Completed },
			}))
			if got := h.Do(e); got.Status != 401 || got.Sent || !completed {
				t.Errorf("got status %d, sent %v, completed %v, want 401", got.Status, got.Sent, completed)
			}
		})
	}
}
