package llm

import "strconv"

// anthropicMember reads a member of a message, https://docs.anthropic.com/en/api/messages.
func (a *formatAnswer) anthropicMember(name []byte) {
	switch string(name) {
	case "id":
		a.id = a.label()
	case "model":
		a.model = a.label()
	case "content":
		first := len(a.texts)
		a.blocks()
		a.spoken(first, 0, Assistant)
	case "stop_reason":
		a.finish(0, a.label())
	case "usage":
		a.usage, a.hasUsage = believed(a.anthropicUsage())
	default:
		a.value()
	}
}

func (a *formatAnswer) finish(choice int, reason string) {
	if reason != "" {
		a.endings = append(a.endings, Finish{choice, reason})
	}
}

// anthropicEvent reads an event, https://docs.anthropic.com/en/api/messages-streaming.
func (a *formatAnswer) anthropicEvent() {
	first, called, index := len(a.texts), len(a.calls), 0
	a.each(func(name []byte) {
		switch string(name) {
		case "type":
			a.name = a.label()
		case "index":
			if n, found := a.readCount(); found == right && n >= 0 {
				index = int(n)
			}
		case "message":
			a.each(a.anthropicMember)
		case "content_block":
			a.anthropicBlock()
		case "delta":
			a.each(a.anthropicDelta)
		case "usage":
			a.usage, a.hasUsage = believed(a.anthropicUsage())
		default:
			a.value()
		}
	})
	for i := first; i < len(a.texts); i++ {
		a.texts[i].Part = index
	}
	for i := called; i < len(a.calls); i++ {
		a.calls[i].Part = index
	}
	a.spoken(first, 0, Assistant)
	switch a.name {
	case "message_start":
		a.soFar, a.hasUsage = a.hasUsage, false
	case "content_block_stop":
		a.closed = append(a.closed, Position{0, index})
	case "message_stop":
		a.done = true
	}
}

// anthropicBlock reads the beginning of a block: a text or a thought that deltas go on with, or all of any other.
func (a *formatAnswer) anthropicBlock() {
	first := len(a.texts)
	a.block(0)
	for i := first; i < len(a.texts); i++ {
		t := &a.texts[i]
		t.Whole = t.Kind == ToolArguments || t.Role == Tool
	}
}

func (a *formatAnswer) anthropicDelta(name []byte) {
	switch string(name) {
	case "text":
		a.leaf(Content, 0)
	case "thinking":
		a.leaf(Reasoning, 0)
	case "partial_json":
		a.leaf(ToolArguments, 0)
	case "citation", "stop_details":
		first := len(a.texts)
		a.strings(Content, 0)
		a.complete(first)
	case "stop_reason":
		a.finish(0, a.label())
	case "stop_sequence", "container":
		a.value()
	default:
		if first := len(a.texts); isData(name, a.peek()) {
			a.value()
		} else if a.strings(Content, 0); first < len(a.texts) {
			for i := first; i < len(a.texts); i++ {
				a.texts[i].place = inOther
			}
		}
	}
}

// appendAnthropicDelta begins a delta that goes on with a text.
func appendAnthropicDelta(dst []byte, t *Text) []byte {
	dst = append(dst, `{"type":"content_block_delta","index":`...)
	dst = strconv.AppendInt(dst, int64(t.Part), 10)
	switch t.Kind {
	case Reasoning:
		return append(dst, `,"delta":{"type":"thinking_delta","thinking":`...)
	case ToolArguments:
		return append(dst, `,"delta":{"type":"input_json_delta","partial_json":`...)
	default:
		return append(dst, `,"delta":{"type":"text_delta","text":`...)
	}
}

// anthropicUsage reads the usage of a message. Anthropic counts what was read from the cache and written to it besides
// input_tokens: https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching#tracking-cache-performance.
func (a *formatAnswer) anthropicUsage() (u Usage, ok bool) {
	u, ok, _ = a.anthropicSampling()
	return u, ok
}

// anthropicSampling reads the usage of a message, or of one of the samplings that have led to it, of which it says the kind.
func (a *formatAnswer) anthropicSampling() (u Usage, ok bool, kind string) {
	var plain, written int64
	var compacted Usage
	a.each(func(name []byte) {
		switch string(name) {
		case "type":
			kind = a.label()
		case "iterations":
			compacted = a.compactions()
		case "input_tokens":
			plain, ok = a.tokens(ok)
		case "output_tokens":
			u.Output, ok = a.tokens(ok)
		case "cache_read_input_tokens":
			u.CachedInput, _ = a.tokens(false)
		case "cache_creation_input_tokens":
			written, _ = a.tokens(false)
		case "cache_creation":
			a.each(func(name []byte) {
				switch string(name) {
				case "ephemeral_5m_input_tokens":
					u.CacheWrite, _ = a.tokens(false)
				case "ephemeral_1h_input_tokens":
					u.CacheWrite1h, _ = a.tokens(false)
				default:
					a.value()
				}
			})
		case "output_tokens_details":
			a.each(func(name []byte) {
				if string(name) == "thinking_tokens" {
					u.OutputReasoning, _ = a.tokens(false)
				} else {
					a.value()
				}
			})
		default:
			a.value()
		}
	})
	if u.CacheWrite+u.CacheWrite1h == 0 {
		u.CacheWrite = written
	}
	u.Input = plain + u.CachedInput + u.CacheWrite + u.CacheWrite1h
	return u.and(compacted), ok, kind
}

// compactions is the usage of the samplings that have made a long conversation shorter before the answer. They are charged for like it, and
// are not in its counts: https://platform.claude.com/docs/en/build-with-claude/compaction#understanding-usage
func (a *formatAnswer) compactions() (sum Usage) {
	if a.peek() != '[' {
		a.value()
		return sum
	}
	var list array
	for ok := a.enter(); ok && a.element(&list); {
		if u, _, kind := a.anthropicSampling(); kind == "compaction" {
			sum = sum.and(u)
		}
	}
	return sum
}
