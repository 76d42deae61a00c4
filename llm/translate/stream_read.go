package translate

import (
	"github.com/leash-gateway/leash/llm"
)

func (s *Stream) chatEvent(c *llm.Cursor) (used bool) {
	failed := false
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "id":
			if id := c.String(); !s.begun {
				s.id = id
			}
		case "choices":
			for list := c.Array(); c.Element(&list); {
				if s.chatChoice(c) {
					failed = true
				}
			}
		case "usage":
			used = c.Next() == '{'
			c.Skip()
		case "error":
			if raw := c.Raw(); raw != nil {
				s.fail(raw)
			}
		default:
			c.Skip()
		}
	}
	if failed { // and no error beside it says why
		s.finish(0, finishFailed, nil)
	}
	return used
}

// chatChoice reads a choice, and reports whether it ends with one that is of no use.
func (s *Stream) chatChoice(c *llm.Cursor) (failed bool) {
	index := 0
	why := finishOpen
	var delta []byte
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "index":
			index = int(c.Count())
		case "delta":
			delta = c.Raw() // the index may stand behind it
		case "finish_reason":
			why = s.x.finishOfChat(c.String())
		default:
			c.Skip()
		}
	}
	if delta != nil {
		s.within(delta, func(c *llm.Cursor) { s.chatDelta(c, index) })
	}
	if why == finishFailed {
		return true
	}
	s.finish(index, why, nil)
	return false
}

func (s *Stream) chatDelta(c *llm.Cursor, choice int) {
	thought := false
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "content":
			if c.Next() == '"' {
				s.text(choice, textPart, c.Literal())
				continue
			}
			cut(&s.turn.parts, 0)
			s.x.readSaid(c, &s.turn.parts)
			for i := range s.turn.parts {
				s.text(choice, s.turn.parts[i].kind, s.turn.parts[i].text)
			}
		case "refusal":
			s.text(choice, refusalPart, c.Literal())
		case "reasoning_content", "reasoning":
			if c.Next() == '"' && !thought { // which some servers send twice
				thought = true
				s.text(choice, thoughtPart, c.Literal())
			} else {
				c.Skip()
			}
		case "tool_calls":
			for list := c.Array(); c.Element(&list); {
				s.chatCall(c, choice, list.Index)
			}
		default:
			c.Skip()
		}
	}
}

func (s *Stream) chatCall(c *llm.Cursor, choice, number int) {
	call := part{}
	var arguments []byte
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "index":
			number = int(c.Count())
		case "extra_content":
			call.sign = readSignature(c)
		case "id":
			call.id = c.Literal()
		case "function":
			for o := c.Object(); c.Member(&o); {
				switch string(o.Name) {
				case "name":
					call.name = c.Literal()
				case "arguments":
					arguments = readArguments(c)
				default:
					c.Skip()
				}
			}
		default:
			c.Skip()
		}
	}
	if !isEmpty(call.name) {
		s.call(choice, number, &call)
	}
	s.arguments(choice, number, arguments)
}

func (s *Stream) responsesEvent(c *llm.Cursor, data []byte) (used bool) {
	kind := ""
	item, summary := 0, int64(0)
	var delta, whole, id, output []byte
	reason := ""
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "type":
			kind = c.String()
		case "output_index":
			item = int(c.Count())
		case "summary_index":
			summary = c.Count()
		case "delta":
			if c.Next() == '"' {
				delta = c.Literal()
			} else {
				c.Skip()
			}
		case "text", "refusal", "arguments":
			if c.Next() == '"' {
				whole = c.Literal()
			} else {
				c.Skip()
			}
		case "item":
			output = c.Raw()
		case "response":
			id, reason, used = readWholeResponse(c)
		default:
			c.Skip()
		}
	}
	if c.Err() != nil {
		return false
	}
	if s.id == "" && id != nil {
		s.id = string(llm.AppendMeaning(nil, id))
	}
	switch kind {
	case "response.output_text.delta":
		s.outputText(item, textPart, delta)
	case "response.refusal.delta":
		s.outputText(item, refusalPart, delta)
	case "response.reasoning_summary_part.added":
		if summary > 0 {
			s.outputText(item, thoughtPart, []byte(`"`+emptyLine+`"`))
		}
	case "response.reasoning_summary_text.delta", "response.reasoning_text.delta":
		s.outputText(item, thoughtPart, delta)
	case "response.function_call_arguments.delta":
		s.outputArguments(item, delta)
	case "response.output_text.done":
		s.wholeText(item, textPart, whole)
	case "response.refusal.done":
		s.wholeText(item, refusalPart, whole)
	case "response.function_call_arguments.done":
		if !s.item(item).heard {
			s.outputArguments(item, whole)
		}
	case "response.output_item.added":
		s.within(output, func(c *llm.Cursor) { s.outputItem(c, item) })
	case "response.output_item.done":
		if !s.item(item).heard {
			s.within(output, func(c *llm.Cursor) { s.outputItem(c, item) })
		}
		s.release()
	case "response.completed":
		s.finish(0, finishStop, nil)
	case "response.incomplete":
		why := finishLength
		if reason == "content_filter" {
			why = finishFilter
		}
		s.finish(0, why, nil)
	case "keepalive": // Azure's
		s.dst = s.KeepAlive(s.dst)
	case "response.failed", "error":
		s.fail(data)
	}
	return used
}

