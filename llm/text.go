package llm

// A Role says who speaks in a message.
type Role uint8

// The roles. A role that is not known is OtherRole.
const (
	OtherRole Role = iota
	System         // also "developer"
	User
	Assistant
	Tool // also "function", its older name
)

// String returns the role as the OpenAI API spells it, "other" for OtherRole.
func (r Role) String() string {
	switch r {
	case System:
		return "system"
	case User:
		return "user"
	case Assistant:
		return "assistant"
	case Tool:
		return "tool"
	default:
		return "other"
	}
}

// A Kind says what a text is to its message.
type Kind uint8

// The kinds of text.
const (
	Content       Kind = iota // what is said
	Refusal                   // why the model will not say it
	Reasoning                 // what it thought before, where a provider shows that ("reasoning_content", "reasoning")
	ToolArguments             // what a tool is called with
	Definition                // what tools and answers are to be, and all else that a model may be told beside the messages (Request.Others)
)

// String names the kind for logs and metrics.
func (k Kind) String() string {
	switch k {
	case Content:
		return "content"
	case Refusal:
		return "refusal"
	case Reasoning:
		return "reasoning"
	case ToolArguments:
		return "tool_arguments"
	case Definition:
		return "definition"
	default:
		return "other"
	}
}

// A Text is one string that a person or a model wrote, or that a tool is given or gives.
type Text struct {
	Role    Role
	Kind    Kind
	Message int    // index of its message in a request, of its choice in an answer; Outside for a system prompt beside the messages
	Part    int    // index of its content part, or of its tool call; 0 for plain content
	Value   string // unescaped
	Whole   bool   // in an event: all of a text, which may have come in pieces before, and is not to be added to them

	place    place
	at       span // of its JSON string, with the quotes
	logprobs span // of its choice; empty when there are none
	slot     int  // of its edit

	logprobList bool // they are a list

	before string // of an encoded one: what stands before it
}

// A place is where in its message a text stands.
type place uint8

const (
	inContent place = iota
	inTextPart
	inBarePart // a string among the content parts, which some servers take
	inRefusal
	inRefusalPart
	inReasoningContent
	inReasoning
	inToolFunction
	inToolCustom
	inFunctionCall // the older form of tool calls
	inChoiceText   // of a choice without a message, the older completions' form
	inKey          // the key of an object that a tool is called with
	inTranscript   // of a sound
	inDetails      // what it thought, once more
	inOther        // where we do not know
	inEncoded      // a file
)
