package ratelimit

import (
	"encoding/binary"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/moduletest"
)

// chat is estimated to use 5 tokens of input: a text of two bytes, and 4 for its message.
const chat = `{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}`

// refuser is a later module that has something against what is said.
type refuser struct{}

func (refuser) Request(x *module.Exchange) error {
	if x.Request != nil && strings.Contains(x.Request.Texts[0].Value, "no") {
		return module.Refuse(400, "refused_later", "no")
	}
	return nil
}

func init() {
	module.Register("refuser", module.Policy, func(struct{}) (refuser, error) { return refuser{}, nil })
}

// newHost runs the module with this configuration. Who calls is told as another filter of the same Envoy would.
func newHost(t testing.TB, config string) *moduletest.Host {
	t.Helper()
	return moduletest.New(t, `{"handover":true,"modules":[{"name":"ratelimit","config":`+config+`},{"name":"refuser"}]}`)
}

func answer(tokens string) string {
	return `{"choices":[{"index":0,"message":{"role":"assistant","content":"yes"},"finish_reason":"stop"}],"usage":` + tokens + `}`
}

func caller(tenant, key, user string) map[string]string {
	return map[string]string{"leash.caller": tenant + "\x00" + key + "\x00" + user}
}

// limits are the x-ratelimit headers of an answer, as "limit remaining reset".
func limits(got moduletest.Result, unit string) string {
	return strings.TrimSpace(got.Header["x-ratelimit-limit-"+unit] + " " + got.Header["x-ratelimit-remaining-"+unit] + " " + got.Header["x-ratelimit-reset-"+unit])
}

func TestRequestsAreLimitedAndTheClientIsToldWhenToComeBack(t *testing.T) {
	h := newHost(t, `{"limits":[{"requests":2}]}`)
	tests := []struct {
		after      time.Duration
		status     int
		retryAfter string
		limits     string
	}{
		{0, 200, "", "2 1 30s"},
		{0, 200, "", "2 0 1m0s"},
		{0, 429, "30", "2 0 1m0s"},
		{500 * time.Millisecond, 429, "30", "2 0 59.5s"}, // whole seconds, rounded up
		{29 * time.Second, 429, "1", "2 0 30.5s"},
		{499 * time.Millisecond, 429, "1", "2 0 30s"},
		{time.Millisecond, 200, "", "2 0 1m0s"},
		{time.Hour, 200, "", "2 1 30s"},
	}
	for i, tc := range tests {
		h.Clock = h.Clock.Add(tc.after)
		got := h.Do(moduletest.Exchange{Request: chat, Answer: answer(`null`), Properties: caller("acme", "app", "")})
		if got.Status != tc.status || got.Header["retry-after"] != tc.retryAfter || limits(got, "requests") != tc.limits {
			t.Errorf("request %d: got %d, Retry-After %q, %q; want %d, %q, %q",
				i+1, got.Status, got.Header["retry-after"], limits(got, "requests"), tc.status, tc.retryAfter, tc.limits)
		}
		if limits(got, "tokens") != "" {
			t.Errorf("request %d: there is no limit of tokens, but %q", i+1, limits(got, "tokens"))
		}
	}
}

func TestARefusalHasOpenAIsForm(t *testing.T) {
	tests := map[string]struct{ config, want string }{
		"of requests": {
			`{"limits":[{"name":"per-key","requests":1,"window":"90s"}]}`,
			`{"error":{"message":"limit \"per-key\" of 1 requests per 1m30s is reached: retry in 1m30s","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"}}`,
		},
		"of tokens": {
			`{"limits":[{"tokens":600,"window":"1m"}]}`,
			`{"error":{"message":"limit \"key\" of 600 tokens per 1m0s is reached: retry in 41s","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"}}`,
		},
		"that waiting does not help against": {
			`{"limits":[{"tokens":504,"window":"1m"}]}`,
			`{"error":{"message":"the request is estimated to use 505 tokens, more than limit \"key\" allows in all (504 per 1m0s): shorten it or set max_completion_tokens","type":"rate_limit_error","param":null,"code":"request_exceeds_limit"}}`,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, tc.config)
			ask := moduletest.Exchange{Request: chat, Answer: answer(`{"prompt_tokens":5,"completion_tokens":500}`)}
			h.Do(ask)
			got := h.Do(ask)
			if got.Status != 429 || got.Sent || got.Body != tc.want || got.Header["content-type"] != "application/json" {
				t.Errorf("got  %d %v %s\nwant %s", got.Status, got.Header, got.Body, tc.want)
			}
			code := gjson.Get(got.Body, "error.code").Str
			if h.Metrics["leash_refusals_total.[module=ratelimit].[code="+code+"].[tenant=none]"] == 0 {
				t.Errorf("the refusal was not counted: %v", h.Metrics)
			}
			if waits := got.Header["retry-after"] != ""; waits != (code == "rate_limit_exceeded") {
				t.Errorf("code %s has Retry-After %q", code, got.Header["retry-after"])
			}
		})
	}
}

