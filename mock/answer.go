package mock

import (
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/tidwall/gjson"
)

// An answer is what the model says: a text, or calls of tools; and what it thinks before.
type answer struct {
	thoughts string
	text     string
	calls    []toolCall
	finish   string // finish_reason
	stopped  string // the stop sequence that cut the text
	tokens   int64  // of one choice, without reasoning
}

type toolCall struct{ name, arguments string }

const (
	finishStop   = "stop"
	finishLength = "length"
	finishCalls  = "tool_calls"
	finishRefuse = "refusal" // the text is why
)

// answerTo makes up the answer to a request.
func answerTo(req *chatRequest) answer {
	a := answer{finish: finishStop}
	prompt := req.prompt
	if line, rest, found := strings.Cut(prompt, "\n"); found {
		if thoughts, ok := strings.CutPrefix(line, "think:"); ok {
			a.thoughts, prompt = strings.TrimPrefix(thoughts, " "), rest
		}
	}
	if len(req.results) > 0 {
		a.text = "The tools said: " + strings.Join(req.results, "; ")
	} else if a.calls = callsFor(req, prompt); len(a.calls) > 0 {
		a.finish = finishCalls
		for _, c := range a.calls {
			a.tokens += Tokens(c.name) + Tokens(c.arguments)
		}
		return a
	} else if why, ok := strings.CutPrefix(prompt, "refuse:"); ok {
		a.text, a.finish = strings.TrimPrefix(why, " "), finishRefuse
	} else {
		a.text = textFor(req, prompt)
	}
	for _, stop := range req.stop {
		if before, _, found := strings.Cut(a.text, stop); found && stop != "" {
			a.text, a.stopped = before, stop
		}
	}
	a.tokens = Tokens(a.text)
	if req.maxTokens > 0 && a.tokens > req.maxTokens {
		a.text, a.tokens, a.finish = firstTokens(a.text, req.maxTokens), req.maxTokens, finishLength
	}
	return a
}

func textFor(req *chatRequest, prompt string) string {
	if text, ok := strings.CutPrefix(prompt, "say:"); ok {
		return strings.TrimPrefix(text, " ")
	}
	if count, ok := strings.CutPrefix(prompt, "lorem:"); ok {
		if words, err := strconv.Atoi(strings.TrimSpace(count)); err == nil && words >= 0 {
			return lorem(words)
		}
	}
	if prompt == "look" {
		return strings.Join(req.files, "; ")
	}
	if req.wantsJSON {
		return instanceOf(req.schema)
	}
	return "You said: " + prompt
}

// callsFor are the tool calls that the user's message or the request's tool_choice asks for.
func callsFor(req *chatRequest, prompt string) []toolCall {
	if len(req.tools) == 0 || req.toolChoice == "none" {
		return nil
	}
	var calls []toolCall
	for line := range strings.Lines(prompt) {
		wanted, ok := strings.CutPrefix(strings.TrimSpace(line), "call:")
		if !ok {
			continue
		}
		name, arguments := cutName(strings.TrimSpace(wanted))
		if slices.ContainsFunc(req.tools, func(f function) bool { return f.name == name }) {
			calls = append(calls, toolCall{name, arguments})
		}
	}
	if len(calls) > 0 || req.toolChoice == "auto" {
		return calls
	}
	called := req.tools[0]
	for _, f := range req.tools {
		if f.name == req.toolChoice {
			called = f
		}
	}
	return []toolCall{{called.name, called.arguments()}}
}

// arguments are such that the function takes them.
func (f function) arguments() string {
	if !f.schema.IsObject() {
		return "{}"
	}
	return instanceOf(f.schema)
}

// cutName takes a call apart: its arguments are {} unless they are JSON.
func cutName(call string) (name, arguments string) {
	end := strings.IndexFunc(call, func(r rune) bool { return unicode.IsSpace(r) || r == '{' || r == '(' })
	if end < 0 {
		return call, "{}"
	}
	name, arguments = call[:end], strings.TrimSpace(call[end:])
	if !gjson.Valid(arguments) {
		return name, "{}"
	}
	return name, arguments
}

var loremWords = strings.Fields(`lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore et dolore magna aliqua
	ut enim ad minim veniam quis nostrud exercitation ullamco laboris nisi ut aliquip ex ea commodo consequat
	duis aute irure dolor in reprehenderit in voluptate velit esse cillum dolore eu fugiat nulla pariatur
	excepteur sint occaecat cupidatat non proident sunt in culpa qui officia deserunt mollit anim id est laborum`)

// preparedLorem is cut to the length that is asked for: a benchmark asks thousands of times a second.
var preparedLorem, preparedEnds = prepareLorem(maxPreparedWords)

const (
	maxPreparedWords = 1000
	maxLoremWords    = 100_000
)

func prepareLorem(words int) (text string, ends []int) {
	var b strings.Builder
	ends = append(ends, 0)
	for i := range words {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(loremWords[i%len(loremWords)])
		ends = append(ends, b.Len())
	}
	return b.String(), ends
}

func lorem(words int) string {
	if words < len(preparedEnds) {
		return preparedLorem[:preparedEnds[words]]
	}
	text, _ := prepareLorem(min(words, maxLoremWords))
	return text
}
