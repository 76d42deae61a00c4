package mock

// chat answers POST /v1/chat/completions. https://platform.openai.com/docs/api-reference/chat
func (x *exchange) chat() *apiError {
	req, fault := parseChat(x.body)
	if fault != nil {
		return fault
	}
	if fault := x.admit(req); fault != nil {
		return fault
	}
	if fault := x.check("chat"); fault != nil {
		return fault
	}
	if !x.begin() {
		return nil
	}
	c := completion{exchange: x, req: req, answer: answerTo(req), created: x.p.options.Now().Unix()}
	if req.stream {
		c.stream()
		return nil
	}
	x.buf.out = c.appendWhole(x.buf.out)
	x.send(x.buf.out)
	return nil
}

// A completion is an answer in the form of the chat API.
type completion struct {
	*exchange
	req     *chatRequest
	answer  answer
	created int64 // Unix time
}

// appendHead writes the fields that every object of the API begins with.
func (c *completion) appendHead(dst []byte, object string) []byte {
	dst = appendInt(append(dst, `{"id":"chatcmpl-mock-`...), c.number)
	dst = append(append(append(dst, `","object":"`...), object...), `","created":`...)
	dst = append(appendInt(dst, c.created), `,"model":`...)
	dst = appendString(dst, c.req.model, false)
	return append(dst, `,"service_tier":"default","system_fingerprint":"fp_mock"`...)
}

// appendWhole writes an answer that is not streamed.
func (c *completion) appendWhole(dst []byte) []byte {
	dst = append(c.appendHead(dst, "chat.completion"), `,"choices":[`...)
	for i := range c.req.n {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendInt(append(dst, `{"index":`...), int64(i)), `,"message":{"role":"assistant","content":`...)
		if len(c.answer.calls) > 0 {
			dst = append(dst, `null,"tool_calls":[`...)
			for k, call := range c.answer.calls {
				if k > 0 {
					dst = append(dst, ',')
				}
				dst = c.appendCall(append(dst, '{'), i, k, call.name, call.arguments)
			}
			dst = append(dst, ']')
		} else if c.answer.finish != finishRefuse {
			dst = appendString(dst, c.answer.text, c.behavior.Escape)
		} else {
			dst = append(dst, "null"...)
		}
		dst = append(dst, `,"refusal":`...)
		if c.answer.finish == finishRefuse {
			dst = appendString(dst, c.answer.text, c.behavior.Escape)
		} else {
			dst = append(dst, "null"...)
		}
		dst = append(dst, `,"annotations":[]},"logprobs":null,"finish_reason":"`...)
		dst = append(append(dst, c.finish()...), '"')
		if c.api == azure {
			dst = append(dst, `,"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}}`...)
		}
		dst = append(dst, '}')
	}
	dst = append(dst, ']')
	if !c.behavior.OmitUsage {
		dst = c.appendUsage(append(dst, `,"usage":`...))
	}
	if c.api == azure {
		dst = append(dst, `,`+promptFilter...)
	}
	return append(dst, "}\n"...)
}

// appendCall writes a tool call's fields and its closing brace.
func (c *completion) appendCall(dst []byte, choice, number int, name, arguments string) []byte {
	dst = appendInt(append(dst, `"id":"call_mock_`...), c.number)
	dst = appendInt(append(dst, '_'), int64(choice))
	dst = appendInt(append(dst, '_'), int64(number))
	dst = appendString(append(dst, `","type":"function","function":{"name":`...), name, false)
	dst = appendString(append(dst, `,"arguments":`...), arguments, c.behavior.Escape)
	return append(dst, `}}`...)
}

// finish is the finish_reason of OpenAI's.
func (c *completion) finish() string {
	if c.answer.finish == finishRefuse {
		return finishStop
	}
	return c.answer.finish
}

// reasoning is how many tokens the model thought.
func (c *completion) reasoning() int64 {
	return int64(c.behavior.ReasoningTokens) + Tokens(c.answer.thoughts)
}

// appendUsage writes what the exchange used: the prompt once, and the answer for each choice.
func (c *completion) appendUsage(dst []byte) []byte {
	prompt := c.req.promptTokens
	cached := min(int64(c.behavior.CachedTokens), prompt)
	reasoning := c.reasoning()
	output := c.answer.tokens*int64(c.req.n) + reasoning

	dst = appendInt(append(dst, `{"prompt_tokens":`...), prompt)
	dst = appendInt(append(dst, `,"completion_tokens":`...), output)
	dst = appendInt(append(dst, `,"total_tokens":`...), prompt+output)
	dst = appendInt(append(dst, `,"prompt_tokens_details":{"cached_tokens":`...), cached)
	dst = appendInt(append(dst, `,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":`...), reasoning)
	return append(dst, `,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}`...)
}
