package mock

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"
)

const signed = "AWS4-HMAC-SHA256 Credential=AKIAMOCK/20231114/us-east-1/bedrock/aws4_request, SignedHeaders=host;x-amz-date, Signature="

// signedBy are the headers of a request with a signature of that form.
func signedBy(signature string) []string {
	return []string{"Authorization", signed + signature, "X-Amz-Date", "20231114T221320Z"}
}

var someSignature = strings.Repeat("0", 64)

const (
	conversePath = "/model/anthropic.claude-sonnet-4-5-v1%3A0/converse"
	azureChat    = "/openai/deployments/my-gpt/chat/completions"
	vertexModels = "/v1/projects/p/locations/us-central1/publishers/"
)

// converseOf is a request of Bedrock's with one text of a user.
func converseOf(text, fields string) string {
	quoted := gjson.Get(message(text, ""), "messages.0.content").Raw
	return `{"messages":[{"role":"user","content":[{"text":` + quoted + `}]}]` + fields + `}`
}

func responsesOf(text, fields string) string {
	quoted := gjson.Get(message(text, ""), "messages.0.content").Raw
	return `{"model":"gpt-4o-mini","input":` + quoted + fields + `}`
}

// Each provider has its paths and its key; the answer is found at that path of its JSON.
func TestEachProviderAnswersUnderItsPaths(t *testing.T) {
	const converseTool = `,"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{"type":"object"}}}}]}`
	const responsesTool = `,"tools":[{"type":"function","name":"f","parameters":{}}]`
	vertexBody := strings.Replace(messagesOf("say: one two", ""), `"model":"claude-sonnet-4-5"`, `"anthropic_version":"vertex-2023-10-16"`, 1)
	tests := map[string]struct {
		target, body, at, want string
	}{
		"responses":            {"/v1/responses", responsesOf("say: one two", ""), "output.0.content.0.text", "one two"},
		"responses, items":     {"/v1/responses", strings.Replace(responsesOf("say: one", ""), `"say: one"`, `[{"role":"user","content":"say: one"}]`, 1), "output.#.type", `["message"]`},
		"responses, tool":      {"/v1/responses", responsesOf(`call: f {"a":1}`, responsesTool), "output.0.arguments", `{"a":1}`},
		"responses, cut":       {"/v1/responses", responsesOf("lorem: 20", `,"max_output_tokens":16`), "incomplete_details.reason", "max_output_tokens"},
		"responses, usage":     {"/v1/responses", responsesOf("think: hm hm\nsay: one two", ""), "usage.output_tokens_details.reasoning_tokens", "2"},
		"responses, reasoning": {"/v1/responses", responsesOf("think: hm\nsay: one", `,"reasoning":{"summary":"auto"}`), "output.0.summary.0.text", "hm"},
		"responses, refusal":   {"/v1/responses", responsesOf("refuse: no", ""), "output.0.content.0.refusal", "no"},
		"responses, JSON":      {"/v1/responses", responsesOf("a", `,"text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object","properties":{"b":{"enum":["c"]}}}}}`), "output.0.content.0.text", `{"b":"c"}`},
		"completions":          {"/v1/completions", `{"model":"m","prompt":"say: one two"}`, "choices.0.text", "one two"},
		"completions, several": {"/v1/completions", `{"model":"m","prompt":["say: one","say: two"],"n":2}`, "choices.#.text", `["one","one","two","two"]`},
		"completions, bound":   {"/v1/completions", `{"model":"m","prompt":"lorem: 99"}`, "usage.completion_tokens", "16"},
		"chat, refusal":        {"/v1/chat/completions", message("refuse: no", ""), "choices.0.message.refusal", "no"},
		"chat, image":          {"/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"look"},{"type":"image_url","image_url":{"url":"data:image/png;base64,aGk="}}]}]}`, "choices.0.message.content", "image/png, 2 bytes, d8932aac"},
		"responses, image":     {"/v1/responses", `{"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":"look"},{"type":"input_image","image_url":"data:image/png;base64,aGk="}]}]}`, "output.0.content.0.text", "image/png, 2 bytes, d8932aac"},
		"chat, JSON":           {"/v1/chat/completions", message("a", `,"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"$ref":"#/$defs/x","$defs":{"x":{"type":["array","null"],"items":{"type":"integer"}}}}}}`), "choices.0.message.content", "[1]"},
		"Azure":                {azureChat + "?api-version=2024-10-21", strings.Replace(message("say: one two", ""), `"model":"gpt-4o-mini",`, "", 1), "choices.0.message.content", "one two"},
		"Azure, filter":        {azureChat + "?api-version=2024-10-21", message("say: one two", ""), "prompt_filter_results.0.content_filter_results.hate.severity", "safe"},
		"Azure, model":         {azureChat + "?api-version=2024-10-21", strings.Replace(message("a", ""), `"model":"gpt-4o-mini",`, "", 1), "model", "my-gpt"},
		"Azure, v1":            {"/openai/v1/responses", responsesOf("say: one two", ""), "output.0.content.0.text", "one two"},
		"Azure, no version":    {azureChat, message("a", ""), "error.code", "404"},
		"Vertex":               {vertexModels + "google/models/gemini-2.5-flash:generateContent", generateOf("say: one two", ""), "candidates.0.content.parts.0.text", "one two"},
		"Vertex, express":      {"/v1/publishers/google/models/gemini-2.5-flash:generateContent", generateOf("say: one two", ""), "candidates.0.content.parts.0.text", "one two"},
		"Vertex, stream":       {vertexModels + "google/models/gemini-2.5-flash:streamGenerateContent", generateOf("say: one two", ""), "#.candidates.0.content.parts.0.text", `["one"," two"]`},
		"Vertex, predict":      {vertexModels + "google/models/text-embedding-005:predict", `{"instances":[{"content":"a b"}]}`, "predictions.0.embeddings.statistics.token_count", "2"},
		"Vertex, Anthropic":    {vertexModels + "anthropic/models/claude-sonnet-4-5:rawPredict", vertexBody, "content.0.text", "one two"},
		"Vertex, its model":    {vertexModels + "anthropic/models/claude-sonnet-4-5:rawPredict", vertexBody, "model", "claude-sonnet-4-5"},
		"Vertex, no version":   {vertexModels + "anthropic/models/claude-sonnet-4-5:rawPredict", messagesOf("a", ""), "error.message", "anthropic_version: Field required"},
		"Vertex, OpenAI":       {"/v1/projects/p/locations/global/endpoints/openapi/chat/completions", message("say: one two", ""), "choices.0.message.content", "one two"},
		"Bedrock":              {conversePath, converseOf("say: one two", ""), "output.message.content.0.text", "one two"},
		"Bedrock, tool":        {conversePath, converseOf(`call: f {"a":1}`, converseTool), "output.message.content.0.toolUse.input.a", "1"},
		"Bedrock, reasoning":   {conversePath, converseOf("think: hm\nsay: one", `,"additionalModelRequestFields":{"thinking":{"type":"enabled"}}`), "output.message.content.0.reasoningContent.reasoningText.text", "hm"},
		"Bedrock, stopped":     {conversePath, converseOf("say: one two", `,"inferenceConfig":{"stopSequences":["two"]}`), "stopReason", "stop_sequence"},
		"Bedrock, counts":      {strings.Replace(conversePath, "converse", "count-tokens", 1), `{"input":{"converse":` + converseOf("a b", "") + `}}`, "inputTokens", "2"},
		"Bedrock, result":      {conversePath, `{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"toolUse":{"toolUseId":"x","name":"f","input":{}}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"x","content":[{"json":{"b":1}}]}}]}]}`, "output.message.content.0.text", `The tools said: {"b":1}`},
		"Bedrock, image":       {conversePath, `{"messages":[{"role":"user","content":[{"text":"look"},{"image":{"format":"png","source":{"bytes":"aGk="}}}]}]}`, "output.message.content.0.text", "image/png, 2 bytes, d8932aac"},
		"Bedrock, two turns":   {conversePath, `{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"user","content":[{"text":"b"}]}]}`, "message", "A conversation must alternate between user and assistant roles. Make sure the conversation alternates between user and assistant roles and try again."},
		"Anthropic, reasoning": {"/v1/messages", strings.Replace(messagesOf("think: hm\nsay: one", `,"thinking":{"type":"enabled","budget_tokens":1024}`), `"max_tokens":100`, `"max_tokens":2000`, 1), "content.#.type", `["thinking","text"]`},
		"Anthropic, JSON":      {"/v1/messages", messagesOf("a", `,"output_config":{"format":{"type":"json_schema","schema":{"type":"object","properties":{"b":{"type":"string"}}}}}`), "content.0.text", `{"b":"text"}`},
		"Anthropic, stopped":   {"/v1/messages", messagesOf("say: one two", `,"stop_sequences":["two"]`), "stop_sequence", "two"},
		"Google, reasoning":    {generatePath, generateOf("think: hm\nsay: one", `,"generationConfig":{"thinkingConfig":{"includeThoughts":true}}`), "candidates.0.content.parts.0.thought", "true"},
		"Google, signed":       {signingPath, generateOf("call: f {}", `,"tools":[{"functionDeclarations":[{"name":"f"}]}]`), "candidates.0.content.parts.0.thoughtSignature", "bW9jaw=="},
		"Google, signature":    {signingPath, signedCall(`,"thoughtSignature":"bW9jaw=="`), "candidates.0.content.parts.0.text", "The tools said: b"},
		"Google, no signature": {signingPath, signedCall(`,"thoughtSignature":"skip_thought_signature_validator"`), "candidates.0.content.parts.0.text", "The tools said: b"},
		"Google, image":        {generatePath, `{"contents":[{"parts":[{"text":"look"},{"inlineData":{"mimeType":"image/png","data":"_-8="}}]}]}`, "candidates.0.content.parts.0.text", "image/png, 2 bytes, e2481064"},
		"Google, file":         {generatePath, `{"contents":[{"parts":[{"text":"look"},{"fileData":{"fileUri":"gs://a/b.pdf"}}]}]}`, "candidates.0.content.parts.0.text", "gs://a/b.pdf"},
		"Google, JSON":         {generatePath, generateOf("a", `,"generationConfig":{"responseMimeType":"application/json","responseSchema":{"type":"OBJECT","properties":{"b":{"type":"BOOLEAN"}}}}`), "candidates.0.content.parts.0.text", `{"b":true}`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			header := signedBy(someSignature)
			if !strings.HasPrefix(tc.target, "/model/") {
				header = []string{"Authorization", "Bearer any"}
			}
			w := ask(t, New(Options{}), http.MethodPost, tc.target, tc.body, header...)
			if got := gjson.Get(w.Body.String(), tc.at).String(); got != tc.want {
				t.Errorf("got %q in %d %s, want %q", got, w.Code, w.Body, tc.want)
			}
		})
	}
}

