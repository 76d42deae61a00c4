package contentfilter

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/moduletest"
)

const formatRules = `{"rules":[{"name":"card","builtins":["card"],"action":"redact"},{"name":"no","keywords":["forbidden"],"action":"block"}]}`

func TestRequestsOfAllFormatsAreLookedThrough(t *testing.T) {
	const number = "4111 1111 1111 1111"
	for name, tc := range map[string]struct{ path, request string }{
		"responses":             {"/v1/responses", `{"model":"m","input":[{"type":"function_call_output","call_id":"c","output":"TEXT"}]}`},
		"instructions":          {"/v1/responses", `{"model":"m","instructions":"TEXT","input":"hi"}`},
		"completions":           {"/v1/completions", `{"model":"m","prompt":["TEXT"]}`},
		"embeddings":            {"/v1/embeddings", `{"model":"m","input":"TEXT"}`},
		"messages":              {"/v1/messages", `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"text","text":"TEXT"}]}]}`},
		"system prompt":         {"/v1/messages", `{"model":"m","max_tokens":1,"system":"TEXT","messages":[{"role":"user","content":"a"}]}`},
		"document":              {"/v1/messages", `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"document","source":{"data":"TEXT","type":"text"}}]}]}`},
		"input of a tool":       {"/v1/messages", `{"model":"m","max_tokens":1,"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"n","input":{"a":["TEXT"]}}]}]}`},
		"key of a tool's input": {"/v1/messages", `{"model":"m","max_tokens":1,"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"n","input":{"TEXT":1}}]}]}`},
		"block not known yet":   {"/v1/messages", `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"hologram","scene":{"words":"TEXT"}}]}]}`},
		"part not known yet":    {"/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":[{"type":"hologram","scene":{"words":"TEXT"}}]}]}`},
		"member not known yet":  {"/v1/chat/completions", `{"model":"m","messages":[{"role":"assistant","content":"a","reasoning_details":[{"type":"reasoning.text","text":"TEXT"}]}]}`},
		"name of a file":        {"/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":[{"type":"file","file":{"filename":"TEXT","file_data":"data:,"}}]}]}`},
		"prediction":            {"/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"a"}],"prediction":{"type":"content","content":"TEXT"}}`},
		"tool":                  {"/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"a"}],"tools":[{"type":"function","function":{"name":"f","description":"TEXT"}}]}`},
		"example of a tool":     {"/v1/messages", `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"a"}],"tools":[{"name":"f","input_schema":{"type":"object"},"input_examples":[{"name":"TEXT"}]}]}`},
		"property of a tool":    {"/v1/responses", `{"model":"m","input":"a","tools":[{"type":"function","name":"f","parameters":{"properties":{"headers":{"type":"string","description":"TEXT"}}}}]}`},
		"property called name":  {"/v1beta/models/m:generateContent", `{"contents":[{"parts":[]}],"generationConfig":{"responseJsonSchema":{"$defs":{"name":{"description":"TEXT"}}}}}`},
		"default of a property": {"/v1/responses", `{"model":"m","input":"a","tools":[{"type":"function","name":"f","parameters":{"properties":{"a":{"default":{"type":"TEXT"}}}}}]}`},
		"tools that are listed": {"/v1/responses", `{"model":"m","input":[{"type":"mcp_list_tools","id":"m","server_label":"s","tools":[{"name":"f","input_schema":{"properties":{"name":{"description":"TEXT"}}}}]}]}`},
		"their defaults":        {"/v1/responses", `{"model":"m","input":[{"type":"mcp_list_tools","id":"m","server_label":"s","tools":[{"name":"f","input_schema":{"properties":{"a":{"default":{"name":"TEXT"}}}}}]}]}`},
		"beside a call":         {"/v1/chat/completions", `{"model":"m","messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}","reason":"TEXT"}}]}]}`},
		"function of Google":    {"/v1beta/models/m:generateContent", `{"contents":[{"parts":[]}],"tools":[{"functionDeclarations":[{"name":"f","description":"TEXT"}]}]}`},
		"older function":        {"/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"a"}],"functions":[{"name":"f","description":"TEXT"}]}`},
		"schema of the answer":  {"/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"a"}],"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"description":"TEXT"}}}}`},
		"format of a response":  {"/v1/responses", `{"model":"m","input":"a","text":{"format":{"type":"json_schema","name":"n","schema":{"description":"TEXT"}}}}`},
		"schema of Google":      {"/v1beta/models/m:generateContent", `{"contents":[{"parts":[]}],"generation_config":{"response_schema":{"type":"STRING","description":"TEXT"}}}`},
		"field not known yet":   {"/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"a"}],"documents":[{"title":"a","text":"TEXT"}]}`},
		"title of an embedding": {"/v1beta/models/m:batchEmbedContents", `{"requests":[{"model":"models/m","content":{"parts":[{"text":"a"}]},"title":"TEXT"}]}`},
		"variable of a prompt":  {"/v1/responses", `{"model":"m","prompt":{"id":"p","variables":{"name":"TEXT"}}}`},
		"part of a variable":    {"/v1/responses", `{"model":"m","prompt":{"id":"p","variables":{"url":{"type":"input_text","text":"TEXT"}}}}`},
		"compaction":            {"/v1/messages", `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"a"}],"context_management":{"edits":[{"type":"compact_20260112","instructions":"TEXT"}]}}`},
		"Google":                {"/v1beta/models/m:generateContent", `{"contents":[{"parts":[{"text":"TEXT"}]}]}`},
		"Google, system":        {"/v1beta/models/m:generateContent", `{"system_instruction":{"parts":[{"text":"TEXT"}]},"contents":[{"parts":[]}]}`},
		"answer of a function":  {"/v1beta/models/m:streamGenerateContent", `{"contents":[{"parts":[{"functionResponse":{"name":"f","response":{"x":{"y":"TEXT"}}}}]}]}`},
		"embedding of Google":   {"/v1beta/models/m:embedContent", `{"content":{"parts":[{"text":"TEXT"}]}}`},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, formatRules)
			got := h.Do(moduletest.Exchange{Path: tc.path, Request: strings.Replace(tc.request, "TEXT", number, 1), Answer: "{}"})
			if got.Status != 200 || strings.Contains(got.SentBody, "4111") || !strings.Contains(got.SentBody, "[card]") {
				t.Errorf("sent %s, got %d %s", got.SentBody, got.Status, got.Body)
			}
			got = h.Do(moduletest.Exchange{Path: tc.path, Request: strings.Replace(tc.request, "TEXT", `\u0066orbidden`, 1)})
			if got.Sent || got.Status != 400 {
				t.Errorf("got %d, sent %t", got.Status, got.Sent)
			}
		})
	}
}

