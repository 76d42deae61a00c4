package mock

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// Fields of a request that Anthropic knows, after the types of its Python package anthropic 2.12.0 (message_create_params,
// message_count_tokens_params). Others it refuses.
var messagesFields = []string{
	"model", "messages", "max_tokens", "cache_control", "container", "context_management", "diagnostics", "inference_geo", "mcp_servers", "metadata",
	"output_config", "service_tier", "speed", "stop_sequences", "stream", "system", "temperature", "thinking", "tool_choice", "tools", "top_k", "top_p",
	"user_profile_id", "workspace_id",
}

// messages answers POST /v1/messages. https://docs.anthropic.com/en/api/messages
func (x *exchange) messages() *apiError {
	req, fault := parseMessages(x.body, true)
	if fault == nil {
		fault = x.admit(req)
	}
	if fault == nil {
		fault = checkGeneration(req.model, x.body)
	}
	if fault == nil {
		fault = x.check("messages")
	}
	if fault != nil || !x.begin() {
		return fault
	}
	m := messagesAnswer{&completion{exchange: x, req: req, answer: answerTo(req)}}
	if req.stream {
		m.stream()
		return nil
	}
	x.buf.out = m.appendWhole(x.buf.out)
	x.send(x.buf.out)
	return nil
}

// admit looks up the model, and takes the behavior off its name.
func (x *exchange) admit(req *chatRequest) *apiError {
	x.streamed = req.stream
	var err error
	if req.model, err = cutModel(req.model, &x.behavior); err != nil {
		return badBehavior(err)
	}
	return x.p.findModel(req.model)
}

// countTokens answers POST /v1/messages/count_tokens.
func (x *exchange) countTokens() *apiError {
	req, fault := parseMessages(x.body, false)
	if fault == nil {
		fault = x.admit(req)
	}
	if fault == nil {
		fault = x.check("count_tokens")
	}
	if fault != nil || !x.begin() {
		return fault
	}
	x.buf.out = append(appendInt(append(x.buf.out, `{"input_tokens":`...), req.promptTokens), "}\n"...)
	x.send(x.buf.out)
	return nil
}

// threadUnsupported is the code of Anthropic's error where it does not keep a conversation.
const threadUnsupported = "thread_unsupported_request"

func badMessage(at, reason string) *apiError {
	return &apiError{status: 400, kind: invalidRequest, message: at + ": " + reason}
}

// parseMessages reads a request as Anthropic does.
func parseMessages(body []byte, generates bool) (*chatRequest, *apiError) {
	root := gjson.ParseBytes(body)
	if !gjson.ValidBytes(body) || !root.IsObject() {
		return nil, &apiError{status: 400, kind: invalidRequest, message: "The request body is not valid JSON"}
	}
	var fault *apiError
	root.ForEach(func(key, _ gjson.Result) bool {
		switch {
		case key.Str == "thread": // which clients of the beta ask for; without that field they send the whole conversation
			fault = &apiError{status: 400, kind: invalidRequest, message: "thread: is not supported", code: threadUnsupported}
		case !slices.Contains(messagesFields, key.Str):
			fault = badMessage(key.Str, "Extra inputs are not permitted")
		}
		return fault == nil
	})
	req := &chatRequest{n: 1, model: root.Get("model").Str, stream: root.Get("stream").Bool(), maxTokens: root.Get("max_tokens").Int(), toolChoice: "auto"}
	switch {
	case fault != nil:
		return nil, fault
	case req.model == "":
		return nil, badMessage("model", "Field required")
	case generates && !root.Get("max_tokens").Exists():
		return nil, badMessage("max_tokens", "Field required")
	case generates && req.maxTokens < 1:
		return nil, badMessage("max_tokens", "Input should be greater than or equal to 1")
	case root.Get("temperature").Num > 1 || root.Get("temperature").Num < 0:
		return nil, badMessage("temperature", "range: 0..1")
	}
	if budget := root.Get("thinking.budget_tokens"); budget.Exists() && (budget.Int() < 1024 || budget.Int() >= req.maxTokens) {
		return nil, badMessage("thinking.enabled.budget_tokens", "must be at least 1024 and less than max_tokens")
	}
	for _, stop := range root.Get("stop_sequences").Array() {
		req.stop = append(req.stop, stop.Str)
	}
	req.promptTokens = textTokens(root.Get("system"))
	req.wantsJSON, req.schema = root.Get("output_config.format.type").Str == "json_schema", root.Get("output_config.format.schema")
	req.showThoughts = root.Get("thinking.type").Str == "enabled" || root.Get("thinking.type").Str == "adaptive"
	if fault := req.readTurns(root.Get("messages")); fault != nil {
		return nil, fault
	}
	return req, req.readMessagesTools(root.Get("tools"), root.Get("tool_choice"))
}

