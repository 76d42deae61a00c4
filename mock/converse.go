package mock

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// bedrock answers POST /model/MODEL/converse, converse-stream and count-tokens.
// https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
func (x *exchange) bedrock() *apiError {
	escaped, method, found := strings.Cut(strings.TrimPrefix(x.r.URL.EscapedPath(), "/model/"), "/")
	model, err := url.PathUnescape(escaped)
	if !found || err != nil || method != "converse" && method != "converse-stream" && method != "count-tokens" {
		return &apiError{status: 404, message: "Unknown operation.", code: "UnknownOperationException"}
	}
	if !gjson.ValidBytes(x.body) || !gjson.ParseBytes(x.body).IsObject() {
		return &apiError{status: 400, message: "The request is not valid JSON.", code: "SerializationException"}
	}
	if fault := x.check(method); fault != nil {
		return fault
	}
	root := gjson.ParseBytes(x.body)
	if method == "count-tokens" {
		root = root.Get("input.converse")
	}
	req, fault := parseConverse(root)
	if fault != nil {
		return fault
	}
	req.model, req.stream = model, method == "converse-stream"
	if fault := x.admit(req); fault != nil {
		return fault
	}
	if !x.begin() {
		return nil
	}
	c := conversation{&completion{exchange: x, req: req, answer: answerTo(req)}}
	switch {
	case method == "count-tokens":
		x.buf.out = append(appendInt(append(x.buf.out, `{"inputTokens":`...), req.promptTokens), '}')
	case req.stream:
		c.stream()
		return nil
	default:
		x.buf.out = c.appendWhole(x.buf.out)
	}
	x.send(x.buf.out)
	return nil
}

func invalidConversation(message string) *apiError { return &apiError{status: 400, message: message} }

// parseConverse reads a request as Bedrock does: turns alternate, and each call of a tool is answered in the next one.
func parseConverse(root gjson.Result) (*chatRequest, *apiError) {
	config := root.Get("inferenceConfig")
	req := &chatRequest{n: 1, maxTokens: config.Get("maxTokens").Int(), toolChoice: "auto", promptTokens: textTokens(root.Get("system"))}
	for _, stop := range config.Get("stopSequences").Array() {
		req.stop = append(req.stop, stop.Str)
	}
	format := root.Get("outputConfig.textFormat")
	req.wantsJSON, req.schema = format.Get("type").Str == "json_schema", gjson.Parse(format.Get("structure.jsonSchema.schema").Str)
	thinking := root.Get("additionalModelRequestFields.thinking.type").Str
	req.showThoughts = thinking == "enabled" || thinking == "adaptive"
	if fault := req.readConversation(root.Get("messages").Array()); fault != nil {
		return nil, fault
	}
	for _, tool := range root.Get("toolConfig.tools").Array() {
		if spec := tool.Get("toolSpec"); spec.Exists() {
			req.tools = append(req.tools, function{spec.Get("name").Str, spec.Get("inputSchema.json")})
		}
	}
	choice := root.Get("toolConfig.toolChoice")
	switch {
	case choice.Get("any").Exists():
		req.toolChoice = "required"
	case choice.Get("tool").Exists():
		req.toolChoice = choice.Get("tool.name").Str
	}
	return req, nil
}

func (req *chatRequest) readConversation(turns []gjson.Result) *apiError {
	if len(turns) == 0 {
		return invalidConversation("The conversation must start with a user message. Try again with a conversation that starts with a user message.")
	}
	var open []string
	for i, turn := range turns {
		at := "messages." + strconv.Itoa(i)
		role := turn.Get("role").Str
		if wants := [...]string{"user", "assistant"}[i%2]; role != wants {
			return invalidConversation("A conversation must alternate between user and assistant roles. Make sure the conversation alternates between user and assistant roles and try again.")
		}
		var results, calls []string
		for _, block := range turn.Get("content").Array() {
			switch {
			case block.Get("toolUse").Exists():
				calls = append(calls, block.Get("toolUse.toolUseId").Str)
			case block.Get("toolResult").Exists():
				result := block.Get("toolResult")
				k := indexOf(open, result.Get("toolUseId").Str)
				if k < 0 {
					return invalidConversation("The number of toolResult blocks at " + at + ".content exceeds the number of toolUse blocks of previous turn.")
				}
				open = append(open[:k], open[k+1:]...)
				text := converseResult(result.Get("content"))
				results = append(results, text)
				req.promptTokens += Tokens(text)
			}
			for _, kind := range [...]string{"image", "document"} {
				if file := block.Get(kind); file.Exists() {
					req.files = append(req.files, fileOf(mediaTypes[kind]+file.Get("format").Str, file.Get("source.bytes").Str))
				}
			}
		}
		if len(open) > 0 {
			return invalidConversation("Expected toolResult blocks at " + at + ".content for the following Ids: " + strings.Join(open, ", "))
		}
		open = calls
		req.promptTokens += textTokens(turn.Get("content"))
		req.results = results
		if text := textOf(turn.Get("content")); role == "user" && text != "" {
			req.prompt, req.results = text, nil
		}
	}
	return nil
}

// mediaTypes are the types that the formats of images and documents belong to.
var mediaTypes = map[string]string{"image": "image/", "document": "application/"}

func indexOf(list []string, wanted string) int {
	for i, s := range list {
		if s == wanted {
			return i
		}
	}
	return -1
}