// Each case has a bucket of 1000 tokens, sends one exchange and looks at what the next one finds in it.
func TestTokensAreReservedAndThenSettledOnWhatWasUsed(t *testing.T) {
	stream := func(events ...string) []string {
		chunks := make([]string, len(events))
		for i, e := range events {
			chunks[i] = "data: " + e + "\n\n"
		}
		return chunks
	}
	const piece = `{"choices":[{"index":0,"delta":{"content":"12345678"},"finish_reason":null}]}`
	const usage = `{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":90}}`
	events := map[string]string{"content-type": "text/event-stream"}
	body := func(fields string) string { return strings.Replace(chat, "{", "{"+fields+",", 1) }

	tests := map[string]struct {
		exchange moduletest.Exchange
		left     string // for the next request, which reserves 5+1
	}{
		"less than was reserved": {moduletest.Exchange{Request: chat, Answer: answer(`{"prompt_tokens":10,"completion_tokens":90}`)}, "894"},
		"more than was reserved": {
			moduletest.Exchange{Request: body(`"max_tokens":1`), Answer: answer(`{"prompt_tokens":10,"completion_tokens":490}`)}, "494",
		},
		"cached tokens are tokens": {
			moduletest.Exchange{Request: chat, Answer: answer(`{"prompt_tokens":100,"completion_tokens":0,"prompt_tokens_details":{"cached_tokens":80}}`)}, "894",
		},
		"an answer that tells no usage is estimated": {moduletest.Exchange{Request: chat, Answer: answer(`null`)}, "988"}, // 5 and 1 for "yes"
		"a stream that tells its usage": {
			moduletest.Exchange{Request: body(`"stream":true`), AnswerHeader: events, AnswerChunks: stream(piece, usage, "[DONE]")}, "894",
		},
		"a stream that is cut is estimated": {
			moduletest.Exchange{Request: body(`"stream":true`), AnswerHeader: events, AnswerChunks: stream(piece, piece), Cut: true}, "985", // 5 and 4
		},
		"an error of the provider uses nothing": {moduletest.Exchange{Request: chat, Status: 500, Answer: `{"error":{}}`}, "994"},
		"a refusal of a later module uses nothing": {
			moduletest.Exchange{Request: strings.Replace(chat, "hi", "no", 1)}, "994",
		},
		"a body that is no JSON uses nothing": {moduletest.Exchange{Request: `{"model"`}, "994"},
		"more than the limit is refused and uses nothing": {
			moduletest.Exchange{Request: body(`"max_tokens":1000`)}, "994",
		},
		"the list of models uses nothing": {moduletest.Exchange{Method: "GET", Path: "/v1/models", Answer: `{}`}, "994"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, `{"limits":[{"tokens":1000}]}`)
			first := h.Do(tc.exchange)
			next := h.Do(moduletest.Exchange{Request: body(`"max_tokens":1`), Answer: answer(`null`)})
			if first.Status == 200 && !first.Sent || gjson.Get(first.Body, "error.code").Str == "module_failed" {
				t.Errorf("the first was answered with %d %s", first.Status, first.Body)
			}
			if got := next.Header["x-ratelimit-remaining-tokens"]; got != tc.left {
				t.Errorf("%s remain, want %s; the first was %d %s", got, tc.left, first.Status, first.Body)
			}
		})
	}
}

func TestWhatIsReservedForTheAnswer(t *testing.T) {
	tests := map[string]struct {
		fields string
		left   string // of 10000
	}{
		"the default":                        {``, "9895"},
		"max_completion_tokens":              {`"max_completion_tokens":200,`, "9795"},
		"max_tokens, its older name":         {`"max_tokens":300,`, "9695"},
		"both: the greater one":              {`"max_tokens":300,"max_completion_tokens":200,`, "9695"},
		"each of several choices":            {`"max_tokens":300,"n":3,`, "9095"},
		"each of several choices by default": {`"n":2,`, "9795"},
		"no choices are one":                 {`"n":0,`, "9895"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, `{"default_output_tokens":100,"limits":[{"tokens":10000,"window":"10s"}]}`)
			got := h.Do(moduletest.Exchange{Request: strings.Replace(chat, "{", "{"+tc.fields, 1), Answer: answer(`null`)})
			if got.Header["x-ratelimit-remaining-tokens"] != tc.left {
				t.Errorf("%s remain, want %s", got.Header["x-ratelimit-remaining-tokens"], tc.left)
			}
		})
	}
}

