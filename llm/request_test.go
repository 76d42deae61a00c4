package llm_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/llm"
)

// seen is what a test compares of a text.
type seen struct {
	role    llm.Role
	kind    llm.Kind
	message int
	part    int
	value   string
}

func see(texts []llm.Text) []seen {
	var all []seen
	for _, t := range texts {
		all = append(all, seen{t.Role, t.Kind, t.Message, t.Part, t.Value})
	}
	return all
}

func parseRequest(t *testing.T, body string) *llm.Request {
	t.Helper()
	r, err := llm.ParseRequest(llm.OpenAIChat, []byte(body))
	if err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return r
}

// chatOf is a request with these messages.
func chatOf(messages string) string { return `{"model":"m","messages":[` + messages + `]}` }

func TestEveryTextOfARequestIsSeen(t *testing.T) {
	tests := map[string]struct {
		messages string
		want     []seen
	}{
		"plain content": {`{"role":"user","content":"hi"}`, []seen{{llm.User, llm.Content, 0, 0, "hi"}}},
		"role behind the content": {
			`{"content":"be brief","role":"developer"},{"content":"hi","role":"user"}`,
			[]seen{{llm.System, llm.Content, 0, 0, "be brief"}, {llm.User, llm.Content, 1, 0, "hi"}},
		},
		"thoughts in parts": {
			`{"role":"assistant","content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"},"so",{"n":1}]},{"type":"thinking","thinking":"well"},{"type":"text","text":"b"}]}`,
			[]seen{
				{llm.Assistant, llm.Reasoning, 0, 0, "hm"}, {llm.Assistant, llm.Reasoning, 0, 0, "so"}, {llm.Assistant, llm.Reasoning, 0, 1, "well"}, {llm.Assistant, llm.Content, 0, 2, "b"},
			},
		},
		"roles": {
			`{"role":"system","content":"a"},{"role":"tool","content":"b"},{"role":"function","content":"c"},{"role":"critic","content":"d"},{"content":"e"}`,
			[]seen{
				{llm.System, llm.Content, 0, 0, "a"}, {llm.Tool, llm.Content, 1, 0, "b"}, {llm.Tool, llm.Content, 2, 0, "c"},
				{llm.OtherRole, llm.Content, 3, 0, "d"}, {llm.OtherRole, llm.Content, 4, 0, "e"},
			},
		},
		"escapes": {
			`{"role":"\u0075ser","content":"\u0062omb \"\\\/\b\f\n\r\t \ud83d\ude00 😀"}`,
			[]seen{{llm.User, llm.Content, 0, 0, "bomb \"\\/\b\f\n\r\t 😀 😀"}},
		},
		"escaped names": {
			`{"\u0072ole":"user","conten\u0074":"hi"}`,
			[]seen{{llm.User, llm.Content, 0, 0, "hi"}},
		},
		"parts": {
			`{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"text"}},` +
				`{"text":"b","type":"input_text"},{"type":"refusal","refusal":"c"},{"type":"novel","text":"d"},"e"]}`,
			[]seen{
				{llm.User, llm.Content, 0, 0, "a"}, {llm.User, llm.Content, 0, 2, "b"}, {llm.User, llm.Refusal, 0, 3, "c"},
				{llm.User, llm.Content, 0, 4, "d"}, {llm.User, llm.Content, 0, 5, "e"},
			},
		},
		"what an assistant said": {
			`{"role":"assistant","content":null,"refusal":"no","reasoning_content":"hm","reasoning":"well",` +
				`"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}},` +
				`{"type":"custom","custom":{"name":"g","input":"x"}}],"function_call":{"name":"h","arguments":"y"}}`,
			[]seen{
				{llm.Assistant, llm.Refusal, 0, 0, "no"}, {llm.Assistant, llm.Reasoning, 0, 0, "hm"},
				{llm.Assistant, llm.Reasoning, 0, 0, "well"}, {llm.Assistant, llm.ToolArguments, 0, 0, `{"a":1}`},
				{llm.Assistant, llm.ToolArguments, 0, 1, "x"}, {llm.Assistant, llm.ToolArguments, 0, 0, "y"},
			},
		},
		"names that some servers take in any case": {
			`{"Role":"user","CONTENT":"a"},{"ROLE":"assistant","Tool_Calls":[{"Function":{"Arguments":"b"}}]},` +
				`{"role":"user","Content":[{"Type":"text","Text":"c"}]},{"role":"aſsistant","refuſal":"d"}`,
			[]seen{
				{llm.User, llm.Content, 0, 0, "a"}, {llm.Assistant, llm.ToolArguments, 1, 0, "b"},
				{llm.User, llm.Content, 2, 0, "c"}, {llm.OtherRole, llm.Refusal, 3, 0, "d"},
			},
		},
		"nulls":           {`{"role":null,"content":null,"refusal":null,"tool_calls":null,"function_call":null,"reasoning":null}`, nil},
		"nothing is text": {`{"role":"user","name":"bob","audio":{"id":"a"}}`, nil},
		"reasoning in a form of its own": {`{"role":"assistant","reasoning":{"effort":"low"},"content":"a"}`,
			[]seen{{llm.Assistant, llm.Content, 0, 0, "a"}}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			body := chatOf(tc.messages)
			r := parseRequest(t, body)
			if got := see(r.Texts); !slices.Equal(got, tc.want) {
				t.Errorf("got  %v\nwant %v", got, tc.want)
			}
			if got := string(r.Bytes()); got != body || r.Edited() {
				t.Errorf("without an edit got %s", got)
			}
		})
	}
}

