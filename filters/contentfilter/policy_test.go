package contentfilter

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/moduletest"
)

// rules has a rule of each action and each way to find something.
const rules = `{"rules":[
	{"name":"secret","keywords":["project bluebird"],"action":"block"},
	{"name":"seal","regexps":["seal-\\d{5}"],"action":"redact"},
	{"name":"card","builtins":["card"],"action":"redact","replacement":"****"},
	{"name":"ada","keywords":["ada"],"whole_words":true,"action":"flag"}]}`

// newHost runs the module with this configuration, with facts handed over as properties so that tests can see them.
func newHost(t testing.TB, config string) *moduletest.Host {
	t.Helper()
	return moduletest.New(t, `{"handover":true,"modules":[{"name":"contentfilter","config":`+config+`}]}`)
}

// user is a request in which a user says this, which stands in JSON already.
func user(content string) string {
	return `{"model":"m","messages":[{"role":"user","content":` + content + `}]}`
}

func quoted(s string) string { return string(gjson.AppendJSONString(nil, s)) }

func TestWhatIsLookedAtInARequest(t *testing.T) {
	tests := map[string]struct {
		request string
		sent    string // "" for blocked
	}{
		"nothing is found":             {user(`"hello"`), user(`"hello"`)},
		"a keyword":                    {user(`"about project bluebird"`), ""},
		"in capitals":                  {user(`"Project BLUEBIRD"`), ""},
		"with JSON escapes":            {user(`"project \u0062luebird"`), ""},
		"with invisible characters":    {user(`"pro\u200bject blue\u00adbird"`), ""},
		"in full width":                {user(`"ｐｒｏｊｅｃｔ ｂｌｕｅｂｉｒｄ"`), ""},
		"an expression":                {user(`"the seal-12345, seal-1234 and seal-54321."`), user(`"the [seal], seal-1234 and [seal]."`)},
		"a ready pattern":              {user(`"pay 4111 1111 1111 1111 now"`), user(`"pay **** now"`)},
		"a card in full width":         {user(`"pay ４１１１ １１１１ １１１１ １１１１ now"`), user(`"pay **** now"`)},
		"a card with invisible ones":   {user(`"pay 4\u200b1\u200c1\u200d1\u00ad1\u2060111 \ufeff1111 1111 now"`), user(`"pay **** now"`)},
		"an expression in full width":  {user(`"the ｓｅａｌ－１２３４５."`), user(`"the [seal]."`)},
		"no card by its check digit":   {user(`"pay 4111 1111 1111 1112 now"`), user(`"pay 4111 1111 1111 1112 now"`)},
		"a whole word":                 {user(`"ada and adam"`), user(`"ada and adam"`)},
		"characters that JSON escapes": {user(`"\"seal-12345\"\n\\"`), user(`"\"[seal]\"\n\\"`)},
		"each part of a content": {
			user(`[{"type":"text","text":"seal-12345"},{"type":"image_url","image_url":{"url":"https://x/seal-12345"}},{"type":"text","text":"and seal-12345"}]`),
			user(`[{"type":"text","text":"[seal]"},{"type":"image_url","image_url":{"url":"https://x/seal-12345"}},{"type":"text","text":"and [seal]"}]`),
		},
		"a keyword in the last part":     {user(`[{"type":"text","text":"x"},{"type":"text","text":"project bluebird"}]`), ""},
		"a keyword over two parts":       {user(`[{"type":"text","text":"about pro"},{"type":"image_url","image_url":{"url":"https://x"}},{"type":"text","text":"ject bluebird"}]`), ""},
		"a keyword over parts as lines":  {user(`[{"type":"text","text":"about project"},{"type":"text","text":""},{"type":"text","text":"bluebird"}]`), ""},
		"nothing over two parts":         {user(`[{"type":"text","text":"a project"},{"type":"text","text":"blue bird"}]`), user(`[{"type":"text","text":"a project"},{"type":"text","text":"blue bird"}]`)},
		"a keyword over two messages":    {twoMessages, twoMessages},
		"a card over many parts":         {user(`["seal-12345, 4111 ","1111"," 1111 11",{"type":"text","text":"11, é"}]`), user(`["[seal], ****","****","****",{"type":"text","text":"****, é"}]`)},
		"several matches over each part": {user(`["seal-1","2345 seal-","54321 seal-0","0001 seal-0000"]`), user(`["[seal]","[seal] [seal]","[seal] [seal]","[seal] seal-0000"]`)},
		"each part of what is redacted":  {user(`["seal-00001 seal-1","2345"]`), user(`["[seal] [seal]","[seal]"]`)},
		"the messages of all roles": {
			`{"model":"m","messages":[{"role":"system","content":"seal-00001"},{"role":"assistant","content":"seal-00002"},{"role":"tool","tool_call_id":"seal-00003","content":"seal-00004"},{"role":"user","content":"hi"}]}`,
			`{"model":"m","messages":[{"role":"system","content":"[seal]"},{"role":"assistant","content":"[seal]"},{"role":"tool","tool_call_id":"seal-00003","content":"[seal]"},{"role":"user","content":"hi"}]}`,
		},
		"what tools are called with": {
			`{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"1","type":"function","function":{"name":"seal-12345","arguments":"{\"of\":\"seal-12345\"}"}}]}]}`,
			`{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"1","type":"function","function":{"name":"seal-12345","arguments":"{\"of\":\"[seal]\"}"}}]}]}`,
		},
		"not the JSON around it": {
			`{"project bluebird":"x","model":"seal-12345","metadata":{"k":"project bluebird"},"user":"ada","messages":[{"role":"user","name":"ada","content":"hi"}]}`,
			`{"project bluebird":"x","model":"seal-12345","metadata":{"k":"project bluebird"},"user":"ada","messages":[{"role":"user","name":"ada","content":"hi"}]}`,
		},
		"definitions of tools": {
			`{"model":"m","messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","function":{"name":"seal-12345","description":"of seal-12345","parameters":{"type":"object","properties":{"name":{"type":"string","enum":["seal-54321"]}}}}}]}`,
			`{"model":"m","messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","function":{"name":"seal-12345","description":"of [seal]","parameters":{"type":"object","properties":{"name":{"type":"string","enum":["[seal]"]}}}}}]}`,
		},
		"with what a server of tools is spoken to": {
			`{"model":"m","messages":[{"role":"user","content":"hi"}],"tools":[{"type":"mcp","server_url":"https://x/seal-12345","headers":{"a":"seal-12345"},"authorization":"seal-12345"}]}`,
			`{"model":"m","messages":[{"role":"user","content":"hi"}],"tools":[{"type":"mcp","server_url":"https://x/seal-12345","headers":{"a":"seal-12345"},"authorization":"seal-12345"}]}`,
		},
		"nothing over two definitions": {
			`{"model":"m","messages":[{"role":"user","content":"hi"}],"documents":["project","bluebird"]}`,
			`{"model":"m","messages":[{"role":"user","content":"hi"}],"documents":["project","bluebird"]}`,
		},
		"unknown fields and spaces stay as they are": {
			`{ "x" : 1.50, "model":"m", "messages" : [ {"role":"user", "content" : "seal-12345" , "y":[ ]} ] }`,
			`{ "x" : 1.50, "model":"m", "messages" : [ {"role":"user", "content" : "[seal]" , "y":[ ]} ] }`,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := newHost(t, rules).Do(moduletest.Exchange{Request: tc.request, Answer: `{}`})
			if got.Sent != (tc.sent != "") || got.SentBody != tc.sent {
				t.Errorf("sent %t\ngot  %s\nwant %s", got.Sent, got.SentBody, tc.sent)
			}
			if tc.sent == "" && (got.Status != 400 || got.Body != blocked) {
				t.Errorf("got %d %s, want 400 %s", got.Status, got.Body, blocked)
			}
			if tc.sent != "" && got.SentHeader["content-length"] != "" && got.SentHeader["content-length"] != strconv.Itoa(len(tc.sent)) {
				t.Errorf("content-length is %s for %d bytes", got.SentHeader["content-length"], len(tc.sent))
			}
		})
	}
}

