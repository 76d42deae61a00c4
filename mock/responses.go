package mock

import (
	"strconv"

	"github.com/tidwall/gjson"
)

// responses answers POST /v1/responses. https://platform.openai.com/docs/api-reference/responses
func (x *exchange) responses() *apiError {
	req, fault := parseResponses(x.body)
	if fault == nil {
		fault = x.admit(req)
	}
	if fault == nil {
		fault = x.check("responses")
	}
	if fault != nil || !x.begin() {
		return fault
	}
	r := responsesAnswer{completion: &completion{exchange: x, req: req, answer: answerTo(req), created: x.p.options.Now().Unix()}}
	if req.stream {
		r.stream()
		return nil
	}
	x.buf.out = append(r.append(x.buf.out, r.status(), true), '\n')
	x.send(x.buf.out)
	return nil
}

// parseResponses reads a request as OpenAI does: its input is a text, or items of which messages are some.
func parseResponses(body []byte) (*chatRequest, *apiError) {
	root, fault := parseObject(body)
	if fault != nil {
		return nil, fault
	}
	req := &chatRequest{
		n: 1, stream: root.Get("stream").Bool(), toolChoice: "auto",
		showThoughts: root.Get("reasoning.summary").Type == gjson.String,
	}
	if req.model, fault = asModel(root.Get("model")); fault != nil {
		return nil, fault
	}
	if limit := root.Get("max_output_tokens"); limit.Exists() && limit.Type != gjson.Null {
		if req.maxTokens, fault = asInt(limit, "max_output_tokens", 0); fault != nil {
			return nil, fault
		}
	}
	format := root.Get("text.format")
	req.readFormat(format, format.Get("schema"))
	req.promptTokens = Tokens(root.Get("instructions").Str)
	switch input := root.Get("input"); {
	case input.Type == gjson.String:
		req.prompt = input.Str
		req.promptTokens += Tokens(input.Str)
	case input.IsArray() && len(input.Array()) > 0:
		if fault := req.readItems(input.Array()); fault != nil {
			return nil, fault
		}
	case input.Exists():
		return nil, wrongType("input", "one of a string or array of objects", input)
	default:
		return nil, missing("input")
	}
	return req, req.readResponsesTools(root.Get("tools"), root.Get("tool_choice"))
}

// readItems reads the conversation. What a function returned belongs to a call that stands before it.
func (req *chatRequest) readItems(items []gjson.Result) *apiError {
	calls := map[string]bool{}
	for i, item := range items {
		at := "input[" + strconv.Itoa(i) + "]"
		if !item.IsObject() {
			return wrongType(at, "an object", item)
		}
		content := item.Get("content")
		switch kind := item.Get("type").Str; {
		case kind == "function_call":
			calls[item.Get("call_id").Str] = true
		case kind == "function_call_output":
			id := item.Get("call_id").Str
			if !calls[id] {
				return &apiError{status: 400, kind: invalidRequest, parameter: "input", message: "No tool call found for function call output with call_id " + id + "."}
			}
			req.results = append(req.results, toolResult(item.Get("output")))
			req.promptTokens += textTokens(item.Get("output"))
		case kind == "message" || kind == "" && item.Get("role").Exists():
			req.results = nil
			req.promptTokens += textTokens(content)
			if item.Get("role").Str != "user" {
				continue
			}
			req.prompt = textOf(content)
			for _, part := range content.Array() {
				if file := chatFile(part); file != "" {
					req.files = append(req.files, file)
				}
			}
		}
	}
	return nil
}

func (req *chatRequest) readResponsesTools(tools, choice gjson.Result) *apiError {
	for _, tool := range tools.Array() {
		if tool.Get("type").Str == "function" {
			req.tools = append(req.tools, function{tool.Get("name").Str, tool.Get("parameters")})
		}
	}
	switch {
	case !choice.Exists() || choice.Type == gjson.Null:
	case len(req.tools) == 0 && choice.Str != "auto" && choice.Str != "none":
		return &apiError{status: 400, kind: invalidRequest, parameter: "tool_choice", message: "Tool choice '" + choice.String() + "' must be specified with 'tools' parameter."}
	case choice.IsObject():
		req.toolChoice = choice.Get("name").Str
	default:
		req.toolChoice = choice.Str
	}
	return nil
}