// amazonMessage is a message of Amazon's event stream.
type amazonMessage struct {
	headers map[string]string
	payload string
}

// messagesIn takes an event stream apart and checks its checksums.
func messagesIn(t *testing.T, stream []byte) (all []amazonMessage) {
	t.Helper()
	for len(stream) > 0 {
		total, headers := binary.BigEndian.Uint32(stream), binary.BigEndian.Uint32(stream[4:])
		raw := stream[:total]
		if crc32.ChecksumIEEE(raw[:8]) != binary.BigEndian.Uint32(raw[8:]) || crc32.ChecksumIEEE(raw[:total-4]) != binary.BigEndian.Uint32(raw[total-4:]) {
			t.Fatalf("a checksum of %q is wrong", raw)
		}
		m := amazonMessage{headers: map[string]string{}, payload: string(raw[12+headers : total-4])}
		for rest := raw[12 : 12+headers]; len(rest) > 0; {
			name := string(rest[1 : 1+rest[0]])
			rest = rest[1+len(name):]
			size := binary.BigEndian.Uint16(rest[1:])
			m.headers[name] = string(rest[3 : 3+size])
			rest = rest[3+size:]
		}
		all = append(all, m)
		stream = stream[total:]
	}
	return all
}

func TestConverseStreamsInAmazonsFraming(t *testing.T) {
	const tool = `,"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{"type":"object"}}}}]}`
	tests := map[string]struct{ body, mock, want string }{
		"text":  {converseOf("say: one two", ""), "", "messageStart, contentBlockDelta one, contentBlockDelta  two, contentBlockStop, messageStop end_turn, metadata"},
		"calls": {converseOf("call: f {\"a\":1}\ncall: f", tool), "", `messageStart, contentBlockStart, contentBlockDelta {"a":1}, contentBlockStop, contentBlockStart, contentBlockDelta {}, contentBlockStop, messageStop tool_use, metadata`},
		"thoughts": {converseOf("think: hm\nsay: one", `,"additionalModelRequestFields":{"thinking":{"type":"enabled"}}`), "",
			"messageStart, contentBlockDelta hm, contentBlockDelta, contentBlockStop, contentBlockDelta one, contentBlockStop, messageStop end_turn, metadata"},
		"error": {converseOf("say: one two", ""), "error_after=2", "messageStart, contentBlockDelta one, modelStreamErrorException"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			header := append(signedBy(someSignature), "X-Mock", tc.mock)
			w := ask(t, New(Options{}), http.MethodPost, conversePath+"-stream", tc.body, header...)
			if got := w.Header().Get("Content-Type"); got != "application/vnd.amazon.eventstream" {
				t.Fatalf("got %d, Content-Type %q and %s", w.Code, got, w.Body)
			}
			var got []string
			for _, m := range messagesIn(t, w.Body.Bytes()) {
				delta := gjson.Get(m.payload, "delta")
				said := delta.Get("text").Str + delta.Get("toolUse.input").Str + delta.Get("reasoningContent.text").Str + gjson.Get(m.payload, "stopReason").Str
				got = append(got, strings.TrimSuffix(m.headers[":event-type"]+m.headers[":exception-type"]+" "+said, " "))
			}
			if joined := strings.Join(got, ", "); joined != tc.want {
				t.Errorf("got %s\nwant %s", joined, tc.want)
			}
		})
	}
}