func TestEachPromptOfACompletionIsReservedFor(t *testing.T) {
	for name, tc := range map[string]struct{ fields, left string }{
		"one":              {`"prompt":"hi"`, "9900"},
		"tokens of one":    {`"prompt":[1,2,3]`, "9900"},
		"several":          {`"prompt":["a","b","c"]`, "9700"},
		"tokens of two":    {`"prompt":[[1],[2]]`, "9800"},
		"several, twice":   {`"n":2,"prompt":["a","b","c"]`, "9400"},
		"the best of five": {`"best_of":5,"n":2,"prompt":["a","b"]`, "9000"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, `{"limits":[{"tokens":10000,"window":"10s"}]}`)
			got := h.Do(moduletest.Exchange{Path: "/v1/completions", Request: `{"model":"m","max_tokens":100,"suffix":"x",` + tc.fields + `}`, Answer: answer(`null`)})
			left, _ := strconv.Atoi(got.Header["x-ratelimit-remaining-tokens"])
			want, _ := strconv.Atoi(tc.left)
			if left > want || left < want-20 { // the prompts themselves are little
				t.Errorf("%d remain, want some less than %d", left, want)
			}
		})
	}
}

func TestAnAnswerMadeInTheBackgroundNeedsALimitWhereTokensAreLimited(t *testing.T) {
	for name, tc := range map[string]struct {
		limits, request string
		status          int
	}{
		"without one":              {`{"by":"all","tokens":5000,"window":"1h"}`, `{"model":"m","input":"hi","background":true}`, 400},
		"with one":                 {`{"by":"all","tokens":5000,"window":"1h"}`, `{"model":"m","input":"hi","background":true,"max_output_tokens":1000}`, 200},
		"requests are limited":     {`{"by":"all","requests":5,"window":"1h"}`, `{"model":"m","input":"hi","background":true}`, 200},
		"somebody waits for it":    {`{"by":"all","tokens":5000,"window":"1h"}`, `{"model":"m","input":"hi","background":false}`, 200},
		"nothing is said about it": {`{"by":"all","tokens":5000,"window":"1h"}`, `{"model":"m","input":"hi"}`, 200},
	} {
		h := newHost(t, `{"limits":[`+tc.limits+`]}`)
		got := h.Do(moduletest.Exchange{Path: "/v1/responses", Request: tc.request, Answer: `{"id":"r","status":"queued","usage":null}`})
		if got.Status != tc.status || got.Sent != (tc.status == 200) {
			t.Errorf("%s: got %d, sent %t: %s", name, got.Status, got.Sent, got.Body)
		}
	}
}

func TestAnAnswerMadeInTheBackgroundGivesNoTokensBackUntilItHasSaidWhatItTook(t *testing.T) {
	for name, tc := range map[string]struct {
		answer string
		left   int
	}{
		"it goes on": {`{"status":"queued","output":[],"usage":null}`, 9000},
		"it is over": {`{"status":"completed","output":[],"usage":{"input_tokens":1,"output_tokens":1}}`, 9900},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, `{"limits":[{"tokens":10000}]}`)
			h.Do(moduletest.Exchange{Path: "/v1/responses", Request: `{"model":"m","input":"hi","background":true,"max_output_tokens":1000}`, Answer: tc.answer})
			got := h.Do(moduletest.Exchange{Path: "/v1/responses", Request: `{"model":"m","input":"hi","max_output_tokens":1}`, Answer: `{}`})
			if left, _ := strconv.Atoi(got.Header["x-ratelimit-remaining-tokens"]); left > tc.left+100 || left < tc.left-100 {
				t.Errorf("%d remain, want about %d", left, tc.left)
			}
		})
	}
}

func TestAProductOfCountsBeyond64BitsIsNotTakenForASmallOne(t *testing.T) {
	for _, counts := range []string{`"max_tokens":4294967296,"n":4294967296`, `"max_tokens":4294967296,"n":3221225472`, `"max_tokens":9007199254740991,"n":9007199254740991`} {
		got := newHost(t, `{"limits":[{"tokens":1000000000000000000}]}`).Do(moduletest.Exchange{Request: strings.Replace(chat, "{", "{"+counts+",", 1)})
		if got.Sent || gjson.Get(got.Body, "error.code").Str != "request_exceeds_limit" {
			t.Errorf("%s: got %d %s, want request_exceeds_limit", counts, got.Status, got.Body)
		}
	}
}

