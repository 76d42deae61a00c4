package llm_test

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/llm"
)

const googleModel = "gemini-2.5-flash"

// requestOf wraps a message's content, as JSON, in a request of the format.
func requestOf(f llm.Format, content string) string {
	switch f {
	case llm.AnthropicMessages, llm.AnthropicCountTokens:
		return `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":` + content + `}]}`
	case llm.OpenAIResponses:
		return `{"model":"m","input":[{"role":"user","content":` + content + `}]}`
	case llm.OpenAICompletions:
		return `{"model":"m","prompt":[` + content + `]}`
	case llm.OpenAIEmbeddings:
		return `{"model":"m","input":[` + content + `]}`
	case llm.GoogleEmbed:
		return `{"content":{"parts":[{"text":` + content + `}]}}`
	case llm.GoogleBatchEmbed:
		return `{"requests":[{"content":{"parts":[{"text":` + content + `}]}}]}`
	case llm.GoogleGenerate, llm.GoogleStream, llm.GoogleCountTokens:
		return `{"contents":[{"role":"user","parts":[{"text":` + content + `}]}]}`
	default:
		return `{"model":"m","messages":[{"role":"user","content":` + content + `}]}`
	}
}

func parseAt(f llm.Format, body string) (*llm.Request, error) {
	return llm.ParseRequestAt(f, f.Path(googleModel), []byte(body))
}

func TestWhatParsersDisagreeAboutIsRefusedInAllFormats(t *testing.T) {
	for _, f := range allFormats {
		t.Run(f.String(), func(t *testing.T) {
			good := requestOf(f, `"hi"`)
			if r, err := parseAt(f, good); err != nil || len(r.Texts) != 1 || r.Texts[0].Value != "hi" || r.Texts[0].Role != llm.User {
				t.Fatalf("got %+v, %v for %s", r, err, good)
			}
			for name, body := range map[string]string{
				"the same key twice":     strings.Replace(good, "{", `{"x":1,"x":2,`, 1),
				"key in another case":    strings.Replace(good, "{", `{"xy":1,"Xy":2,`, 1),
				"key twice, deep":        strings.Replace(good, "{", `{"x":{"y":[{"a":1,"\u0061":2}]},`, 1),
				"a comment":              strings.Replace(good, "{", "{/* x */", 1),
				"trailing data":          good + `{}`,
				"trailing comma":         strings.TrimSuffix(good, "}") + ",}",
				"byte-order mark":        "\uFEFF" + good,
				"invalid UTF-8":          strings.Replace(good, "hi", "\xff", 1),
				"half a surrogate pair":  strings.Replace(good, "hi", `\ud83d`, 1),
				"control character":      strings.Replace(good, "hi", "\x01", 1),
				"cut":                    good[:len(good)-1],
				"nothing":                "",
				"no object":              "[]",
				"content of no type":     strings.Replace(good, `"hi"`, `{"text":`, 1),
				"nested beyond measure":  strings.Replace(good, `"hi"`, strings.Repeat("[", 300)+strings.Repeat("]", 300), 1),
				"without any of its own": "{}",
			} {
				if r, err := parseAt(f, body); err == nil && (name != "without any of its own" || f != llm.GoogleCountTokens) {
					t.Errorf("%s: got %+v for %s", name, r, body)
				}
			}
		})
	}
}

