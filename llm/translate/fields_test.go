package translate_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"gotest.tools/v3/golden"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/llm/translate"
)

var allAPIs = []translate.API{translate.Chat, translate.Responses, translate.Messages, translate.Gemini}

// providerAPIs are those that requests are translated into.
var providerAPIs = append(slices.Clone(allAPIs), translate.Converse)

// clientFormat is what a client of the API speaks.
func clientFormat(a translate.API) llm.Format {
	return [...]llm.Format{llm.OpenAIChat, llm.OpenAIResponses, llm.AnthropicMessages, llm.GoogleGenerate}[a]
}

// requestWith is a request that has the members, and else what the API demands.
func requestWith(a translate.API, members string) string {
	defaults := map[translate.API][]string{
		translate.Chat:      {`"messages":[{"role":"user","content":"hi"}]`},
		translate.Responses: {`"input":"hi"`},
		translate.Messages:  {`"max_tokens":3000`, `"messages":[{"role":"user","content":"hi"}]`},
		translate.Gemini:    {`"contents":[{"parts":[{"text":"hi"}]}]`},
	}[a]
	if a != translate.Gemini {
		defaults = append(defaults, `"model":"m"`)
	}
	for _, member := range defaults {
		name, _, _ := strings.Cut(member, ":")
		if strings.Contains(members, name+":") && !strings.Contains(members, `{`+name+":") || strings.HasPrefix(members, `"prompt":"`) && name == `"messages"` {
			continue
		}
		if members != "" {
			members += ","
		}
		members += member
	}
	return "{" + members + "}"
}

func TestTheListSaysWhatHappensToEachField(t *testing.T) {
	for i := range translate.Fields {
		f := &translate.Fields[i]
		for _, to := range providerAPIs {
			if to == f.API {
				continue
			}
			t.Run(f.API.String()+"/"+f.Name+"/"+to.String(), func(t *testing.T) {
				body := requestWith(f.API, f.Example)
				var o translate.Options
				if to == translate.Converse { // some fields have a counterpart with one maker's models only
					o.Model = "anthropic.claude-sonnet-4"
				}
				x, err := translate.New(clientFormat(f.API), to, o)
				if err != nil {
					t.Fatal(err)
				}
				got, err := x.Request("m", []byte(body))
				treatment := f.To[to]
				if treatment.Action == translate.Refused {
					if e, ok := errors.AsType[*translate.Error](err); !ok || e.Field == "" {
						t.Errorf("got %v and %s for %s, want a refusal that names its field", err, got.Body, body)
					}
					return
				}
				if err != nil {
					t.Fatalf("%v for %s", err, body)
				}
				readable(t, got)
				if isDropped := slices.Contains(x.Dropped(), f.Name); isDropped != (treatment.Action == translate.Dropped) {
					t.Errorf("dropped are %q, of %s", x.Dropped(), body)
				}
				if treatment.Action == translate.Translated {
					wantField(t, got, treatment.As)
				}
			})
		}
	}
}

// readable fails the test unless the request is one that its API can read.
func readable(t testing.TB, got translate.Request) {
	t.Helper()
	var err error
	if got.Format == llm.None {
		err = llm.Check(got.Body)
	} else {
		_, err = llm.ParseRequestAt(got.Format, got.Path, got.Body)
	}
	if err != nil {
		t.Errorf("%v in %s", err, got.Body)
	}
}

// wantField fails the test unless the request has the field at the end of the path.
func wantField(t *testing.T, got translate.Request, path string) {
	t.Helper()
	path, value, typed := strings.Cut(path, " of ")
	field := strings.TrimSuffix(path[strings.LastIndexByte(path, '.')+1:], "[]")
	want := `"` + field + `":`
	if path == "the first call" { // which the answer shows
		return
	}
	if field == "the path" {
		if strings.HasPrefix(got.Path, "/v1beta/models/m:") || strings.HasPrefix(got.Path, "/model/anthropic.claude-sonnet-4/converse") {
			return
		}
		want = "a path with the model"
	}
	if !strings.Contains(string(got.Body), want) {
		t.Errorf("%s is not in %s", want, got.Body)
	}
	if typed {
		name, value, _ := strings.Cut(value, " ")
		if want := `"` + name + `":"` + value + `"`; !strings.Contains(string(got.Body), want) {
			t.Errorf("%s is not in %s", want, got.Body)
		}
	}
}

