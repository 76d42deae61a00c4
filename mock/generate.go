package mock

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// Fields that Google knows, in lower case and without underscores, since its servers take both spellings; after the types of its
// Python package google-genai 3.4.0 (GenerateContentConfig, GenerationConfig, Content, Part). Others it refuses.
var (
	generateFields = strings.Fields(`contents systeminstruction tools toolconfig safetysettings generationconfig cachedcontent model labels servicetier`)
	configFields   = strings.Fields(`modelselectionconfig responsejsonschema audiotimestamp candidatecount enableaffectivedialog frequencypenalty logprobs
		maxoutputtokens mediaresolution presencepenalty responselogprobs responsemimetype responsemodalities responseschema routingconfig seed speechconfig
		stopsequences temperature thinkingconfig topk topp enableenhancedcivicanswers imageconfig`)
	contentFields = strings.Fields(`parts role`)
	partFields    = strings.Fields(`mediaresolution codeexecutionresult executablecode filedata functioncall functionresponse inlinedata text thought
		thoughtsignature videometadata toolcall toolresponse partmetadata`)
)

// field finds a member in either spelling.
func field(v gjson.Result, camel string) gjson.Result {
	if found := v.Get(camel); found.Exists() {
		return found
	}
	var snake []byte
	for _, c := range []byte(camel) {
		if c >= 'A' && c <= 'Z' {
			snake = append(snake, '_')
			c += 'a' - 'A'
		}
		snake = append(snake, c)
	}
	return v.Get(string(snake))
}

func badField(message string) *apiError { return &apiError{status: 400, message: message} }

// checkFields refuses an object with fields that are not known.
func checkFields(at string, v gjson.Result, known []string) (fault *apiError) {
	v.ForEach(func(key, _ gjson.Result) bool {
		if !slices.Contains(known, strings.ToLower(strings.ReplaceAll(key.Str, "_", ""))) {
			fault = badField("Invalid JSON payload received. Unknown name \"" + key.Str + "\" at '" + at + "': Cannot find field.")
		}
		return fault == nil
	})
	return fault
}

// generative answers POST /v1beta/models/MODEL:METHOD, and the same under /v1. https://ai.google.dev/api/generate-content
func (x *exchange) generative() *apiError {
	_, target, _ := strings.Cut(x.r.URL.Path, "/models/")
	at := strings.LastIndexByte(target, ':')
	if at < 0 {
		return &apiError{status: 404, message: "The requested URL was not found on this server."}
	}
	return x.generate(target[:at], target[at+1:])
}

// generate answers a method of a model's.
func (x *exchange) generate(model, method string) *apiError {
	switch method {
	case "generateContent", "streamGenerateContent", "countTokens":
	case "embedContent", "batchEmbedContents":
		return x.embedContents(model, method == "embedContent")
	default:
		return &apiError{status: 404, message: "The requested URL was not found on this server."}
	}
	req, fault := parseGenerate(x.body)
	if fault != nil {
		return fault
	}
	req.model, req.stream = model, method == "streamGenerateContent"
	if fault := x.admit(req); fault != nil {
		return fault
	}
	signs := isSince(req.model, googleModels, 3, 0)
	if root := gjson.ParseBytes(x.body); signs && root.Get("contents").Exists() {
		if fault := checkSignatures(root.Get("contents")); fault != nil {
			return fault
		}
	}
	if fault := x.check(strings.Replace(method, "streamGenerate", "generate", 1)); fault != nil {
		return fault
	}
	if !x.begin() {
		return nil
	}
	g := generation{&completion{exchange: x, req: req, answer: answerTo(req)}, signs}
	switch {
	case method == "countTokens":
		x.buf.out = append(appendInt(append(x.buf.out, `{"totalTokens":`...), req.promptTokens), "}\n"...)
	case req.stream:
		g.stream(x.r.URL.Query().Get("alt") == "sse")
		return nil
	default:
		x.buf.out = append(g.appendChunk(x.buf.out, g.parts(), true), '\n')
	}
	x.send(x.buf.out)
	return nil
}