func TestOthersAreWhatAModelMayBeToldBesideTheMessages(t *testing.T) {
	r := parseRequest(t, `{"tools":[{"type":"function","function":{"name":"f","description":"a","parameters":{"type":"object","properties":{"name":{"type":"string","title":"b"}},"default":{"name":"c"}}}},`+
		`{"type":"mcp","server_url":"u","headers":{"k":"v"},"server_description":"d"}],"model":"m","messages":[{"role":"user","content":"hi"}],"stop":["x"],"metadata":{"k":"x"},"user":"x","temperature":1,`+
		`"Documents":[{"text":"e"}],"stream_options":{"x":"y"},"note":"\u0066"}`)
	others, err := r.Others()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, text := range others {
		if text.Kind != llm.Definition || text.Message != llm.Outside {
			t.Errorf("%q is of kind %s, of message %d", text.Value, text.Kind, text.Message)
		}
		got = append(got, text.Value)
		r.SetOther(i, strings.ToUpper(text.Value))
	}
	if want := []string{"a", "b", "c", "d", "e", "f"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	again := parseRequest(t, string(r.Bytes()))
	if others, err := again.Others(); err != nil || len(others) != len(got) || others[0].Value != "A" || others[5].Value != "F" {
		t.Errorf("after all were set: %v, %v in %s", see(others), err, r.Bytes())
	}
	if len(r.Texts) != 1 {
		t.Errorf("texts of messages: %v", see(r.Texts))
	}
}

func TestOthersAreBounded(t *testing.T) {
	r := parseRequest(t, `{"model":"m","messages":[{"role":"user","content":"hi"}],"x":[`+strings.Repeat(`"",`, 1<<16)+`""]}`)
	var refused *llm.FieldError
	if others, err := r.Others(); !errors.As(err, &refused) {
		t.Errorf("got %d texts, %v, want a *FieldError", len(others), err)
	}
}

func TestFieldsOfARequest(t *testing.T) {
	tests := map[string]struct {
		fields string
		want   llm.Request
	}{
		"none":                      {`"temperature":0.5`, llm.Request{N: 1}},
		"nulls":                     {`"stream":null,"stream_options":null,"max_tokens":null,"n":null,"user":null`, llm.Request{N: 1}},
		"stream":                    {`"stream":true`, llm.Request{N: 1, Stream: true}},
		"stream in another case":    {`"Stream":true`, llm.Request{N: 1, Stream: true}},
		"usage wanted":              {`"stream":true,"stream_options":{"include_usage":true}`, llm.Request{N: 1, Stream: true, WantsUsage: true}},
		"usage not wanted":          {`"stream_options":{"include_usage":false,"x":{"include_usage":true}}`, llm.Request{N: 1}},
		"max_tokens":                {`"max_tokens":7`, llm.Request{N: 1, MaxTokens: 7}},
		"max_completion_tokens":     {`"max_completion_tokens":8,"max_tokens":7`, llm.Request{N: 1, MaxTokens: 8}},
		"max_completion_tokens 0":   {`"max_tokens":7,"max_completion_tokens":0`, llm.Request{N: 1, MaxTokens: 7}},
		"negative limit":            {`"max_tokens":-1,"n":-3`, llm.Request{N: 1}},
		"limit with an exponent":    {`"max_tokens":1.5e3`, llm.Request{N: 1, MaxTokens: 1500}},
		"choices":                   {`"n":3`, llm.Request{N: 3}},
		"no choices":                {`"n":0`, llm.Request{N: 1}},
		"user":                      {`"user":"b\u006fb"`, llm.Request{N: 1, User: "bob"}},
		"fields of the same name":   {`"metadata":{"stream":true,"n":9,"model":"x","messages":[]}`, llm.Request{N: 1}},
		"model of unknown spelling": {`"MODELS":["x"]`, llm.Request{N: 1}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := parseRequest(t, `{"model":"m",`+tc.fields+`,"messages":[{}]}`)
			if got.Model != "m" || got.Stream != tc.want.Stream || got.WantsUsage != tc.want.WantsUsage ||
				got.MaxTokens != tc.want.MaxTokens || got.N != tc.want.N || got.User != tc.want.User {
				t.Errorf("got  %+v\nwant %+v", got, tc.want)
			}
		})
	}
}

