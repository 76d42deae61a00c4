package llm

import "strconv"

// An answer reads what whole answers and the events of a stream have in common.
type answer struct {
	reader
	id, model string
	choices   int
	choicesAt span // the value of "choices"
	endings   []ending
	probs     []probabilities
	usage     Usage
	hasUsage  bool
	usageAt   span // the value of "usage"
	hasError  bool
}

// An ending is a Finish, and where in the array its choice stands.
type ending struct {
	Finish
	position int
}

// read reads a whole body. The reader's texts and whole may be set before.
func (a *answer) read(src []byte) {
	a.list, a.answer, a.lone = "choices", true, true
	a.start(src)
	if a.peek() != '{' {
		a.value()
		a.forbid("", "must be an object")
		return
	}
	o, ok := a.object(anyCase)
	for ok && a.member(&o) {
		start := a.pos
		switch string(a.known()) {
		case "id":
			a.id = a.label()
		case "model":
			a.model = a.label()
		case "choices":
			a.readChoices()
			a.choicesAt = spanOf(start, a.pos)
		case "usage":
			a.usage, a.hasUsage = believed(a.readUsage())
			a.usageAt = spanOf(start, a.pos)
		case "error":
			a.hasError = a.peek() != 'n'
			a.value()
		default:
			a.value()
		}
	}
}

func (a *answer) readChoices() {
	if a.peek() != '[' {
		a.value()
		return
	}
	var list array
	ok := a.enter()
	for ok && a.element(&list) {
		if a.choices == maxTexts {
			a.forbid("choices", "more than "+strconv.Itoa(maxTexts))
			a.value()
			continue
		}
		a.message = a.choices
		if c := a.readChoice(); c.Reason != "" {
			a.endings = append(a.endings, ending{c, a.choices})
		}
		a.choices++
	}
}

// readChoice reads a choice with its texts, whether it has a whole message or the delta of a stream.
func (a *answer) readChoice() Finish {
	c := Finish{Choice: a.message}
	if a.peek() != '{' {
		a.value()
		return c
	}
	first, called := len(a.texts), len(a.calls)
	var logprobs span
	o, ok := a.object(anyCase)
	for ok && a.member(&o) {
		switch string(a.known()) {
		case "index":
			if n, found := a.readCount(); found == right && n >= 0 {
				c.Choice = int(n)
			}
		case "message", "delta":
			a.readMessage(Assistant)
		case "text": // of the older completions
			from := len(a.texts)
			if a.add(inChoiceText, 0); len(a.texts) > from {
				a.texts[from].Role = Assistant
			}
		case "finish_reason":
			c.Reason = a.label()
		case "logprobs":
			null := a.peek() == 'n'
			if at, ok := a.span(); ok && !null {
				logprobs = at
			}
		default:
			a.value()
		}
	}
	for i := first; i < len(a.texts); i++ {
		a.texts[i].Message = c.Choice
		a.texts[i].logprobs = logprobs
	}
	a.calledIn(called, c.Choice)
	if !logprobs.empty() {
		a.probs = append(a.probs, probabilities{c.Choice, logprobs})
	}
	return c
}