func TestFilesOfTextAreLookedThrough(t *testing.T) {
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	const png = "\x89PNG\r\n\x1a\nforbidden"
	for name, tc := range map[string]struct {
		path, request string
		bare          bool
	}{
		"Google":            {"/v1beta/models/m:generateContent", `{"contents":[{"parts":[{"inlineData":{"data":"TEXT","mimeType":"text/plain"}}]}]}`, true},
		"a file of a chat":  {"/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":[{"type":"file","file":{"filename":"a","file_data":"TEXT"}}]}]}`, false},
		"responses":         {"/v1/responses", `{"model":"m","input":[{"role":"user","content":[{"type":"input_file","file_data":"TEXT"}]}]}`, false},
		"a document":        {"/v1/messages", `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"document","source":{"type":"base64","media_type":"text/csv","data":"TEXT"}}]}]}`, true},
		"bytes of no type":  {"/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":[{"type":"file","file":{"file_data":"TEXT"}}]}]}`, true},
		"a picture's place": {"/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"TEXT"}}]}]}`, false},
		"Mistral's":         {"/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":[{"type":"document_url","document_url":"TEXT"}]}]}`, false},
		"of a rare type":    {"/v1/messages", `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"document","source":{"type":"base64","media_type":"application/x-tex","data":"TEXT"}}]}]}`, true},
		"an address of one": {"/v1/messages", `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"document","source":{"type":"url","url":"TEXT"}}]}]}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			send := func(file string) moduletest.Result {
				return newHost(t, formatRules).Do(moduletest.Exchange{Path: tc.path, Request: strings.Replace(tc.request, "TEXT", file, 1), Answer: "{}"})
			}
			before := "data:text/plain;base64,"
			if tc.bare {
				before = ""
			}
			if got := send(before + encode("pay 4111 1111 1111 1111 now")); !strings.Contains(got.SentBody, `"`+before+encode("pay [card] now")+`"`) {
				t.Errorf("sent %s", got.SentBody)
			}
			file := encode("this is forbidden")
			for _, spelling := range []string{file, strings.TrimRight(file, "="), file[:7] + `\n` + file[7:], file[:7] + "!" + file[7:], strings.Replace(file, "b", `\u0062`, 1)} {
				if got := send(before + spelling); got.Sent || got.Status != 400 {
					t.Errorf("%s: got %d, sent %t", spelling, got.Status, got.Sent)
				}
			}
			if !tc.bare {
				if got := send("data:text/plain,forbidden"); got.Sent {
					t.Errorf("a plain one passed")
				}
				for _, before := range []string{"data:text/plain; base64,", "data:text/plain;base64;charset=utf-8,", "data:message/rfc822;BASE64,", "data:,"} {
					if got := send(before + file); got.Sent != (before == "data:,") {
						t.Errorf("%s: sent %t", before, got.Sent)
					}
				}
				if got := send("data:image/png;base64," + encode(png)); !got.Sent {
					t.Errorf("a picture: got %d", got.Status)
				}
			}
		})
	}
}