// readTurns reads the messages: they come from user and assistant, and each call of a tool is answered in the next one. Instructions may stand between them:
// Claude Code asks for that with the beta mid-conversation-system-2026-04-07.
func (req *chatRequest) readTurns(messages gjson.Result) *apiError {
	turns := messages.Array()
	if !messages.IsArray() || len(turns) == 0 {
		return badMessage("messages", "at least one message is required")
	}
	var open []string // calls that the next message must answer
	for i, turn := range turns {
		at := "messages." + strconv.Itoa(i)
		role, content := turn.Get("role").Str, turn.Get("content")
		switch {
		case role == "system" && i > 0: // which only a beta allows: the schema refuses it else
			req.promptTokens += textTokens(content)
			continue
		case role != "user" && role != "assistant":
			return badMessage(at+".role", "Input should be 'user' or 'assistant'")
		case content.Type != gjson.String && !content.IsArray():
			return badMessage(at+".content", "Input should be a valid string or list")
		case i == 0 && role != "user":
			return badMessage(at, "the first message must use the \"user\" role")
		}
		var calls, results []string
		for j, block := range content.Array() {
			if content.Type == gjson.String {
				break
			}
			where := at + ".content." + strconv.Itoa(j)
			if fault := checkBlock(where, block); fault != nil {
				return fault
			}
			switch block.Get("type").Str {
			case "tool_use":
				calls = append(calls, block.Get("id").Str)
			case "tool_result":
				k := slices.Index(open, block.Get("tool_use_id").Str)
				if k < 0 {
					return badMessage(where, "unexpected `tool_use_id` found in `tool_result` blocks: "+block.Get("tool_use_id").Str)
				}
				open = slices.Delete(open, k, k+1)
				req.promptTokens += textTokens(block.Get("content"))
				results = append(results, toolResult(block.Get("content")))
			}
			if file := messagesFile(block); file != "" {
				req.files = append(req.files, file)
			}
		}
		if len(open) > 0 && role == "user" {
			return badMessage(at, "`tool_use` ids were found without `tool_result` blocks immediately after: "+open[0])
		}
		open = append(open, calls...)
		req.promptTokens += textTokens(content)
		req.results = results
		if text := textOf(content); role == "user" && text != "" {
			req.prompt, req.results = text, nil
		}
	}
	return nil
}

// blockFields are the fields that a block must have, by its type.
var blockFields = map[string][]string{
	"text": {"text"}, "image": {"source"}, "document": {"source"}, "tool_use": {"id", "name", "input"}, "tool_result": {"tool_use_id"},
	"thinking": {"thinking", "signature"}, "redacted_thinking": {"data"}, "search_result": {"source", "title", "content"},
}

func checkBlock(at string, block gjson.Result) *apiError {
	kind := block.Get("type").Str
	fields, known := blockFields[kind]
	if !known {
		return badMessage(at, "Input tag '"+kind+"' found using 'type' does not match any of the expected tags")
	}
	for _, field := range fields {
		if !block.Get(field).Exists() {
			return badMessage(at+"."+kind+"."+field, "Field required")
		}
	}
	switch {
	case kind == "text" && block.Get("text").Str == "":
		return badMessage("messages", "text content blocks must be non-empty")
	case kind == "tool_use" && !block.Get("input").IsObject():
		return badMessage(at+".tool_use.input", "Input should be a valid dictionary")
	case (kind == "image" || kind == "document") && block.Get("source.type").Str == "base64" && block.Get("source.media_type").Str == "":
		return badMessage(at+"."+kind+".source.base64.media_type", "Field required")
	}
	return nil
}

