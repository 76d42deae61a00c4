package llm

// A formatAnswer reads answers, whole or in events, of the formats that OpenAI's chats are not.
type formatAnswer struct {
	blockReader
	name      string // of the event
	id, model string
	endings   []Finish
	closed    []Position
	usage     Usage
	hasUsage  bool
	soFar     bool
	hasError  bool
	done      bool
}

func (a *formatAnswer) begin(src []byte, list string) {
	a.list, a.answer, a.lone = list, true, true
	a.start(src)
}

// parseResponse reads an answer of all formats that OpenAI's chats are not.
func parseResponse(f Format, body []byte) (*Response, error) {
	r := &Response{body: body}
	var a formatAnswer
	a.whole, a.texts = shared(body), r.few[:0]
	a.begin(body, "content")
	switch f {
	case AnthropicMessages:
		a.each(a.anthropicMember)
	case OpenAIResponses:
		a.list = "output"
		a.each(a.responsesMember)
	case GoogleGenerate, GoogleStream:
		a.list = "candidates"
		a.googleBody(a.googleAnswer)
	case GoogleEmbed, GoogleBatchEmbed:
		a.googleBody(a.googleAnswer)
	case AnthropicCountTokens, GoogleCountTokens: // what counting costs is known: nothing
		a.each(func([]byte) { a.value() })
		a.hasUsage = !a.hasError
	default:
		return nil, errFormat
	}
	if err := a.outcome(); err != nil {
		return nil, err
	}
	r.ID, r.Model, r.Texts, r.Calls, r.Usage, r.HasUsage = a.id, a.model, a.texts, a.calls, a.usage, a.hasUsage
	r.Error = a.hasError
	for _, e := range a.endings {
		r.FinishReasons = append(r.FinishReasons, e.Reason)
	}
	return r, nil
}

// parseEvent reads an event of all formats that OpenAI's chats are not.
func parseEvent(f Format, data []byte) (*Event, error) {
	e := &Event{format: f, data: string(data)}
	a := formatAnswer{blockReader: blockReader{reader: reader{whole: e.data, texts: e.few[:0]}, pieces: true}}
	a.begin(data, "event")
	switch f {
	case AnthropicMessages:
		a.anthropicEvent()
	case OpenAIResponses:
		a.responsesEvent()
	case GoogleStream, GoogleGenerate:
		a.googleBody(a.googleAnswer)
		// A chunk without candidates is a refusal of the prompt, and the last.
		a.soFar = a.hasUsage && len(a.endings) == 0 && a.message >= 0
		a.hasUsage = a.hasUsage && !a.soFar
	default:
		return nil, errFormat
	}
	if err := a.outcome(); err != nil {
		return nil, err
	}
	e.Name, e.Done, e.Error, e.ID, e.Model = a.name, a.done, a.hasError, a.id, a.model
	e.Texts, e.Calls, e.Closed, e.Finish = a.texts, a.calls, a.closed, a.endings
	e.Usage, e.HasUsage, e.UsageSoFar = a.usage, a.hasUsage, a.soFar
	return e, nil
}

// each reads the object that is next, member by member.
func (a *formatAnswer) each(member func(name []byte)) {
	if a.peek() != '{' {
		if a.value(); a.depth == 0 {
			a.forbid("", "must be an object")
		}
		return
	}
	o, ok := a.object(anyCase)
	for ok && a.member(&o) {
		if name := a.known(); a.depth == 1 && string(name) == "error" {
			a.hasError = a.peek() != 'n'
			a.value()
		} else {
			member(name)
		}
	}
}

// complete says of the texts from first on that nothing follows them.
func (r *blockReader) complete(first int) {
	for i := first; i < len(r.texts); i++ {
		r.texts[i].Whole = true
	}
}

// withText is WithText for all formats that OpenAI's chats are not.
func (e *Event) withText(i int, s string) *Event {
	t := e.Texts[i]
	c := &Event{format: e.format, Name: e.Name, ID: e.ID, Model: e.Model, made: true}
	var data []byte
	switch family := e.format.Family(); {
	case family == Anthropic && t.place != inOther:
		c.Name, c.ID, c.Model = "content_block_delta", "", ""
		data = appendAnthropicDelta(nil, &t)
		data, t.at = appendAt(data, s)
		data = append(data, "}}"...)
	case family == Google:
		data = appendGoogleStart(nil, e, &t)
		data, t.at = appendAt(data, s)
		data = append(data, `}],"role":"model"}}]}`...)
	default:
		json := appendString(nil, s)
		parts := edits{{at: t.at, json: json}}
		if !t.logprobs.empty() {
			parts = append(parts, edit{at: t.logprobs, json: t.noLogprobs()})
		}
		for j := range e.Texts {
			if other := &e.Texts[j]; j != i && other.place != inKey {
				parts = append(parts, edit{at: other.at, json: []byte(`""`)})
			}
		}
		start := int(t.at.start)
		for _, p := range parts {
			if p.at.start < t.at.start {
				start += len(p.json) - int(p.at.end-p.at.start)
			}
		}
		data = splice(e.data, parts)
		t.at = spanOf(start, start+len(json))
	}
	c.data = string(data)
	t.Value, t.logprobs, t.slot, t.Whole, t.place = s, span{}, 0, e.format.Family() == OpenAI && t.Whole, inContent
	if e.format.Family() == Google {
		t.Part = 0
	}
	c.few[0] = t
	c.Texts = c.few[:]
	return c
}

func appendAt(dst []byte, s string) ([]byte, span) {
	start := len(dst)
	dst = appendString(dst, s)
	return dst, spanOf(start, len(dst))
}