func TestResponsesStreamIsNumberedAndWhole(t *testing.T) {
	w := ask(t, New(Options{}), http.MethodPost, "/v1/responses", responsesOf("think: hm\nsay: one two", `,"stream":true,"reasoning":{"summary":"auto"}`))
	text, thoughts, number := "", "", int64(0)
	var last gjson.Result
	for block := range strings.SplitSeq(strings.TrimSuffix(w.Body.String(), "\n\n"), "\n\n") {
		name, data, _ := strings.Cut(strings.TrimPrefix(block, "event: "), "\ndata: ")
		last = gjson.Parse(data)
		if last.Get("type").Str != name || last.Get("sequence_number").Int() != number {
			t.Errorf("event %d is %s", number, block)
		}
		number++
		switch name {
		case "response.output_text.delta":
			text += last.Get("delta").Str
		case "response.reasoning_summary_text.delta":
			thoughts += last.Get("delta").Str
		}
	}
	if text != "one two" || thoughts != "hm" || last.Get("type").Str != "response.completed" || last.Get("response.output.1.content.0.text").Str != "one two" {
		t.Errorf("got %q, %q in %s", text, thoughts, w.Body)
	}
}

func TestAnErrorInAResponsesStreamHasItsForm(t *testing.T) {
	w := ask(t, New(Options{}), http.MethodPost, "/v1/responses", responsesOf("say: one two", `,"stream":true`), "X-Mock", "error_after=5")
	_, last, _ := strings.Cut(w.Body.String(), "event: error\ndata: ")
	got := gjson.Parse(last)
	if got.Get("type").Str != "error" || got.Get("sequence_number").Int() != 5 || got.Get("code").Str != "server_error" || got.Get("message").Str == "" || !strings.HasSuffix(last, "}\n\n") {
		t.Errorf("got %s", w.Body)
	}
}