func TestParseRequestRefuses(t *testing.T) {
	tests := map[string]struct{ body, want string }{
		"limit beyond 2^53":    {`{"model":"m","messages":[{}],"max_tokens":123456789012345678901234567890}`, `max_tokens: must be less than 2^53`},
		"limit of any float":   {`{"model":"m","messages":[{}],"n":1e999}`, `n: must be less than 2^53`},
		"no object":            {`[]`, `the body must be an object`},
		"text":                 {`"hi"`, `the body must be an object`},
		"no model":             {`{"messages":[{}]}`, `model: is missing`},
		"empty model":          {`{"model":"","messages":[{}]}`, `model: must be a non-empty string`},
		"null model":           {`{"model":null,"messages":[{}]}`, `model: must be a non-empty string`},
		"number as model":      {`{"messages":[{}],"model":4}`, `model: must be a non-empty string`},
		"model in capitals":    {`{"Model":"m","messages":[{}]}`, `model: is missing`},
		"no messages":          {`{"model":"m"}`, `messages: is missing`},
		"messages in capitals": {`{"model":"m","MESSAGES":[{}]}`, `messages: is missing`},
		"empty messages":       {`{"model":"m","messages":[]}`, `messages: must not be empty`},
		"null messages":        {`{"model":"m","messages":null}`, `messages: must be an array`},
		"object as messages":   {`{"model":"m","messages":{}}`, `messages: must be an array`},

		"string as message":           {chatOf(`{},"hi"`), `messages[1]: must be an object`},
		"null as message":             {chatOf(`null`), `messages[0]: must be an object`},
		"number as role":              {chatOf(`{"role":1}`), `messages[0].role: must be a string`},
		"number as content":           {chatOf(`{},{},{"content":5}`), `messages[2].content: must be a string or an array`},
		"object as content":           {chatOf(`{"content":{"text":"hi"}}`), `messages[0].content: must be a string or an array`},
		"number as part":              {chatOf(`{"content":["a",5]}`), `messages[0].content[1]: must be an object`},
		"object as text":              {chatOf(`{"content":[{"text":{"value":"hi"}}]}`), `messages[0].content[0].text: must be a string`},
		"array as refusal part":       {chatOf(`{"content":[{"refusal":["hi"]}]}`), `messages[0].content[0].refusal: must be a string`},
		"array as refusal":            {chatOf(`{"refusal":["hi"]}`), `messages[0].refusal: must be a string`},
		"object as tool calls":        {chatOf(`{"tool_calls":{}}`), `messages[0].tool_calls: must be an array`},
		"string as tool call":         {chatOf(`{"tool_calls":[{},"f"]}`), `messages[0].tool_calls[1]: must be an object`},
		"string as function":          {chatOf(`{"tool_calls":[{"function":"f"}]}`), `messages[0].tool_calls[0].function: must be an object`},
		"object as arguments":         {chatOf(`{"tool_calls":[{"function":{"arguments":{"a":1}}}]}`), `messages[0].tool_calls[0].function.arguments: must be a string`},
		"object as input":             {chatOf(`{"tool_calls":[{"custom":{"input":{"a":1}}}]}`), `messages[0].tool_calls[0].custom.input: must be a string`},
		"object as older arguments":   {chatOf(`{"function_call":{"arguments":{"a":1}}}`), `messages[0].function_call.arguments: must be a string`},
		"string as stream":            {`{"model":"m","messages":[{}],"stream":"true"}`, `stream: must be true or false`},
		"number as stream":            {`{"model":"m","messages":[{}],"stream":1}`, `stream: must be true or false`},
		"true as stream options":      {`{"model":"m","messages":[{}],"stream_options":true}`, `stream_options: must be an object`},
		"string as include_usage":     {`{"model":"m","messages":[{}],"stream_options":{"include_usage":"yes"}}`, `stream_options.include_usage: must be true or false`},
		"string as limit":             {`{"model":"m","messages":[{}],"max_tokens":"5"}`, `max_tokens: must be a whole number`},
		"fraction as limit":           {`{"model":"m","messages":[{}],"max_completion_tokens":1.5}`, `max_completion_tokens: must be a whole number`},
		"negative fraction as limit":  {`{"model":"m","messages":[{}],"max_tokens":-1.5}`, `max_tokens: must be a whole number`},
		"array as choices":            {`{"model":"m","messages":[{}],"n":[1]}`, `n: must be a whole number`},
		"number as user":              {`{"model":"m","messages":[{}],"user":5}`, `user: must be a string`},
		"the first of several errors": {`{"model":5,"messages":5,"n":"x"}`, `model: must be a non-empty string`},
		"more texts than are held":    {chatOf(`{"content":[` + strings.Repeat(`"a",`, 1<<16) + `"b"]}`), `messages: more than 65536 texts`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := llm.ParseRequest(llm.OpenAIChat, []byte(tc.body))
			var field *llm.FieldError
			if !errors.As(err, &field) {
				t.Fatalf("got %v, want a *FieldError", err)
			}
			if err.Error() != tc.want {
				t.Errorf("got  %v\nwant %v", err, tc.want)
			}
		})
	}
}