func TestFieldsThatNobodyKnowsAreDroppedAndTold(t *testing.T) {
	for _, from := range allAPIs {
		for _, to := range providerAPIs {
			if from == to {
				continue
			}
			x, err := translate.New(clientFormat(from), to, translate.Options{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := x.Request("m", []byte(requestWith(from, `"hologram":{"depth":3},"nothing":null,"off":false`)))
			if err != nil || !slices.Equal(x.Dropped(), []string{"hologram"}) || strings.Contains(string(got.Body), "hologram") {
				t.Errorf("%s to %s: got %s, %v, dropped %q", from, to, got.Body, err, x.Dropped())
			}
		}
	}
}

func TestReferenceIsCurrent(t *testing.T) {
	golden.Assert(t, reference(), "../../../docs/translation.md")
}

func reference() string {
	var b strings.Builder
	b.WriteString(`# Translation between the providers' APIs

<!-- Generated from llm/translate/fields.go: go test ./llm/translate -update -->

A request in one API goes to a provider that speaks another. Each field of it is **translated**, **dropped** (the answer is as good
without it; the answer's header ` + "`x-leash-dropped`" + ` names it) or **refused** with status 400 and the name of the field (the answer would not be what was asked
for). A field that is not in these tables is dropped. Null, false, and empty texts, lists and objects ask for nothing, and are never refused.

`)
	for _, from := range allAPIs {
		b.WriteString("## From " + from.String() + "\n\n| field |")
		for _, to := range providerAPIs {
			if to != from {
				b.WriteString(" to " + to.String() + " |")
			}
		}
		b.WriteString("\n|---|---|---|---|---|\n")
		for i := range translate.Fields {
			f := &translate.Fields[i]
			if f.API != from {
				continue
			}
			b.WriteString("| `" + f.Name + "` |")
			for _, to := range providerAPIs {
				if to == from {
					continue
				}
				switch treatment := f.To[to]; treatment.Action {
				case translate.Dropped:
					b.WriteString(" dropped |")
				case translate.Refused:
					b.WriteString(" **refused** |")
				default:
					if strings.HasPrefix(treatment.As, "the ") {
						b.WriteString(" " + treatment.As + " |")
					} else {
						b.WriteString(" `" + treatment.As + "` |")
					}
				}
			}
			b.WriteString("\n")
		}
		b.WriteString("\n")
	}
	b.WriteString(`## Besides

- **System prompts.** All system and developer messages become one, in their order, at the beginning. To OpenAI's models, which the name tells, those within the conversation
  stay where they are: what was said before stays cached. One without any other message is what the user says. One of pictures or files is refused but on the way to OpenAI's
  responses, and so is a picture of the model's own but on the way to Google: the others take texts only there.
- **Texts.** Several of a message are one string in chats, with an empty line between them but where the model has said them: many servers take no parts. Blank ones are left out on the way to Anthropic
  and Bedrock, which refuse them, and so is the space behind what an answer is to begin with. Anthropic's documents of text and its search results are texts elsewhere,
  below their title and where they are from.
- **Tools.** Ids of calls are kept, but those that are too long for OpenAI (40 characters in chats, 64 in responses), or are no word of letters, digits, ` + "`_` and `-`" + ` for
  Anthropic and Bedrock: these become others, in the call and in what answers it, and so do those that stand in several calls, which Anthropic and Bedrock refuse. Google's calls may have none: these get ` + "`call_1`, `call_2`" + ` and so on, and an answer belongs to the first call
  of its function that has none. A text that a tool answers is ` + "`{\"result\": TEXT}`" + ` to Google (or ` + "`error`" + `), and an object is itself; back again
  likewise. Arguments that are no JSON object are refused on the way to Anthropic, Google and Bedrock. Pictures and files that a tool answers stand in the user's next
  message in chats, whose tools say texts only, and are parts of their own behind the answer to Google. A name of a tool that the provider does not take (of more than
  64 characters, 128 for Anthropic, or with others than those above) is another to it, and its own to the client. Anthropic and Bedrock get schemas of tools that say
  that they are of an object, and Bedrock the tools that were called, without their schemas, where a request has none: it refuses the conversation else.
- **Codex** has custom tools, which take a text, and namespaces of tools. Elsewhere the former are functions with the one argument ` + "`input`" + ` and the grammar in their description,
  and tools in a namespace have its name in front (` + "`multi_agent_v1__spawn_agent`" + `); calls of them come back as what they are. What it searches the web with is
  OpenAI's own: models of others do without, and a request for nothing but a search is refused.
- **Headers** of a client's API (` + "`anthropic-`, `openai-`, `x-stainless-`, `x-goog-`" + `) do not go to a provider of another API, nor do those in which coding agents tell of the user's
  machine and session (` + "`x-codex-`, `x-claude-code-`" + `) where a request is translated; all others do.
- **Users.** A name of more than 64 characters, as Claude Code has them, is another to OpenAI, which refuses it: the same for the same user. Anthropic takes 256.
- **Signatures of thoughts.** Google's models from Gemini 3 on refuse a conversation whose calls come back without them. Chats have them as Google's own
  chats do, in ` + "`tool_calls[].extra_content.google.thought_signature`" + `, and what a client gives back there goes to Google. Where it keeps none, as clients of
  the other APIs cannot, or another model has made the call, the first call of a turn is sent with the signature that Google takes for none,
  ` + "`skip_thought_signature_validator`" + `: the model then goes on without what it had thought.
- **One call at a time** is what Google and Bedrock cannot be asked for: of several calls in an answer the client is told the first, as if the model had made no
  other. It makes the others, if it still wants to, once it has the answer to that one.
- **Limit of the answer.** Anthropic demands one. Without one from the client it is 4096 tokens, and what the model may think besides. OpenAI's responses have at least 16,
  and so has a request that asks for fewer, as Claude Code does whether a model is there.
- **Reasoning effort.** Anthropic's models before Claude 4.6 and Google's before Gemini 3 count tokens: minimal is 1024, low 2048, medium 8192, high 16384, xhigh
  and max 24576; back again it is the lowest effort that has as many. None is no thinking. To Anthropic it needs a limit above 1024, is cut below that limit,
  and is left out once a tool was called, since the thoughts that Anthropic then asks for were not kept. Newer ones of Anthropic's get an effort
  (` + "`output_config.effort`" + `, from low to high, and xhigh from Claude 4.7 on) and think as they see fit (` + "`thinking` of type `adaptive`" + `), and Google's a
  ` + "`thinkingLevel`" + ` (low to high: all of them think). No model of Anthropic's thinks while it is made to call a tool. Gemini 2.5 Pro, which cannot but think, gets 128 tokens for none.
  OpenAI's models get the nearest effort that they know: none before GPT-5 (dropped), low to high of o1 to o4, minimal to high of GPT-5, none to high of 5.1, and none to xhigh
  from 5.2 on. Where Anthropic's client says that a model is not to think (` + "`thinking`" + ` of type ` + "`disabled`" + `) the effort is none, and left out for models of others in chats.
- **Sampling.** Anthropic refuses ` + "`temperature`, `top_p` and `top_k`" + ` from Claude 4.7 on, a ` + "`top_p`" + ` beside a temperature from Claude 4.1 on, and before that a temperature and
  a ` + "`top_k`" + ` while a model thinks: these are dropped then. So it is with Anthropic's models on Bedrock, and with a ` + "`temperature`" + ` and a ` + "`top_p`" + ` other than 1 of OpenAI's while they think.
  Which generation a model is of its name says.
- **JSON without a schema** is what Anthropic's models and Bedrock's are asked for in the system prompt, since their APIs have no word for it. OpenAI refuses a request for it whose
  messages do not say JSON, so Google's clients' say it there too.
- **Schemas.** Google's ` + "`parameters` and `responseSchema`" + ` become JSON Schema: types in lower case, ` + "`nullable`" + ` a second type, a further value or a further
  alternative, the values of an enum numbers where the type is one, ` + "`ref` and `defs`" + ` with their dollars, and without ` + "`propertyOrdering`, `example`" + ` and what
  Google does not know either. JSON Schemas are sent on as they are, but that of an
  answer to Anthropic and Bedrock, which take no object without ` + "`additionalProperties`" + `: where that is missing it is false.
- **Images** have the type that their data begin as, whatever the client says, since Anthropic refuses others; ` + "`image/jpg`" + ` is ` + "`image/jpeg`" + `.
- **Addresses.** An image at an address stays one. To Google it gets a MIME type after its ending, JPEG without one. OpenAI's chats take no file at an address:
  that is refused, and so is all that lies at an address on the way to Bedrock, which fetches nothing.
- **Bedrock.** ` + "`thinking` and `top_k`" + ` go to Anthropic's models there (with ` + "`anthropic.` or `claude`" + ` in the name) and are dropped for others. Documents get names
  of the characters that Bedrock takes, each another. That no tool be called is said by leaving them out, and refused once the conversation has calls.
  ` + "`cache_control`" + ` becomes a ` + "`cachePoint`" + ` behind the block. Exceptions in a stream become errors with the status that they stand for.
- **Finish reasons.** Where an answer calls tools it ends with them in APIs that say so.

| | ` + "chat | responses | Anthropic | Google | Bedrock" + ` |
|---|---|---|---|---|---|
| done | ` + "`stop` | `completed` | `end_turn`, `stop_sequence` | `STOP` | `end_turn`, `stop_sequence`" + ` |
| limit met | ` + "`length` | `incomplete`, `max_output_tokens` | `max_tokens` | `MAX_TOKENS` | `max_tokens`, `model_context_window_exceeded`" + ` |
| tools called | ` + "`tool_calls` | `completed` | `tool_use` | `STOP` | `tool_use`" + ` |
| refused by the provider | ` + "`content_filter` | `incomplete`, `content_filter` | `refusal` | `SAFETY` and others, and a blocked prompt | `guardrail_intervened`, `content_filtered`" + ` |
| of no use | ` + "`error`, `abort` and others of some | `failed`, `cancelled` | | `MALFORMED_FUNCTION_CALL`, `UNEXPECTED_TOOL_CALL` and others | `malformed_…`" + ` |

Of an answer that meets its limit in the midst of a call of a tool Google's clients, and Anthropic's without a stream, are told all but that call, since they have
arguments as objects only.

An answer of no use is an error to the client, for the others have no reason for such an end: in a stream an event, else 502, before which another provider
of the route is asked. So an agent does not take it for a model that had nothing to say, and clients that ask again after errors do so.

- **Usage.** Counts mean the same everywhere: OpenAI's and Google's input has what was read from the cache in it, and Anthropic's and Bedrock's has not; Google's candidates
  do not have the thoughts in them, and the others' output has.
- **Thoughts** of the model are ` + "`reasoning_content`" + ` in chats, items of type ` + "`reasoning`" + ` in responses, blocks of type ` + "`thinking`" + ` at Anthropic (with
  an empty signature, by which they are known and left out if Anthropic is asked next, which refuses them) and parts with ` + "`thought`" + ` at Google. Models of DeepSeek's and Kimi (with
  ` + "`deepseek`" + ` or ` + "`kimi`" + ` in the name) get them back in chats, as ` + "`reasoning_content`" + `, since they refuse a call of a tool without; where a client has kept none it is a space. Log probabilities, citations and what tools of the provider's own did are left out of answers.
  A picture in an answer of Google's is an error.
- **What OpenAI keeps.** Translated responses are kept nowhere: what names an earlier one, or an item of it, is refused. Clients send the items themselves where
  they know that, which Vercel's AI SDK does with ` + "`store: false`" + `. Ids of items begin as OpenAI's do, so that it takes them if it is asked next.
- **What Anthropic keeps.** Likewise a ` + "`thread`" + ` is refused, with the code ` + "`thread_unsupported_request`" + ` by which the runners of tools in Anthropic's clients know that they
  have to send the whole conversation, and do.
- **Streams** that break off before their end, and errors in their course, end with an error in the client's API. Calls go to Google's clients
  whole, once their arguments are complete, and so does the text of a custom tool to Codex. Pings and comments by which a provider keeps its stream alive are pings to Anthropic's clients
  and comments to OpenAI's; Google's, which cannot read such, are told nothing.
- **Errors** keep status, message and code, and take the form of the client's API. That a request has too many tokens is ` + "`context_length_exceeded`" + ` to OpenAI's clients.
  Headers of the answer stay the provider's, those of its rate limits too. For how long Google wants to be left alone, which it says in the body, is told in ` + "`retry-after`" + `.
- **Counting tokens** is translated between Anthropic and Google, and from both to Bedrock, **embeddings** between OpenAI and Google (texts only, one part each; Google's ` + "`embedContent`" + `
  becomes ` + "`batchEmbedContents`" + `), and OpenAI's older **completions** into all others, if the prompt is one text. All else has no translation.
`)
	return b.String()
}