func TestKeysAreAskedForInTheProvidersWay(t *testing.T) {
	const key = "AKIAMOCK:secret"
	// Made with botocore 1.44.5, which signs for the path that is sent: see signature.go.
	const right = "606de29a4c5e9c2010466baeee724558dd255450b8c8ea20d2676291daeb9eab"
	body := converseOf("say: one two", "")
	tests := map[string]struct {
		target string
		header []string
		status int
		want   string // in the answer
	}{
		"Azure":                     {azureChat + "?api-version=2024-10-21", []string{"Api-Key", key}, 200, ""},
		"Azure, none":               {azureChat + "?api-version=2024-10-21", nil, 401, `"code":"401"`},
		"Vertex":                    {vertexModels + "google/models/m:generateContent", []string{"Authorization", "Bearer " + key}, 200, ""},
		"Vertex, another":           {vertexModels + "google/models/m:generateContent", []string{"Authorization", "Bearer x"}, 401, "UNAUTHENTICATED"},
		"Bedrock":                   {conversePath, signedBy(right), 200, ""},
		"Bedrock, API key":          {conversePath, []string{"Authorization", "Bearer " + key}, 200, ""},
		"Bedrock, none":             {conversePath, nil, 403, "Missing Authentication Token"},
		"Bedrock, wrong signature":  {conversePath, signedBy(someSignature), 403, "does not match"},
		"Bedrock, other path":       {strings.Replace(conversePath, "sonnet", "opus", 1), signedBy(right), 403, "does not match"},
		"Bedrock, no date":          {conversePath, signedBy(right)[:2], 403, "X-Amz-Date"},
		"Bedrock, host not signed":  {conversePath, []string{"Authorization", strings.Replace(signed, "host;", "", 1) + right, "X-Amz-Date", "20231114T221320Z"}, 403, "must be 'SignedHeaders'"},
		"Bedrock, other access key": {conversePath, []string{"Authorization", strings.Replace(signed, "AKIAMOCK", "AKIAOTHER", 1) + right, "X-Amz-Date", "20231114T221320Z"}, 403, "security token"},
		"Bedrock, expired":          {conversePath, []string{"Authorization", signed + right, "X-Amz-Date", "20231114T220000Z"}, 403, "expired"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			sent := body
			switch {
			case strings.HasPrefix(tc.target, "/openai"):
				sent = message("a", "")
			case strings.HasPrefix(tc.target, "/v1"):
				sent = generateOf("a", "")
			}
			w := ask(t, New(Options{Key: key, Now: fixedClock}), http.MethodPost, tc.target, sent, tc.header...)
			if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.want) {
				t.Errorf("got %d %s, want %d and %q", w.Code, w.Body, tc.status, tc.want)
			}
			if strings.Contains(w.Body.String(), "secret") {
				t.Errorf("%s tells the key", w.Body)
			}
		})
	}
}

