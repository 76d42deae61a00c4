package mock

import (
	"strconv"

	"github.com/tidwall/gjson"
)

// completionTokens bounds an answer that says no bound of its own, as at OpenAI.
const completionTokens = 16

// completions answers POST /v1/completions. https://platform.openai.com/docs/api-reference/completions
func (x *exchange) completions() *apiError {
	req, prompts, fault := parseCompletions(x.body)
	if fault == nil {
		fault = x.admit(req)
	}
	if fault == nil {
		fault = x.check("completions")
	}
	if fault != nil || !x.begin() {
		return fault
	}
	c := textCompletion{completion: &completion{exchange: x, req: req, created: x.p.options.Now().Unix()}}
	for _, prompt := range prompts {
		req.prompt = prompt
		a := answerTo(req)
		if a.finish == finishRefuse {
			a.finish = finishStop
		}
		for range req.n {
			c.answers = append(c.answers, a)
		}
	}
	for _, a := range c.answers {
		c.answer.tokens += a.tokens
	}
	req.n = 1 // all choices are counted
	if req.stream {
		c.stream()
		return nil
	}
	dst := append(c.appendHead(x.buf.out), `,"choices":[`...)
	for i, a := range c.answers {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = c.appendChoice(dst, i, a.text, a.finish)
	}
	dst = append(dst, ']')
	if !c.behavior.OmitUsage {
		dst = c.appendUsage(append(dst, `,"usage":`...))
	}
	x.buf.out = append(dst, "}\n"...)
	x.send(x.buf.out)
	return nil
}

// parseCompletions reads a request, whose prompt is a text or several, each of which may be a list of tokens.
func parseCompletions(body []byte) (req *chatRequest, prompts []string, fault *apiError) {
	root, fault := parseObject(body)
	if fault != nil {
		return nil, nil, fault
	}
	req = &chatRequest{n: 1, maxTokens: completionTokens, stream: root.Get("stream").Bool()}
	if req.model, fault = asModel(root.Get("model")); fault != nil {
		return nil, nil, fault
	}
	if given := root.Get("max_tokens"); given.Exists() && given.Type != gjson.Null {
		if req.maxTokens, fault = asInt(given, "max_tokens", 0); fault != nil {
			return nil, nil, fault
		}
	}
	if given := root.Get("n"); given.Exists() && given.Type != gjson.Null {
		n, fault := asInt(given, "n", maxChoices)
		if fault != nil {
			return nil, nil, fault
		}
		req.n = int(n)
	}
	if stop := root.Get("stop"); stop.Exists() && stop.Type != gjson.Null {
		if req.stop, fault = asStops(stop); fault != nil {
			return nil, nil, fault
		}
	}
	if fault := req.readStreamOptions(root.Get("stream_options")); fault != nil {
		return nil, nil, fault
	}
	prompt := root.Get("prompt")
	list := []gjson.Result{prompt}
	if prompt.IsArray() && prompt.Get("0").Type != gjson.Number {
		list = prompt.Array()
	}
	for _, one := range list {
		if one.IsArray() { // tokens
			req.promptTokens += int64(len(one.Array()))
			prompts = append(prompts, strconv.Itoa(len(one.Array()))+" tokens")
			continue
		}
		req.promptTokens += Tokens(one.Str)
		prompts = append(prompts, one.Str)
	}
	return req, prompts, nil
}

// A textCompletion is an answer in the form of the older API.
type textCompletion struct {
	*completion
	answers []answer // the choices
}

func (c *textCompletion) appendHead(dst []byte) []byte {
	dst = appendInt(append(dst, `{"id":"cmpl-mock-`...), c.number)
	dst = appendInt(append(dst, `","object":"text_completion","created":`...), c.created)
	return appendString(append(dst, `,"model":`...), c.req.model, false)
}

func (c *textCompletion) appendChoice(dst []byte, index int, text, finish string) []byte {
	dst = appendString(append(dst, `{"text":`...), text, c.behavior.Escape)
	dst = appendInt(append(dst, `,"index":`...), int64(index))
	return append(appendOptional(append(dst, `,"logprobs":null,"finish_reason":`...), finish), '}')
}

func (c *textCompletion) stream() {
	s := c.begins()
	event := func(index int, text, finish string) bool {
		dst := append(c.appendHead(append(s.buf.out[:0], "data: "...)), `,"choices":[`...)
		dst = append(c.appendChoice(dst, index, text, finish), ']')
		if s.tellsUsage() {
			dst = append(dst, `,"usage":null`...)
		}
		return s.send(append(dst, "}\n\n"...))
	}
	for i, a := range c.answers {
		if !s.pieces(a.text, func(piece string) bool { return event(i, piece, "") }) || !event(i, "", a.finish) {
			return
		}
	}
	if s.tellsUsage() {
		dst := append(c.appendHead(append(s.buf.out[:0], "data: "...)), `,"choices":[],"usage":`...)
		if !s.send(append(c.appendUsage(dst), "}\n\n"...)) {
			return
		}
	}
	if s.send(append(s.buf.out[:0], "data: [DONE]\n\n"...)) {
		s.ends()
	}
}