func TestAFileThatReadersDecodeDifferentlyIsRefused(t *testing.T) {
	file := base64.StdEncoding.EncodeToString([]byte("this is forbidden"))
	const chat = `{"model":"m","messages":[{"role":"user","content":[{"type":"file","file":{"file_data":"data:text/plain;base64,TEXT"}}]}]}`
	const google = `{"contents":[{"parts":[{"inlineData":{"data":"TEXT","mimeType":"text/plain"}}]}]}`
	for name, tc := range map[string]struct {
		path, request, file string
		want                int
	}{
		"an end in the middle":         {"/v1/chat/completions", chat, file[:2] + "=" + file[2:], 400},
		"a sign that some pass over":   {"/v1/chat/completions", chat, file[:2] + "-" + file[2:], 400},
		"Google's other alphabet":      {"/v1beta/models/m:generateContent", google, base64.URLEncoding.EncodeToString([]byte("what?? is fine")), 200},
		"an end in the middle, Google": {"/v1beta/models/m:generateContent", google, file[:2] + "=" + file[2:], 400},
	} {
		t.Run(name, func(t *testing.T) {
			got := newHost(t, formatRules).Do(moduletest.Exchange{Path: tc.path, Request: strings.Replace(tc.request, "TEXT", tc.file, 1), Answer: "{}"})
			if got.Status != tc.want || got.Sent != (tc.want == 200) {
				t.Errorf("got %d %s, sent %t", got.Status, got.Body, got.Sent)
			}
		})
	}
}

func TestACardNumberThatIsANumberIsSeen(t *testing.T) {
	got := newHost(t, formatRules).Do(moduletest.Exchange{
		Path:    "/v1beta/models/m:generateContent",
		Request: `{"contents":[{"role":"model","parts":[{"functionCall":{"name":"pay","args":{"card":4111111111111111,"n":7}}}]}]}`, Answer: "{}",
	})
	if want := `{"contents":[{"role":"model","parts":[{"functionCall":{"name":"pay","args":{"card":"[card]","n":7}}}]}]}`; got.SentBody != want {
		t.Errorf("sent %s", got.SentBody)
	}
}