// twoMessages have between them what stands in neither.
const twoMessages = `{"model":"m","messages":[{"role":"user","content":"project"},{"role":"user","content":"bluebird"}]}`

const blocked = `{"error":{"message":"the content was blocked by the rule \"secret\" of this gateway","type":"invalid_request_error","param":null,"code":"content_blocked"}}`

func choice(index int, message string) string {
	return `{"index":` + strconv.Itoa(index) + `,"message":` + message + `,"finish_reason":"stop"}`
}

func whole(choices ...string) string {
	return `{"id":"seal-12345","choices":[` + strings.Join(choices, ",") + `],"usage":{"prompt_tokens":1,"completion_tokens":2}}`
}

func says(text string) string { return `{"role":"assistant","content":` + quoted(text) + `}` }

func TestWhatIsLookedAtInAnAnswer(t *testing.T) {
	tests := map[string]struct {
		answer string
		want   string // "" for blocked
	}{
		"nothing is found":               {whole(choice(0, says("hello"))), whole(choice(0, says("hello")))},
		"a keyword":                      {whole(choice(0, says("It is Project Bluebird."))), ""},
		"an expression":                  {whole(choice(0, says("seal-12345"))), whole(choice(0, says("[seal]")))},
		"in mathematics' digits":         {whole(choice(0, says("pay 𝟒𝟏𝟏𝟏 𝟏𝟏𝟏𝟏 𝟏𝟏𝟏𝟏 𝟏𝟏𝟏𝟏."))), whole(choice(0, says("pay ****.")))},
		"each choice":                    {whole(choice(0, says("seal-12345")), choice(1, says("4111111111111111"))), whole(choice(0, says("[seal]")), choice(1, says("****")))},
		"a keyword in the second choice": {whole(choice(0, says("hi")), choice(1, says("project bluebird"))), ""},
		"what the model thought, would not say and calls tools with": {
			whole(choice(0, `{"role":"assistant","content":null,"reasoning_content":"seal-00001","refusal":"seal-00002","tool_calls":[{"id":"seal-12345","type":"function","function":{"name":"f","arguments":"{\"a\":\"seal-00003\"}"}},{"type":"custom","custom":{"input":"seal-00004"}}]}`)),
			whole(choice(0, `{"role":"assistant","content":null,"reasoning_content":"[seal]","refusal":"[seal]","tool_calls":[{"id":"seal-12345","type":"function","function":{"name":"f","arguments":"{\"a\":\"[seal]\"}"}},{"type":"custom","custom":{"input":"[seal]"}}]}`)),
		},
		"log probabilities would spell it out": {
			`{"choices":[{"index":0,"message":{"content":"seal-12345"},"logprobs":{"content":[{"token":"seal-12345"}]}}]}`,
			`{"choices":[{"index":0,"message":{"content":"[seal]"},"logprobs":null}]}`,
		},
		"over the parts of a content": {
			whole(choice(0, `{"role":"assistant","content":[{"type":"text","text":"seal-1"},{"type":"text","text":"2345."}]}`)),
			whole(choice(0, `{"role":"assistant","content":[{"type":"text","text":"[seal]"},{"type":"text","text":"[seal]."}]}`)),
		},
		"an answer without choices": {`{"x":"project bluebird"}`, `{"x":"project bluebird"}`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := newHost(t, rules).Do(moduletest.Exchange{Request: user(`"hi"`), Answer: tc.answer})
			if tc.want == "" {
				if got.Status != 400 || got.Body != blocked || got.Header["content-length"] != strconv.Itoa(len(blocked)) {
					t.Errorf("got %d %v %s, want 400 %s", got.Status, got.Header, got.Body, blocked)
				}
			} else if got.Status != 200 || got.Body != tc.want {
				t.Errorf("got  %d %s\nwant %s", got.Status, got.Body, tc.want)
			}
		})
	}
}