// A client that leaves before the answer begins has made the provider work all the same.
func TestLeavingEarlyGivesNoTokensBack(t *testing.T) {
	h := newHost(t, `{"limits":[{"tokens":1010}]}`)
	pipeline, err := module.NewPipeline([]byte(`{"modules":[{"name":"ratelimit","config":{"limits":[{"tokens":1010}]}}]}`), h)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		flow := pipeline.Start(&left{header: [][2]string{{":method", "POST"}, {":path", "/v1/chat/completions"}}})
		flow.OnRequestHeaders(false)
		if action := flow.OnRequestBody(len(chat), true); action != module.Continue {
			t.Fatal("the request was not let through")
		}
		flow.OnDone()
	}
	got := h.Do(moduletest.Exchange{Request: chat, Properties: map[string]string{"source.address": "192.0.2.9:1"}})
	if got.Status != 429 {
		t.Errorf("got %d, want 429: both reservations of 505 stand", got.Status)
	}
}

// left is an exchange whose client is gone before there is an answer.
type left struct {
	module.Stream
	header [][2]string
}

func (l *left) Headers(module.Side) [][2]string      { return l.header }
func (l *left) Body(module.Side) []byte              { return []byte(chat) }
func (l *left) Property(...string) ([]byte, bool)    { return []byte("192.0.2.9:1"), true }
func (l *left) SetHeader(_ module.Side, _, _ string) {}
func (l *left) RemoveHeader(_ module.Side, _ string) {}
func (l *left) SetBody(_ module.Side, _ []byte)      {}
func (l *left) SetProperty(_ string, _ []byte)       {}