func TestParseRequestIsAsStrictAsCheck(t *testing.T) {
	tests := map[string]struct{ body, want string }{
		"nothing":                       {``, `ends where a value should be`},
		"no end":                        {`{"model":"m","messages":[{"content":"a"}`, `ends where a comma or the end of the array should be`},
		"two bodies":                    {chatOf(`{}`) + chatOf(`{}`), `data after the value`},
		"model twice":                   {`{"model":"cheap","messages":[{}],"model":"dear"}`, `key "model" appears twice`},
		"model twice, escaped":          {`{"model":"cheap","messages":[{}],"\u006dodel":"dear"}`, `key "model" appears twice`},
		"model in two cases":            {`{"model":"cheap","messages":[{}],"Model":"dear"}`, `keys "model" and "Model" differ only in case`},
		"messages with a long s":        {`{"model":"m","messages":[{}],"meſsages":[{}]}`, `keys "messages" and "meſsages" differ only in case`},
		"content in two cases":          {chatOf(`{"content":"a","CONTENT":"b"}`), `keys "content" and "CONTENT" differ only in case`},
		"unknown fields in two cases":   {`{"model":"m","messages":[{}],"topK":1,"topk":2}`, `keys "topK" and "topk" differ only in case`},
		"Kelvin sign":                   {"{\"model\":\"m\",\"messages\":[{}],\"top_k\":1,\"top_\u212a\":2}", "keys \"top_k\" and \"top_\u212a\" differ only in case"},
		"part in two cases":             {chatOf(`{"content":[{"text":"a","Text":"b"}]}`), `keys "text" and "Text" differ only in case`},
		"call in two cases":             {chatOf(`{"tool_calls":[{"function":{"arguments":"a","Arguments":"b"}}]}`), `keys "arguments" and "Arguments" differ only in case`},
		"options in two cases":          {`{"model":"m","messages":[{}],"stream_options":{"include_usage":true,"Include_Usage":false}}`, `keys "include_usage" and "Include_Usage" differ only in case`},
		"in two cases, of many":         {`{"model":"m","messages":[{}],` + numbered(40, `"k%"`) + `,"K39":1}`, `keys "k39" and "K39" differ only in case`},
		"twice where nothing is read":   {`{"model":"m","messages":[{}],"metadata":{"a":1,"a":2}}`, `key "a" appears twice`},
		"syntax goes before fields":     {`{"model":5,"messages":[{}],"a":1,"a":2}`, `key "a" appears twice`},
		"lone surrogate in a message":   {chatOf(`{"content":"\ud83d"}`), `half a surrogate pair`},
		"not UTF-8 in a message":        {chatOf("{\"content\":\"\xff\"}"), `not UTF-8`},
		"too deep in an unknown field":  {`{"model":"m","messages":[{}],"a":` + strings.Repeat("[", 10000), `nested more than 128 deep`},
		"bad string where one is read":  {`{"model":"\q","messages":[{}]}`, `unknown escape`},
		"bad number where one is read":  {`{"n":-,"messages":[{}]}`, `expected a digit, found ','`},
		"bad literal where one is read": {`{"stream":tru,"messages":[{}]}`, `expected a value, found 't'`},
		"bad null where one is read":    {`{"stream":nul,"messages":[{}]}`, `expected a value, found 'n'`},
		"bad object where one is read":  {chatOf(`{"content":"a" "role":"user"}`), `expected a comma or the end of the object, found '"'`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := llm.ParseRequest(llm.OpenAIChat, []byte(tc.body))
			var syntax *llm.SyntaxError
			if !errors.As(err, &syntax) {
				t.Fatalf("got %v, want a *SyntaxError", err)
			}
			if syntax.Reason != tc.want {
				t.Errorf("got  %v\nwant %v", syntax.Reason, tc.want)
			}
		})
	}
}