func TestServiceAccountsGetTheKeyAsToken(t *testing.T) {
	const grant = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion="
	assertion := func(header, claims string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + "." + rand.Text()
	}
	const rs256 = `{"alg":"RS256","typ":"JWT"}`
	const claims = `{"iss":"a@b","aud":"https://oauth2.googleapis.com/token","scope":"https://www.googleapis.com/auth/cloud-platform","iat":1700000000,"exp":1700003600}`
	tests := map[string]struct{ body, want string }{
		"right":             {grant + assertion(rs256, claims), `{"access_token":"key","expires_in":3599,"token_type":"Bearer"}`},
		"no grant":          {"assertion=a.b.c", "unsupported_grant_type"},
		"no JWT":            {grant + "abc", "invalid_grant"},
		"another algorithm": {grant + assertion(`{"alg":"none"}`, claims), "RS256"},
		"expired":           {grant + assertion(rs256, strings.Replace(claims, "1700003600", "1699999999", 1)), "reasonable timeframe"},
		"too long":          {grant + assertion(rs256, strings.Replace(claims, "1700003600", "1700009999", 1)), "reasonable timeframe"},
		"no scope":          {grant + assertion(rs256, strings.Replace(claims, "scope", "x", 1)), "invalid_scope"},
		"nobody":            {grant + assertion(rs256, strings.Replace(claims, "iss", "x", 1)), "iss and aud"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := ask(t, New(Options{Key: "key", Now: fixedClock}), http.MethodPost, "/token", tc.body)
			if !strings.Contains(w.Body.String(), tc.want) {
				t.Errorf("got %d %s, want %q", w.Code, w.Body, tc.want)
			}
		})
	}
}

