package translate

import (
	"github.com/leash-gateway/leash/llm"
)

// readConverseAnswer reads an answer of Amazon Bedrock's, which has no id and its usage under other names.
func (x *Exchange) readConverseAnswer(c *llm.Cursor, a *answer) {
	t := a.turn()
	t.finish = finishOpen
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "output":
			for o := c.Object(); named(c, &o, "message"); {
				readConverseMessage(c, t)
			}
		case "stopreason":
			t.finish = x.finishOfConverse(c.String())
		case "usage":
			a.usage = readConverseUsage(c)
		default:
			c.Skip()
		}
	}
}

func readConverseMessage(c *llm.Cursor, t *turn) {
	for o := c.Object(); named(c, &o, "content"); {
		for list := c.Array(); c.Element(&list); {
			if !readConverseBlock(c, grow(&t.parts)) {
				cut(&t.parts, len(t.parts)-1)
			}
		}
	}
}

// readConverseBlock reads a block of an answer, or the beginning or a piece of one in a stream, and reports whether the client is
// told of it.
func readConverseBlock(c *llm.Cursor, p *part) (found bool) {
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "text":
			p.text = c.Literal()
			found = p.text != nil
		case "tooluse":
			p.kind, found = callPart, true
			readConverseCall(c, p)
		case "reasoningcontent":
			p.kind = thoughtPart
			for o := c.Object(); c.Member(&o); {
				switch string(o.Name) {
				case "reasoningtext":
					for o := c.Object(); named(c, &o, "text"); {
						p.text = c.Literal()
					}
				case "text": // in a stream
					p.text = c.Literal()
				default: // hidden thoughts, and signatures
					c.Skip()
				}
			}
			found = !isEmpty(p.text)
		default: // citations, and what tools of the provider's own did
			c.Skip()
		}
	}
	return found
}

// readConverseCall reads a call, whose input is an object, or in a stream a piece of one in a string.
func readConverseCall(c *llm.Cursor, p *part) {
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "tooluseid":
			p.id = c.Literal()
		case "name":
			p.name = c.Literal()
		case "input":
			p.quoted = c.Next() == '"'
			p.args = c.Raw()
		default:
			c.Skip()
		}
	}
}

// readConverseUsage reads https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html. Tokens that were read from
// the cache or written to it are not among inputTokens.
func readConverseUsage(c *llm.Cursor) (u llm.Usage) {
	var plain, written int64
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "inputtokens":
			plain = c.Count()
		case "outputtokens":
			u.Output = c.Count()
		case "cachereadinputtokens":
			u.CachedInput = c.Count()
		case "cachewriteinputtokens":
			written = c.Count()
		case "cachedetails":
			for list := c.Array(); c.Element(&list); {
				n, hour := int64(0), false
				for o := c.Object(); c.Member(&o); {
					switch string(o.Name) {
					case "inputtokens":
						n = c.Count()
					case "ttl":
						hour = string(c.Word()) == "1h"
					default:
						c.Skip()
					}
				}
				if hour {
					u.CacheWrite1h += n
				}
			}
		default:
			c.Skip()
		}
	}
	u.CacheWrite = max(0, written-u.CacheWrite1h)
	u.Input = plain + u.CachedInput + u.CacheWrite + u.CacheWrite1h
	return u
}

func (x *Exchange) finishOfConverse(reason string) finish {
	switch reason {
	case "":
		return finishOpen
	case "max_tokens", "model_context_window_exceeded":
		return finishLength
	case "tool_use":
		return finishCalls
	case "guardrail_intervened", "content_filtered":
		return finishFilter
	case "stop_sequence":
		return finishSequence
	case "malformed_model_output", "malformed_tool_use":
		return x.unusable(reason)
	default:
		return finishStop
	}
}

// converseEvent reads the payload of a message, which says what it is by what is in it:
// https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStreamOutput.html.
func (s *Stream) converseEvent(c *llm.Cursor) {
	index := 0
	why := finishOpen
	var piece, start part
	said, started, stops := false, false, true
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "contentblockindex":
			index = int(c.Count())
			continue
		case "start":
			started = readConverseBlock(c, &start)
		case "delta":
			said = readConverseBlock(c, &piece)
		case "stopreason":
			why = s.x.finishOfConverse(c.String())
		case "usage":
			s.usage = s.usage.Joined(readConverseUsage(c))
		case "p": // padding
			c.Skip()
			continue
		default:
			c.Skip()
		}
		stops = false
	}
	switch {
	case c.Err() != nil:
	case started && start.kind == callPart:
		s.call(0, index, &start)
	case said && piece.kind == callPart:
		if piece.quoted {
			s.arguments(0, index, piece.args)
		}
	case said:
		s.text(0, piece.kind, piece.text)
	case stops:
		s.release()
	}
	s.finish(0, why, nil)
}