func converseResult(content gjson.Result) string {
	var texts []string
	for _, part := range content.Array() {
		if object := part.Get("json"); object.Exists() {
			texts = append(texts, object.Raw)
		} else {
			texts = append(texts, part.Get("text").Str)
		}
	}
	return strings.Join(texts, "\n")
}

// A conversation is an answer in the form of Bedrock's.
type conversation struct{ *completion }

var converseFinish = map[string]string{finishStop: "end_turn", finishLength: "max_tokens", finishCalls: "tool_use", finishRefuse: "content_filtered"}

func (c *conversation) finish() string {
	if c.answer.finish == finishStop && c.answer.stopped != "" {
		return "stop_sequence"
	}
	return converseFinish[c.answer.finish]
}

func (c *conversation) appendWhole(dst []byte) []byte {
	dst = append(dst, `{"metrics":{"latencyMs":1},"output":{"message":{"content":[`...)
	if c.thinks() {
		dst = appendString(append(dst, `{"reasoningContent":{"reasoningText":{"signature":"bW9jaw==","text":`...), c.answer.thoughts, c.behavior.Escape)
		dst = append(dst, `}}},`...)
	}
	for k, call := range c.answer.calls {
		if k > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(c.appendCall(append(dst, `{"toolUse":`...), k), `,"input":`+call.arguments...), `}}`...)
	}
	if len(c.answer.calls) == 0 {
		dst = append(appendString(append(dst, `{"text":`...), c.answer.text, c.behavior.Escape), '}')
	}
	dst = appendString(append(dst, `],"role":"assistant"}},"stopReason":`...), c.finish(), false)
	if !c.behavior.OmitUsage {
		dst = c.appendUsage(append(dst, `,"usage":`...))
	}
	return append(dst, '}')
}

// appendCall writes a call without its input and its closing brace.
func (c *conversation) appendCall(dst []byte, k int) []byte {
	dst = appendInt(append(dst, `{"toolUseId":"tooluse_mock_`...), c.number)
	dst = appendInt(append(dst, '_'), int64(k))
	return appendString(append(dst, `","name":`...), c.answer.calls[k].name, false)
}

// appendUsage writes what the exchange used: what was read from the cache is not in the input.
func (c *conversation) appendUsage(dst []byte) []byte {
	cached, output := min(int64(c.behavior.CachedTokens), c.req.promptTokens), c.answer.tokens+c.reasoning()
	dst = appendInt(append(dst, `{"inputTokens":`...), c.req.promptTokens-cached)
	dst = appendInt(append(dst, `,"outputTokens":`...), output)
	dst = appendInt(append(dst, `,"totalTokens":`...), c.req.promptTokens+output)
	return append(appendInt(append(dst, `,"cacheReadInputTokens":`...), cached), `,"cacheWriteInputTokens":0}`...)
}

// stream answers with the events of https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html.
func (c *conversation) stream() {
	s := c.begins()
	s.event = func(name string, data []byte) bool {
		return s.send(appendMessage(s.buf.out[:0], data, ":event-type", name, ":content-type", "application/json", ":message-type", "event"))
	}
	if !s.event("messageStart", []byte(`{"p":"abcdefghijkl","role":"assistant"}`)) || !c.blocks(s) ||
		!s.event("messageStop", append(appendString([]byte(`{"p":"abc","stopReason":`), c.finish(), false), '}')) {
		return
	}
	dst := []byte(`{"metrics":{"latencyMs":1},"p":"abcdef"`)
	if !c.behavior.OmitUsage {
		dst = c.appendUsage(append(dst, `,"usage":`...))
	}
	if s.event("metadata", append(dst, '}')) {
		s.ends()
	}
}

func (c *conversation) blocks(s *eventStream) bool {
	index := 0
	if c.thinks() {
		signature := []byte(`{"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"bW9jaw=="}}}`)
		if !c.deltas(s, 0, `{"reasoningContent":{"text":`, c.answer.thoughts, `}}`) || !s.event("contentBlockDelta", signature) ||
			!s.event("contentBlockStop", []byte(`{"contentBlockIndex":0}`)) {
			return false
		}
		index++
	}
	for k, call := range c.answer.calls {
		at := []byte(`{"contentBlockIndex":` + strconv.Itoa(index+k))
		start := append(c.appendCall(append(at, `,"start":{"toolUse":`...), k), `}}}`...)
		if !s.event("contentBlockStart", start) || !c.deltas(s, index+k, `{"toolUse":{"input":`, call.arguments, `}}`) ||
			!s.event("contentBlockStop", append(at, '}')) {
			return false
		}
	}
	if len(c.answer.calls) > 0 {
		return true
	}
	return c.deltas(s, index, `{"text":`, c.answer.text, `}`) && s.event("contentBlockStop", []byte(`{"contentBlockIndex":`+strconv.Itoa(index)+`}`))
}

func (c *conversation) deltas(s *eventStream, index int, before, text, after string) bool {
	return s.pieces(text, func(piece string) bool {
		dst := appendString([]byte(`{"contentBlockIndex":`+strconv.Itoa(index)+`,"delta":`+before), piece, c.behavior.Escape)
		return s.event("contentBlockDelta", append(append(dst, after...), `,"p":"abcd"}`...))
	})
}