func TestWhatDoesNotFitTheSchemaIsRefusedWithItsPlace(t *testing.T) {
	tests := map[string]struct {
		target, body, want string
	}{
		"OpenAI":    {"/v1/chat/completions", message("a", `,"reasoning_effort":"some"`), `{"error":{"message":"Invalid value for 'reasoning_effort': value must be one of`},
		"responses": {"/v1/responses", responsesOf("a", `,"tools":[{"type":"function"}]`), `"param":"tools[0]"`},
		"Azure":     {azureChat + "?api-version=2024-10-21", message("a", `,"logit_bias":[]`), `"param":"logit_bias"`},
		"Anthropic": {"/v1/messages", messagesOf("a", `,"thinking":{"type":"on"}`), `{"type":"error","error":{"type":"invalid_request_error","message":"thinking.type: value must be`},
		"Google":    {generatePath, generateOf("a", `,"safetySettings":[{"category":"RUDE"}]`), `"message":"Invalid JSON payload received. Invalid value at 'safetySettings[0].category': value must be one of`},
		"Vertex":    {vertexModels + "google/models/m:generateContent", generateOf("a", `,"tools":[{"functionDeclarations":[{"name":"f","x":1}]}]`), `Invalid value at 'tools[0].functionDeclarations[0]'`},
		"Bedrock":   {conversePath, converseOf("a", `,"inferenceConfig":{"maxTokens":0}`), `{"message":"Malformed input request: #/inferenceConfig/maxTokens: minimum`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			header := signedBy(someSignature)
			if name != "Bedrock" {
				header = []string{"Authorization", "Bearer any"}
			}
			if w := ask(t, New(Options{}), http.MethodPost, tc.target, tc.body, header...); w.Code != 400 || !strings.Contains(w.Body.String(), tc.want) {
				t.Errorf("got %d %s, want 400 and %s", w.Code, w.Body, tc.want)
			}
			if w := ask(t, New(Options{Lax: true}), http.MethodPost, tc.target, tc.body, header...); w.Code != 200 {
				t.Errorf("without the check: got %d %s, want 200", w.Code, w.Body)
			}
		})
	}
}