func TestWhoSharesALimit(t *testing.T) {
	header := func(name, value string) map[string]string { return map[string]string{name: value} }
	from := func(address string) map[string]string { return map[string]string{"source.address": address} }
	ask := func(properties, header map[string]string) moduletest.Exchange {
		return moduletest.Exchange{Request: chat, Answer: answer(`null`), Properties: properties, Header: header}
	}
	model := func(name string) moduletest.Exchange {
		x := ask(nil, nil)
		x.Request = strings.Replace(chat, "gpt-4o", name, 1)
		return x
	}
	tests := map[string]struct {
		by            string
		first, second moduletest.Exchange
		shared        bool
	}{
		"key: the same":                         {"key", ask(caller("a", "k", ""), nil), ask(caller("a", "k", ""), nil), true},
		"key: from another address":             {"key", ask(caller("a", "k", ""), nil), moduletest.Exchange{Request: chat, Properties: map[string]string{"leash.caller": "a\x00k\x00", "source.address": "192.0.2.7:1"}}, true},
		"key: another":                          {"key", ask(caller("a", "k", ""), nil), ask(caller("a", "l", ""), nil), false},
		"key: of the same name elsewhere":       {"key", ask(caller("a", "k", ""), nil), ask(caller("b", "k", ""), nil), false},
		"key: names that look alike in a row":   {"key", ask(caller("a/b", "c", ""), nil), ask(caller("a", "b/c", ""), nil), false},
		"key: of another user":                  {"key", ask(caller("a", "k", "u"), nil), ask(caller("a", "k", "v"), nil), true},
		"key: nobody is counted by address":     {"key", ask(from("192.0.2.1:1"), nil), ask(from("192.0.2.2:1"), nil), false},
		"key: nobody, from another port":        {"key", ask(from("192.0.2.1:1"), nil), ask(from("192.0.2.1:2"), nil), true},
		"tenant: with another key":              {"tenant", ask(caller("a", "k", ""), nil), ask(caller("a", "l", ""), nil), true},
		"tenant: another":                       {"tenant", ask(caller("a", "k", ""), nil), ask(caller("b", "k", ""), nil), false},
		"user: with another key":                {"user", ask(caller("a", "k", "u"), nil), ask(caller("a", "l", "u"), nil), true},
		"user: another with the same key":       {"user", ask(caller("a", "k", "u"), nil), ask(caller("a", "k", "v"), nil), false},
		"user: of the same name elsewhere":      {"user", ask(caller("a", "k", "u"), nil), ask(caller("b", "k", "u"), nil), false},
		"user: none is counted by key":          {"user", ask(caller("a", "k", ""), nil), ask(caller("a", "l", ""), nil), false},
		"user: none, and one named like a key":  {"user", ask(caller("a", "k", ""), nil), ask(caller("a", "l", "k"), nil), false},
		"address: the same for two keys":        {"address", ask(caller("a", "k", ""), nil), ask(caller("b", "l", ""), nil), true},
		"address: another":                      {"address", ask(from("192.0.2.1:1"), nil), ask(from("192.0.2.2:1"), nil), false},
		"address: IPv6, the same network":       {"address", ask(from("[2001:db8:1:2::1]:1"), nil), ask(from("[2001:db8:1:2:a:b:c:d]:1"), nil), true},
		"address: IPv6, another network":        {"address", ask(from("[2001:db8:1:2::1]:1"), nil), ask(from("[2001:db8:1:3::1]:1"), nil), false},
		"address: IPv6, zeros at its end":       {"address", ask(from("[2001:db8::1]:1"), nil), ask(from("[2001:db8::a:b:c:d]:1"), nil), true},
		"address: IPv6, zeros, another network": {"address", ask(from("[2001:db8::1]:1"), nil), ask(from("[2001:db8:0:1::1]:1"), nil), false},
		"address: IPv6, zeros written out":      {"address", ask(from("[2001:0:0:1::1]:1"), nil), ask(from("[2001::1:a:b:c:d]:1"), nil), true},
		"address: IPv6, nothing but zeros":      {"address", ask(from("[::1]:1"), nil), ask(from("[::2:3:4:5]:1"), nil), true},
		"address: IPv6, one group after zeros":  {"address", ask(from("[::]:1"), nil), ask(from("[::1:2:3:4:5]:1"), nil), false},
		"address: IPv6, with a zone":            {"address", ask(from("[fe80::1%eth0]:1"), nil), ask(from("[fe80::2]:1"), nil), true},
		"address: IPv4 within IPv6":             {"address", ask(from("[::ffff:192.0.2.1]:1"), nil), ask(from("[::ffff:192.0.2.2]:1"), nil), false},
		"address: IPv4, and as such":            {"address", ask(from("[::ffff:192.0.2.1]:0"), nil), ask(from("192.0.2.1:1"), nil), true},
		"model: the same for two keys":          {"model", model("gpt-4o"), model("gpt-4o"), true},
		"model: another":                        {"model", model("gpt-4o"), model("gpt-4o-mini"), false},
		"all: everybody":                        {"all", ask(caller("a", "k", ""), nil), ask(from("192.0.2.2:1"), nil), true},
		"header: the same value":                {"header:x-app", ask(nil, header("x-app", "one")), ask(nil, header("x-app", "one")), true},
		"header: another value":                 {"header:x-app", ask(nil, header("x-app", "one")), ask(nil, header("x-app", "two")), false},
		"header: written in capitals":           {"header:X-App", ask(nil, header("X-App", "one")), ask(nil, header("x-app", "two")), false},
		"header: not sent":                      {"header:x-app", ask(nil, nil), ask(from("192.0.2.2:1"), nil), true},
	}
	for name, tc := range tests {
		for unit, config := range map[string]string{
			"requests": `{"limits":[{"by":"` + tc.by + `","requests":1}]}`,
			"tokens":   `{"default_output_tokens":5,"limits":[{"by":"` + tc.by + `","tokens":10,"window":"1000s"}]}`,
		} {
			t.Run(name+", "+unit, func(t *testing.T) {
				h := newHost(t, config)
				if got := h.Do(tc.first); got.Status != 200 {
					t.Fatalf("the first got %d %s", got.Status, got.Body)
				}
				if got := h.Do(tc.second); (got.Status == 429) != tc.shared {
					t.Errorf("the second got %d, shared should be %t", got.Status, tc.shared)
				}
			})
		}
	}
}

func TestARequestMustBeWithinAllLimitsAndARefusalCostsNothing(t *testing.T) {
	h := newHost(t, `{"limits":[{"name":"day","by":"tenant","requests":10,"window":"24h"},{"name":"model","by":"model","requests":2},{"name":"size","tokens":2000}]}`)
	ask := moduletest.Exchange{Request: chat, Answer: answer(`null`), Properties: caller("acme", "app", "")}
	for range 2 {
		if got := h.Do(ask); got.Status != 200 {
			t.Fatalf("got %d %s", got.Status, got.Body)
		}
	}
	for range 20 {
		if got := h.Do(ask); got.Status != 429 || !strings.Contains(got.Body, `limit \"model\"`) {
			t.Fatalf("got %d %s, want a refusal of the limit model", got.Status, got.Body)
		}
	}
	other := ask
	other.Request = strings.Replace(chat, "gpt-4o", "other", 1)
	got := h.Do(other)
	if want := "2 1 30s"; limits(got, "requests") != want {
		t.Errorf("requests: got %q, want %q, the tightest", limits(got, "requests"), want)
	}
	for range 6 {
		other.Request = strings.Replace(other.Request, "other", "other-", 1)
		got = h.Do(other)
	}
	if want := "10 1"; !strings.HasPrefix(limits(got, "requests"), want) {
		t.Errorf("requests: got %q, want %q: 9 of 29 requests were let through", limits(got, "requests"), want)
	}
}