// parseGenerate reads a request as Google does, or what countTokens wraps.
func parseGenerate(body []byte) (*chatRequest, *apiError) {
	root := gjson.ParseBytes(body)
	if !gjson.ValidBytes(body) || !root.IsObject() {
		return nil, badField("Invalid JSON payload received. Expected an object.")
	}
	if inside := field(root, "generateContentRequest"); inside.Exists() {
		root = inside
	}
	if fault := checkFields("", root, generateFields); fault != nil {
		return nil, fault
	}
	config := field(root, "generationConfig")
	if fault := checkFields("generation_config", config, configFields); fault != nil {
		return nil, fault
	}
	req := &chatRequest{n: 1, maxTokens: field(config, "maxOutputTokens").Int(), toolChoice: "auto"}
	req.showThoughts = field(field(config, "thinkingConfig"), "includeThoughts").Bool()
	req.wantsJSON = field(config, "responseMimeType").Str == "application/json"
	if req.schema = field(config, "responseJsonSchema"); !req.schema.Exists() {
		req.schema = field(config, "responseSchema")
	}
	if n := field(config, "candidateCount").Int(); n > 1 {
		req.n = int(min(n, maxChoices))
	}
	for _, stop := range field(config, "stopSequences").Array() {
		req.stop = append(req.stop, stop.Str)
	}
	req.promptTokens = textTokens(field(root, "systemInstruction").Get("parts"))
	if fault := req.readContents(root.Get("contents")); fault != nil {
		return nil, fault
	}
	for _, tool := range root.Get("tools").Array() {
		for _, f := range field(tool, "functionDeclarations").Array() {
			if f.Get("name").Str == "" {
				return nil, badField("GenerateContentRequest.tools[0].function_declarations[0].name: Invalid function name.")
			}
			schema := field(f, "parametersJsonSchema")
			if !schema.Exists() {
				schema = field(f, "parameters")
			}
			req.tools = append(req.tools, function{f.Get("name").Str, schema})
		}
	}
	calling := field(field(root, "toolConfig"), "functionCallingConfig")
	switch strings.ToUpper(calling.Get("mode").Str) {
	case "NONE":
		req.toolChoice = "none"
	case "ANY":
		req.toolChoice = "required"
		if allowed := field(calling, "allowedFunctionNames").Array(); len(allowed) > 0 {
			req.toolChoice = allowed[0].Str
		}
	}
	return req, nil
}

// readContents reads the contents. What functions returned follows their calls, in the same number.
func (req *chatRequest) readContents(contents gjson.Result) *apiError {
	list := contents.Array()
	if !contents.IsArray() || len(list) == 0 {
		return badField("* GenerateContentRequest.contents: contents is not specified")
	}
	calls := 0
	for i, content := range list {
		at := "contents[" + strconv.Itoa(i) + "]"
		if fault := checkFields(at, content, contentFields); fault != nil {
			return fault
		}
		role, parts := content.Get("role").Str, content.Get("parts")
		if role != "" && role != "user" && role != "model" && role != "function" {
			return badField("Please use a valid role: user, model.")
		}
		responses := 0
		var results []string
		text := textOf(parts)
		for j, part := range parts.Array() {
			if fault := checkPart(at+".parts["+strconv.Itoa(j)+"]", part); fault != nil {
				return fault
			}
			if response := field(part, "functionResponse"); response.Exists() {
				responses++
				req.promptTokens += Tokens(response.Get("response.result").Str)
				results = append(results, googleResult(response.Get("response")))
			}
			if file := googleFile(part); file != "" {
				req.files = append(req.files, file)
			}
		}
		if calls != responses {
			return badField("Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn.")
		}
		calls = 0
		for _, part := range parts.Array() {
			if field(part, "functionCall").Exists() {
				calls++
			}
		}
		req.promptTokens += textTokens(parts)
		req.results = results
		if role != "model" && text != "" {
			req.prompt, req.results = text, nil
		}
	}
	return nil
}

