package llm

import "strconv"

// googleBody reads a whole body, which must be an object.
func (a *formatAnswer) googleBody(member func(name []byte)) {
	a.message = -1
	if a.peek() != '{' {
		a.value()
		a.forbid("", "must be an object")
		return
	}
	a.google(member)
}

// googleAnswer reads a member of an answer, https://ai.google.dev/api/generate-content#generatecontentresponse.
func (a *formatAnswer) googleAnswer(name []byte) {
	switch string(name) {
	case "responseid":
		a.id = a.label()
	case "modelversion":
		a.model = a.label()
	case "candidates":
		a.array("candidates", a.candidate)
	case "promptfeedback":
		a.google(func(name []byte) {
			if string(name) == "blockreason" {
				a.finish(0, a.label())
			} else {
				a.value()
			}
		})
	case "usagemetadata":
		a.usage, a.hasUsage = believed(a.googleUsage())
	case "error":
		a.hasError = a.peek() != 'n'
		a.value()
	default:
		a.value()
	}
}

func (a *formatAnswer) candidate(i int) {
	a.message = i
	first, called, index, reason := len(a.texts), len(a.calls), i, ""
	var logprobs span
	a.google(func(name []byte) {
		switch string(name) {
		case "content":
			a.readContent()
		case "index":
			if n, found := a.readCount(); found == right && n >= 0 {
				index = int(n)
			}
		case "finishreason":
			reason = a.label()
		case "finishmessage":
			from := len(a.texts)
			a.leaf(Content, aside)
			a.complete(from)
		case "logprobsresult":
			if at, ok := a.span(); ok {
				logprobs = at
			}
		case "safetyratings":
			a.value()
		default: // where it has it from
			from := len(a.texts)
			a.strings(Content, aside)
			a.complete(from)
		}
	})
	for j := first; j < len(a.texts); j++ {
		a.texts[j].logprobs = logprobs
	}
	a.spoken(first, index, Assistant)
	a.calledIn(called, index)
	a.finish(index, reason)
}

// appendGoogleStart begins a chunk that goes on with a text.
func appendGoogleStart(dst []byte, e *Event, t *Text) []byte {
	dst = append(dst, '{')
	for _, m := range [...]struct{ name, value string }{{`"responseId":`, e.ID}, {`"modelVersion":`, e.Model}} {
		if m.value != "" {
			dst = append(dst, m.name...)
			dst = appendString(dst, m.value)
			dst = append(dst, ',')
		}
	}
	dst = append(dst, `"candidates":[{"index":`...)
	dst = strconv.AppendInt(dst, int64(t.Message), 10)
	dst = append(dst, `,"content":{"parts":[{`...)
	if t.Kind == Reasoning {
		dst = append(dst, `"thought":true,`...)
	}
	return append(dst, `"text":`...)
}

// googleUsage reads usageMetadata. What the model thought is counted besides its answer, and what tools of Google's own
// put into the prompt besides the prompt: https://ai.google.dev/api/generate-content#UsageMetadata.
func (a *formatAnswer) googleUsage() (u Usage, ok bool) {
	var prompt, tools, candidates int64
	a.google(func(name []byte) {
		switch string(name) {
		case "prompttokencount":
			prompt, ok = a.tokens(ok)
		case "tooluseprompttokencount":
			tools, _ = a.tokens(false)
		case "candidatestokencount", "responsetokencount":
			candidates, ok = a.tokens(ok)
		case "thoughtstokencount":
			u.OutputReasoning, _ = a.tokens(false)
		case "cachedcontenttokencount":
			u.CachedInput, _ = a.tokens(false)
		case "prompttokensdetails":
			u.InputAudio = a.audioTokens()
		case "candidatestokensdetails", "responsetokensdetails":
			u.OutputAudio = a.audioTokens()
		default:
			a.value()
		}
	})
	u.Input, u.Output = prompt+tools, candidates+u.OutputReasoning
	return u, ok
}

// audioTokens reads how many of the tokens that are listed by kind are audio.
func (a *formatAnswer) audioTokens() (n int64) {
	a.array("tokensDetails", func(int) {
		var count int64
		audio := false
		a.google(func(name []byte) {
			switch string(name) {
			case "modality":
				audio = a.label() == "AUDIO"
			case "tokencount":
				count, _ = a.tokens(false)
			default:
				a.value()
			}
		})
		if audio {
			n = min(n+count, MaxCount)
		}
	})
	return n
}