func TestTheProvidersOwnLimitsAreNotShown(t *testing.T) {
	own := map[string]string{"openai-version": "2020-10-01"}
	for _, name := range []string{
		"x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests", "x-ratelimit-limit-tokens",
		"x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens", "x-ratelimit-remaining-project-tokens", "x-ratelimit-limit-tokens-minute",
		"anthropic-ratelimit-requests-limit", "anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-unified-status",
		"anthropic-priority-output-tokens-reset", "x-ratelimitbysize-remaining-minute", "ratelimitbysize-limit", "x-tokenlimit-remaining",
		"ratelimit", "ratelimit-policy", "ratelimit-remaining",
	} {
		own[name] = "of the operator's account"
	}
	h := newHost(t, `{"limits":[{"requests":3}]}`)
	got := h.Do(moduletest.Exchange{Request: chat, Answer: answer(`null`), AnswerHeader: own})
	if want := "3 2 20s"; limits(got, "requests") != want {
		t.Errorf("requests %q, want %q", limits(got, "requests"), want)
	}
	for name, value := range got.Header {
		if value == "of the operator's account" {
			t.Errorf("the client is told %s of the operator's account", name)
		}
	}
	if got.Header["openai-version"] != own["openai-version"] {
		t.Error("a header is gone that tells of no limit")
	}
}

func TestResetsAreWrittenAsOpenAIDoes(t *testing.T) {
	for window, want := range map[string]string{
		"1s": "500ms", "1001ms": "501ms", "2s": "1s", "2600ms": "1.3s", "12m": "6m0s", "3h": "1h30m0s",
	} {
		h := newHost(t, `{"limits":[{"requests":2,"window":"`+window+`"}]}`)
		got := h.Do(moduletest.Exchange{Request: chat, Answer: answer(`null`)})
		if got.Header["x-ratelimit-reset-requests"] != want {
			t.Errorf("half of %s: got %q, want %q", window, got.Header["x-ratelimit-reset-requests"], want)
		}
	}
}

func TestATenantMayHaveLimitsOfItsOwn(t *testing.T) {
	h := moduletest.New(t, `{"handover":true,"modules":[{"name":"ratelimit","config":{"limits":[{"requests":1}]},
		"tenants":{"big":{"limits":[{"requests":3}]},"free":{}}}]}`)
	for tenant, want := range map[string]int{"acme": 1, "big": 3, "free": 10} {
		passed := 0
		for range 10 {
			if h.Do(moduletest.Exchange{Request: chat, Answer: answer(`null`), Properties: caller(tenant, "app", "")}).Status == 200 {
				passed++
			}
		}
		if passed != want {
			t.Errorf("tenant %s: %d passed, want %d", tenant, passed, want)
		}
	}
}

func TestSharedDataThatCannotBeWrittenRefuses(t *testing.T) {
	h := newHost(t, `{"limits":[{"requests":10}]}`)
	p, err := module.NewPipeline([]byte(`{"modules":[{"name":"ratelimit","config":{"limits":[{"requests":10}]}}]}`), broken{h})
	if err != nil {
		t.Fatal(err)
	}
	stream := &left{header: [][2]string{{":method", "POST"}, {":path", "/v1/chat/completions"}}}
	refused := &replied{left: stream}
	p.Start(refused).OnRequestHeaders(true)
	if refused.status != 500 || gjson.Get(refused.body, "error.code").Str != "module_failed" {
		t.Errorf("got %d %s, want 500 module_failed: a policy that cannot decide refuses", refused.status, refused.body)
	}
	if len(h.Logs) != 1 || !strings.Contains(h.Logs[0], "count limit key: the shared data could not be written") {
		t.Errorf("logs are %q", h.Logs)
	}
}

// broken is a host whose shared data takes nothing.
type broken struct{ *moduletest.Host }

func (broken) Shared() module.SharedData                 { return broken{} }
func (broken) Get(string) (value []byte, version uint32) { return nil, 0 }
func (broken) Set(string, []byte, uint32) bool           { return false }

type replied struct {
	*left
	status int
	body   string
}

func (r *replied) Reply(status int, _ [][2]string, body []byte) {
	r.status, r.body = status, string(body)
}