// A responsesAnswer is an answer in the form of the responses API. Its events are numbered.
type responsesAnswer struct {
	*completion
	events int64
}

func (r *responsesAnswer) status() string {
	if r.answer.finish == finishLength {
		return "incomplete"
	}
	return "completed"
}

// append writes the response: its output and usage only where it is done.
func (r *responsesAnswer) append(dst []byte, status string, done bool) []byte {
	dst = appendInt(append(dst, `{"id":"resp_mock_`...), r.number)
	dst = appendInt(append(dst, `","object":"response","created_at":`...), r.created)
	dst = appendString(append(dst, `,"status":`...), status, false)
	dst = append(dst, `,"background":false,"error":null,"incomplete_details":`...)
	if done && status == "incomplete" {
		dst = append(dst, `{"reason":"max_output_tokens"}`...)
	} else {
		dst = append(dst, "null"...)
	}
	dst = appendString(append(dst, `,"instructions":null,"max_output_tokens":null,"model":`...), r.req.model, false)
	dst = append(dst, `,"output":[`...)
	if done {
		for i, item := range r.items() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, item.whole...)
		}
	}
	dst = append(dst, `],"parallel_tool_calls":true,"previous_response_id":null,"reasoning":{"effort":null,"summary":null},"service_tier":"default",`+
		`"store":true,"temperature":1.0,"text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],"top_p":1.0,"truncation":"disabled","usage":`...)
	if done && !r.behavior.OmitUsage {
		dst = r.appendUsage(dst)
	} else {
		dst = append(dst, "null"...)
	}
	return append(dst, `,"user":null,"metadata":{}}`...)
}

func (r *responsesAnswer) appendUsage(dst []byte) []byte {
	prompt, output := r.req.promptTokens, r.answer.tokens+r.reasoning()
	dst = appendInt(append(dst, `{"input_tokens":`...), prompt)
	dst = appendInt(append(dst, `,"input_tokens_details":{"cached_tokens":`...), min(int64(r.behavior.CachedTokens), prompt))
	dst = appendInt(append(dst, `},"output_tokens":`...), output)
	dst = appendInt(append(dst, `,"output_tokens_details":{"reasoning_tokens":`...), r.reasoning())
	return append(appendInt(append(dst, `},"total_tokens":`...), prompt+output), '}')
}

// An outputItem is one of an answer's items: as it is added to a stream, what comes piece by piece, and as it is at its end.
type outputItem struct {
	id, text     string
	added, whole []byte
	// The item's part before and after its text, nil for calls; and the names of the events.
	part, partWhole []byte
	place           string // the part's place in its item
	events          [4]string
	value           string // the member that has the whole text in the event at its end
}

