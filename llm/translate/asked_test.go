package translate_test

import (
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/llm/translate"
)

// askedBy is what a provider is asked by a client of any API.
func askedBy(t *testing.T, client llm.Format, to translate.API, model, body string) string {
	t.Helper()
	o := options
	o.Model = model
	x, err := translate.New(client, to, o)
	if err != nil {
		t.Fatal(err)
	}
	got, err := x.Request("m", []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	readable(t, got)
	return string(got.Body)
}

// TestBlankTextsAreNotSentWhereTheyAreRefused: models of others say an empty line in front of a call, or nothing at all.
func TestBlankTextsAreNotSentWhereTheyAreRefused(t *testing.T) {
	const blanks = `"messages":[{"role":"system","content":" "},{"role":"user","content":"a"},{"role":"assistant","content":"\n\n","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]},` +
		`{"role":"tool","tool_call_id":"c1","content":" "},{"role":"assistant","content":" \t"},{"role":"user","content":[{"type":"text","text":"\r\n"},{"type":"text","text":"\\n"}]}],` +
		`"tools":[{"type":"function","function":{"name":"f"}}]`
	for to, want := range map[translate.API]string{
		translate.Messages: `"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"tool_use","id":"c1","name":"f","input":{}}]},` +
			`{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":" "},{"type":"text","text":"\\n"}]}]`,
		translate.Converse: `"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"toolUse":{"toolUseId":"c1","name":"f","input":{}}}]},` +
			`{"role":"user","content":[{"toolResult":{"toolUseId":"c1","content":[{"text":" "}]}},{"text":"\\n"}]}]`,
		translate.Responses: `{"role":"developer","content":" "}`,
	} {
		body, _ := asked(t, to, "m", blanks)
		if !strings.Contains(body, want) || to != translate.Responses && gjson.Get(body, "system").Exists() {
			t.Errorf("%s: got %s, want %s", to, body, want)
		}
	}
}

func TestASystemPromptAloneIsAnswered(t *testing.T) {
	const alone = `"messages":[{"role":"system","content":"Say hi."}]`
	for to, want := range map[translate.API]string{
		translate.Responses: `"input":[{"role":"user","content":"Say hi."}]`, translate.Messages: `"messages":[{"role":"user","content":"Say hi."}]`,
		translate.Gemini: `{"contents":[{"role":"user","parts":[{"text":"Say hi."}]}]`, translate.Converse: `{"messages":[{"role":"user","content":[{"text":"Say hi."}]}]`,
	} {
		if body, _ := asked(t, to, "m", alone); !strings.Contains(body, want) {
			t.Errorf("%s: got %s, want %s", to, body, want)
		}
	}
}

// TestImagesHaveTheTypeThatTheyAre: clients take it from a file's ending, and Anthropic refuses an image that is another.
func TestImagesHaveTheTypeThatTheyAre(t *testing.T) {
	for told, want := range map[string]string{
		"data:image/jpg;base64,AAAA": "image/jpeg", "data:image/png;base64,/9j/4AAQ": "image/jpeg", "data:image/jpeg;base64,iVBORw0KGgo=": "image/png", "data:image/*;base64,R0lGODlh": "image/gif",
		"data:image/png;base64,UklGRg==": "image/webp", "data:image/heic;base64,AAAA": "image/heic",
	} {
		image := `"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"` + told + `"}}]}]`
		if body, _ := asked(t, translate.Messages, "m", image); gjson.Get(body, "messages.0.content.0.source.media_type").Str != want {
			t.Errorf("Anthropic is told %s of %s", body, told)
		}
		if body, _ := asked(t, translate.Gemini, "m", image); gjson.Get(body, "contents.0.parts.0.inlineData.mimeType").Str != want {
			t.Errorf("Google is told %s of %s", body, told)
		}
	}
	const google = `{"contents":[{"parts":[{"inlineData":{"mimeType":"image/png","data":"_9j_4AAQ"}}]}]}`
	if body := askedBy(t, llm.GoogleGenerate, translate.Messages, "m", google); gjson.Get(body, "messages.0.content.0.source.media_type").Str != "image/jpeg" {
		t.Errorf("got %s", body)
	}
	const anthropic = `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":[{"type":"image","source":{"data":"iVBORw0KGgo=","media_type":"image/jpeg","type":"base64"}}]}]}]}`
	if body := askedBy(t, llm.AnthropicMessages, translate.Converse, "m", anthropic); gjson.Get(body, "messages.0.content.0.toolResult.content.0.image.format").Str != "png" {
		t.Errorf("got %s", body)
	}
}

// TestToolsHaveSchemasOfObjects: OpenAI takes {} for a tool without parameters, and Anthropic and Bedrock refuse it.
func TestToolsHaveSchemasOfObjects(t *testing.T) {
	for schema, want := range map[string]string{
		`{}`: `{"type":"object"}`, `{"properties":{"type":{"type":"string"}}}`: `{"type":"object","properties":{"type":{"type":"string"}}}`,
		`{ "properties":{}, "type":"object"}`: `{ "properties":{}, "type":"object"}`, `null`: `{"type":"object","properties":{}}`,
	} {
		tools := `"tools":[{"type":"function","function":{"name":"f","parameters":` + schema + `}}]`
		if body, _ := asked(t, translate.Messages, "m", tools); gjson.Get(body, "tools.0.input_schema").Raw != want {
			t.Errorf("Anthropic: got %s of %s", body, schema)
		}
		if body, _ := asked(t, translate.Converse, "m", tools); gjson.Get(body, "toolConfig.tools.0.toolSpec.inputSchema.json").Raw != want {
			t.Errorf("Bedrock: got %s of %s", body, schema)
		}
	}
}

// TestResponsesAreAskedForAsOpenAIsSchemaHasIt: a tool without a schema has null for one, and what a model has said is one string.
func TestResponsesAreAskedForAsOpenAIsSchemaHasIt(t *testing.T) {
	body, _ := asked(t, translate.Responses, "m", `"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"text","text":"b "},{"type":"text","text":"c"}]},{"role":"user","content":"d"}],`+
		`"tools":[{"type":"function","function":{"name":"f"}}]`)
	for path, want := range map[string]string{"tools": `[{"type":"function","name":"f","parameters":null,"strict":false}]`, "input.1": `{"role":"assistant","content":"b c"}`} {
		if got := gjson.Get(body, path).Raw; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// TestWhatWasFoundIsTextToOtherAPIs: search results and documents in pieces, with the title and the origin that Anthropic tells its models.
func TestWhatWasFoundIsTextToOtherAPIs(t *testing.T) {
	const found = `{"type":"search_result","title":"Rates","source":"https://example.com/rates","content":[{"type":"text","text":"It is 5%."},{"type":"text","text":"So far."}],"citations":{"enabled":true}}`
	body := askedBy(t, llm.AnthropicMessages, translate.Chat, "m", requestWith(translate.Messages, `"messages":[{"role":"user","content":[`+
		`{"type":"document","title":"Notes","source":{"type":"content","content":[{"type":"text","text":"One."},{"type":"text","text":"Two."}]}},`+
		`{"type":"document","source":{"type":"content","content":"Three."}},{"type":"text","text":"a"}]},`+
		`{"role":"assistant","content":[{"type":"tool_use","id":"c1","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":[`+found+`]}]}]`))
	for path, want := range map[string]string{
		"messages.0.content": "Notes\n\nOne.\n\nTwo.\n\nThree.\n\na", "messages.2.content": "Rates\n\nhttps://example.com/rates\n\nIt is 5%.\n\nSo far.",
	} {
		if got := gjson.Get(body, path).Str; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestWhatGooglesClientSaysOfAFileReachesOthers: its name too. A number that its Python client writes with a point is a whole one.
func TestWhatGooglesClientSaysOfAFileReachesOthers(t *testing.T) {
	const request = `{"contents":[{"parts":[{"inlineData":{"mimeType":"application/pdf","data":"JVBE","displayName":"May.pdf"}}]}],"generationConfig":{"topK":40.0}}`
	if got := gjson.Get(askedBy(t, llm.GoogleGenerate, translate.Chat, "m", request), "messages.0.content.0.file.filename").Str; got != "May.pdf" {
		t.Errorf("got %q", got)
	}
	body := askedBy(t, llm.GoogleGenerate, translate.Messages, "m", request)
	if name, k := gjson.Get(body, "messages.0.content.0.title").Str, gjson.Get(body, "top_k").Raw; name != "May.pdf" || k != "40" {
		t.Errorf("got %q and %s in %s", name, k, body)
	}
}

// TestWhatIsCachedWithinAToolsAnswerIsCachedBehindItByBedrock: it has no mark within.
func TestWhatIsCachedWithinAToolsAnswerIsCachedBehindItByBedrock(t *testing.T) {
	body := askedBy(t, llm.AnthropicMessages, translate.Converse, "anthropic.claude-sonnet-4", requestWith(translate.Messages, `"messages":[{"role":"user","content":"a"},`+
		`{"role":"assistant","content":[{"type":"tool_use","id":"c1","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1",`+
		`"content":[{"type":"text","text":"b","cache_control":{"type":"ephemeral","ttl":"1h"}},{"type":"text","text":"c"}]},{"type":"text","text":"d"}]}]`))
	const want = `[{"toolResult":{"toolUseId":"c1","content":[{"text":"b"},{"text":"c"}]}},{"cachePoint":{"type":"default","ttl":"1h"}},{"text":"d"}]`
	if got := gjson.Get(body, "messages.2.content").Raw; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestBedrockKnowsOfToolsThatWereCalled: a client that wants a summary of its conversation sends none, and Bedrock refuses calls without.
func TestBedrockKnowsOfToolsThatWereCalled(t *testing.T) {
	body, _ := asked(t, translate.Converse, "m", chatCalls)
	if names := gjson.Get(body, "toolConfig.tools.#.toolSpec.name").Raw; names == "" || names == "[]" {
		t.Errorf("got %s", body)
	}
	if body, _ := asked(t, translate.Converse, "m", `"messages":[{"role":"user","content":"a"}]`); gjson.Get(body, "toolConfig").Exists() {
		t.Errorf("got %s", body)
	}
}

// TestAProbeOfOneTokenIsAnswered: Claude Code and Claude's desktop app ask so whether a model is there, and OpenAI's responses have at least 16.
func TestAProbeOfOneTokenIsAnswered(t *testing.T) {
	for limit, want := range map[string]int64{"1": 16, "15": 16, "16": 16, "4000": 4000} {
		body := askedBy(t, llm.AnthropicMessages, translate.Responses, "m", `{"model":"m","max_tokens":`+limit+`,"messages":[{"role":"user","content":"quota"}]}`)
		if got := gjson.Get(body, "max_output_tokens").Int(); got != want {
			t.Errorf("got %d of %s", got, limit)
		}
	}
}

// TestInstructionsWithinAConversation: Claude Code has them there, with the system prompt behind all messages. OpenAI reads them where they are, but chats of others
// may not: the template of Qwen's models refuses any but the first message.
func TestInstructionsWithinAConversation(t *testing.T) {
	const claudeCode = `{"model":"m","max_tokens":90,"messages":[{"role":"user","content":"a"},{"role":"system","content":"Agents: x."},{"role":"assistant","content":[{"type":"tool_use","id":"c1","name":"f","input":{}}]},` +
		`{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"b"}]},{"role":"system","content":"Be quick."},{"role":"user","content":"c"}],"system":[{"type":"text","text":"You are."}]}`
	for _, c := range []struct {
		to          translate.API
		model, want string
	}{
		{translate.Chat, "gpt-5.1", `system: You are.|user: a|system: Agents: x.|assistant: |tool: b|system: Be quick.|user: c`},
		{translate.Chat, "qwen3", `system: You are.\n\nAgents: x.\n\nBe quick.|user: a|assistant: |tool: b|user: c`},
		{translate.Responses, "m", `developer: You are.|user: a|developer: Agents: x.|: |: |developer: Be quick.|user: c`},
	} {
		var got []string
		body := askedBy(t, llm.AnthropicMessages, c.to, c.model, claudeCode)
		for _, list := range []string{"messages", "input"} {
			for _, m := range gjson.Get(body, list).Array() {
				content := m.Get("content").Raw
				got = append(got, m.Get("role").Str+": "+strings.Trim(strings.TrimPrefix(content, "null"), `"`))
			}
		}
		if got := strings.Join(got, "|"); got != c.want {
			t.Errorf("%s, %s:\ngot  %s\nwant %s", c.to, c.model, got, c.want)
		}
	}
	for to, path := range map[translate.API]string{translate.Gemini: "systemInstruction.parts.#.text", translate.Converse: "system.#.text"} {
		if got := gjson.Get(askedBy(t, llm.AnthropicMessages, to, "m", claudeCode), path).Raw; got != `["You are.","Agents: x.","Be quick."]` {
			t.Errorf("%s: got %s", to, got)
		}
	}
	chat := `"messages":[{"role":"system","content":"You are."},{"role":"user","content":"a"},{"role":"system","content":"Be quick."},{"role":"user","content":"b"}]`
	if body, _ := asked(t, translate.Messages, "m", chat); gjson.Get(body, "system.#.text").Raw != `["You are.","Be quick."]` || gjson.Get(body, "messages.#").Int() != 1 {
		t.Errorf("got %s", body)
	}
}

// TestWhatAsksForNothingIsNotRefused, and what asks for something with an empty object is.
func TestWhatAsksForNothingIsNotRefused(t *testing.T) {
	for _, members := range []string{`"best_of":1`, `"suffix":""`, `"top_logprobs":0`, `"logit_bias":{}`, `"functions":[]`, `"logprobs":false`, `"audio":null`, `"stop":[null,"END",null]`} {
		asked(t, translate.Messages, "m", members)
	}
	for _, members := range []string{`"web_search_options":{}`, `"best_of":2`, `"top_logprobs":1`} {
		if _, err := begin(t, llm.OpenAIChat, translate.Messages).Request("m", []byte(requestWith(translate.Chat, members))); err == nil {
			t.Errorf("%s is not refused", members)
		}
	}
}

// TestTextsAreOneStringInChats: DeepSeek's take no parts, and Groq's none of a system prompt.
func TestTextsAreOneStringInChats(t *testing.T) {
	const claudeCode = `{"model":"m","max_tokens":90,"system":[{"type":"text","text":"You are."},{"type":"text","text":"Be\nbrief."}],"messages":[` +
		`{"role":"user","content":[{"type":"text","text":"<reminder>"},{"type":"text","text":"go"}]},{"role":"assistant","content":[{"type":"text","text":"I lo"},{"type":"text","text":"ok."},{"type":"tool_use","id":"c1","name":"f","input":{}}]},` +
		`{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]},` +
		`{"role":"user","content":[{"type":"text","text":"see"},{"type":"image","source":{"type":"url","url":"https://example.com/a.png"}}]}]}`
	const want = `[{"role":"system","content":"You are.\n\nBe\nbrief."},{"role":"user","content":"<reminder>\n\ngo"},` +
		`{"role":"assistant","content":"I look.","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c1","content":"a\n\nb"},` +
		`{"role":"user","content":[{"type":"text","text":"see"},{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}]}]`
	if got := gjson.Get(askedBy(t, llm.AnthropicMessages, translate.Chat, "llama-4", claudeCode), "messages").Raw; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestWhatAnAnswerIsToBeginWithEndsWithNoSpace: Anthropic refuses it else.
func TestWhatAnAnswerIsToBeginWithEndsWithNoSpace(t *testing.T) {
	const prefill = `"messages":[{"role":"user","content":"a "},{"role":"assistant","content":"{\"a\": \n"}]`
	for to, want := range map[translate.API]string{
		translate.Messages: `[{"role":"user","content":"a "},{"role":"assistant","content":"{\"a\":"}]`, translate.Converse: `[{"role":"user","content":[{"text":"a "}]},{"role":"assistant","content":[{"text":"{\"a\":"}]}]`,
	} {
		if body, _ := asked(t, to, "m", prefill); gjson.Get(body, "messages").Raw != want {
			t.Errorf("%s: got %s, want %s", to, body, want)
		}
	}
}

// TestHowToolsAreChosenIsNotSaidWhereThereAreNone: every provider refuses that, and frameworks say it always.
func TestHowToolsAreChosenIsNotSaidWhereThereAreNone(t *testing.T) {
	for _, to := range providerAPIs {
		if to == translate.Chat {
			continue
		}
		for _, members := range []string{`"tools":[],"tool_choice":"auto","parallel_tool_calls":false`, `"tool_choice":"none"`, chatCalls + `,"tool_choice":"none"`} {
			if body, _ := asked(t, to, "m", members); strings.Contains(body, "tool_choice") || strings.Contains(body, "parallel") || strings.Contains(body, "toolChoice") || strings.Contains(body, "functionCallingConfig") {
				t.Errorf("%s: got %s of %s", to, body, members)
			}
		}
	}
}

// TestAPDFThatDoesNotSaySoIsOne: clients leave out what stands before the data.
func TestAPDFThatDoesNotSaySoIsOne(t *testing.T) {
	body, _ := asked(t, translate.Messages, "m", `"messages":[{"role":"user","content":[{"type":"file","file":{"filename":"a.pdf","file_data":"JVBERi0xLjQ="}}]}]`)
	if got := gjson.Get(body, "messages.0.content.0.source").Raw; got != `{"type":"base64","media_type":"application/pdf","data":"JVBERi0xLjQ="}` {
		t.Errorf("got %s", got)
	}
}

// TestPicturesThatGooglesClientsToolsAnswerReachOthers: Gemini CLI has them beside what the function says.
func TestPicturesThatGooglesClientsToolsAnswerReachOthers(t *testing.T) {
	const body = `{"contents":[{"parts":[{"text":"a"}]},{"role":"model","parts":[{"functionCall":{"id":"c1","name":"f","args":{}}}]},{"role":"user","parts":[{"functionResponse":{"id":"c1","name":"f","response":{"ok":true},` +
		`"parts":[{"inlineData":{"mimeType":"image/png","data":"iVBORw0KGgo="}}]}}]}]}`
	for to, want := range map[translate.API]string{
		translate.Chat:      `{"role":"tool","tool_call_id":"c1","content":"{\"ok\":true}"},{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}}]}`,
		translate.Responses: `"output":[{"type":"input_text","text":"{\"ok\":true}"},{"type":"input_image","detail":"auto","image_url":"data:image/png;base64,iVBORw0KGgo="}]`,
		translate.Messages:  `"tool_use_id":"c1","content":[{"type":"text","text":"{\"ok\":true}"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBORw0KGgo="}}]`,
		translate.Converse:  `"toolUseId":"c1","content":[{"text":"{\"ok\":true}"},{"image":{"format":"png","source":{"bytes":"iVBORw0KGgo="}}}]`,
	} {
		if got := askedBy(t, llm.GoogleGenerate, to, "m", body); !strings.Contains(got, want) {
			t.Errorf("%s: got %s, want %s", to, got, want)
		}
	}
}

// TestJSONWithoutASchemaIsAskedForInWords where an API has no other way, as frameworks of JavaScript ask for it.
func TestJSONWithoutASchemaIsAskedForInWords(t *testing.T) {
	const words = "Answer with one JSON object"
	for to, system := range map[translate.API]string{translate.Messages: "system.#.text", translate.Converse: "system.#.text", translate.Responses: "", translate.Gemini: ""} {
		body, _ := asked(t, to, "m", `"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"a"}],"response_format":{"type":"json_object"}`)
		if got := strings.Contains(body, words); got != (system != "") {
			t.Errorf("%s: got %s", to, body)
		}
		if system == "" {
			continue
		}
		if said := gjson.Get(body, system).Array(); len(said) != 2 || said[0].Str != "Be brief." || !strings.HasPrefix(said[1].Str, words) {
			t.Errorf("%s: got %s", to, body)
		}
	}
	google := `{"contents":[{"role":"user","parts":[{"text":"a"}]}],"generationConfig":{"responseMimeType":"application/json"}}`
	if body := askedBy(t, llm.GoogleGenerate, translate.Chat, "m", google); !strings.Contains(gjson.Get(body, "messages.0.content").Str, "JSON") {
		t.Errorf("got %s", body)
	}
}

// TestValidatedCallsAreTheModelsToMake, as where nothing is said: Google's agents ask for them.
func TestValidatedCallsAreTheModelsToMake(t *testing.T) {
	body := askedBy(t, llm.GoogleGenerate, translate.Chat, "m", `{"contents":[{"role":"user","parts":[{"text":"a"}]}],"tools":[{"functionDeclarations":[{"name":"f"}]}],"toolConfig":{"functionCallingConfig":{"mode":"VALIDATED"}}}`)
	if got := gjson.Get(body, "tool_choice").Str; got != "auto" {
		t.Errorf("got %s", body)
	}
}
