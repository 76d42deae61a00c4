package filters_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"gotest.tools/v3/golden"

	"github.com/leash-gateway/leash/author/optimize"
	"github.com/leash-gateway/leash/host/harness"
	"github.com/leash-gateway/leash/mock"
)

const (
	allWasm     = "../build/modules/all.wasm"
	profileFile = "../author/optimize/default.profile"
)

// An api is how chats are asked for and answered in one of the providers'.
type api struct {
	name            string // as the module provider has it
	path, body      string
	streamed, event string // the path and the body's beginning of a stream
}

var apis = []api{
	{"chat", "/v1/chat/completions", chat, "/v1/chat/completions", `{"stream":true,`},
	{"responses", "/v1/responses", `{"model":"gpt-4o-mini","input":"Hello there, please say something.","max_output_tokens":64}`, "/v1/responses", `{"stream":true,`},
	{
		"messages", "/v1/messages", `{"model":"gpt-4o-mini","max_tokens":64,"system":"Be brief.","messages":[{"role":"user","content":"Hello there, please say something."}]}`,
		"/v1/messages", `{"stream":true,`,
	},
	{
		"gemini", "/v1beta/models/gpt-4o-mini:generateContent", `{"contents":[{"role":"user","parts":[{"text":"Hello there, please say something."}]}]}`,
		"/v1beta/models/gpt-4o-mini:streamGenerateContent?alt=sse", `{`,
	},
}

// ask is a request in an API, and what the mock provider answers.
func (a api) ask(t *testing.T, stream bool) (path, body string, answer harness.Answer) {
	t.Helper()
	path, body = a.path, a.body
	if stream {
		path, body = a.streamed, strings.Replace(body, "{", a.event, 1)
	}
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer sk-leash-demo")
	r.Header.Set("X-Api-Key", "sk-leash-demo")
	r.Header.Set("Anthropic-Version", "2023-06-01")
	w := httptest.NewRecorder()
	mock.New(mock.Options{}).ServeHTTP(w, r)
	if w.Code != 200 {
		t.Fatalf("the mock answers %s with %d %s", path, w.Code, w.Body)
	}
	answer.Headers = harness.Headers{{"content-type", w.Header().Get("Content-Type")}}
	answer.Chunks = []string{w.Body.String()}
	if stream {
		answer.Chunks = strings.SplitAfter(w.Body.String(), "\n\n")
	}
	return path, body, answer
}

// profiled is what all.wasm does in common exchanges: chats and streams in each API, passed through and translated.
func profiled(t *testing.T) optimize.Profile {
	t.Helper()
	ctx := t.Context()
	var counts []optimize.Counts
	counting := false
	h, err := harness.New(ctx, harness.Options{Conditions: func(number uint32, holds bool) {
		if !counting {
			return
		}
		for int(number) >= len(counts) {
			counts = append(counts, make([]optimize.Counts, len(counts)+1<<16)...)
		}
		if holds {
			counts[number].Yes++
		} else {
			counts[number].No++
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.Close(context.WithoutCancel(ctx)) }()
	policies := harness.Module{File: allWasm, Config: strings.ReplaceAll(pipeline, "\n", "")}
	run := func(p *harness.Pipeline, times int, path, body string, answer harness.Answer) {
		for range times {
			result, err := p.Exchange(ctx, harness.Request{
				Path: path, Body: body, Answer: answer,
				Headers: harness.Headers{{"authorization", "Bearer sk-leash-demo"}, {"content-type", "application/json"}, {"user-agent", "OpenAI/Python 2.8.1"}, {"accept", "application/json"}},
			})
			if err != nil || result.Status != 200 {
				t.Fatalf("%s: got %+v, %v", path, result, err)
			}
		}
	}
	start := func(modules ...harness.Module) *harness.Pipeline {
		counting = false
		p, err := h.Start(ctx, harness.Setup{Modules: modules})
		if err != nil {
			t.Fatal(err)
		}
		counting = true
		return p
	}
	passed := start(policies)
	for _, client := range apis {
		for _, stream := range []bool{false, true} {
			times := 5
			if client.name == "chat" {
				times = 20
			}
			path, body, answer := client.ask(t, stream)
			run(passed, times, path, body, answer)
		}
	}
	passed.Close(ctx)
	for _, to := range apis {
		translated := start(policies, harness.Module{File: allWasm, Config: `{"modules":[{"name":"provider","config":{"name":"openai","api":"` + to.name + `"}}]}`})
		for _, client := range apis {
			if client.name == to.name {
				continue
			}
			for _, stream := range []bool{false, true} {
				path, body, _ := client.ask(t, stream)
				_, _, answer := to.ask(t, stream)
				run(translated, 2, path, body, answer)
			}
		}
		translated.Close(ctx)
	}
	wasm, err := os.ReadFile(allWasm)
	if err != nil {
		t.Fatal(err)
	}
	p, err := optimize.NewProfile(wasm, counts)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTheProfileIsOfThisCode(t *testing.T) {
	now := profiled(t)
	if golden.FlagUpdate() {
		if err := os.WriteFile(profileFile, now.Text(), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	known, all := 0, 0
	for name, letters := range now {
		all += len(letters)
		if len(optimize.Default()[name]) == len(letters) {
			known += len(letters)
		}
	}
	const enough = 80 // %
	if known*100 < all*enough {
		t.Errorf("the profile knows %d of the %d conditions in the functions that common exchanges run through: modules are slower than they could be in Envoy. "+
			"Write it anew: go test ./filters -run Profile -update", known, all)
	}
	t.Logf("the profile knows %d of %d conditions in %d functions", known, all, len(now))
}