// googleResult is the text of what a function returned, which the documentation wants in a member "result" (or "output").
func googleResult(response gjson.Result) string {
	for _, name := range [...]string{"result", "output"} {
		if value := response.Get(name); value.Type == gjson.String {
			return value.Str
		}
	}
	return response.Raw
}

func checkPart(at string, part gjson.Result) *apiError {
	if fault := checkFields(at, part, partFields); fault != nil {
		return fault
	}
	data := 0
	for _, name := range [...]string{"text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode", "codeExecutionResult"} {
		if field(part, name).Exists() {
			data++
		}
	}
	inline, call, response := field(part, "inlineData"), field(part, "functionCall"), field(part, "functionResponse")
	switch {
	case data != 1:
		return badField("* " + at + ".data: required oneof field 'data' must have one initialized field")
	case inline.Exists() && field(inline, "mimeType").Str == "":
		return badField("Unable to submit request because it must have a mimeType parameter at " + at)
	case call.Exists() && (call.Get("name").Str == "" || call.Get("args").Exists() && !call.Get("args").IsObject()):
		return badField("* " + at + ".function_call.name: [REQUIRED]")
	case response.Exists() && (response.Get("name").Str == "" || !response.Get("response").IsObject()):
		return badField("* " + at + ".function_response: Name cannot be empty, and response is an object.")
	}
	return nil
}

var generateFinish = map[string]string{finishStop: "STOP", finishCalls: "STOP", finishLength: "MAX_TOKENS", finishRefuse: "SAFETY"}

// A generation is an answer in the form of Google's API.
type generation struct {
	*completion
	signs bool // its calls
}

// parts are the JSON of the whole answer's parts.
func (g *generation) parts() []byte {
	var dst []byte
	if g.thinks() {
		dst = append(g.thought(dst, g.answer.thoughts), ',')
	}
	return append(dst, g.said()...)
}

// said are the parts of the answer without thoughts.
func (g *generation) said() []byte {
	var dst []byte
	for k := range g.answer.calls {
		if k > 0 {
			dst = append(dst, ',')
		}
		dst = g.appendCall(dst, k)
	}
	if len(g.answer.calls) == 0 {
		dst = append(appendString(append(dst, `{"text":`...), g.answer.text, g.behavior.Escape), '}')
	}
	return dst
}

func (g *generation) thought(dst []byte, text string) []byte {
	dst = appendString(append(dst, `{"text":`...), text, g.behavior.Escape)
	return append(dst, `,"thought":true}`...)
}

func (g *generation) appendCall(dst []byte, k int) []byte {
	call := g.answer.calls[k]
	dst = appendString(append(dst, `{"functionCall":{"name":`...), call.name, false)
	dst = append(append(append(dst, `,"args":`...), call.arguments...), '}')
	if g.signs && k == 0 {
		dst = append(dst, `,"thoughtSignature":"`+signatureOfThought+`"`...)
	}
	return append(dst, '}')
}

// appendChunk writes an answer, or a piece of one.
func (g *generation) appendChunk(dst, parts []byte, last bool) []byte {
	dst = append(dst, `{"candidates":[`...)
	for i := range g.req.n {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, `{"content":{"parts":[`...), parts...), `],"role":"model"}`...)
		if last {
			dst = appendString(append(dst, `,"finishReason":`...), generateFinish[g.answer.finish], false)
		}
		dst = append(appendInt(append(dst, `,"index":`...), int64(i)), '}')
	}
	dst = append(dst, ']')
	if last && !g.behavior.OmitUsage {
		dst = g.appendUsage(append(dst, `,"usageMetadata":`...))
	}
	dst = appendString(append(dst, `,"modelVersion":`...), g.req.model, false)
	return append(appendInt(append(dst, `,"responseId":"mock-`...), g.number), `"}`...)
}