func TestARuleLooksOnlyWhereItIsToldTo(t *testing.T) {
	for in, want := range map[string]struct{ sent, body string }{
		"":         {"[x]", "[x]"},
		"request":  {"[x]", "magpie"},
		"response": {"magpie", "[x]"},
	} {
		t.Run("in "+in, func(t *testing.T) {
			h := newHost(t, `{"rules":[{"name":"x","keywords":["magpie"],"action":"redact","in":"`+in+`"}]}`)
			got := h.Do(moduletest.Exchange{Request: user(`"magpie"`), Answer: whole(choice(0, says("magpie")))})
			if got.SentBody != user(quoted(want.sent)) || got.Body != whole(choice(0, says(want.body))) {
				t.Errorf("sent %s, answered %s", got.SentBody, got.Body)
			}
			stream := said(t, h.Do(streamed(`"hi"`, "mag", "pie")).Body)
			if stream["0 content"] != want.body {
				t.Errorf("streamed %q, want %q", stream["0 content"], want.body)
			}
		})
	}
}

func TestWhatIsFoundIsCountedAndNoted(t *testing.T) {
	h := newHost(t, rules)
	got := h.Do(moduletest.Exchange{
		Request:    user(`"ada, seal-12345 and ada"`),
		Answer:     whole(choice(0, says("seal-12345 and 4111111111111111"))),
		Properties: map[string]string{"leash.caller": "acme\x00app\x00"},
	})
	if got.Properties["leash.fact."+module.FactFlags] != "ada,seal,card" {
		t.Errorf("flags are %q, want each rule once", got.Properties["leash.fact."+module.FactFlags])
	}
	for name, want := range map[string]int64{
		"[rule=ada].[action=flag].[tenant=acme]":    2,
		"[rule=seal].[action=redact].[tenant=acme]": 2,
		"[rule=card].[action=redact].[tenant=acme]": 1,
	} {
		if got := h.Metrics["leash_content_matches_total."+name]; got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
	h.Do(moduletest.Exchange{Request: user(`"project bluebird"`)})
	if h.Metrics["leash_content_matches_total.[rule=secret].[action=block].[tenant=none]"] != 1 {
		t.Errorf("what was blocked was not counted: %v", h.Metrics)
	}
	if len(h.Logs) > 0 {
		t.Errorf("content may stand in the log: %q", h.Logs)
	}
}

func TestWhereSeveralRulesFindSomethingTheFirstDecides(t *testing.T) {
	const block, redact = `{"name":"block","keywords":["magpie"],"action":"block"}`, `{"name":"redact","keywords":["magpie"],"action":"redact"}`
	for name, tc := range map[string]struct {
		rules  string
		status int
	}{"block first": {block + "," + redact, 400}, "redact first": {redact + "," + block, 200}} {
		got := newHost(t, `{"rules":[`+tc.rules+`]}`).Do(moduletest.Exchange{Request: user(`"magpie"`), Answer: `{}`})
		if got.Status != tc.status {
			t.Errorf("%s: got %d, want %d", name, got.Status, tc.status)
		}
	}
}

// A flag at the same place, even a longer one, must not let through what another rule is there to stop.
func TestWhatIsFlaggedHidesNothingFromTheOtherRules(t *testing.T) {
	const config = `{"rules":[{"name":"email","builtins":["email"],"action":"flag"},{"name":"rival","keywords":["example.com"],"action":"block"}]}`
	const text = "write to bob@example.com now"
	h := newHost(t, config)
	if got := h.Do(moduletest.Exchange{Request: user(quoted(text)), Answer: `{}`}); got.Sent || got.Properties["leash.fact."+module.FactFlags] != "email,rival" {
		t.Errorf("request: sent %t, flags %q", got.Sent, got.Properties["leash.fact."+module.FactFlags])
	}
	if got := h.Do(moduletest.Exchange{Request: user(`"hi"`), Answer: whole(choice(0, says(text)))}); got.Status != 400 {
		t.Errorf("answer: got %d %s", got.Status, got.Body)
	}
	for at := range len(text) {
		got := h.Do(streamed(`"hi"`, text[:at], text[at:]))
		if heard := said(t, got.Body)["0 content"]; !strings.HasPrefix("write to bob@", heard) || !strings.Contains(got.Body, "content_blocked") {
			t.Fatalf("stream, split at %d: got %q in %s", at, heard, got.Body)
		}
	}
}

func TestAFlagOverSeveralPartsIsCountedOnce(t *testing.T) {
	h := newHost(t, `{"rules":[{"name":"bird","keywords":["blue bird"],"action":"flag"}]}`)
	content := user(`[{"type":"text","text":"a blue "},{"type":"text","text":"bird"}]`)
	if got := h.Do(moduletest.Exchange{Request: content, Answer: `{}`}); got.SentBody != content || got.Properties["leash.fact."+module.FactFlags] != "bird" {
		t.Errorf("sent %s, flags %q", got.SentBody, got.Properties["leash.fact."+module.FactFlags])
	}
	if n := h.Metrics["leash_content_matches_total.[rule=bird].[action=flag].[tenant=none]"]; n != 1 {
		t.Errorf("it is counted %d times, want once", n)
	}
}

func TestAStreamOfMoreTextsThanAnybodyReadsIsCutOff(t *testing.T) {
	for name, choices := range map[string]func(i int) string{
		"choices": func(i int) string {
			return `{"index":` + strconv.Itoa(i) + `,"delta":{"content":"s"},"finish_reason":null}`
		},
		"calls": func(i int) string {
			return `{"index":0,"delta":{"tool_calls":[{"index":` + strconv.Itoa(i) + `,"function":{"arguments":"s"}}]},"finish_reason":null}`
		},
		"thoughts": func(int) string { return `{"index":0,"delta":{"reasoning":"s"},"finish_reason":null}` },
	} {
		t.Run(name, func(t *testing.T) {
			var all []string
			for i := range 60_000 {
				all = append(all, choices(i))
			}
			event := `data: {"id":"c","choices":[` + strings.Join(all, ",") + "]}\n\n"
			got := newHost(t, rules).Do(stream(`"hi"`, event, strings.ReplaceAll(event, "null", `"stop"`), done))
			if strings.Count(got.Body, `"unreadable_answer"`) != 1 || strings.Contains(got.Body, `"choices"`) {
				t.Errorf("got %.300s", got.Body)
			}
		})
	}
}

func TestLogProbabilitiesAheadOfTheirTextDoNotSpellItOut(t *testing.T) {
	chunk := func(content, tokens string) string {
		return `data: {"choices":[{"index":0,"delta":{"content":"` + content + `"},"logprobs":{"content":[{"token":"` + tokens + `","top_logprobs":[]}]},"finish_reason":null}]}` + "\n\n"
	}
	x := stream(`"hi"`, chunk("", "Hello"), chunk("Hello", " seal-"), chunk("", "12345"), chunk(" seal-12345", "."), chunk(".", " Or"), finish(0), done)
	got := newHost(t, rules).Do(x)
	if heard := said(t, got.Body)["0 content"]; heard != "Hello [seal]." {
		t.Errorf("got %q", heard)
	}
	if strings.Contains(got.Body, "seal-") || strings.Contains(got.Body, "12345") || !strings.Contains(got.Body, `"token":"Hello"`) || !strings.Contains(got.Body, `"token":" Or"`) {
		t.Errorf("got %s", got.Body)
	}
}

func TestAFlagHoldsNoTextBack(t *testing.T) {
	x := streamed(`"hi"`, "bob", "@exam", "ple.com")
	got := newHost(t, `{"rules":[{"name":"email","builtins":["email"],"action":"flag"}]}`).Do(x)
	if got.Body != strings.Join(x.AnswerChunks, "") || got.Properties["leash.fact."+module.FactFlags] != "email" {
		t.Errorf("got %s, flags %q", got.Body, got.Properties["leash.fact."+module.FactFlags])
	}
}

func TestErrorsOfTheProviderPassAsTheyAre(t *testing.T) {
	const body = `{"error":{"message":"project bluebird"}}`
	got := newHost(t, rules).Do(moduletest.Exchange{Request: user(`"hi"`), Status: 503, Answer: body})
	if got.Status != 503 || got.Body != body {
		t.Errorf("got %d %s", got.Status, got.Body)
	}
}

func TestTheListOfModelsHasNoContent(t *testing.T) {
	got := newHost(t, rules).Do(moduletest.Exchange{Method: "GET", Path: "/v1/models", Answer: `{"data":[]}`})
	if !got.Sent || got.Body != `{"data":[]}` {
		t.Errorf("sent %t, got %s", got.Sent, got.Body)
	}
}

func TestWithoutRulesNothingIsRead(t *testing.T) {
	got := newHost(t, `{}`).Do(moduletest.Exchange{Request: `{"no":`, Answer: `neither`})
	if got.SentBody != `{"no":` || got.Body != `neither` {
		t.Errorf("sent %s, got %s", got.SentBody, got.Body)
	}
}

func TestMistakesInTheConfigurationAreNamed(t *testing.T) {
	one := func(fields string) string { return `{"rules":[{` + fields + `}]}` }
	rule := func(fields string) string { return one(`"name":"x","action":"block",` + fields) }
	const known = `api_key, card, email, iban, ipv4, jwt, phone, private_key, us_ssn`
	tests := map[string]struct{ config, want string }{
		"an unknown field":                   {`{"rule":[]}`, `rule: unknown field; the known ones are rules, max_hold_bytes`},
		"an unknown field of a rule":         {one(`"words":[]`), `rules[0].words: unknown field; the known ones are name, keywords, whole_words, regexps, builtins, in, action, replacement`},
		"rules is no list":                   {`{"rules":{}}`, `rules: {} is not a list`},
		"no name":                            {one(`"keywords":["a"],"action":"block"`), `rules[0].name: is empty`},
		"a name that looks like two":         {one(`"name":"a,b","keywords":["a"],"action":"block"`), `rules[0].name: holds a comma, which stands between names in logs`},
		"a name of another type":             {one(`"name":1`), `rules[0].name: 1 is not a string`},
		"nothing to look for":                {one(`"name":"x","action":"block"`), `rules[0]: has neither keywords nor regexps nor builtins`},
		"keywords is no list":                {rule(`"keywords":"a"`), `rules[0].keywords: "a" is not a list`},
		"a keyword of another type":          {rule(`"keywords":["a",1]`), `rules[0].keywords[1]: 1 is not a string`},
		"an empty keyword":                   {rule(`"keywords":["a",""]`), `rules[0].keywords[1]: pattern 0 (x): is empty`},
		"a keyword nobody can see":           {rule(`"keywords":["\u200b"]`), `rules[0].keywords[0]: pattern 0 (x): the keyword has no visible characters`},
		"whole_words of another type":        {rule(`"whole_words":"yes"`), `rules[0].whole_words: "yes" is not true or false`},
		"regexps is no list":                 {rule(`"regexps":"a"`), `rules[0].regexps: "a" is not a list`},
		"a broken expression":                {rule(`"regexps":["a","(b"]`), "rules[0].regexps[1]: error parsing regexp: missing closing ): `(b`"},
		"an expression of another kind":      {rule(`"regexps":["(?=a)"]`), "rules[0].regexps[0]: error parsing regexp: invalid or unsupported Perl syntax: `(?=`"},
		"an expression that matches nothing": {rule(`"regexps":["a*"]`), `rules[0].regexps[0]: matches the empty text`},
		"a broken expression for answers":    {rule(`"in":"response","regexps":["(b"]`), "rules[0].regexps[0]: error parsing regexp: missing closing ): `(b`"},
		"an unknown ready pattern":           {rule(`"builtins":["card","cards"]`), `rules[0].builtins[1]: "cards" is not one of ` + known},
		"builtins is no list":                {rule(`"builtins":"card"`), `rules[0].builtins: "card" is not a list`},
		"an unknown direction":               {rule(`"keywords":["a"],"in":"both"`), `rules[0].in: "both" is neither request nor response`},
		"in of another type":                 {rule(`"in":1`), `rules[0].in: 1 is not a string`},
		"an unknown action":                  {one(`"name":"x","keywords":["a"],"action":"drop"`), `rules[0].action: "drop" is not one of block, redact, flag`},
		"no action":                          {one(`"name":"x","keywords":["a"]`), `rules[0].action: "" is not one of block, redact, flag`},
		"a replacement of another type":      {rule(`"replacement":0`), `rules[0].replacement: 0 is not a string`},
		"nothing may be held":                {`{"max_hold_bytes":0}`, `max_hold_bytes: must be positive`},
		"a bound of another type":            {`{"max_hold_bytes":"1k"}`, `max_hold_bytes: "1k" is not a whole number`},
	}
	definition, _ := module.Lookup("contentfilter")
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := definition.New([]byte(tc.config)); err == nil || err.Error() != tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
}

// said puts together what a client reads in a stream: by choice and field.
func said(t testing.TB, body string) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, frame := range strings.Split(body, "\n\n") {
		data, ok := strings.CutPrefix(frame, "data: ")
		if !ok || data == "[DONE]" {
			continue
		}
		if !gjson.Valid(data) {
			t.Fatalf("an event is no JSON: %q", data)
		}
		for _, choice := range gjson.Get(data, "choices").Array() {
			at := choice.Get("index").Raw
			for _, field := range []string{"content", "refusal", "reasoning", "reasoning_content"} {
				texts[at+" "+field] += choice.Get("delta." + field).Str
			}
			for _, call := range choice.Get("delta.tool_calls").Array() {
				texts[fmt.Sprintf("%s call %s", at, call.Get("index").Raw)] += call.Get("function.arguments").Str
			}
		}
	}
	return texts
}