// An outputItem is what the client was told of an item of a response. Some servers send the whole of it only.
type outputItem struct{ called, heard bool }

func (s *Stream) item(number int) *outputItem {
	for number >= len(s.items) && len(s.items) < maxItems {
		s.items = append(s.items, outputItem{})
	}
	return &s.items[min(number, maxItems-1)]
}

func (s *Stream) outputText(item int, kind partKind, literal []byte) {
	s.item(item).heard = true
	s.text(0, kind, literal)
}

func (s *Stream) wholeText(item int, kind partKind, literal []byte) {
	if !s.item(item).heard {
		s.outputText(item, kind, literal)
	}
}

func (s *Stream) outputArguments(item int, literal []byte) {
	s.item(item).heard = true
	s.arguments(0, item, literal)
}

// outputItem reads an item as it begins, or as it is in the end.
func (s *Stream) outputItem(c *llm.Cursor, item int) {
	cut(&s.turn.parts, 0)
	s.x.readOutputItem(c, &s.turn.parts)
	for i := range s.turn.parts {
		p := &s.turn.parts[i]
		if p.kind != callPart {
			s.outputText(item, p.kind, p.text)
			continue
		}
		if told := s.item(item); !told.called {
			told.called = true
			s.call(0, item, p)
		}
		if !isEmpty(p.args) {
			s.outputArguments(item, p.args)
		}
	}
}

// readWholeResponse reads what the first and the last event of a stream say of all of the answer; reason is why it is incomplete.
func readWholeResponse(c *llm.Cursor) (id []byte, reason string, used bool) {
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "id":
			id = c.Literal()
		case "usage":
			used = c.Next() == '{'
			c.Skip()
		case "incomplete_details":
			for o := c.Object(); named(c, &o, "reason"); {
				reason = c.String()
			}
		default:
			c.Skip()
		}
	}
	return id, reason, used
}

func (s *Stream) messagesEvent(c *llm.Cursor) (used bool) {
	kind := ""
	index := 0
	var delta, block, failure []byte
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "type":
			kind = c.String()
		case "index":
			index = int(c.Count())
		case "message":
			for o := c.Object(); c.Member(&o); {
				switch string(o.Name) {
				case "id":
					s.id = c.String()
				case "usage":
					used = c.Next() == '{'
					c.Skip()
				default:
					c.Skip()
				}
			}
		case "usage":
			used = c.Next() == '{'
			c.Skip()
		case "content_block":
			block = c.Raw()
		case "delta":
			delta = c.Raw()
		case "error":
			failure = c.Raw()
		default:
			c.Skip()
		}
	}
	if c.Err() != nil {
		return false
	}
	switch kind {
	case "content_block_start":
		s.within(block, func(c *llm.Cursor) { s.messagesBlock(c, index) })
	case "content_block_stop":
		s.release()
	case "content_block_delta", "message_delta":
		s.within(delta, func(c *llm.Cursor) { s.messagesDelta(c, index) })
	case "ping":
		s.dst = s.KeepAlive(s.dst)
	case "error":
		s.fail(failure)
	}
	return used
}

func (s *Stream) messagesBlock(c *llm.Cursor, index int) {
	p := &part{}
	if !readAnswerBlock(c, p) {
		s.untold = index + 1
		return
	}
	if p.kind == callPart {
		s.call(0, index, p)
		if p.args != nil && string(p.args) != "{}" {
			s.arguments(0, index, appendQuoted(nil, p.args))
		}
		return
	}
	s.text(0, p.kind, p.text)
}

func (s *Stream) messagesDelta(c *llm.Cursor, index int) {
	var stop []byte
	why := finishOpen
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "text":
			s.text(0, textPart, c.Literal())
		case "thinking":
			s.text(0, thoughtPart, c.Literal())
		case "partial_json":
			if arguments := c.Literal(); index+1 != s.untold {
				s.arguments(0, index, arguments)
			}
		case "stop_reason":
			why = finishOfMessages(c.String())
		case "stop_sequence":
			stop = c.Literal()
		default:
			c.Skip()
		}
	}
	s.finish(0, why, stop)
}

func (s *Stream) geminiEvent(c *llm.Cursor) {
	var first []byte
	for o := c.Google(); c.Member(&o); {
		switch string(o.Name) {
		case "responseid":
			if id := c.String(); !s.begun {
				s.id = id
			}
		case "candidates":
			if s.begun {
				s.candidates(c)
			} else {
				first = c.Raw() // the id stands behind them
			}
		case "promptfeedback":
			if blocked(c) {
				s.finish(0, finishFilter, nil)
			}
		case "usagemetadata":
			s.told = append(s.told[:0], c.Raw()...)
		case "error":
			if raw := c.Raw(); raw != nil {
				s.fail(raw)
			}
		default:
			c.Skip()
		}
	}
	if first != nil && c.Err() == nil {
		s.within(first, s.candidates)
	}
}

func (s *Stream) candidates(c *llm.Cursor) {
	for list := c.Array(); c.Element(&list); {
		i, t := list.Index, &s.turn
		cut(&t.parts, 0)
		s.x.readCandidate(c, &i, t)
		s.parts(i, t.parts)
		s.finish(i, t.finish, nil)
	}
}
