package llm_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/llm"
)

func parseResponse(t *testing.T, body string) *llm.Response {
	t.Helper()
	r, err := llm.ParseResponse(llm.OpenAIChat, []byte(body))
	if err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return r
}

func TestEveryTextOfAnAnswerIsSeen(t *testing.T) {
	tests := map[string]struct {
		choices string
		want    []seen
	}{
		"content": {`{"index":0,"message":{"role":"assistant","content":"hi"}}`, []seen{{llm.Assistant, llm.Content, 0, 0, "hi"}}},
		"choices out of order": {
			`{"message":{"content":"b"},"index":1},{"index":0,"message":{"content":"a"}}`,
			[]seen{{llm.Assistant, llm.Content, 1, 0, "b"}, {llm.Assistant, llm.Content, 0, 0, "a"}},
		},
		"choices without an index": {
			`{"message":{"content":"a"}},{"index":-1,"message":{"content":"b"}},{"index":"x","message":{"content":"c"}}`,
			[]seen{{llm.Assistant, llm.Content, 0, 0, "a"}, {llm.Assistant, llm.Content, 1, 0, "b"}, {llm.Assistant, llm.Content, 2, 0, "c"}},
		},
		"thought, refused, called": {
			`{"message":{"reasoning_content":"hm","refusal":"no","tool_calls":[{"function":{"arguments":"a"}},{"custom":{"input":"b"}}]}}`,
			[]seen{
				{llm.Assistant, llm.Reasoning, 0, 0, "hm"}, {llm.Assistant, llm.Refusal, 0, 0, "no"},
				{llm.Assistant, llm.ToolArguments, 0, 0, "a"}, {llm.Assistant, llm.ToolArguments, 0, 1, "b"},
			},
		},
		"parts": {
			`{"message":{"content":[{"type":"text","text":"a"},{"type":"reference"},{"type":"text","text":"b"}]}}`,
			[]seen{{llm.Assistant, llm.Content, 0, 0, "a"}, {llm.Assistant, llm.Content, 0, 2, "b"}},
		},
		"half a surrogate pair": {
			`{"message":{"content":"a\ud83d b\ude00"}}`,
			[]seen{{llm.Assistant, llm.Content, 0, 0, "a\uFFFD b\uFFFD"}},
		},
		"values of wrong types": {
			`5,null,{"message":5},{"message":{"content":5,"tool_calls":[5],"refusal":{}}},{"index":7,"message":{"content":"a"}}`,
			[]seen{{llm.Assistant, llm.Content, 7, 0, "a"}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			body := `{"choices":[` + tc.choices + `]}`
			r := parseResponse(t, body)
			if got := see(r.Texts); !slices.Equal(got, tc.want) {
				t.Errorf("got  %v\nwant %v", got, tc.want)
			}
			if got := string(r.Bytes()); got != body || r.Edited() {
				t.Errorf("without an edit got %s", got)
			}
		})
	}
}

func TestFinishReasonsAreThoseOfEachChoice(t *testing.T) {
	r := parseResponse(t, `{"choices":[{"finish_reason":"stop"},{"finish_reason":null},{},{"finish_reason":"length"}]}`)
	if want := []string{"stop", "", "", "length"}; !slices.Equal(r.FinishReasons, want) {
		t.Errorf("got %q, want %q", r.FinishReasons, want)
	}
}

