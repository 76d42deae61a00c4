package mock

import (
	"regexp"
	"strconv"

	"github.com/tidwall/gjson"
)

// generations are the models' by their names: claude-opus-4-7, gemini-2.5-flash. What has more than two digits is a date.
var generations = map[string]*regexp.Regexp{
	anthropicModels: regexp.MustCompile(`claude-(?:[a-z]+-)?(\d{1,2})(?:[-.](\d{1,2}))?(?:\D|$)`),
	googleModels:    regexp.MustCompile(`gemini-(?:[a-z]+-)?(\d{1,2})(?:[-.](\d{1,2}))?(?:\D|$)`),
}

const (
	anthropicModels = "claude"
	googleModels    = "gemini"
)

// isSince tells whether a model is of that generation of its maker's or a later one.
func isSince(model, maker string, major, minor int) bool {
	found := generations[maker].FindStringSubmatch(model)
	if found == nil {
		return false
	}
	first, _ := strconv.Atoi(found[1])
	second, _ := strconv.Atoi(found[2])
	return first > major || first == major && second >= minor
}

// checkGeneration refuses what Anthropic's models since Claude 4.7 refuse: https://platform.claude.com/docs/en/about-claude/models/migration-guide
func checkGeneration(model string, body []byte) *apiError {
	if !isSince(model, anthropicModels, 4, 7) {
		return nil
	}
	for _, name := range [...]string{"temperature", "top_p", "top_k"} {
		if gjson.GetBytes(body, name).Exists() {
			return &apiError{status: 400, kind: invalidRequest, message: "`" + name + "` is deprecated for this model."}
		}
	}
	if gjson.GetBytes(body, "thinking.type").Str == "enabled" {
		return &apiError{status: 400, kind: invalidRequest, message: `"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.`}
	}
	return nil
}

// What Google's models since Gemini 3 sign their calls with, and what they take instead. https://ai.google.dev/gemini-api/docs/thought-signatures
const (
	signatureOfThought   = "bW9jaw=="
	noSignatureOfThought = "skip_thought_signature_validator"
)

// checkSignatures refuses contents in which the first call of a step has another signature, or none, since the user has said something.
func checkSignatures(contents gjson.Result) (fault *apiError) {
	list := contents.Array()
	for i := len(list) - 1; i >= 0 && fault == nil; i-- {
		if list[i].Get("role").Str != "model" {
			if textOf(list[i].Get("parts")) != "" {
				return nil
			}
			continue
		}
		for _, part := range list[i].Get("parts").Array() {
			call := field(part, "functionCall")
			if !call.Exists() {
				continue
			}
			switch field(part, "thoughtSignature").Str {
			case signatureOfThought, noSignatureOfThought:
			case "":
				fault = badField("Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly. Additional data, function call `" + call.Get("name").Str + "`.")
			default:
				fault = badField("Corrupted thought signature.")
			}
			break
		}
	}
	return fault
}