func (r *responsesAnswer) items() []outputItem {
	id := func(prefix string, k int) string {
		return prefix + "_mock_" + strconv.FormatInt(r.number, 10) + "_" + strconv.Itoa(k)
	}
	quoted := func(s string) string { return string(appendString(nil, s, r.behavior.Escape)) }
	var items []outputItem
	if r.answer.thoughts != "" {
		head := `{"id":"` + id("rs", 0) + `","type":"reasoning","summary":[`
		item := outputItem{id: id("rs", 0), added: []byte(head + `]}`), whole: []byte(head + `]}`)}
		if r.req.showThoughts {
			part := `{"type":"summary_text","text":` + quoted(r.answer.thoughts) + `}`
			item.text, item.part, item.partWhole = r.answer.thoughts, []byte(`{"type":"summary_text","text":""}`), []byte(part)
			item.whole, item.place, item.value = []byte(head+part+`]}`), `,"summary_index":0`, "text"
			item.events = [4]string{"reasoning_summary_part.added", "reasoning_summary_text.delta", "reasoning_summary_text.done", "reasoning_summary_part.done"}
		}
		items = append(items, item)
	}
	for k, call := range r.answer.calls {
		head := func(status, arguments string) []byte {
			return []byte(`{"id":"` + id("fc", k) + `","type":"function_call","status":"` + status + `","arguments":` + quoted(arguments) +
				`,"call_id":"` + id("call", k) + `","name":` + quoted(call.name) + `}`)
		}
		items = append(items, outputItem{
			id: id("fc", k), text: call.arguments, added: head("in_progress", ""), whole: head("completed", call.arguments),
			value: "arguments", events: [4]string{"", "function_call_arguments.delta", "function_call_arguments.done", ""},
		})
	}
	if len(r.answer.calls) > 0 {
		return items
	}
	head := func(status, content string) []byte {
		return []byte(`{"id":"` + id("msg", 0) + `","type":"message","status":"` + status + `","content":[` + content + `],"role":"assistant"}`)
	}
	item := outputItem{id: id("msg", 0), text: r.answer.text, added: head("in_progress", ""), place: `,"content_index":0`}
	if r.answer.finish == finishRefuse {
		item.part, item.partWhole = []byte(`{"type":"refusal","refusal":""}`), []byte(`{"type":"refusal","refusal":`+quoted(r.answer.text)+`}`)
		item.events, item.value = [4]string{"content_part.added", "refusal.delta", "refusal.done", "content_part.done"}, "refusal"
	} else {
		part := func(text string) []byte {
			return []byte(`{"type":"output_text","annotations":[],"logprobs":[],"text":` + quoted(text) + `}`)
		}
		item.part, item.partWhole, item.value = part(""), part(r.answer.text), "text"
		item.events = [4]string{"content_part.added", "output_text.delta", "output_text.done", "content_part.done"}
	}
	item.whole = head(r.status(), string(item.partWhole))
	return append(items, item)
}

// stream answers with the events of https://platform.openai.com/docs/api-reference/responses-streaming.
func (r *responsesAnswer) stream() {
	s := r.begins()
	event := func(name string, parts ...[]byte) bool {
		dst := append(append(append(s.buf.out[:0], "event: response."...), name...), `
data: {"type":"response.`...)
		dst = appendInt(append(append(dst, name...), `","sequence_number":`...), r.events)
		for _, part := range parts {
			dst = append(dst, part...)
		}
		r.events++
		return s.send(append(dst, "}\n\n"...))
	}
	s.failure = func(e *apiError) []byte { // it takes the place of an event that has its number already
		dst := appendInt([]byte("event: error\ndata: {\"type\":\"error\",\"sequence_number\":"), r.events-1)
		dst = appendString(append(dst, `,"code":`...), e.kind, false)
		return append(appendString(append(dst, `,"message":`...), e.message, false), ",\"param\":null}\n\n"...)
	}
	response := func(name, status string, done bool) bool {
		return event(name, []byte(`,"response":`), r.append(nil, status, done))
	}
	if !response("created", "in_progress", false) || !response("in_progress", "in_progress", false) {
		return
	}
	for i, item := range r.items() {
		if !r.streamItem(s, event, []byte(`,"output_index":`+strconv.Itoa(i)), item) {
			return
		}
	}
	if response(r.status(), r.status(), true) {
		s.ends()
	}
}

func (r *responsesAnswer) streamItem(s *eventStream, event func(string, ...[]byte) bool, at []byte, item outputItem) bool {
	if !event("output_item.added", at, []byte(`,"item":`), item.added) {
		return false
	}
	place := append(append([]byte(nil), at...), `,"item_id":"`+item.id+`"`+item.place...)
	if item.events[0] != "" && !event(item.events[0], place, []byte(`,"part":`), item.part) {
		return false
	}
	if item.events[1] != "" {
		delta := func(piece string) bool {
			return event(item.events[1], place, appendString([]byte(`,"delta":`), piece, r.behavior.Escape))
		}
		if !s.pieces(item.text, delta) || !event(item.events[2], place, appendString([]byte(`,"`+item.value+`":`), item.text, r.behavior.Escape)) {
			return false
		}
	}
	if item.events[3] != "" && !event(item.events[3], place, []byte(`,"part":`), item.partWhole) {
		return false
	}
	return event("output_item.done", at, []byte(`,"item":`), item.whole)
}
