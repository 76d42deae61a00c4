package mock

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gotest.tools/v3/golden"
)

func TestReferenceIsCurrent(t *testing.T) {
	golden.Assert(t, reference(), "../../docs/reference/mock.md")
}

func reference() string {
	var b strings.Builder
	b.WriteString(`# The mock provider

<!-- Generated from mock/behavior.go and mock/snippets_test.go: go test ./mock -update -->

` + "`leash mock`" + ` is a provider that needs no key and no model. It is what the quickstart talks to without a key, and what you can test your own
application with. In Go it is an ` + "`http.Handler`" + `, package ` + "`mock`" + `.

| API | paths | key |
|---|---|---|
| OpenAI | ` + "`/v1/chat/completions`, `/v1/responses`, `/v1/completions`, `/v1/embeddings`, `/v1/models`" + ` | ` + "`Authorization: Bearer`" + ` |
| Anthropic | ` + "`/v1/messages`, `/v1/messages/count_tokens`, `/v1/models`" + ` (with ` + "`anthropic-version`" + `) | ` + "`x-api-key`, or `Authorization: Bearer`" + ` |
| Google | ` + "`/v1beta/models/MODEL:METHOD`" + `: ` + "`generateContent`, `streamGenerateContent`" + ` (events, or an array), ` + "`countTokens`, `embedContent`, `batchEmbedContents`" + `; ` + "`/v1beta/models`" + `; all below ` + "`/v1`" + ` too | ` + "`x-goog-api-key`" + ` or ` + "`?key=`" + ` |
| Azure OpenAI | ` + "`/openai/deployments/NAME/METHOD?api-version=`, `/openai/v1/METHOD`" + ` | ` + "`api-key`" + `, or ` + "`Authorization: Bearer`" + ` |
| Vertex AI | ` + "`/v1/projects/PROJECT/locations/LOCATION/publishers/google/models/MODEL:METHOD`" + ` (also ` + "`predict`" + `), ` + "`.../publishers/anthropic/models/MODEL:rawPredict`" + ` and ` + "`streamRawPredict`" + `, ` + "`.../endpoints/openapi/chat/completions`" + ` | ` + "`Authorization: Bearer`" + `, always |
| Amazon Bedrock | ` + "`/model/MODEL/converse`, `converse-stream`, `count-tokens`" + ` | a signature (version 4), always, or ` + "`Authorization: Bearer`" + ` |
| Google's tokens | ` + "`/token`" + `: a service account's assertion against an access token | the assertion |

Any key is accepted, or with ` + "`--key`" + ` only that one. For Bedrock it is ` + "`ACCESS_KEY_ID:SECRET`" + `, and the signature is then computed again. ` + "`/token`" + ` gives the key as access token
(without one ` + "`ya29.mock`" + `), for an assertion whose algorithm, claims and times are right; who signed it is not verified.

Models are as new as their names say: those since ` + "`claude-opus-4-7`" + ` refuse a temperature and thoughts that are counted, and those since ` + "`gemini-3`" + ` sign their
calls, and refuse such that come back without the signature.

## What it answers

The last user message decides:

| message | answer |
|---|---|
| ` + "`say: TEXT`" + ` | TEXT, exactly |
| ` + "`lorem: 200`" + ` | that many words |
| ` + "`call: NAME {JSON}`" + ` | a call of the tool NAME with these arguments, if the request has such a tool; several lines, several calls. One that only ` + "`tool_choice`" + ` asks for has arguments that fit |
| ` + "`refuse: WHY`" + ` | a refusal, in the API's form |
| ` + "`look`" + ` | what images and files the conversation has: type, size and checksum (CRC-32), or the address |
| anything else | "You said: " and the message; or JSON that fits, if the request has a schema for the answer |

A first line ` + "`think: TEXT`" + ` makes the model think so before it answers: the thoughts are counted, and shown where the request asks for them and the API
has a place for them. A conversation that ends with what tools returned is answered with "The tools said: " and that.

` + "`n`, `stop`, `max_tokens`, `tools`, `tool_choice`, `stream`" + ` and their counterparts act as they do at the provider.

Tokens are words, each with the white space before it; white space at the end is one more. A prompt has the tokens of all its messages' text, and
nothing besides. So "say: one two" costs 3 and is answered with 2.

## What it refuses

A request that does not fit the provider's published schema gets status 400 in that provider's form, with the place and the reason (` + "`--lax`" + ` takes it).
Where no schema says so, what providers are known to refuse is refused in their words: a call of a tool without its answer, an answer without a call,
turns that do not alternate.

| API | schema |
|---|---|
| OpenAI, Azure | OpenAI's OpenAPI document (version 2.3.0). Fields that it does not name are allowed by it, and ignored |
| Anthropic | Anthropic publishes none; the types of its Python package (anthropic 2.12.0), which are generated from what it has. Other fields are refused; requests with ` + "`anthropic-beta`" + ` are not checked |
| Google, Vertex AI | Google's discovery documents (v1beta of 2026-05-29, and v1), in both spellings of fields. Other fields are refused |
| Bedrock | Amazon's service model (2023-09-30, botocore 1.44.5). Other fields are refused |

## How it misbehaves

The settings are written as a query string, in the request's header ` + "`X-Mock`" + ` or behind a question mark in the model's name, or are set for all
requests to come. Each can be combined with others.

| setting | value | what it does |
|---|---|---|
`)
	for _, s := range settings {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s.name, valueKind(s), s.about)
	}
	b.WriteString(`
Events are counted from the first of the stream, the one with the role, to ` + "`[DONE]`" + `.

## Faults, one by one

Against ` + "`leash mock --control`" + `; a test runs each.
`)
	for _, s := range snippets {
		b.WriteString("\n**" + s.about + ".** " + s.says + "\n\n```sh\n" + s.command + "\n```\n")
	}
	b.WriteString(`
## What tests ask of it

With its control endpoints enabled (` + "`--control`, `mock.Options.Control`" + `), settings can also be changed for all requests to come, and what was received can be read:
the latest 1000 requests, with bodies of at most 128 MiB together. Credentials are shown as they came, and whoever reaches the port can do all this: it is for tests.
With ` + "`--listen`" + ` given several times there are several providers, each with faults and requests of its own.

| request | what it does |
|---|---|
| ` + "`POST /mock/faults`" + ` | set them: ` + "`{\"status\": 503, \"times\": 2}`" + ` |
| ` + "`GET /mock/faults`" + ` | what is set |
| ` + "`DELETE /mock/faults`" + ` | back to how it was started |
| ` + "`GET /mock/requests`" + ` | what was received, oldest first: number, time, method, target, protocol, host, header, body; ` + "`?after=NUMBER`" + ` for what came later |
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