// appendUsage writes what the exchange used: what the model thought is not in the candidates' tokens.
func (g *generation) appendUsage(dst []byte) []byte {
	output, thoughts := g.answer.tokens*int64(g.req.n), g.reasoning()
	dst = appendInt(append(dst, `{"promptTokenCount":`...), g.req.promptTokens)
	dst = appendInt(append(dst, `,"candidatesTokenCount":`...), output)
	dst = appendInt(append(dst, `,"totalTokenCount":`...), g.req.promptTokens+output+thoughts)
	if cached := min(int64(g.behavior.CachedTokens), g.req.promptTokens); cached > 0 {
		dst = appendInt(append(dst, `,"cachedContentTokenCount":`...), cached)
	}
	if thoughts > 0 {
		dst = appendInt(append(dst, `,"thoughtsTokenCount":`...), thoughts)
	}
	return append(dst, '}')
}

// stream answers with server-sent events, or with a JSON array whose elements come one by one.
func (g *generation) stream(sse bool) {
	s := g.begins()
	s.event = func(_ string, data []byte) bool {
		switch {
		case sse:
			return s.send(append(append([]byte("data: "), data...), "\r\n\r\n"...))
		case s.sent == 0:
			return s.send(append([]byte("["), data...))
		default:
			return s.send(append([]byte("\n,\r\n"), data...))
		}
	}
	if !g.events(s) {
		return
	}
	if !sse && s.write([]byte("\n]\n")) != nil {
		return
	}
	s.ends()
}

func (g *generation) events(s *eventStream) bool {
	thinks := func(piece string) bool { return s.event("", g.appendChunk(nil, g.thought(nil, piece), false)) }
	if g.thinks() && !s.pieces(g.answer.thoughts, thinks) {
		return false
	}
	if len(g.answer.calls) > 0 {
		return s.event("", g.appendChunk(nil, g.said(), true))
	}
	for rest := g.answer.text; ; {
		end := pieceEnd(rest, g.behavior.Chunk)
		part := append(appendString([]byte(`{"text":`), rest[:end], g.behavior.Escape), '}')
		last := end == len(rest)
		if !s.event("", g.appendChunk(nil, part, last)) {
			return false
		}
		if last {
			return true
		}
		rest = rest[end:]
	}
}

// embedContents answers with embeddings. https://ai.google.dev/api/embeddings
func (x *exchange) embedContents(model string, single bool) *apiError {
	root := gjson.ParseBytes(x.body)
	if !gjson.ValidBytes(x.body) || !root.IsObject() {
		return badField("Invalid JSON payload received. Expected an object.")
	}
	list := []gjson.Result{root}
	if !single {
		list = root.Get("requests").Array()
	}
	req := &chatRequest{model: model}
	if fault := x.admit(req); fault != nil {
		return fault
	}
	method := "batchEmbedContents"
	if single {
		method = "embedContent"
	}
	if fault := x.check(method); fault != nil {
		return fault
	}
	dst := append(x.buf.out, `{"embedding":`...)
	if !single {
		dst = append(x.buf.out, `{"embeddings":[`...)
	}
	for i, one := range list {
		text := textOf(one.Get("content.parts"))
		if !one.Get("content.parts").IsArray() || text == "" {
			return badField("* EmbedContentRequest.content: contents is not specified")
		}
		if name := one.Get("model").Str; !single && name == "" {
			return badField("* BatchEmbedContentsRequest.requests[" + strconv.Itoa(i) + "].model: unexpected model name format")
		}
		dimensions := int(min(field(one, "outputDimensionality").Int(), maxDimensions))
		if dimensions <= 0 {
			dimensions = maxDimensions
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendVector(append(dst, `{"values":`...), vectorOf(text, dimensions), false), '}')
	}
	if !x.begin() {
		return nil
	}
	if !single {
		dst = append(dst, ']')
	}
	x.buf.out = append(dst, "}\n"...)
	x.send(x.buf.out)
	return nil
}