func (req *chatRequest) readMessagesTools(tools, choice gjson.Result) *apiError {
	for i, tool := range tools.Array() {
		at := "tools." + strconv.Itoa(i)
		if tool.Get("name").Str == "" {
			return badMessage(at+".custom.name", "Field required")
		}
		if schema := tool.Get("input_schema"); tool.Get("type").Str == "" && schema.Get("type").Str != "object" {
			return badMessage(at+".custom.input_schema.type", "Input should be 'object'")
		}
		req.tools = append(req.tools, function{tool.Get("name").Str, tool.Get("input_schema")})
	}
	if !choice.Exists() {
		return nil
	}
	switch choice.Get("type").Str {
	case "auto", "none":
		req.toolChoice = choice.Get("type").Str
	case "any":
		req.toolChoice = "required"
	case "tool":
		req.toolChoice = choice.Get("name").Str
	default:
		return badMessage("tool_choice", "Input tag does not match any of the expected tags: 'any', 'auto', 'none', 'tool'")
	}
	if req.toolChoice != "none" && len(req.tools) == 0 {
		return badMessage("tool_choice", "may only be specified while providing tools")
	}
	return nil
}

// A messagesAnswer is an answer in the form of Anthropic's API.
type messagesAnswer struct{ *completion }

var messagesFinish = map[string]string{finishStop: "end_turn", finishLength: "max_tokens", finishCalls: "tool_use", finishRefuse: "refusal"}

func (m *messagesAnswer) finish() string {
	if m.answer.finish == finishStop && m.answer.stopped != "" {
		return "stop_sequence"
	}
	return messagesFinish[m.answer.finish]
}

func (m *messagesAnswer) appendHead(dst []byte) []byte {
	dst = appendInt(append(dst, `{"id":"msg_mock_`...), m.number)
	return appendString(append(dst, `","type":"message","role":"assistant","model":`...), m.req.model, false)
}

func (m *messagesAnswer) appendWhole(dst []byte) []byte {
	dst = append(m.appendHead(dst), `,"content":[`...)
	if m.thinks() {
		dst = appendString(append(dst, `{"type":"thinking","thinking":`...), m.answer.thoughts, m.behavior.Escape)
		dst = append(dst, `,"signature":"bW9jaw=="},`...)
	}
	for k, call := range m.answer.calls {
		if k > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(m.appendToolUse(dst, k), call.arguments...), '}')
	}
	if len(m.answer.calls) == 0 {
		dst = appendString(append(dst, `{"type":"text","text":`...), m.answer.text, m.behavior.Escape)
		dst = append(dst, '}')
	}
	dst = appendString(append(dst, `],"stop_reason":`...), m.finish(), false)
	dst = appendOptional(append(dst, `,"stop_sequence":`...), m.answer.stopped)
	if !m.behavior.OmitUsage {
		dst = m.appendUsage(append(dst, `,"usage":`...))
	}
	return append(dst, "}\n"...)
}

// thinks tells whether the answer shows thoughts.
func (c *completion) thinks() bool { return c.req.showThoughts && c.answer.thoughts != "" }

// appendToolUse writes a call's block up to its input.
func (m *messagesAnswer) appendToolUse(dst []byte, k int) []byte {
	dst = appendInt(append(dst, `{"type":"tool_use","id":"toolu_mock_`...), m.number)
	dst = appendInt(append(dst, '_'), int64(k))
	dst = appendString(append(dst, `","name":`...), m.answer.calls[k].name, false)
	return append(dst, `,"input":`...)
}

