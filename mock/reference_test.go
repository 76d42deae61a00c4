package mock

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write docs/reference/mock.md anew")

const referenceFile = "../docs/reference/mock.md"

func TestReferenceIsCurrent(t *testing.T) {
	want := reference()
	if *update {
		if err := os.WriteFile(referenceFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the code says: run go test ./mock -update", referenceFile)
	}
}

func reference() string {
	var b strings.Builder
	b.WriteString(`# The mock provider

<!-- Generated from mock/behavior.go: go test ./mock -update -->

` + "`leash mock`" + ` is a provider that needs no key and no model. It speaks OpenAI's API (chat completions, streamed or not, embeddings and models),
Anthropic's (messages, streamed or not, and counts of tokens) and Google's (` + "`generateContent`, `streamGenerateContent`" + ` with events or as an array, ` + "`countTokens`" + `,
embeddings and models). It is what the quickstart talks to without a key, and what you can test your own application with. In Go it is an ` + "`http.Handler`" + `, package ` + "`mock`" + `.

## What it answers

The last user message decides:

| message | answer |
|---|---|
| ` + "`say: TEXT`" + ` | TEXT, exactly |
| ` + "`lorem: 200`" + ` | that many words |
| ` + "`call: NAME {JSON}`" + ` | a call of the tool NAME with these arguments, if the request has such a tool; several lines, several calls |
| anything else | "You said: " and the message |

` + "`n`, `stop`, `max_tokens`, `max_completion_tokens`, `tools`, `tool_choice`, `stream` and `stream_options`" + ` act as they do at OpenAI, and
wrong values are refused in OpenAI's words. Fields that it does not know are ignored.

Anthropic's and Google's requests are checked after the published types of their Python packages (anthropic 2.12.0, google-genai 3.4.0): fields that
these do not have are refused, as are calls of tools without answers, and answers without calls.

Tokens are words, each with the white space before it; white space at the end is one more. A prompt has the tokens of all its messages' text, and
nothing besides. So "say: one two" costs 3 and is answered with 2.

## How it misbehaves

The settings are written as a query string, in the request's header ` + "`X-Mock`" + ` or behind a question mark in the model's name:

    curl localhost:8090/v1/chat/completions -H 'X-Mock: pace=100ms&cut_after=5' -d '{"model": "gpt-4o-mini", ...}'
    curl localhost:8090/v1/chat/completions -d '{"model": "gpt-4o-mini?status=429&retry_after=2s", ...}'

| setting | value | what it does |
|---|---|---|
`)
	for _, s := range settings {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s.name, valueKind(s), s.about)
	}
	b.WriteString(`
Events are counted from the first of the stream, the one with the role, to ` + "`[DONE]`" + `.

## What tests ask of it

With its control endpoints enabled (` + "`mock.Options.Control`" + `), settings can also be changed for all requests to come, and what was received can be read.
Credentials are shown as they came, and whoever reaches the port can do all this: it is for tests.

| request | what it does |
|---|---|
| ` + "`POST /mock/faults`" + ` | set them: ` + "`{\"status\": 503, \"times\": 2}`" + ` |
| ` + "`GET /mock/faults`" + ` | what is set |
| ` + "`DELETE /mock/faults`" + ` | back to how it was started |
| ` + "`GET /mock/requests`" + ` | what was received, oldest first: number, time, method, target, protocol, host, header, body |
| ` + "`DELETE /mock/requests`" + ` | forget it |
`)
	return b.String()
}

func valueKind(s setting) string {
	switch s.field(new(Behavior)).(type) {
	case *int:
		return "number"
	case *bool:
		return "`true`"
	case *time.Duration:
		return "duration (`200ms`)"
	default:
		return "word"
	}
}