func TestNoPieceOfAMatchLeavesAStreamInAnyFormat(t *testing.T) {
	const sse = "text/event-stream"
	named := func(events ...string) string {
		var b strings.Builder
		for _, e := range events {
			_, rest, _ := strings.Cut(e, `"type":"`)
			name, _, _ := strings.Cut(rest, `"`)
			b.WriteString("event: " + name + "\ndata: " + e + "\n\n")
		}
		return b.String()
	}
	for name, tc := range map[string]struct{ path, request, kind, stream, want string }{
		"messages": {
			"/v1/messages", `{"model":"m","max_tokens":1,"stream":true,"messages":[{"role":"user","content":"a"}]}`, sse,
			named(`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`,
				`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"pay 4111 1111"}}`,
				`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" 1111 1111"}}`,
				`{"type":"content_block_stop","index":0}`, `{"type":"message_delta","delta":{"stop_reason":"end_turn"}}`, `{"type":"message_stop"}`),
			named(`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`,
				`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"pay "}}`,
				`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":""}}`,
				`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"[card]"}}`,
				`{"type":"content_block_stop","index":0}`, `{"type":"message_delta","delta":{"stop_reason":"end_turn"}}`, `{"type":"message_stop"}`),
		},
		"responses": {
			"/v1/responses", `{"model":"m","stream":true,"input":"a"}`, sse,
			named(`{"type":"response.output_text.delta","item_id":"i","output_index":1,"content_index":0,"delta":"pay 4111 1111"}`,
				`{"type":"response.output_text.delta","item_id":"i","output_index":1,"content_index":0,"delta":" 1111 1111"}`,
				`{"type":"response.output_text.done","item_id":"i","output_index":1,"content_index":0,"text":"pay 4111 1111 1111 1111"}`,
				`{"type":"response.completed","response":{"output":[{"type":"reasoning"},{"type":"message","content":[{"type":"output_text","text":"pay 4111 1111 1111 1111"}]}]}}`),
			named(`{"type":"response.output_text.delta","item_id":"i","output_index":1,"content_index":0,"delta":"pay "}`,
				`{"type":"response.output_text.delta","item_id":"i","output_index":1,"content_index":0,"delta":""}`,
				`{"type":"response.output_text.delta","item_id":"i","output_index":1,"content_index":0,"delta":"[card]"}`,
				`{"type":"response.output_text.done","item_id":"i","output_index":1,"content_index":0,"text":"pay [card]"}`,
				`{"type":"response.completed","response":{"output":[{"type":"reasoning"},{"type":"message","content":[{"type":"output_text","text":"pay [card]"}]}]}}`),
		},
		"Google, array": {
			"/v1beta/models/m:streamGenerateContent", `{"contents":[{"parts":[{"text":"a"}]}]}`, "application/json",
			`[{"candidates":[{"content":{"parts":[{"text":"pay 4111 1111"}]}}]},{"candidates":[{"content":{"parts":[{"text":" 1111 1111"}]}}]},{"candidates":[{"finishReason":"STOP"}]}]`,
			`[{"candidates":[{"content":{"parts":[{"text":"pay "}]}}]},` + "\r\n" + `{"candidates":[{"content":{"parts":[{"text":""}]}}]},` + "\r\n" +
				`{"candidates":[{"index":0,"content":{"parts":[{"text":"[card]"}],"role":"model"}}]},{"candidates":[{"finishReason":"STOP"}]}]`,
		},
		"Google, events, without an end": {
			"/v1beta/models/m:streamGenerateContent?alt=sse", `{"contents":[{"parts":[{"text":"a"}]}]}`, sse,
			`data: {"candidates":[{"content":{"parts":[{"text":"pay 4111 1111 1111 1111"}]}}]}` + "\n\n",
			`data: {"candidates":[{"content":{"parts":[{"text":"pay "}]}}]}` + "\n\n" + `data: {"candidates":[{"index":0,"content":{"parts":[{"text":"[card]"}],"role":"model"}}]}` + "\n\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, formatRules)
			for _, size := range []int{1, 7, len(tc.stream)} {
				var chunks []string
				for at := 0; at < len(tc.stream); at += size {
					chunks = append(chunks, tc.stream[at:min(at+size, len(tc.stream))])
				}
				got := h.Do(moduletest.Exchange{Path: tc.path, Request: tc.request, AnswerHeader: map[string]string{"content-type": tc.kind}, AnswerChunks: chunks})
				if got.Body != tc.want {
					t.Errorf("in pieces of %d:\ngot  %s\nwant %s", size, got.Body, tc.want)
				}
			}
			if n := h.Metrics["leash_content_matches_total.[rule=card].[action=redact].[tenant=none]"]; n != 3 {
				t.Errorf("a match was counted %d times in 3 streams", n)
			}
		})
	}
}

