package provider

import (
	"bytes"
	"slices"

	"github.com/leash-gateway/leash/llm"
)

// modelOf is the model that a request names in its body.
func modelOf(body []byte) string {
	c := llm.NewCursor(body, false)
	for o := c.Object(); c.Member(&o); c.Skip() {
		if string(o.Name) == "model" && c.Next() == '"' {
			return c.String()
		}
	}
	return ""
}

var errorName = []byte(`"error"`)

// failureIn tells whether an answer is an error in spite of its status, as {"error":{"message":"…"}} is, and what it says.
func failureIn(body []byte) (message string, failed bool) {
	if !bytes.Contains(body, errorName) { // most are none, and are not read twice
		return "", false
	}
	c := llm.NewCursor(body, true)
	for o := c.Object(); c.Member(&o); c.Skip() {
		if string(o.Name) != "error" || c.Next() != '{' {
			continue
		}
		for e := c.Object(); c.Member(&e); c.Skip() {
			if string(e.Name) == "message" && c.Next() == '"' {
				return c.String(), true
			}
		}
		return "", true
	}
	return "", false
}

// answers are what an answer holds as a name, one of them, in each format in which it cannot do without. (None is Bedrock's, which counts tokens too.)
var answers = map[llm.Format][][]byte{
	llm.OpenAIChat:        {[]byte(`"choices"`)},
	llm.OpenAICompletions: {[]byte(`"choices"`)},
	llm.OpenAIResponses:   {[]byte(`"output"`)},
	llm.OpenAIEmbeddings:  {[]byte(`"data"`)},
	llm.AnthropicMessages: {[]byte(`"content"`)},
	llm.GoogleGenerate:    {[]byte(`"candidates"`), []byte(`"promptFeedback"`), []byte(`"usageMetadata"`)},
	llm.None:              {[]byte(`"output"`), []byte(`"inputTokens"`)},
}

// isAnswer tells an answer from other JSON that some servers send with status 200, such as {"detail":"Not Found"}. (In a text the names
// would stand between escaped quotes.)
func isAnswer(f llm.Format, body []byte) bool {
	names, known := answers[f]
	return !known || slices.ContainsFunc(names, func(name []byte) bool { return bytes.Contains(body, name) })
}
