package llm_test

import (
	"testing"

	"github.com/leash-gateway/leash/llm"
)

func TestThoughtsThatNobodyHasSignedDoNotComeToAnthropic(t *testing.T) {
	const user, end = `{"role":"user","content":"a"}`, `{"role":"user","content":[{"type":"text","text":"b"}]}`
	const thought, signed, said = `{"type":"thinking","thinking":"hm","signature":""}`, `{"type":"thinking","thinking":"hm","signature":"EqQB"}`, `{"type":"text","text":"\"signature\":\"\""}`
	assistant := func(blocks string) string { return `{"role":"assistant","content":[` + blocks + `]}` }
	request := func(messages string) string {
		return `{"model":"m", "max_tokens":1,"messages":[` + messages + `],"x":1}`
	}
	for name, tc := range map[string]struct{ given, want string }{
		"none":             {request(user), request(user)},
		"in front":         {request(user + "," + assistant(thought+","+said) + "," + end), request(user + "," + assistant(said) + "," + end)},
		"with a space":     {request(user + "," + assistant(`{"type": "thinking", "thinking": "hm", "signature": ""}, `+said)), request(user + "," + assistant(said))},
		"nothing else":     {request(user + "," + assistant(thought) + "," + end), request(user + "," + end)},
		"no other message": {request(assistant(thought)), request(assistant(thought))},
		"signed":           {request(user + " , " + assistant(signed+" , "+said)), request(user + " , " + assistant(signed+" , "+said))},
		"one of two":       {request(user + "," + assistant(signed+","+thought+","+said)), request(user + "," + assistant(signed+","+said))},
		"in words":         {request(user + "," + assistant(said)), request(user + "," + assistant(said))},
		"of another":       {request(user + "," + assistant(`{"type":"tool_use","signature":"","input":{"type":"thinking","signature":""}}`)), request(user + "," + assistant(`{"type":"tool_use","signature":"","input":{"type":"thinking","signature":""}}`))},
		"no messages":      {`{"signature":""}`, `{"signature":""}`},
		"messages of text": {`{"messages":"\"signature\":\"\"","signature":""}`, `{"messages":"\"signature\":\"\"","signature":""}`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := string(llm.WithoutUnsignedThoughts([]byte(tc.given))); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

// FuzzWithoutUnsignedThoughts looks for requests that cannot be read any more, or have lost another text than a thought.
func FuzzWithoutUnsignedThoughts(f *testing.F) {
	f.Add([]byte(`{"model":"m","max_tokens":1,"messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":""} , {"type":"text","text":"b"}]}]}`))
	f.Add([]byte(`{"messages":[1,{"content":[{"signature":"","type":"thinking"}]},{"content":"\"signature\":\"\""}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		before, err := llm.ParseRequest(llm.AnthropicMessages, body)
		if err != nil {
			return
		}
		left := llm.WithoutUnsignedThoughts(body)
		after, err := llm.ParseRequest(llm.AnthropicMessages, left)
		if err != nil {
			t.Fatalf("%q became %q: %v", body, left, err)
		}
		if again := llm.WithoutUnsignedThoughts(left); string(again) != string(left) {
			t.Errorf("%q became %q, and that %q", body, left, again)
		}
		rest := after.Texts
		for _, text := range before.Texts {
			if len(rest) > 0 && rest[0].Value == text.Value {
				rest = rest[1:]
			} else if text.Kind != llm.Reasoning {
				t.Errorf("%q became %q, and %q is lost", body, left, text.Value)
			}
		}
	})
}