func TestRequestsWithFieldsThatNoServerCouldTakeAreRefused(t *testing.T) {
	tests := map[string]struct {
		format     llm.Format
		body, want string
	}{
		"no limit":              {llm.AnthropicMessages, `{"model":"m","messages":[{"role":"user","content":"a"}]}`, "max_tokens: is missing"},
		"limit beyond 2^53":     {llm.AnthropicMessages, `{"model":"m","max_tokens":9007199254740993,"messages":[{"content":"a"}]}`, "max_tokens: must be less than 2^53"},
		"no messages":           {llm.AnthropicMessages, `{"model":"m","max_tokens":1}`, "messages: is missing"},
		"empty messages":        {llm.AnthropicMessages, `{"model":"m","max_tokens":1,"messages":[]}`, "messages: must not be empty"},
		"message is a string":   {llm.AnthropicMessages, `{"model":"m","max_tokens":1,"messages":["a"]}`, "messages[0]: must be an object"},
		"content is a number":   {llm.AnthropicMessages, `{"model":"m","max_tokens":1,"messages":[{"content":1}]}`, "messages[0].content: must be a string or an array"},
		"block is a number":     {llm.AnthropicMessages, `{"model":"m","max_tokens":1,"messages":[{"content":[1]}]}`, "messages[0]: has content that is neither a string nor an object"},
		"role is a number":      {llm.AnthropicMessages, `{"model":"m","max_tokens":1,"messages":[{"role":1}]}`, "messages[0].role: must be a string"},
		"system is a number":    {llm.AnthropicMessages, `{"model":"m","max_tokens":1,"system":1,"messages":[{"content":"a"}]}`, "system: must be a string or an array"},
		"stream is a string":    {llm.AnthropicMessages, `{"model":"m","max_tokens":1,"stream":"yes","messages":[{"content":"a"}]}`, "stream: must be true or false"},
		"no model":              {llm.OpenAIResponses, `{"input":"a"}`, "model: is missing"},
		"model is empty":        {llm.OpenAIResponses, `{"model":"","input":"a"}`, `model: must be a non-empty string`},
		"input is a number":     {llm.OpenAIResponses, `{"model":"m","input":1}`, "input: must be an array"},
		"prompt is an object":   {llm.OpenAICompletions, `{"model":"m","prompt":{}}`, "prompt: must be a string or an array"},
		"prompt of objects":     {llm.OpenAICompletions, `{"model":"m","prompt":[{}]}`, "prompt[0]: must be a string, a token or an array of tokens"},
		"input of objects":      {llm.OpenAIEmbeddings, `{"model":"m","input":[{}]}`, "input[0]: must be a string, a token or an array of tokens"},
		"contents missing":      {llm.GoogleGenerate, `{}`, "contents: is missing"},
		"contents an object":    {llm.GoogleGenerate, `{"contents":{"parts":[{"text":"a"}]}}`, "contents: must be an array"},
		"parts an object":       {llm.GoogleGenerate, `{"contents":[{"parts":{"text":"a"}}]}`, "contents[0].parts: must be an array"},
		"another model":         {llm.GoogleEmbed, `{"model":"models/other","content":{"parts":[{"text":"a"}]}}`, "model: is not the one of the path"},
		"two spellings":         {llm.GoogleGenerate, `{"contents":[{"parts":[{"text":"a"}]}],"systemInstruction":{},"system_instruction":{}}`, `keys "systemInstruction" and "system_instruction" are two spellings of the same`},
		"two spellings, inside": {llm.GoogleGenerate, `{"contents":[{"parts":[{"function_call":{},"functionCall":{}}]}]}`, `are two spellings of the same`},
		"underscores at will":   {llm.GoogleGenerate, `{"contents":[{"parts":[{"text":"a","te_xt":"b"}]}]}`, `are two spellings of the same`},
		"too many fields":       {llm.GoogleGenerate, `{"contents":[{"parts":[{` + numbered(65, `"k%"`) + `}]}]}`, "object with more than 64 fields"},
		"candidates beyond":     {llm.GoogleGenerate, `{"contents":[{"parts":[]}],"generationConfig":{"candidateCount":1e300}}`, "generationConfig.candidateCount: must be less than 2^53"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r, err := parseAt(tc.format, tc.body)
			if err == nil || !strings.HasSuffix(err.Error(), tc.want) {
				t.Errorf("got %v, %+v, want %s", err, r, tc.want)
			}
		})
	}
}

// TestAPromptThatIsToBeCachedOnlyHasALimitOfNothing: Anthropic's clients warm its cache so, and a limit that is none is missing still.
func TestAPromptThatIsToBeCachedOnlyHasALimitOfNothing(t *testing.T) {
	for limit, want := range map[string]bool{"0": true, "null": false, "-1": false} {
		_, err := llm.ParseRequest(llm.AnthropicMessages, []byte(`{"model":"m","max_tokens":`+limit+`,"messages":[{"role":"user","content":"a"}]}`))
		if got := err == nil; got != want {
			t.Errorf("%s: got %v", limit, err)
		}
	}
}

