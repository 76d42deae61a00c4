package llm

import "strings"

// responsesMember reads a member of a response, https://platform.openai.com/docs/api-reference/responses/object.
func (a *formatAnswer) responsesMember(name []byte) {
	switch string(name) {
	case "id":
		a.id = a.label()
	case "model":
		a.model = a.label()
	case "output":
		a.message = 0
		a.array("output", func(i int) {
			if a.peek() != '{' {
				a.value()
				return
			}
			a.message = i
			a.readTurn()
		})
	case "output_text": // which clients make, and some servers
		a.strings(Content, aside)
	case "status":
		a.responsesStatus(a.label())
	case "incomplete_details":
		a.each(func(name []byte) {
			if string(name) == "reason" {
				a.responsesStatus(a.label())
			} else {
				a.value()
			}
		})
	case "error":
		a.hasError = a.peek() != 'n'
		a.value()
	case "usage":
		a.usage, a.hasUsage = believed(a.responsesUsage())
	default:
		a.value()
	}
}

// responsesStatus takes down why a response ended: what its details say, else its status.
func (a *formatAnswer) responsesStatus(reason string) {
	switch reason {
	case "", "in_progress", "queued":
	case "incomplete", "completed", "failed", "cancelled":
		if len(a.endings) == 0 {
			a.finish(0, reason)
		}
	default:
		a.endings = append(a.endings[:0], Finish{0, reason})
	}
}

// responsesEvent reads an event of a response, https://platform.openai.com/docs/api-reference/responses-streaming.
func (a *formatAnswer) responsesEvent() {
	item, part, first := 0, 0, len(a.texts)
	var logprobs span
	a.each(func(name []byte) {
		switch string(name) {
		case "type":
			a.name = a.label()
		case "output_index":
			if n, found := a.readCount(); found == right && n >= 0 {
				item = int(n)
			}
		case "content_index", "summary_index":
			if n, found := a.readCount(); found == right && n >= 0 {
				part = int(n)
			}
		case "response":
			a.each(a.responsesMember)
		case "item":
			if a.peek() == '{' {
				a.readTurn()
			} else {
				a.value()
			}
		case "part":
			a.block(0)
		case "logprobs":
			if at, ok := a.span(); ok {
				logprobs = at
			}
		default:
			a.responsesPiece(name)
		}
	})
	for i := first; i < len(a.texts) && !logprobs.empty(); i++ {
		a.texts[i].logprobs, a.texts[i].logprobList = logprobs, true
	}
	a.responsesTexts(first, item, part)
}

// responsesPiece reads a text, a piece of one, or what is none.
func (a *formatAnswer) responsesPiece(name []byte) {
	switch string(name) {
	case "delta", "text", "transcript", "annotation":
		a.strings(Content, 0)
	case "refusal":
		a.leaf(Refusal, 0)
	case "arguments", "input", "code":
		a.arguments(ToolArguments, 0)
	case "obfuscation", "partial_image_b64":
		a.value()
	default:
		if isData(name, a.peek()) {
			a.value()
		} else {
			a.strings(Content, 0)
		}
	}
}

// responsesTexts does with the texts of an event what its name says.
func (a *formatAnswer) responsesTexts(first, item, part int) {
	texts := a.texts[first:]
	whole := strings.HasPrefix(a.name, "response.") && !strings.Contains(a.name[len("response."):], ".")
	delta := strings.HasSuffix(a.name, ".delta")
	kind := Content
	switch {
	case a.name == "error" || strings.HasPrefix(a.name, "response.audio.") && !strings.HasPrefix(a.name, "response.audio.transcript.") || strings.Contains(a.name, "partial_image"):
		a.texts = a.texts[:first] // an error's words or bytes
		a.hasError = a.hasError || a.name == "error"
		return
	case strings.Contains(a.name, "refusal"):
		kind = Refusal
	case strings.Contains(a.name, "reasoning"):
		kind = Reasoning
	case strings.Contains(a.name, "_arguments.") || strings.Contains(a.name, "_input.") || strings.Contains(a.name, "_code."):
		kind = ToolArguments
	}
	for i := range texts {
		t := &texts[i]
		t.Whole = !delta
		if !whole {
			t.Message = item
		}
		if !whole && !strings.HasPrefix(a.name, "response.output_item.") {
			t.Part = part
		}
		if t.Kind == Content {
			t.Kind = kind
		}
		if t.Role == OtherRole {
			t.Role = Assistant
		}
	}
	if !whole {
		a.calledIn(0, item)
	}
	switch a.name {
	case "response.completed", "response.incomplete", "response.failed", "response.cancelled":
		a.done = true
		a.hasError = a.hasError || a.name == "response.failed"
	default:
		a.endings = nil // that an item has ended is not the end of the answer
		if strings.HasSuffix(a.name, ".done") {
			a.closed = append(a.closed, Position{item, part})
		}
	}
}

// responsesUsage reads the usage of a response.
func (a *formatAnswer) responsesUsage() (u Usage, ok bool) {
	a.each(func(name []byte) {
		switch string(name) {
		case "input_tokens":
			u.Input, ok = a.tokens(ok)
		case "output_tokens":
			u.Output, ok = a.tokens(ok)
		case "input_tokens_details":
			a.details("cached_tokens", &u.CachedInput, "cache_write_tokens", &u.CacheWrite, "audio_tokens", &u.InputAudio)
		case "output_tokens_details":
			a.details("reasoning_tokens", &u.OutputReasoning, "audio_tokens", &u.OutputAudio, "", nil)
		default:
			a.value()
		}
	})
	return u, ok
}

// details reads the counts of three names.
func (a *formatAnswer) details(name1 string, n1 *int64, name2 string, n2 *int64, name3 string, n3 *int64) {
	a.each(func(name []byte) {
		switch string(name) {
		case name1:
			*n1, _ = a.tokens(false)
		case name2:
			*n2, _ = a.tokens(false)
		default:
			if n3 != nil && string(name) == name3 {
				*n3, _ = a.tokens(false)
			} else {
				a.value()
			}
		}
	})
}