func TestUsageOfAnAnswer(t *testing.T) {
	tests := map[string]struct {
		usage string
		want  llm.Usage
		none  bool
	}{
		"plain": {usage: `{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21}`, want: llm.Usage{Input: 9, Output: 12}},
		"details": {
			usage: `{"prompt_tokens":90,"completion_tokens":120,"prompt_tokens_details":{"cached_tokens":64,"audio_tokens":5},` +
				`"completion_tokens_details":{"reasoning_tokens":100,"audio_tokens":6,"accepted_prediction_tokens":1}}`,
			want: llm.Usage{Input: 90, CachedInput: 64, InputAudio: 5, Output: 120, OutputReasoning: 100, OutputAudio: 6},
		},
		"details that are null": {
			usage: `{"prompt_tokens":9,"completion_tokens":1,"prompt_tokens_details":null,"completion_tokens_details":{"reasoning_tokens":null}}`,
			want:  llm.Usage{Input: 9, Output: 1},
		},
		// The first is xAI's, the second Google's in OpenAI's API.
		"reasoning beside the completion": {
			usage: `{"prompt_tokens":32,"completion_tokens":9,"total_tokens":135,"completion_tokens_details":{"reasoning_tokens":94}}`,
			want:  llm.Usage{Input: 32, Output: 103, OutputReasoning: 94},
		},
		"thoughts in the total alone": {usage: `{"total_tokens":60,"prompt_tokens":8,"completion_tokens":9}`, want: llm.Usage{Input: 8, Output: 52}},
		"DeepSeek's cache": {
			usage: `{"prompt_tokens":90,"completion_tokens":2,"total_tokens":92,"prompt_cache_hit_tokens":64,"prompt_cache_miss_tokens":26}`,
			want:  llm.Usage{Input: 90, CachedInput: 64, Output: 2},
		},
		"DeepSeek's cache, told twice": {
			usage: `{"prompt_tokens":90,"completion_tokens":2,"prompt_cache_hit_tokens":64,"prompt_tokens_details":{"cached_tokens":64}}`,
			want:  llm.Usage{Input: 90, CachedInput: 64, Output: 2},
		},
		"a total that is too small":     {usage: `{"prompt_tokens":9,"completion_tokens":12,"total_tokens":2}`, want: llm.Usage{Input: 9, Output: 12}},
		"a total without a prompt":      {usage: `{"completion_tokens":12,"total_tokens":21}`, want: llm.Usage{Output: 12}},
		"a total alone":                 {usage: `{"total_tokens":21}`, none: true},
		"a total that cannot be":        {usage: `{"prompt_tokens":9,"completion_tokens":12,"total_tokens":9e9}`, none: true},
		"embeddings have no completion": {usage: `{"prompt_tokens":9,"total_tokens":9}`, want: llm.Usage{Input: 9}},
		"negative":                      {usage: `{"prompt_tokens":-9,"completion_tokens":-1e300}`, want: llm.Usage{}},
		"fractions":                     {usage: `{"prompt_tokens":9.99,"completion_tokens":0.5}`, want: llm.Usage{Input: 9}},
		"exponents":                     {usage: `{"prompt_tokens":1.2e1,"completion_tokens":5e-1}`, want: llm.Usage{Input: 12}},
		"as much as is believed":        {usage: `{"prompt_tokens":100000000,"completion_tokens":100000000}`, want: llm.Usage{Input: 1e8, Output: 1e8}},
		"more than that":                {usage: `{"prompt_tokens":9,"completion_tokens":100000001}`, none: true},
		"in details":                    {usage: `{"prompt_tokens":9,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":1e9}}`, none: true},
		"above 2^64":                    {usage: `{"prompt_tokens":9007199254740993,"completion_tokens":18446744073709551617}`, none: true},
		"beyond any float":              {usage: `{"prompt_tokens":1e400,"completion_tokens":1` + strings.Repeat("0", 400) + `.0}`, none: true},
		"strings":                       {usage: `{"prompt_tokens":"9","completion_tokens":12}`, want: llm.Usage{Output: 12}},
		"null":                          {usage: `null`, none: true},
		"empty":                         {usage: `{}`, none: true},
		"all null":                      {usage: `{"prompt_tokens":null,"completion_tokens":null}`, none: true},
		"number":                        {usage: `9`, none: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := parseResponse(t, `{"id":"x","usage":`+tc.usage+`,"choices":[]}`)
			if r.Usage != tc.want || r.HasUsage == tc.none {
				t.Errorf("got %v %+v, want %v %+v", r.HasUsage, r.Usage, !tc.none, tc.want)
			}
		})
	}
}