func TestTheModelOfGoogleIsInThePath(t *testing.T) {
	const path = "/v1/models/gemini-2.5-flash:batchEmbedContents?key=secret"
	const body = `{"requests":[{"model":"models/gemini-2.5-flash","content":{"parts":[{"text":"a"}]}},{"model":"models/gemini-2.5-flash","content":{"parts":[]}}]}`
	r, err := llm.ParseRequestAt(llm.GoogleBatchEmbed, path, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	if r.Model != googleModel || r.Path() != "/v1/models/gemini-2.5-flash:batchEmbedContents" || r.Edited() {
		t.Errorf("got %q, %q", r.Model, r.Path())
	}
	r.SetModel("a/b ü")
	if want := "/v1/models/a%2Fb%20%C3%BC:batchEmbedContents"; r.Path() != want {
		t.Errorf("got %q, want %q", r.Path(), want)
	}
	if got, want := string(r.Bytes()), strings.ReplaceAll(body, googleModel, "a/b ü"); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	for path, want := range map[string]string{
		"/v1beta/models/m:streamGenerateContent?key=secret&alt=sse": "/v1beta/models/m:streamGenerateContent?alt=sse",
		"/v1beta/models/m:streamGenerateContent?alt=json":           "/v1beta/models/m:streamGenerateContent",
	} {
		r, err := llm.ParseRequestAt(llm.GoogleStream, path, []byte(requestOf(llm.GoogleStream, `"a"`)))
		if err != nil || r.Path() != want || !r.Stream {
			t.Errorf("got %q, %v, want %q", r.Path(), err, want)
		}
	}
	r, err = llm.ParseRequestAt(llm.GoogleGenerate, "/v1beta/a/b:generateContent", []byte(requestOf(llm.GoogleGenerate, `"a"`)))
	if err != nil || r.Model != "a/b" || r.Path() != "/v1beta/models/a/b:generateContent" {
		t.Errorf("got %q, %v", r.Path(), err)
	}
	if r, err := llm.ParseRequestAt(llm.GoogleStream, "/v1beta/models/m:countTokens", []byte(requestOf(llm.GoogleStream, `"a"`))); err == nil {
		t.Errorf("got %+v for the path of another method", r)
	}
}

func TestUsageAndItsExactCostInAllFormats(t *testing.T) {
	// In the price that is taken, each kind of token has a price of its own: a power of ten, so that the cost shows its parts.
	prices, err := llm.ParsePrices([]byte(`{"models":[{"provider":"p","model":"m","input":"0.000001","cached_input":"0.0001","cache_write":"0.01",
		"cache_write_1h":"1","input_audio":"100","output":"10000","output_reasoning":"1000000","output_audio":"100000000"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	price, _ := prices.Find("p", "m")
	tests := map[string]struct {
		format llm.Format
		body   string
		want   llm.Usage
		cost   llm.Picodollars
	}{
		"chat": {llm.OpenAIChat, `{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":9,
			"prompt_tokens_details":{"cached_tokens":2,"audio_tokens":3,"cache_write_tokens":4},"completion_tokens_details":{"reasoning_tokens":5,"audio_tokens":1}}}`,
			llm.Usage{Input: 10, CachedInput: 2, CacheWrite: 4, InputAudio: 3, Output: 9, OutputReasoning: 5, OutputAudio: 1}, 1_05_03_03_00_04_02_01},
		"responses": {llm.OpenAIResponses, `{"usage":{"input_tokens":10,"output_tokens":9,
			"input_tokens_details":{"cached_tokens":2,"cache_write_tokens":4},"output_tokens_details":{"reasoning_tokens":5}}}`,
			llm.Usage{Input: 10, CachedInput: 2, CacheWrite: 4, Output: 9, OutputReasoning: 5}, 5_04_00_00_04_02_04},
		"messages": {llm.AnthropicMessages, `{"usage":{"input_tokens":1,"output_tokens":9,"cache_read_input_tokens":2,"cache_creation_input_tokens":7,
			"cache_creation":{"ephemeral_5m_input_tokens":4,"ephemeral_1h_input_tokens":3},"output_tokens_details":{"thinking_tokens":5}}}`,
			llm.Usage{Input: 10, CachedInput: 2, CacheWrite: 4, CacheWrite1h: 3, Output: 9, OutputReasoning: 5}, 5_04_00_03_04_02_01},
		"messages, older": {llm.AnthropicMessages, `{"usage":{"input_tokens":1,"output_tokens":9,"cache_creation_input_tokens":7}}`,
			llm.Usage{Input: 8, CacheWrite: 7, Output: 9}, 9_00_00_07_00_01},
		"messages, made shorter before": {llm.AnthropicMessages, `{"usage":{"input_tokens":1,"output_tokens":2,"iterations":[
			{"type":"compaction","input_tokens":3,"output_tokens":4,"cache_read_input_tokens":1,"cache_creation_input_tokens":2},
			{"type":"message","input_tokens":1,"output_tokens":2},{"type":"advisor_message","model":"another","input_tokens":9,"output_tokens":9}]}}`,
			llm.Usage{Input: 7, CachedInput: 1, CacheWrite: 2, Output: 6}, 6_00_00_02_01_04},
		"Google": {llm.GoogleGenerate, `{"usageMetadata":{"promptTokenCount":9,"toolUsePromptTokenCount":1,"cachedContentTokenCount":2,"candidatesTokenCount":4,
			"thoughtsTokenCount":5,"promptTokensDetails":[{"modality":"TEXT","tokenCount":6},{"modality":"AUDIO","tokenCount":3}],
			"candidatesTokensDetails":[{"tokenCount":1,"modality":"AUDIO"}]}}`,
			llm.Usage{Input: 10, CachedInput: 2, InputAudio: 3, Output: 9, OutputReasoning: 5, OutputAudio: 1}, 1_05_03_03_00_00_02_05},
		"counting is free":        {llm.AnthropicCountTokens, `{"input_tokens":99}`, llm.Usage{}, 0},
		"counting at Google, too": {llm.GoogleCountTokens, `{"totalTokens":99}`, llm.Usage{}, 0},
		"embeddings":              {llm.OpenAIEmbeddings, `{"data":[],"usage":{"prompt_tokens":8,"total_tokens":8}}`, llm.Usage{Input: 8}, 8},
		"embeddings of Google":    {llm.GoogleBatchEmbed, `{"embeddings":[],"usageMetadata":{"promptTokenCount":8}}`, llm.Usage{Input: 8}, 8},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r, err := llm.ParseResponse(tc.format, []byte(tc.body))
			if err != nil || !r.HasUsage || r.Usage != tc.want {
				t.Fatalf("got %+v, %v", r, err)
			}
			if got := price.Cost(r.Usage); got != tc.cost {
				t.Errorf("costs %d, want %d", got, tc.cost)
			}
		})
	}
}

func TestAnswersThatReportAnErrorAreKnown(t *testing.T) {
	bodies := map[string]bool{
		`{"error":{"message":"overloaded","type":"server_error"}}`:                  true,
		`{"type":"error","error":{"type":"overloaded_error","message":"x"}}`:        true,
		`{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}`:      true,
		`{"error":null,"id":"a","usage":{"prompt_tokens":1,"completion_tokens":1}}`: false,
	}
	for _, f := range allFormats {
		for body, want := range bodies {
			if r, err := llm.ParseResponse(f, []byte(body)); err != nil || r.Error != want {
				t.Errorf("%s: %s: got %+v, %v", f, body, r, err)
			}
		}
	}
}

func TestUsageOfAStreamIsWhatItsEventsTellTogether(t *testing.T) {
	var u llm.Usage
	for _, data := range []string{
		`{"type":"message_start","message":{"usage":{"input_tokens":5,"cache_read_input_tokens":10,"cache_creation_input_tokens":3,"output_tokens":1}}}`,
		`{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":5,"output_tokens":42}}`,
	} {
		e, err := llm.ParseEvent(llm.AnthropicMessages, []byte(data))
		if err != nil || e.HasUsage == e.UsageSoFar {
			t.Fatalf("got %+v, %v", e, err)
		}
		u = u.Joined(e.Usage)
	}
	if want := (llm.Usage{Input: 18, CachedInput: 10, CacheWrite: 3, Output: 42}); u != want {
		t.Errorf("got %+v, want %+v", u, want)
	}
}

// TestWhatIsCachedForAnHourIsCountedOnce has a stream that says only at its beginning for how long tokens are kept.
func TestWhatIsCachedForAnHourIsCountedOnce(t *testing.T) {
	var u llm.Usage
	for _, data := range []string{
		`{"type":"message_start","message":{"usage":{"input_tokens":5,"cache_creation_input_tokens":150,"output_tokens":1,
			"cache_creation":{"ephemeral_5m_input_tokens":50,"ephemeral_1h_input_tokens":100}}}}`,
		`{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":5,"cache_creation_input_tokens":150,"output_tokens":42}}`,
	} {
		e, err := llm.ParseEvent(llm.AnthropicMessages, []byte(data))
		if err != nil {
			t.Fatal(err)
		}
		u = u.Joined(e.Usage)
	}
	if want := (llm.Usage{Input: 155, CacheWrite: 50, CacheWrite1h: 100, Output: 42}); u != want {
		t.Errorf("got %+v, want %+v", u, want)
	}
}

// TestWhatMakesAConversationShorterIsCounted has a stream whose beginning counts the tokens of the compaction, and its end those of the answer.
func TestWhatMakesAConversationShorterIsCounted(t *testing.T) {
	var u llm.Usage
	for _, data := range []string{
		`{"type":"message_start","message":{"usage":{"input_tokens":60385,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":5}}}`,
		`{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":612,"output_tokens":2819,"iterations":[
			{"input_tokens":60385,"output_tokens":522,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0},"type":"compaction"},
			{"input_tokens":612,"output_tokens":2819,"type":"message"}]}}`,
	} {
		e, err := llm.ParseEvent(llm.AnthropicMessages, []byte(data))
		if err != nil {
			t.Fatal(err)
		}
		u = u.Joined(e.Usage)
	}
	if want := (llm.Usage{Input: 60997, Output: 3341}); u != want {
		t.Errorf("got %+v, want %+v", u, want)
	}
}

// hostile are contents of a message that a careless reader takes more than linear time or memory for.
func hostile(size int) map[string]string {
	return map[string]string{
		"brackets":     strings.Repeat("[", size),
		"quotes":       strings.Repeat(`"`, size),
		"backslashes":  `"` + strings.Repeat(`\\`, size/2) + `"`,
		"escapes":      `"` + strings.Repeat(`\u0061`, size/6) + `"`,
		"keys":         `[{` + numbered(size/10, `"k%"`) + `}]`,
		"escaped keys": `[{` + numbered(size/16, `"\u006b%"`) + `}]`,
		"objects":      `[` + strings.Repeat(`{},`, size/3) + `{}]`,
		"parts":        `[` + strings.Repeat(`{"type":"text","text":"a"},`, size/27) + `{}]`,
		"tools":        `[{"type":"tool_use","input":{` + numbered(size/10, `"k%"`) + `}}]`,
		"underscores":  `[{"` + strings.Repeat("_", size) + `":1,"` + strings.Repeat("_", size) + `a":1}]`,
	}
}

func TestNoInputTakesMoreThanLinearTime(t *testing.T) {
	const size = 25_000
	for _, f := range allFormats {
		for name := range hostile(64) {
			t.Run(f.String()+"/"+name, func(t *testing.T) {
				took := func(size int) time.Duration {
					body := []byte(requestOf(f, hostile(size)[name]))
					best := time.Hour
					for range 2 { // a busy machine may hold up one
						start := time.Now()
						_, _ = llm.ParseRequestAt(f, f.Path(googleModel), body)
						_, _ = llm.ParseResponse(f, body)
						_, _ = llm.ParseEvent(f, body)
						best = min(best, time.Since(start))
					}
					return best
				}
				var small, large time.Duration
				for range 10 { // so may what else it does
					// Linear is 8 times and some milliseconds; quadratic would be 64 times, and minutes.
					if small, large = took(size), took(8*size); large <= 32*small || large <= time.Second {
						return
					}
				}
				t.Errorf("8 times the size took %v instead of %v", large, small)
			})
		}
	}
}

func TestNoInputTakesMoreThanLinearMemory(t *testing.T) {
	const size = 10_000
	for _, f := range allFormats {
		for name := range hostile(64) {
			t.Run(f.String()+"/"+name, func(t *testing.T) {
				taken := func(size int) uint64 {
					body := []byte(requestOf(f, hostile(size)[name]))
					least := uint64(1 << 62)
					for range 2 { // others may take some at the same time
						var before, after runtime.MemStats
						runtime.ReadMemStats(&before)
						_, _ = llm.ParseRequestAt(f, f.Path(googleModel), body)
						_, _ = llm.ParseResponse(f, body)
						_, _ = llm.ParseEvent(f, body)
						runtime.ReadMemStats(&after)
						least = min(least, after.TotalAlloc-before.TotalAlloc)
					}
					return least
				}
				// The shortest text is 27 bytes and takes some hundred of memory, twice that while the list of them grows, and three parsers
				// read it here.
				const slack, times = 64 << 10, 128
				small, large := taken(size), taken(8*size)
				if large > 16*small+slack || large > times*8*size+slack {
					t.Errorf("%d bytes took %d of memory, 8 times as many took %d", size, small, large)
				}
			})
		}
	}
}

func FuzzFormats(f *testing.F) {
	for i, format := range allFormats {
		files, _ := filepath.Glob(folderOf(format) + "/*.*")
		for _, file := range files {
			if body, err := os.ReadFile(file); err == nil && !strings.HasSuffix(file, ".golden") {
				f.Add(uint8(i), body, "x\"\\\n\x00\xff😀")
			}
		}
	}
	f.Fuzz(func(t *testing.T, number uint8, body []byte, s string) {
		format := allFormats[int(number)%len(allFormats)]
		fuzzRequest(t, format, body, s)
		fuzzResponse(t, format, body, s)
		fuzzEvent(t, format, body, s)
	})
}

func fuzzRequest(t *testing.T, format llm.Format, body []byte, s string) {
	t.Helper()
	r, err := llm.ParseRequestAt(format, format.Path(googleModel), body)
	if err != nil {
		return
	}
	if err := llm.Check(body); err != nil {
		t.Fatalf("%q was read, but %v", body, err)
	}
	if !bytes.Equal(r.Bytes(), body) {
		t.Fatalf("unedited %q became %q", body, r.Bytes())
	}
	want := setTexts(r.Texts, r.SetText, s)
	r.AskUsage()
	again, err := llm.ParseRequestAt(format, r.Path(), r.Bytes())
	if err != nil {
		t.Fatalf("edited %q became %q: %v", body, r.Bytes(), err)
	}
	compareTexts(t, body, r.Bytes(), want, again.Texts)
	if again.Model != r.Model || again.Stream != r.Stream || again.MaxTokens != r.MaxTokens || again.Tools != r.Tools || again.Media != r.Media {
		t.Errorf("edited %q became %q", body, r.Bytes())
	}
}

// setTexts edits all texts and returns what is to be read then. Keys get a number behind them.
func setTexts(texts []llm.Text, set func(int, string), s string) []string {
	var want []string
	for i := range texts {
		set(i, s+texts[i].Value)
		want = append(want, asUTF8(s)+strings.TrimPrefix(texts[i].Value, s))
	}
	return want
}

func compareTexts(t *testing.T, before, after []byte, want []string, got []llm.Text) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("edited %q became %q, with %d texts instead of %d", before, after, len(got), len(want))
	}
	for i := range got {
		if !strings.HasPrefix(got[i].Value, want[i]) {
			t.Errorf("edited %q became %q: got %q, want %q", before, after, got[i].Value, want[i])
		}
	}
}