func delta(index int, fields string) string {
	return `data: {"id":"c","choices":[{"index":` + strconv.Itoa(index) + `,"delta":{` + fields + `},"finish_reason":null}]}` + "\n\n"
}

func finish(index int) string {
	return `data: {"id":"c","choices":[{"index":` + strconv.Itoa(index) + `,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
}

const done = "data: [DONE]\n\n"

// stream is an exchange whose answer comes in these chunks.
func stream(content string, chunks ...string) moduletest.Exchange {
	return moduletest.Exchange{
		Request:      strings.Replace(user(content), "{", `{"stream":true,`, 1),
		AnswerHeader: map[string]string{"content-type": "text/event-stream"}, AnswerChunks: chunks,
	}
}

// streamed is an exchange whose answer says the pieces, in an event each.
func streamed(content string, pieces ...string) moduletest.Exchange {
	var chunks []string
	for _, piece := range pieces {
		chunks = append(chunks, delta(0, `"content":`+quoted(piece)))
	}
	return stream(content, append(chunks, finish(0), done)...)
}

func TestNoPieceOfAMatchLeavesAStreamWhereverItIsSplit(t *testing.T) {
	const text = "The code is seal-12345, card 4111 1111 1111 1111 of ada; seal-1234 is none."
	const want = "The code is [seal], card **** of ada; seal-1234 is none."
	h := newHost(t, rules)
	for at := range len(text) {
		got := h.Do(streamed(`"hi"`, text[:at], text[at:]))
		if said := said(t, got.Body)["0 content"]; said != want {
			t.Fatalf("split at %d: got %q, want %q", at, said, want)
		}
	}
	for size := 1; size < 20; size++ {
		var pieces []string
		for at := 0; at < len(text); at += size {
			pieces = append(pieces, text[at:min(at+size, len(text))])
		}
		if said := said(t, h.Do(streamed(`"hi"`, pieces...)).Body)["0 content"]; said != want {
			t.Fatalf("%d bytes an event: got %q, want %q", size, said, want)
		}
	}
}

func TestNoPieceOfAMatchLeavesAStreamHoweverItIsWritten(t *testing.T) {
	text := []rune("The ｓｅａｌ－𝟏２3\u200b45, card ４\u200b１\u2060１１\u00a0١١١١\u00a01\u00ad1\u200d11\u00a0\u200b𝟏𝟏𝟏𝟏\u200b of ada; ｓｅａｌ－1234 is none.")
	const want = "The [seal], card ****\u200b of ada; ｓｅａｌ－1234 is none."
	h := newHost(t, rules)
	for size := range text {
		var pieces []string
		for at := 0; at < len(text); at += size + 1 {
			pieces = append(pieces, string(text[at:min(at+size+1, len(text))]))
		}
		left := ""
		for _, chunk := range h.Do(streamed(`"hi"`, pieces...)).Chunks {
			if left += said(t, chunk)["0 content"]; !strings.HasPrefix(want, left) {
				t.Fatalf("%d characters an event: %q left, want a beginning of %q", size+1, left, want)
			}
		}
		if left != want {
			t.Fatalf("%d characters an event: got %q, want %q", size+1, left, want)
		}
	}
}

func TestAStreamMayArriveInPiecesOfAnySize(t *testing.T) {
	wire := strings.Join(streamed(`"hi"`, "the co", "de is se", `al-123`, "45 \"ok\"").AnswerChunks, "")
	h := newHost(t, rules)
	for size := 1; size <= 64; size++ {
		var chunks []string
		for at := 0; at < len(wire); at += size {
			chunks = append(chunks, wire[at:min(at+size, len(wire))])
		}
		got := h.Do(stream(`"hi"`, chunks...))
		if said := said(t, got.Body)["0 content"]; said != `the code is [seal] "ok"` {
			t.Fatalf("%d bytes a chunk: got %q", size, said)
		}
		for i, chunk := range got.Chunks {
			if strings.Contains(chunk, "seal-") || strings.Contains(chunk, "123") {
				t.Fatalf("%d bytes a chunk: chunk %d holds a piece of the match: %s", size, i, chunk)
			}
		}
	}
}

func TestTheTextsOfAStreamAreLookedAtApart(t *testing.T) {
	text := func(name string) func(int, string) string {
		return func(index int, s string) string { return delta(index, `"`+name+`":`+quoted(s)) }
	}
	call := func(part int) func(int, string) string {
		return func(index int, s string) string {
			return delta(index, `"tool_calls":[{"index":`+strconv.Itoa(part)+`,"function":{"arguments":`+quoted(s)+`}}]`)
		}
	}
	content := text("content")
	both := func(s string) string { return delta(0, `"reasoning":`+quoted(s)+`,"reasoning_content":`+quoted(s)) }
	tests := map[string]struct {
		chunks []string
		want   map[string]string
	}{
		"two choices in turn": {
			[]string{content(0, "a seal-1"), content(1, "b seal-"), content(0, "2345 a"), content(1, "none"), finish(0), finish(1), done},
			map[string]string{"0 content": "a [seal] a", "1 content": "b seal-none"},
		},
		"pieces of two choices are no match": {
			[]string{content(0, "seal-"), content(1, "12345"), finish(0), finish(1), done},
			map[string]string{"0 content": "seal-", "1 content": "12345"},
		},
		"one choice ends before the other": {
			[]string{content(0, "seal-"), content(1, "seal-1"), finish(0), content(1, "2345"), finish(1), done},
			map[string]string{"0 content": "seal-", "1 content": "[seal]"},
		},
		"a tool is called in the middle of a text": {
			[]string{content(0, "seal-"), call(0)(0, `{"a":"seal-`), call(1)(0, `{"b":"seal-`), call(0)(0, `12345"}`), call(1)(0, `x"}`), finish(0), done},
			map[string]string{"0 content": "seal-", "0 call 0": `{"a":"[seal]"}`, "0 call 1": `{"b":"seal-x"}`},
		},
		"what the model thinks, and then says": {
			[]string{text("reasoning_content")(0, "seal-"), content(0, "12345 seal-"), content(0, "12345"), finish(0), done},
			map[string]string{"0 reasoning_content": "seal-", "0 content": "12345 [seal]"},
		},
		"what the model thinks, sent in two fields": {
			[]string{both("the se"), both("al-123"), both("45."), finish(0), done},
			map[string]string{"0 reasoning": "the [seal].", "0 reasoning_content": "the [seal]."},
		},
		"why the model refuses": {
			[]string{text("refusal")(0, "seal-123"), text("refusal")(0, "45"), finish(0), done},
			map[string]string{"0 refusal": "[seal]"},
		},
		"the text comes with the end": {
			[]string{content(0, "seal-"), `data: {"choices":[{"index":0,"delta":{"content":"12345 seal-"},"finish_reason":"stop"}]}` + "\n\n", done},
			map[string]string{"0 content": "[seal] seal-"},
		},
		"the end names no choice":      {[]string{content(0, "x seal-"), done}, map[string]string{"0 content": "x seal-"}},
		"the stream has no end at all": {[]string{content(0, "x seal-")}, map[string]string{"0 content": "x seal-"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := said(t, newHost(t, rules).Do(stream(`"hi"`, tc.chunks...)).Body)
			for at, text := range got {
				if text != tc.want[at] {
					t.Errorf("%s: got %q, want %q", at, text, tc.want[at])
				}
			}
			for at := range tc.want {
				if _, there := got[at]; !there {
					t.Errorf("%s is missing", at)
				}
			}
		})
	}
}

func TestABlockedStreamEndsWithAnErrorBeforeTheMatch(t *testing.T) {
	h := newHost(t, rules)
	for size := 1; size < 30; size++ {
		const text = "It is called project bluebird, and more."
		var pieces []string
		for at := 0; at < len(text); at += size {
			pieces = append(pieces, text[at:min(at+size, len(text))])
		}
		got := h.Do(streamed(`"hi"`, pieces...))
		heard := said(t, got.Body)["0 content"]
		if !strings.HasPrefix("It is called ", heard) {
			t.Fatalf("%d bytes an event: the client reads %q", size, heard)
		}
		if want := "data: " + blocked + "\n\n" + done; !strings.HasSuffix(got.Body, want) {
			t.Fatalf("%d bytes an event: the stream ends with %s", size, got.Body)
		}
	}
}

func TestAStreamWithoutMatchesPassesByteForByte(t *testing.T) {
	x := streamed(`"hi"`, "nothing ", "to see")
	x.AnswerChunks = append([]string{": a comment\n\n"}, x.AnswerChunks...)
	if got := newHost(t, rules).Do(x); got.Body != strings.Join(x.AnswerChunks, "") {
		t.Errorf("got %q", got.Body)
	}
}

func TestWhatGrowsTooLongToBeHeldIsTakenForAMatch(t *testing.T) {
	config := func(action string) string {
		return `{"max_hold_bytes":16,"rules":[{"name":"x","regexps":["<a+>"],"action":"` + action + `"}]}`
	}
	pieces := []string{"see <", strings.Repeat("a", 10), strings.Repeat("a", 10), " end"}
	for action, want := range map[string]string{"redact": "see [x] end", "flag": "see <" + strings.Repeat("a", 20) + " end"} {
		h := newHost(t, config(action))
		if got := said(t, h.Do(streamed(`"hi"`, pieces...)).Body)["0 content"]; got != want {
			t.Errorf("%s: got %q, want %q", action, got, want)
		}
		if counted := len(h.Metrics) > 0; counted != (action == "redact") {
			t.Errorf("%s: counted %v; what may be none is no reason to flag", action, h.Metrics)
		}
	}
	h := newHost(t, `{"max_hold_bytes":16,"rules":[{"name":"x","regexps":["<.+>"],"action":"flag"},{"name":"y","keywords":["bluebird"],"action":"flag"}]}`)
	if got := h.Do(streamed(`"hi"`, "see < blue", "bird,", " which goes on")); got.Properties["leash.fact."+module.FactFlags] != "y" {
		t.Errorf("flags are %q, want what the text holds", got.Properties["leash.fact."+module.FactFlags])
	}
	got := newHost(t, config("block")).Do(streamed(`"hi"`, pieces...))
	if said(t, got.Body)["0 content"] != "see " || !strings.Contains(got.Body, "content_blocked") {
		t.Errorf("block: got %s", got.Body)
	}
}

func TestAFlagInAStreamIsNotedAndChangesNothing(t *testing.T) {
	got := newHost(t, rules).Do(streamed(`"hi"`, "this is a", "da ", "speaking"))
	if said(t, got.Body)["0 content"] != "this is ada speaking" || got.Properties["leash.fact."+module.FactFlags] != "ada" {
		t.Errorf("got %s, flags %q", got.Body, got.Properties["leash.fact."+module.FactFlags])
	}
}

func FuzzAStreamSaysWhatAWholeAnswerSays(f *testing.F) {
	f.Add("The code is seal-12345, card 4111 1111 1111 1111.", uint8(3), uint8(7))
	f.Add("project blue bird, ada, sea", uint8(1), uint8(1))
	f.Add("sea\u200bl-00000 \"\\é🐎", uint8(2), uint8(5))
	f.Add("ｓｅａｌ－𝟏２3\u200b45 ４\u200b１１１\u00a0١١١١ 1\u00ad111 1111\u200b ｂｌｕｅ", uint8(2), uint8(5))
	const noBlock = `{"rules":[
		{"name":"seal","regexps":["seal-\\d{5}"],"action":"redact"},
		{"name":"bird","keywords":["project bluebird","blue"],"action":"redact"},
		{"name":"card","builtins":["card"],"action":"redact"},
		{"name":"ada","keywords":["ada"],"whole_words":true,"action":"redact"}]}`
	f.Fuzz(func(t *testing.T, text string, event, chunk uint8) {
		if text = strings.ToValidUTF8(text, "?"); len(text) > 500 {
			return
		}
		h := newHost(t, noBlock)
		want := gjson.Get(h.Do(moduletest.Exchange{Request: user(`"hi"`), Answer: whole(choice(0, says(text)))}).Body, "choices.0.message.content").Str

		var pieces []string
		for runes := []rune(text); len(runes) > 0; {
			n := min(1+int(event%16), len(runes))
			pieces, runes = append(pieces, string(runes[:n])), runes[n:]
		}
		wire := strings.Join(streamed(`"hi"`, pieces...).AnswerChunks, "")
		var chunks []string
		for at := 0; at < len(wire); at += 1 + int(chunk) {
			chunks = append(chunks, wire[at:min(at+1+int(chunk), len(wire))])
		}
		if got := said(t, h.Do(stream(`"hi"`, chunks...)).Body)["0 content"]; got != want {
			t.Errorf("%q: streamed %q, whole %q", text, got, want)
		}
	})
}