func TestTotalDoesNotWrap(t *testing.T) {
	const most = 1<<63 - 1
	tests := map[string]struct {
		usage llm.Usage
		want  int64
	}{
		"sum":        {llm.Usage{Input: 9, CachedInput: 4, Output: 12, OutputReasoning: 5}, 21},
		"saturated":  {llm.Usage{Input: most, Output: 1}, most},
		"just right": {llm.Usage{Input: most - 1, Output: 1}, most},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tc.usage.Total(); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}

func TestParseResponseRefuses(t *testing.T) {
	tests := map[string]struct {
		body   string
		syntax bool
		want   string
	}{
		"not JSON":           {`<html>502</html>`, true, `invalid JSON at byte 0: expected a value, found '<'`},
		"nothing":            {``, true, `invalid JSON at byte 0: ends where a value should be`},
		"cut short":          {`{"choices":[{"message":{"content":"a`, true, `invalid JSON at byte 36: ends inside a string`},
		"content twice":      {`{"choices":[{"message":{"content":"a","content":"b"}}]}`, true, `invalid JSON at byte 38: key "content" appears twice`},
		"no object":          {`[]`, false, `the body must be an object`},
		"too many choices":   {`{"choices":[` + strings.Repeat(`0,`, 1<<16) + `0]}`, false, `choices: more than 65536`},
		"too many texts":     {`{"choices":[{"message":{"content":[` + strings.Repeat(`"",`, 1<<16) + `""]}}]}`, false, `choices: more than 65536 texts`},
		"not UTF-8":          {"{\"choices\":\"\xff\"}", true, `invalid JSON at byte 12: not UTF-8`},
		"choices of no type": {`{"choices":{},"a":1,"a":1}`, true, `invalid JSON at byte 20: key "a" appears twice`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := llm.ParseResponse(llm.OpenAIChat, []byte(tc.body))
			if err == nil || err.Error() != tc.want {
				t.Fatalf("got  %v\nwant %s", err, tc.want)
			}
			var syntax *llm.SyntaxError
			if errors.As(err, &syntax) != tc.syntax {
				t.Errorf("got a %T", err)
			}
		})
	}
}

func TestEditedChoicesLoseTheirLogProbabilities(t *testing.T) {
	const body = `{"choices":[{"index":0,"logprobs":{"content":[{"token":"secret"}]},"message":{"content":"secret","refusal":"x"}},` +
		`{"index":1,"message":{"content":"fine"},"logprobs": {"content":[{"token":"fine"}]} },` +
		`{"index":2,"message":{"content":"secret"},"logprobs":null}]}`
	r := parseResponse(t, body)
	r.SetText(0, "s")
	r.SetText(0, "[redacted]")
	r.SetText(1, "y")
	r.SetText(3, "[redacted]")
	const want = `{"choices":[{"index":0,"logprobs":null,"message":{"content":"[redacted]","refusal":"y"}},` +
		`{"index":1,"message":{"content":"fine"},"logprobs": {"content":[{"token":"fine"}]} },` +
		`{"index":2,"message":{"content":"[redacted]"},"logprobs":null}]}`
	if got := string(r.Bytes()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func FuzzParseResponse(f *testing.F) {
	for _, seed := range []string{
		`{"id":"a","model":"m","choices":[{"index":1,"message":{"role":"assistant","content":"x\ud83d","refusal":null},"logprobs":{"content":[]},"finish_reason":"stop"}],` +
			`"usage":{"prompt_tokens":1e3,"completion_tokens":-2,"prompt_tokens_details":{"cached_tokens":9007199254740993}}}`,
		`{"choices":[{"message":{"content":["a",{"text":"b"}],"tool_calls":[{"index":3,"function":{"arguments":"c"}},{"custom":{"input":"d"}}]}},null,3]}`,
		`{"error":{"message":"no"}}`,
	} {
		f.Add([]byte(seed), "\"\\\n\x00\xff😀")
	}
	f.Fuzz(func(t *testing.T, body []byte, s string) {
		r, err := llm.ParseResponse(llm.OpenAIChat, body)
		if err != nil {
			return
		}
		if !bytes.Equal(r.Bytes(), body) {
			t.Errorf("unedited %q became %q", body, r.Bytes())
		}
		if u := r.Usage; min(u.Input, u.CachedInput, u.InputAudio, u.Output, u.OutputAudio, u.OutputReasoning, u.Total()) < 0 {
			t.Errorf("%q has usage %+v", body, u)
		}
		want := see(r.Texts)
		for i := range r.Texts {
			r.SetText(i, s+r.Texts[i].Value)
			want[i].value = asUTF8(s) + want[i].value
		}
		out := r.Bytes()
		again, err := llm.ParseResponse(llm.OpenAIChat, out)
		if err != nil {
			t.Fatalf("edited %q became %q: %v", body, out, err)
		}
		if got := see(again.Texts); !slices.Equal(got, want) {
			t.Errorf("edited %q became %q:\ngot  %v\nwant %v", body, out, got, want)
		}
		if again.ID != r.ID || again.Model != r.Model || again.Usage != r.Usage || !slices.Equal(again.FinishReasons, r.FinishReasons) {
			t.Errorf("edited %q became %q: %+v", body, out, again)
		}
	})
}