func TestMistakesInTheConfigurationAreNamed(t *testing.T) {
	const by = ` is not one of key, tenant, user, address, model, all, header:NAME`
	const window = `limits[0].window: must be between 1s and 744h`
	one := func(fields string) string { return `{"limits":[{` + fields + `}]}` }
	tests := map[string]struct{ config, want string }{
		"an unknown field":            {`{"limit":[]}`, `limit: unknown field; the known ones are limits, default_output_tokens`},
		"an unknown field of a limit": {one(`"per":"key"`), `limits[0].per: unknown field; the known ones are name, by, requests, tokens, window`},
		"limits is no list":           {`{"limits":{}}`, `limits: {} is not a list`},
		"a limit is no map":           {`{"limits":[1]}`, `limits[0]: 1 is not a map of fields`},
		"nothing is limited":          {one(``), `limits[0]: sets neither requests nor tokens`},
		"zero is no limit":            {one(`"requests":0,"tokens":0`), `limits[0]: sets neither requests nor tokens`},
		"by something else":           {one(`"requests":1,"by":"ip"`), `limits[0].by: "ip"` + by},
		"by nothing":                  {one(`"requests":1,"by":""`), `limits[0].by: ""` + by},
		"by a header without a name":  {one(`"requests":1,"by":"header:"`), `limits[0].by: "header:"` + by},
		"by what no header is called": {one(`"requests":1,"by":"header:X Team"`), `limits[0].by: "header:X Team"` + by},
		"by of another type":          {one(`"by":1`), `limits[0].by: 1 is not a string`},
		"name of another type":        {one(`"name":1`), `limits[0].name: 1 is not a string`},
		"requests of another type":    {one(`"requests":"2"`), `limits[0].requests: "2" is not a whole number`},
		"half a request":              {one(`"requests":2.5`), `limits[0].requests: 2.5 is not a whole number`},
		"more than an int64":          {one(`"tokens":9223372036854775808`), `limits[0].tokens: 9223372036854775808 is not a whole number`},
		"negative requests":           {one(`"requests":-1`), `limits[0]: requests and tokens must not be negative`},
		"negative tokens":             {one(`"tokens":-1`), `limits[0]: requests and tokens must not be negative`},
		"a window that is too short":  {one(`"requests":1,"window":"999ms"`), window},
		"a window that is too long":   {one(`"requests":1,"window":"744h1s"`), window},
		"a negative window":           {one(`"requests":1,"window":"-1m"`), window},
		"a window without a unit":     {one(`"requests":1,"window":60`), `limits[0].window: 60 is not a duration (such as "90s" or "1h")`},
		"a negative estimate":         {`{"default_output_tokens":-1}`, `default_output_tokens: must not be negative`},
		"an estimate of another type": {`{"default_output_tokens":"1k"}`, `default_output_tokens: "1k" is not a whole number`},
		"two limits that would share a bucket": {
			`{"limits":[{"requests":10,"window":"1s"},{"requests":100}]}`,
			`limits[1].name: "key" is the name of limits[0] too, so that they would count in one bucket: name them apart`,
		},
		"two limits of one name": {
			`{"limits":[{"name":"a","by":"all","tokens":10},{"requests":1},{"name":"a","tokens":100}]}`,
			`limits[2].name: "a" is the name of limits[0] too, so that they would count in one bucket: name them apart`,
		},
	}
	definition, _ := module.Lookup("ratelimit")
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := definition.New([]byte(tc.config)); err == nil || err.Error() != tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
}

func TestLimitsOfDifferentUnitsMayShareAName(t *testing.T) {
	h := newHost(t, `{"limits":[{"requests":10,"window":"1s"},{"tokens":1000}]}`)
	got := h.Do(moduletest.Exchange{Request: chat, Answer: answer(`null`)})
	if limits(got, "requests") != "10 9 100ms" || limits(got, "tokens") != "1000 495 30.3s" {
		t.Errorf("got %q and %q", limits(got, "requests"), limits(got, "tokens"))
	}
}

// TestAnotherWindowBeginsAnew: a bucket says when it will be full again, which of a day's is hours ahead, and would be a wait of hours for a minute's.
func TestAnotherWindowBeginsAnew(t *testing.T) {
	day := newHost(t, `{"limits":[{"requests":10,"window":"24h"}]}`)
	for range 5 {
		day.Do(moduletest.Exchange{Request: chat, Answer: answer(`null`), Properties: caller("acme", "app", "")})
	}
	minute := newHost(t, `{"limits":[{"requests":10,"window":"1m"}]}`)
	minute.Data = day.Data
	got := minute.Do(moduletest.Exchange{Request: chat, Answer: answer(`null`), Properties: caller("acme", "app", "")})
	if got.Status != 200 || limits(got, "requests") != "10 9 6s" {
		t.Errorf("got %d %q", got.Status, limits(got, "requests"))
	}
	more := newHost(t, `{"limits":[{"requests":20,"window":"24h"}]}`) // of which the same share is left
	more.Data = day.Data
	if got := more.Do(moduletest.Exchange{Request: chat, Answer: answer(`null`), Properties: caller("acme", "app", "")}); limits(got, "requests") != "20 9 13h12m0s" {
		t.Errorf("got %d %q", got.Status, limits(got, "requests"))
	}
}

