package translate

import "github.com/leash-gateway/leash/llm"

func (x *Exchange) readGeminiAnswer(c *llm.Cursor, a *answer) {
	for o := c.Google(); c.Member(&o); {
		switch string(o.Name) {
		case "responseid":
			a.id = c.String()
		case "candidates":
			for list := c.Array(); c.Element(&list); {
				x.readCandidate(c, nil, a.turn())
			}
		case "promptfeedback":
			if blocked(c) {
				a.turn().finish = finishFilter
			}
		default:
			c.Skip()
		}
	}
}

// blocked tells whether the prompt was refused.
func blocked(c *llm.Cursor) (yes bool) {
	for o := c.Google(); named(c, &o, "blockreason"); {
		reason := c.String()
		yes = reason != "" && reason != "BLOCK_REASON_UNSPECIFIED"
	}
	return yes
}

// readCandidate reads one of the answers, or in an event a piece of it.
func (x *Exchange) readCandidate(c *llm.Cursor, index *int, t *turn) {
	t.finish = finishOpen
	for o := c.Google(); c.Member(&o); {
		switch string(o.Name) {
		case "content":
			for o := c.Google(); named(c, &o, "parts"); {
				for list := c.Array(); c.Element(&list); {
					if !x.readCandidatePart(c, grow(&t.parts)) {
						cut(&t.parts, len(t.parts)-1)
					}
				}
			}
		case "finishreason":
			t.finish = x.finishOfGemini(c.String())
		case "index":
			if n := c.Count(); index != nil {
				*index = int(n)
			}
		default:
			c.Skip()
		}
	}
}

// readCandidatePart reads a part, and reports whether there is anything in it.
func (x *Exchange) readCandidatePart(c *llm.Cursor, p *part) bool {
	thought, found := false, false
	for o := c.Google(); c.Member(&o); {
		switch string(o.Name) {
		case "text":
			p.text = c.Literal()
			found = found || !isEmpty(p.text)
		case "thought":
			thought = c.Bool()
		case "functioncall":
			readGeminiCall(c, p)
			found = true
		case "thoughtsignature":
			p.sign = c.Literal()
		case "inlinedata", "filedata":
			if c.Raw() != nil {
				c.Fail("", "has no counterpart in "+x.from.String()) // without it the answer would not be one
			}
		default:
			c.Skip()
		}
	}
	if thought {
		p.kind = thoughtPart
	}
	return found
}

// finishOfGemini knows https://ai.google.dev/api/generate-content#FinishReason.
func (x *Exchange) finishOfGemini(reason string) finish {
	switch reason {
	case "", "FINISH_REASON_UNSPECIFIED":
		return finishOpen
	case "MAX_TOKENS", "CONTINUATION":
		return finishLength
	case "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "LANGUAGE", "MODEL_ARMOR", "ESCALATION",
		"PUP_LIMITED_DISABLED", "OTHER", "IMAGE_OTHER": // of which Google says no more
		return finishFilter
	case "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MALFORMED_RESPONSE", "MISSING_THOUGHT_SIGNATURE", "NO_IMAGE":
		return x.unusable(reason)
	default:
		return finishStop
	}
}

var geminiFinish = [...]string{finishStop: "STOP", finishLength: "MAX_TOKENS", finishCalls: "STOP", finishFilter: "SAFETY", finishSequence: "STOP", finishOpen: "STOP"}

func (x *Exchange) appendGeminiAnswer(dst []byte, a *answer) []byte {
	w := &writer{b: dst}
	w.open()
	w.array("candidates")
	for i := range a.choices {
		t := &a.choices[i]
		w.open()
		w.object("content")
		x.candidateParts(w, t.parts)
		w.close('}')
		w.str("finishReason", geminiFinish[t.finish])
		w.number("index", int64(i))
		w.close('}')
	}
	w.close(']')
	w.geminiUsage(a.usage)
	w.text("modelVersion", x.model)
	w.text("responseId", a.id)
	w.close('}')
	return w.b
}

func (x *Exchange) candidateParts(w *writer, parts []part) {
	w.array("parts")
	for i := range parts {
		p := &parts[i]
		w.open()
		switch p.kind {
		case callPart:
			w.object("functionCall")
			w.literal("id", p.id)
			w.literal("name", x.own(p.name).name)
			w.literal("args", p.args)
			w.close('}')
			w.literal("thoughtSignature", p.sign)
		case thoughtPart:
			w.literal("text", p.text)
			w.literal("thought", []byte("true"))
		default:
			w.literal("text", p.text)
		}
		w.close('}')
	}
	w.close(']')
	w.str("role", "model")
}

func (w *writer) geminiUsage(u llm.Usage) {
	w.object("usageMetadata")
	w.number("promptTokenCount", u.Input)
	w.number("candidatesTokenCount", u.Output-u.OutputReasoning)
	w.number("totalTokenCount", u.Total())
	if u.CachedInput > 0 {
		w.number("cachedContentTokenCount", u.CachedInput)
	}
	if u.OutputReasoning > 0 {
		w.number("thoughtsTokenCount", u.OutputReasoning)
	}
	w.audio("promptTokensDetails", u.Input, u.InputAudio)
	w.audio("candidatesTokensDetails", u.Output-u.OutputReasoning, u.OutputAudio)
	w.close('}')
}

func (w *writer) audio(name string, all, audio int64) {
	if audio == 0 {
		return
	}
	w.array(name)
	w.open()
	w.str("modality", "AUDIO")
	w.number("tokenCount", audio)
	w.close('}')
	w.open()
	w.str("modality", "TEXT")
	w.number("tokenCount", max(0, all-audio))
	w.close('}')
	w.close(']')
}