// appendUsage writes what the exchange used: what was read from the cache is not in the input.
func (m *messagesAnswer) appendUsage(dst []byte) []byte {
	cached := min(int64(m.behavior.CachedTokens), m.req.promptTokens)
	dst = appendInt(append(dst, `{"input_tokens":`...), m.req.promptTokens-cached)
	dst = appendInt(append(dst, `,"cache_creation_input_tokens":0,"cache_read_input_tokens":`...), cached)
	dst = appendInt(append(dst, `,"output_tokens":`...), m.answer.tokens+m.reasoning())
	return append(dst, '}')
}

// stream answers with the events of https://docs.anthropic.com/en/api/messages-streaming.
func (m *messagesAnswer) stream() {
	s := m.begins()
	s.event = func(name string, data []byte) bool {
		return s.send(append(append(append(append([]byte("event: "), name...), "\ndata: "...), data...), "\n\n"...))
	}
	if m.events(s) {
		s.ends()
	}
}

func (m *messagesAnswer) events(s *eventStream) bool {
	dst := append(m.appendHead([]byte(`{"type":"message_start","message":`)), `,"content":[],"stop_reason":null,"stop_sequence":null`...)
	if !m.behavior.OmitUsage {
		dst = appendInt(append(dst, `,"usage":{"input_tokens":`...), m.req.promptTokens-min(int64(m.behavior.CachedTokens), m.req.promptTokens))
		dst = appendInt(append(dst, `,"cache_creation_input_tokens":0,"cache_read_input_tokens":`...), min(int64(m.behavior.CachedTokens), m.req.promptTokens))
		dst = append(dst, `,"output_tokens":1}`...)
	}
	if !s.event("message_start", append(dst, "}}"...)) || !m.blocks(s) {
		return false
	}
	dst = appendString([]byte(`{"type":"message_delta","delta":{"stop_reason":`), m.finish(), false)
	dst = append(appendOptional(append(dst, `,"stop_sequence":`...), m.answer.stopped), '}')
	if !m.behavior.OmitUsage {
		dst = m.appendUsage(append(dst, `,"usage":`...))
	}
	return s.event("message_delta", append(dst, '}')) && s.event("message_stop", []byte(`{"type":"message_stop"}`))
}

func (m *messagesAnswer) blocks(s *eventStream) bool {
	index := 0
	if m.thinks() {
		if !m.block(s, index, []byte(`{"type":"thinking","thinking":"","signature":""}`), `"thinking_delta","thinking":`, m.answer.thoughts) {
			return false
		}
		index++
	}
	if len(m.answer.calls) == 0 {
		return m.block(s, index, []byte(`{"type":"text","text":""}`), `"text_delta","text":`, m.answer.text)
	}
	for k, call := range m.answer.calls {
		if !m.block(s, index+k, append(m.appendToolUse(nil, k), "{}}"...), `"input_json_delta","partial_json":`, call.arguments) {
			return false
		}
	}
	return true
}

func (m *messagesAnswer) block(s *eventStream, index int, start []byte, delta, text string) bool {
	at := `,"index":` + strconv.Itoa(index)
	if !s.event("content_block_start", append(append([]byte(`{"type":"content_block_start"`+at+`,"content_block":`), start...), '}')) ||
		index == 0 && !s.event("ping", []byte(`{"type":"ping"}`)) {
		return false
	}
	ok := s.pieces(text, func(piece string) bool {
		dst := appendString([]byte(`{"type":"content_block_delta"`+at+`,"delta":{"type":`+delta), piece, m.behavior.Escape)
		return s.event("content_block_delta", append(dst, "}}"...))
	})
	if ok && strings.HasPrefix(delta, `"thinking_delta"`) {
		ok = s.event("content_block_delta", []byte(`{"type":"content_block_delta"`+at+`,"delta":{"type":"signature_delta","signature":"bW9jaw=="}}`))
	}
	return ok && s.event("content_block_stop", []byte(`{"type":"content_block_stop"`+at+`}`))
}