func TestKeysThatDifferInCaseSurviveWhereNothingIsRead(t *testing.T) {
	body := `{"model":"m","messages":[{"role":"user","content":"a","Name":"b"}],"Temperature":1,"metadata":{"a":1,"A":2}}`
	if got := string(parseRequest(t, body).Bytes()); got != body {
		t.Errorf("got %s", got)
	}
}

func TestEditsLeaveAllElseAsItIs(t *testing.T) {
	tests := map[string]struct {
		body string
		edit func(r *llm.Request)
		want string
	}{
		"model": {
			"\n{ \"x\" : 1.0e0,\t\"model\" : \"a\\u0062\" , \"messages\":[ { } ],\"y\":\"\\u0041\\/\" }\n",
			func(r *llm.Request) { r.SetModel("q\"\\\n\x01é\u2028") },
			"\n{ \"x\" : 1.0e0,\t\"model\" : \"q\\\"\\\\\\n\\u0001é\u2028\" , \"messages\":[ { } ],\"y\":\"\\u0041\\/\" }\n",
		},
		"model twice": {
			chatOf(`{}`),
			func(r *llm.Request) { r.SetModel("a"); r.SetModel("b") },
			`{"model":"b","messages":[{}]}`,
		},
		"model to what it is": {
			`{"model":"\u006d","messages":[{}]}`,
			func(r *llm.Request) { r.SetModel("m") },
			`{"model":"\u006d","messages":[{}]}`,
		},
		"texts, in another order": {
			chatOf(`{"content":"a\n","x":[1, 2]},{"content":[{"text":"b","cache_control":{"type":"x"}},"c"]}`),
			func(r *llm.Request) { r.SetText(2, "C"); r.SetText(0, "A\t"); r.SetText(1, ""); r.SetText(2, "CC") },
			chatOf(`{"content":"A\t","x":[1, 2]},{"content":[{"text":"","cache_control":{"type":"x"}},"CC"]}`),
		},
		"text that is not UTF-8": {
			chatOf(`{"content":"a"}`),
			func(r *llm.Request) { r.SetText(0, "x\xffy\xe2\x82") },
			chatOf(`{"content":"x` + "\uFFFDy\uFFFD\uFFFD" + `"}`),
		},
		"usage without options": {
			` {"model":"m","messages":[{}],"stream":true}`,
			func(r *llm.Request) { r.AskUsage() },
			` {"stream_options":{"include_usage":true},"model":"m","messages":[{}],"stream":true}`,
		},
		"usage with null as options": {
			`{"stream_options": null ,"model":"m","messages":[{}],"stream":true}`,
			func(r *llm.Request) { r.AskUsage(); r.AskUsage() },
			`{"stream_options": {"include_usage":true} ,"model":"m","messages":[{}],"stream":true}`,
		},
		"usage with empty options": {
			`{"model":"m","stream":true,"messages":[{}],"stream_options":{ }}`,
			func(r *llm.Request) { r.AskUsage() },
			`{"model":"m","stream":true,"messages":[{}],"stream_options":{"include_usage":true}}`,
		},
		"usage with other options": {
			`{"model":"m","stream":true,"messages":[{}],"stream_options":{"include_obfuscation":false}}`,
			func(r *llm.Request) { r.AskUsage() },
			`{"model":"m","stream":true,"messages":[{}],"stream_options":{"include_usage":true,"include_obfuscation":false}}`,
		},
		"usage that was refused": {
			`{"model":"m","stream":true,"messages":[{}],"stream_options":{"include_usage": false, "a":1}}`,
			func(r *llm.Request) { r.AskUsage() },
			`{"model":"m","stream":true,"messages":[{}],"stream_options":{"include_usage": true, "a":1}}`,
		},
		"usage that is null": {
			`{"model":"m","stream":true,"messages":[{}],"stream_options":{"include_usage":null}}`,
			func(r *llm.Request) { r.AskUsage() },
			`{"model":"m","stream":true,"messages":[{}],"stream_options":{"include_usage":true}}`,
		},
		"usage that is asked for": {
			`{"model":"m","stream":true,"messages":[{}],"stream_options":{"include_usage":true}}`,
			func(r *llm.Request) { r.AskUsage() },
			`{"model":"m","stream":true,"messages":[{}],"stream_options":{"include_usage":true}}`,
		},
		"usage without a stream": {
			`{"model":"m","messages":[{}],"stream":false}`,
			func(r *llm.Request) { r.AskUsage() },
			`{"model":"m","messages":[{}],"stream":false}`,
		},
		"all at once": {
			`{"stream":true,"messages":[{"role":"user","content":"a"}],"model":"m","seed":1}`,
			func(r *llm.Request) { r.SetModel("n"); r.AskUsage(); r.SetText(0, "b") },
			`{"stream_options":{"include_usage":true},"stream":true,"messages":[{"role":"user","content":"b"}],"model":"n","seed":1}`,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := parseRequest(t, tc.body)
			wanted := r.WantsUsage
			tc.edit(r)
			got := string(r.Bytes())
			if got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
			if r.Edited() != (tc.want != tc.body) {
				t.Errorf("edited is %v", r.Edited())
			}
			if r.WantsUsage != wanted {
				t.Errorf("what the client wanted became %v", r.WantsUsage)
			}
			if err := llm.Check([]byte(got)); err != nil {
				t.Errorf("after the edit: %v", err)
			}
		})
	}
}