// The narrower a configuration is, the less of an exchange Envoy has to hand over: only limits of tokens and by model
// need the body, so that others refuse before it has been taken in.
func TestRequestsAreRefusedBeforeTheirBodyIsRead(t *testing.T) {
	h := newHost(t, `{"limits":[{"by":"all","requests":1}]}`)
	h.Do(moduletest.Exchange{Request: chat, Answer: answer(`null`)})
	if got := h.Do(moduletest.Exchange{Request: `{"mal`}); got.Status != 429 {
		t.Errorf("got %d %s, want 429", got.Status, got.Body)
	}
}

// Requests and tokens are taken together, when the body is known. Of who is known to have no request left nothing is taken in.
func TestWhoHasNoRequestLeftIsRefusedBeforeTheBodyIsReadAgain(t *testing.T) {
	h := newHost(t, `{"limits":[{"by":"all","requests":1,"tokens":100000,"window":"10s"}]}`)
	tests := []struct {
		after   time.Duration
		request string
		status  int
	}{
		{0, chat, 200},
		{0, chat, 429},
		{0, `{"mal`, 429},
		{9 * time.Second, `{"mal`, 429},
		{time.Second, `{"mal`, 400}, // there is one again, and it is not taken
		{0, chat, 200},
		{0, chat, 429},
		{10 * time.Second, chat, 200},
	}
	for i, tc := range tests {
		h.Clock = h.Clock.Add(tc.after)
		if got := h.Do(moduletest.Exchange{Request: tc.request, Answer: answer(`null`)}); got.Status != tc.status {
			t.Errorf("step %d: got %d %s, want %d", i, got.Status, got.Body, tc.status)
		}
	}
}

func TestAnExchangeWritesItsLimitOnceAndSettlesWithTheNext(t *testing.T) {
	h := newHost(t, `{}`)
	counted := &counting{Host: h}
	p, err := module.NewPipeline([]byte(`{"modules":[{"name":"ratelimit","config":{"limits":[{"requests":100,"tokens":1000}]}}]}`), counted)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		flow := p.Start(&answering{left: &left{header: [][2]string{{":method", "POST"}, {":path", "/v1/chat/completions"}}}})
		flow.OnRequestHeaders(false)
		flow.OnRequestBody(len(chat), true)
		flow.OnResponseHeaders(false)
		flow.OnResponseBody(10, true)
		flow.OnDone()
	}
	if counted.writes != 3 {
		t.Errorf("3 exchanges wrote %d times, want 3", counted.writes)
	}
	p.Flush()
	p.Flush()
	if counted.writes != 4 {
		t.Errorf("after a flush %d writes, want 4", counted.writes)
	}
	for _, value := range h.Data {
		full := int64(binary.LittleEndian.Uint64(value[8:])) - h.Clock.UnixNano()
		if want := int64(3*20) * int64(time.Minute) / 1000; full != want {
			t.Errorf("the bucket is full in %d ns, want %d: three times 20 tokens were used", full, want)
		}
	}
}

// counting is a host that counts what is written.
type counting struct {
	*moduletest.Host
	writes int
}

func (c *counting) Shared() module.SharedData { return c }

func (c *counting) Get(key string) ([]byte, uint32) { return c.Host.Shared().Get(key) }

func (c *counting) Set(key string, value []byte, version uint32) bool {
	c.writes++
	return c.Host.Shared().Set(key, value, version)
}

// answering is an exchange whose answer has used 20 tokens.
type answering struct{ *left }

func (a *answering) Headers(s module.Side) [][2]string {
	if s == module.Responses {
		return [][2]string{{":status", "200"}, {"content-type", "application/json"}}
	}
	return a.left.Headers(s)
}

func (*answering) ReplaceHeaders(module.Side, [][2]string) {}

func (a *answering) Body(s module.Side) []byte {
	if s == module.Responses {
		return []byte(answer(`{"prompt_tokens":5,"completion_tokens":15}`))
	}
	return a.left.Body(s)
}