func TestLimitsAreToldAsTheProviderTellsThem(t *testing.T) {
	tests := map[string]struct {
		target, body, header, want string
	}{
		"OpenAI":           {"/v1/chat/completions", message("a", ""), "X-Ratelimit-Remaining-Requests", "2500"},
		"OpenAI, reset":    {"/v1/chat/completions", message("a", ""), "X-Ratelimit-Reset-Tokens", "1m30s"},
		"Azure":            {azureChat + "?api-version=2024-10-21", message("a", ""), "X-Ratelimit-Remaining-Tokens", "7500000"},
		"Anthropic":        {"/v1/messages", messagesOf("a", ""), "Anthropic-Ratelimit-Tokens-Remaining", "7500000"},
		"Anthropic, reset": {"/v1/messages", messagesOf("a", ""), "Anthropic-Ratelimit-Requests-Reset", "2023-11-14T22:14:50Z"},
		"Google":           {generatePath, generateOf("a", ""), "X-Ratelimit-Remaining-Requests", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := ask(t, New(Options{Now: fixedClock}), http.MethodPost, tc.target, tc.body, "X-Mock", "limit_used=75&limit_reset=90s")
			if got := w.Header().Get(tc.header); w.Code != 200 || got != tc.want {
				t.Errorf("got %d, %q, want %q", w.Code, got, tc.want)
			}
		})
	}
}

func TestFaultsOfEveryProviderAreInItsForm(t *testing.T) {
	tests := map[string]struct{ target, body, want string }{
		"OpenAI":    {"/v1/responses", responsesOf("a", ""), `"code":"rate_limit_exceeded"`},
		"Anthropic": {"/v1/messages", messagesOf("a", ""), `"type":"rate_limit_error"`},
		"Google":    {generatePath, generateOf("a", ""), `"retryDelay":"1.5s"`},
		"Bedrock":   {conversePath, converseOf("a", ""), `{"message":`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			header := append(signedBy(someSignature), "X-Mock", "status=429&retry_after=1500ms")
			w := ask(t, New(Options{}), http.MethodPost, tc.target, tc.body, header...)
			if w.Code != 429 || w.Header().Get("Retry-After") != "2" || !strings.Contains(w.Body.String(), tc.want) {
				t.Errorf("got %d %v %s", w.Code, w.Header(), w.Body)
			}
			if kind := w.Header().Get("X-Amzn-Errortype"); (kind == "ThrottlingException") != (name == "Bedrock") {
				t.Errorf("got the error type %q", kind)
			}
		})
	}
}

func TestModelsAreListedInTheFormOfEachAPI(t *testing.T) {
	tests := map[string]struct{ target, at, want string }{
		"OpenAI":         {"/v1/models", "data.0.id", "gpt-4o"},
		"Google":         {"/v1beta/models", "models.#.name", `["models/gemini-2.5-flash"]`},
		"Google, one":    {"/v1beta/models/gemini-2.5-flash", "name", "models/gemini-2.5-flash"},
		"Google, by key": {"/v1/models?key=k", "models.#.name", `["models/gemini-2.5-flash"]`},
		"Anthropic":      {"/v1/models", "data.#.id", `["claude-sonnet-4-5"]`},
		"Anthropic, one": {"/v1/models/claude-sonnet-4-5", "type", "model"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var header []string
			if strings.HasPrefix(name, "Anthropic") {
				header = []string{"Anthropic-Version", "2023-06-01"}
			}
			w := ask(t, New(Options{}), http.MethodGet, tc.target, "", header...)
			if got := gjson.Get(w.Body.String(), tc.at).String(); got != tc.want {
				t.Errorf("got %s in %s, want %s", got, w.Body, tc.want)
			}
		})
	}
}

func TestRequestsAfterANumberAreShown(t *testing.T) {
	p := New(Options{Control: true, Now: func() time.Time { return time.Unix(1, 0) }})
	for range 3 {
		ask(t, p, http.MethodGet, "/v1/models", "")
	}
	if got := gjson.Get(ask(t, p, http.MethodGet, "/mock/requests?after=1", "").Body.String(), "#.number").Raw; got != "[2,3]" {
		t.Errorf("got %s, want the second and the third", got)
	}
	if w := ask(t, p, http.MethodGet, "/mock/requests?after=x", ""); w.Code != 400 {
		t.Errorf("got %d, want 400", w.Code)
	}
}