func fuzzResponse(t *testing.T, format llm.Format, body []byte, s string) {
	t.Helper()
	r, err := llm.ParseResponse(format, body)
	if err != nil {
		return
	}
	if !bytes.Equal(r.Bytes(), body) {
		t.Fatalf("unedited %q became %q", body, r.Bytes())
	}
	want := setTexts(r.Texts, r.SetText, s)
	again, err := llm.ParseResponse(format, r.Bytes())
	if err != nil {
		t.Fatalf("edited %q became %q: %v", body, r.Bytes(), err)
	}
	compareTexts(t, body, r.Bytes(), want, again.Texts)
	if again.Usage != r.Usage || again.ID != r.ID || !slices.Equal(again.FinishReasons, r.FinishReasons) {
		t.Errorf("edited %q became %q", body, r.Bytes())
	}
}

func fuzzEvent(t *testing.T, format llm.Format, body []byte, s string) {
	t.Helper()
	e, err := llm.ParseEvent(format, body)
	if err != nil {
		return
	}
	if !bytes.Equal(e.Data(), body) {
		t.Fatalf("unedited %q became %q", body, e.Data())
	}
	for i := range e.Texts {
		one := e.WithText(i, s)
		again, err := llm.ParseEvent(format, one.Data())
		if err != nil {
			t.Fatalf("%q with text %d became %q: %v", body, i, one.Data(), err)
		}
		if !slices.ContainsFunc(again.Texts, func(t llm.Text) bool { return strings.HasPrefix(t.Value, asUTF8(s)) }) {
			t.Errorf("%q with text %d became %q", body, i, one.Data())
		}
		one.SetText(0, "again")
		if _, err := llm.ParseEvent(format, one.Data()); err != nil {
			t.Errorf("%q with text %d, edited, became %q: %v", body, i, one.Data(), err)
		}
	}
	want := setTexts(e.Texts, e.SetText, s)
	again, err := llm.ParseEvent(format, e.Data())
	if err != nil {
		t.Fatalf("edited %q became %q: %v", body, e.Data(), err)
	}
	compareTexts(t, body, e.Data(), want, again.Texts)
	if again.Usage != e.Usage || again.Done != e.Done || !slices.Equal(again.Finish, e.Finish) || !slices.Equal(again.Closed, e.Closed) {
		t.Errorf("edited %q became %q", body, e.Data())
	}
}