func TestTextIsSeenWhereverItStandsInAnAnswer(t *testing.T) {
	for name, tc := range map[string]struct{ path, answer string }{
		"transcript":           {"/v1/chat/completions", `{"choices":[{"index":0,"message":{"content":null,"audio":{"id":"a","data":"AA==","transcript":"TEXT"}}}]}`},
		"citation":             {"/v1/chat/completions", `{"choices":[{"index":0,"message":{"content":"a","annotations":[{"type":"url_citation","url_citation":{"title":"TEXT"}}]}}]}`},
		"thought, once more":   {"/v1/chat/completions", `{"choices":[{"index":0,"message":{"content":"a","reasoning_details":[{"type":"reasoning.summary","summary":"TEXT"}]}}]}`},
		"member not known yet": {"/v1/chat/completions", `{"choices":[{"index":0,"message":{"content":"a","thinking_blocks":[{"type":"thinking","thinking":"TEXT"}]}}]}`},
		"output_text":          {"/v1/responses", `{"output":[],"output_text":"TEXT"}`},
		"Google's sources":     {"/v1beta/models/m:generateContent", `{"candidates":[{"urlContextMetadata":{"urlMetadata":[{"retrievedUrl":"TEXT"}]}}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			x := moduletest.Exchange{Path: tc.path, Request: `{"model":"m","messages":[{"role":"user","content":"a"}],"input":"a"}`, Answer: strings.Replace(tc.answer, "TEXT", "4111 1111 1111 1111", 1)}
			if strings.HasPrefix(tc.path, "/v1beta/") {
				x.Request = `{"contents":[{"parts":[]}]}`
			}
			if got, want := newHost(t, formatRules).Do(x).Body, strings.Replace(tc.answer, "TEXT", "[card]", 1); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestNoPieceOfAMatchLeavesAStreamWhereverItStands(t *testing.T) {
	chunk := func(delta string) string {
		return `{"choices":[{"index":0,"delta":{` + delta + `},"finish_reason":null}]}`
	}
	const chats, chat = "/v1/chat/completions", `{"model":"m","stream":true,"messages":[{"role":"user","content":"a"}]}`
	for name, tc := range map[string]struct {
		path, request string
		events        []string
	}{
		"transcript":         {chats, chat, []string{chunk(`"audio":{"transcript":"4111 1111"}`), chunk(`"audio":{"transcript":" 1111 1111"}`), "[DONE]"}},
		"thought, once more": {chats, chat, []string{chunk(`"reasoning_details":[{"text":"4111 1111"}]`), chunk(`"reasoning_details":[{"text":" 1111 1111"}]`), "[DONE]"}},
		"transcript of a response": {"/v1/responses", `{"model":"m","stream":true,"input":"a"}`, []string{
			`{"type":"response.audio.transcript.delta","delta":"4111 1111"}`, `{"type":"response.audio.transcript.delta","delta":" 1111 1111"}`,
			`{"type":"response.audio.transcript.done"}`, `{"type":"response.completed","response":{"output":[]}}`,
		}},
		"event not known yet": {"/v1/responses", `{"model":"m","stream":true,"input":"a"}`, []string{
			`{"type":"response.patch.done","diff":"4111 1111 1111 1111"}`, `{"type":"response.completed","response":{"output":[]}}`,
		}},
		"compaction": {"/v1/messages", `{"model":"m","max_tokens":1,"stream":true,"messages":[{"role":"user","content":"a"}]}`, []string{
			`{"type":"content_block_start","index":0,"content_block":{"type":"compaction","content":""}}`,
			`{"type":"content_block_delta","index":0,"delta":{"type":"compaction_delta","content":"4111 1111"}}`,
			`{"type":"content_block_delta","index":0,"delta":{"type":"compaction_delta","content":" 1111 1111"}}`,
			`{"type":"content_block_stop","index":0}`, `{"type":"message_stop"}`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			stream := "data: " + strings.Join(tc.events, "\n\ndata: ") + "\n\n"
			got := newHost(t, formatRules).Do(moduletest.Exchange{
				Path: tc.path, Request: tc.request, AnswerHeader: map[string]string{"content-type": "text/event-stream"}, AnswerChunks: []string{stream},
			}).Body
			if strings.Contains(got, "1111") || strings.Count(got, "[card]") != 1 {
				t.Errorf("got %s", got)
			}
			if name == "compaction" && strings.Contains(got, "text_delta") {
				t.Errorf("what was held back goes out as a text: %s", got)
			}
		})
	}
}

// TestWhatAStreamQuotesIsJudgedAsWhatItSays has quotes that come whole, in the midst of a text that comes in pieces, and once more with the end.
func TestWhatAStreamQuotesIsJudgedAsWhatItSays(t *testing.T) {
	streams := map[string]moduletest.Exchange{
		"messages": {Path: "/v1/messages", Request: `{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}]}`, AnswerChunks: []string{
			`data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"as they say"}}` + "\n\n",
			`data: {"type":"content_block_delta","index":0,"delta":{"type":"citations_delta","citation":{"type":"char_location","cited_text":"the secret"}}}` + "\n\n",
			`data: {"type":"content_block_stop","index":0}` + "\n\n", `data: {"type":"message_stop"}` + "\n\n",
		}},
		"responses": {Path: "/v1/responses", Request: `{"model":"m","stream":true,"input":"hi"}`, AnswerChunks: []string{
			`data: {"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"as they say"}` + "\n\n",
			`data: {"type":"response.output_text.annotation.added","output_index":0,"content_index":0,"annotation":{"type":"url_citation","title":"the secret"}}` + "\n\n",
			`data: {"type":"response.output_text.done","output_index":0,"content_index":0,"text":"as they say"}` + "\n\n",
			`data: {"type":"response.completed","response":{"output":[{"type":"message","content":[{"type":"output_text","text":"as they say","annotations":[{"type":"url_citation","title":"the secret"}]}]}]}}` + "\n\n",
		}},
	}
	for name, stream := range streams {
		for _, action := range []string{"block", "redact", "flag"} {
			h := newHost(t, `{"rules":[{"name":"r","keywords":["secret"],"action":"`+action+`"}]}`)
			stream.AnswerHeader = map[string]string{"content-type": "text/event-stream"}
			got := h.Do(stream)
			if blocked := strings.Contains(got.Body, "blocked"); blocked != (action == "block") {
				t.Errorf("%s, %s: got %s", name, action, got.Body)
			}
			if quoted := strings.Contains(got.Body, "secret"); quoted != (action == "flag") || got.Properties["leash.fact."+module.FactFlags] != "r" {
				t.Errorf("%s, %s: got %s, flags %q", name, action, got.Body, got.Properties["leash.fact."+module.FactFlags])
			}
			if n := h.Metrics["leash_content_matches_total.[rule=r].[action="+action+"].[tenant=none]"]; n != 1 {
				t.Errorf("%s, %s: a match was counted %d times", name, action, n)
			}
		}
	}
}
