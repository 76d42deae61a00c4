package mock

import (
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// A function is a tool that the model may call.
type function struct {
	name   string
	schema gjson.Result // of its arguments
}

// A chatRequest is what the mock reads of a request for a chat completion. Fields that it does not know are ignored, unlike
// at OpenAI: clients of other providers send theirs.
type chatRequest struct {
	model        string
	stream       bool
	includeUsage bool
	n            int
	maxTokens    int64 // 0: no bound
	stop         []string
	prompt       string // the text of the last user message
	promptTokens int64
	tools        []function
	toolChoice   string   // "none", "auto", "required", or a function's name
	results      []string // of tools, where the conversation ends with them
	files        []string // images and others in the messages
	wantsJSON    bool
	schema       gjson.Result // of the wanted JSON, if there is one
	showThoughts bool
}

// The bounds that OpenAI documents. https://platform.openai.com/docs/api-reference/chat/create
const (
	maxChoices = 128
	maxStops   = 4
)

// parseChat reads a request as OpenAI does: of a key that stands twice, the last counts.
func parseChat(body []byte) (*chatRequest, *apiError) {
	root, fault := parseObject(body)
	if fault != nil {
		return nil, fault
	}
	var model, messages, tools, toolChoice, maxTokens, maxCompletionTokens, streamOptions gjson.Result
	req := &chatRequest{n: 1}
	root.ForEach(func(key, value gjson.Result) bool {
		if value.Type == gjson.Null && key.Str != "model" && key.Str != "messages" {
			return true // null is as if it were absent
		}
		switch key.Str {
		case "model":
			model = value
		case "messages":
			messages = value
		case "stream":
			req.stream, fault = asBool(value, "stream")
		case "stream_options":
			streamOptions = value
		case "n":
			var n int64
			n, fault = asInt(value, "n", maxChoices)
			req.n = int(n)
		case "max_tokens":
			maxTokens = value
		case "max_completion_tokens":
			maxCompletionTokens = value
		case "stop":
			req.stop, fault = asStops(value)
		case "temperature":
			fault = asNumber(value, "temperature", 0, 2)
		case "top_p":
			fault = asNumber(value, "top_p", 0, 1)
		case "tools":
			tools = value
		case "tool_choice":
			toolChoice = value
		case "response_format":
			req.readFormat(value, value.Get("json_schema.schema"))
		}
		return fault == nil
	})
	if fault != nil {
		return nil, fault
	}
	if req.model, fault = asModel(model); fault != nil {
		return nil, fault
	}
	for _, step := range []func() *apiError{
		func() *apiError { return req.readMessages(messages) },
		func() *apiError { return req.readMaxTokens(maxTokens, maxCompletionTokens) },
		func() *apiError { return req.readStreamOptions(streamOptions) },
		func() *apiError { return req.readTools(tools, toolChoice) },
	} {
		if fault := step(); fault != nil {
			return nil, fault
		}
	}
	return req, nil
}

func (req *chatRequest) readMessages(messages gjson.Result) *apiError {
	switch {
	case !messages.Exists():
		return missing("messages")
	case !messages.IsArray():
		return wrongType("messages", "an array of objects", messages)
	}
	i, last := 0, gjson.Result{}
	var fault *apiError
	messages.ForEach(func(_, message gjson.Result) bool {
		at := "messages[" + strconv.Itoa(i) + "]"
		if !message.IsObject() {
			fault = wrongType(at, "an object", message)
			return false
		}
		var role, content, calls, callID gjson.Result
		message.ForEach(func(key, value gjson.Result) bool {
			switch key.Str {
			case "role":
				role = value
			case "content":
				content = value
			case "tool_calls", "function_call":
				calls = value
			case "tool_call_id":
				callID = value
			}
			return true
		})
		if fault = checkMessage(at, role, content, calls, callID); fault != nil {
			return false
		}
		req.promptTokens += textTokens(content)
		switch role.Str {
		case "user":
			last = content
			req.results = nil
			for _, part := range content.Array() {
				if file := chatFile(part); file != "" {
					req.files = append(req.files, file)
				}
			}
		case "tool":
			req.results = append(req.results, toolResult(content))
		default:
			req.results = nil
		}
		i++
		return true
	})
	if fault == nil && i == 0 {
		return &apiError{status: 400, kind: invalidRequest, parameter: "messages", code: "empty_array",
			message: "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead."}
	}
	if fault == nil {
		req.prompt = textOf(last)
	}
	return fault
}

// readFormat reads the format of the answer, of an API of OpenAI's.
func (req *chatRequest) readFormat(format, schema gjson.Result) {
	kind := format.Get("type").Str
	req.wantsJSON, req.schema = kind == "json_schema" || kind == "json_object", schema
}

func checkMessage(at string, role, content, calls, callID gjson.Result) *apiError {
	switch {
	case !role.Exists():
		return missing(at + ".role")
	case role.Type != gjson.String:
		return wrongType(at+".role", "one of 'system', 'assistant', 'user', 'function', 'tool', or 'developer'", role)
	}
	switch role.Str {
	case "assistant":
		if calls.Exists() && content.Type == gjson.Null {
			return nil
		}
	case "tool":
		if !callID.Exists() {
			return missing(at + ".tool_call_id")
		}
	case "system", "developer", "user", "function":
	default:
		return &apiError{status: 400, kind: invalidRequest, parameter: at + ".role", code: "invalid_value",
			message: "Invalid value: '" + role.Str + "'. Supported values are: 'system', 'assistant', 'user', 'function', 'tool', and 'developer'."}
	}
	switch {
	case !content.Exists():
		return missing(at + ".content")
	case content.Type != gjson.String && !content.IsArray():
		return wrongType(at+".content", "one of a string or array of objects", content)
	}
	var fault *apiError
	part := 0
	if content.IsArray() {
		content.ForEach(func(_, p gjson.Result) bool {
			where := at + ".content[" + strconv.Itoa(part) + "]"
			if !p.IsObject() {
				fault = wrongType(where, "an object", p)
			} else if kind := p.Get("type"); !kind.Exists() {
				fault = missing(where + ".type")
			}
			part++
			return fault == nil
		})
	}
	return fault
}

// textOf is the text of a message's content; of several parts, with line breaks between.
func textOf(content gjson.Result) string {
	if !content.IsArray() {
		return content.Str
	}
	var parts []string
	content.ForEach(func(_, part gjson.Result) bool {
		if text := part.Get("text"); text.Type == gjson.String {
			parts = append(parts, text.Str)
		}
		return true
	})
	return strings.Join(parts, "\n")
}

func textTokens(content gjson.Result) int64 {
	if !content.IsArray() {
		return Tokens(content.Str)
	}
	var n int64
	content.ForEach(func(_, part gjson.Result) bool {
		n += Tokens(part.Get("text").Str)
		return true
	})
	return n
}

func (req *chatRequest) readMaxTokens(old, current gjson.Result) (fault *apiError) {
	if old.Exists() && current.Exists() {
		return &apiError{status: 400, kind: invalidRequest, parameter: "max_tokens", code: "invalid_parameter_combination",
			message: "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."}
	}
	if old.Exists() {
		req.maxTokens, fault = asInt(old, "max_tokens", 0)
	}
	if current.Exists() {
		req.maxTokens, fault = asInt(current, "max_completion_tokens", 0)
	}
	return fault
}

func (req *chatRequest) readStreamOptions(options gjson.Result) (fault *apiError) {
	switch {
	case !options.Exists():
		return nil
	case !req.stream:
		return &apiError{status: 400, kind: invalidRequest, parameter: "stream_options",
			message: "The 'stream_options' parameter is only allowed when 'stream' is enabled."}
	case !options.IsObject():
		return wrongType("stream_options", "an object", options)
	}
	if include := options.Get("include_usage"); include.Exists() && include.Type != gjson.Null {
		req.includeUsage, fault = asBool(include, "stream_options.include_usage")
	}
	return fault
}

func (req *chatRequest) readTools(tools, choice gjson.Result) *apiError {
	if tools.Exists() && !tools.IsArray() {
		return wrongType("tools", "an array of objects", tools)
	}
	for i, tool := range tools.Array() {
		name := tool.Get("function.name")
		if tool.Get("type").Str == "function" && name.Type != gjson.String {
			return missing("tools[" + strconv.Itoa(i) + "].function.name")
		}
		req.tools = append(req.tools, function{name.Str, tool.Get("function.parameters")})
	}
	switch {
	case !choice.Exists():
		req.toolChoice = "auto"
	case len(req.tools) == 0:
		return &apiError{status: 400, kind: invalidRequest, parameter: "tool_choice",
			message: "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified."}
	case choice.IsObject():
		req.toolChoice = choice.Get("function.name").Str
	default:
		req.toolChoice = choice.Str
	}
	return nil
}