func TestEditsOfManyTextsTakeLinearTime(t *testing.T) {
	const n = 1 << 16
	r := parseRequest(t, chatOf(strings.Repeat(`{"content":"a"},`, n-1)+`{"content":"a"}`))
	for range 2 {
		for i := range r.Texts {
			r.SetText(i, r.Texts[i].Value+"b")
		}
	}
	if got := bytes.Count(r.Bytes(), []byte(`"abb"`)); got != n {
		t.Errorf("%d texts were edited, want %d", got, n)
	}
}

func TestUneditedBytesAreTheVerySlice(t *testing.T) {
	body := []byte(chatOf(`{"content":"a"}`))
	r, err := llm.ParseRequest(llm.OpenAIChat, body)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Bytes(); &got[0] != &body[0] {
		t.Error("the body was copied")
	}
}

func TestEstimateOfInputTokens(t *testing.T) {
	tests := map[string]struct {
		messages string
		want     int64
	}{
		"one empty message": {`{}`, 4},
		"rounded up":        {`{"content":"12345"}`, 6},
		"all texts":         {`{"content":"1234"},{"content":["1234","1234"]}`, 11},
		"bytes, not runes":  {`{"content":"苹果苹果"}`, 7},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := parseRequest(t, chatOf(tc.messages)).EstimateTokens(); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
	request, err := llm.ParseRequest(llm.OpenAIChat, []byte(`{"model":"m","messages":[{}],"tools":[{"type":"function","function":{"name":"f","description":"1234"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := request.EstimateTokens(), int64(4+17); got != want {
		t.Errorf("with 68 bytes of tools: got %d, want %d", got, want)
	}
}

func TestOnlyChatsHaveBodiesThatCanBeRead(t *testing.T) {
	for _, f := range []llm.Format{llm.None, llm.OpenAIModels} {
		if _, err := llm.ParseRequest(f, []byte(chatOf(`{}`))); err == nil {
			t.Errorf("a request of format %s was read", f)
		}
		if _, err := llm.ParseResponse(f, []byte(`{}`)); err == nil {
			t.Errorf("an answer of format %s was read", f)
		}
		if _, err := llm.ParseEvent(f, []byte(`{}`)); err == nil {
			t.Errorf("an event of format %s was read", f)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add(chat, "x")
	for _, seed := range []string{
		chatOf(`{"role":"user","content":[{"type":"text","text":"a\ud83d\ude00"},"b",{"refusal":"c"}]}`),
		`{"model":"m","stream":true,"stream_options":{"include_usage":null,"a":{}},"messages":[{"tool_calls":[{"index":2,"function":{"arguments":"{}"}}]}],"n":1e2,"max_tokens":3}`,
		`{"stream_options":null,"stream":true,"Messages":1,"messages":[{"Content":"x","reasoning":"y"}],"model":"\u006d"}`,
		`{ "stream_options" : { } , "stream" : true , "messages" : [ { "function_call" : { "arguments" : "" } } ] , "model" : "m" }`,
	} {
		f.Add([]byte(seed), "\"\\\n\x00\xff😀")
	}
	f.Fuzz(func(t *testing.T, body []byte, s string) {
		r, err := llm.ParseRequest(llm.OpenAIChat, body)
		if check := llm.Check(body); check != nil {
			if err == nil {
				t.Fatalf("%q was read although %v", body, check)
			}
			return
		}
		if err != nil {
			return
		}
		if !bytes.Equal(r.Bytes(), body) {
			t.Errorf("unedited %q became %q", body, r.Bytes())
		}
		want := see(r.Texts)
		for i := range r.Texts {
			r.SetText(i, s+r.Texts[i].Value)
			want[i].value = asUTF8(s) + want[i].value
		}
		r.SetModel("new " + r.Model)
		r.AskUsage()
		out := r.Bytes()
		again, err := llm.ParseRequest(llm.OpenAIChat, out)
		if err != nil {
			t.Fatalf("edited %q became %q: %v", body, out, err)
		}
		if again.Model != r.Model || again.Stream != r.Stream || again.N != r.N || again.MaxTokens != r.MaxTokens || again.User != r.User ||
			(again.WantsUsage != (r.WantsUsage || r.Stream)) {
			t.Errorf("edited %q became %q: %+v", body, out, again)
		}
		got := see(again.Texts)
		if !slices.Equal(got, want) {
			t.Errorf("edited %q became %q:\ngot  %v\nwant %v", body, out, got, want)
		}
	})
}

// asUTF8 is s with each byte that is not UTF-8 replaced.
func asUTF8(s string) string { return string([]rune(s)) }

func TestMediaOfChatsAreCounted(t *testing.T) {
	body := []byte(`{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"what is this?"},` +
		`{"type":"image_url","image_url":{"url":"https://example.com/a.png"}},{"type":"input_audio","input_audio":{"data":"","format":"wav"}},` +
		`{"type":"file","file":{"file_id":"f"}}]}]}`)
	r, err := llm.ParseRequest(llm.OpenAIChat, body)
	if err != nil || r.Media != 3 || len(r.Texts) != 1 {
		t.Errorf("got %+v, %v; want 3 media and one text", r, err)
	}
}
