package translate

import (
	"strconv"
	"strings"
)

// A version is that of a model, such as 407 of claude-opus-4-7.
type version int

// Models that are asked in another way than those before them.
const (
	// Of Anthropic's: temperature and top_p are refused together.
	oneSampler version = 401
	// Of Anthropic's: how much to think is an effort, and no longer a number of tokens.
	// https://platform.claude.com/docs/en/build-with-claude/adaptive-thinking
	adaptive version = 406
	// Of Anthropic's: temperature, top_p and top_k are refused.
	unsampled version = 407
	// Of Google's: how much to think is a level, and calls come back with the signature of the thought that led to them, or are refused.
	// https://ai.google.dev/gemini-api/docs/thought-signatures
	signing version = 300
	// Of OpenAI's: they think, and an effort says how much; minimal is the least.
	thinks version = 500
	// Of OpenAI's: none is the least, and what they do by themselves, which those from 5.5 on do not.
	still, unstill version = 501, 505
	// Of OpenAI's: xhigh is the most.
	more version = 502
	// newest is what a name of the family has that says no version, such as gemini-flash-latest.
	newest version = 9999
)

// versionOf reads the version out of a model's name; 0 where the model is not of the family. What has more than two digits is a date:
// claude-3-5-sonnet-20241022, anthropic.claude-opus-4-7-v1:0, gemini-2.5-flash.
func versionOf(model, family string) version {
	_, rest, found := strings.Cut(model, family)
	if !found {
		return 0
	}
	for i := 0; i < len(rest); i++ {
		if !isDigit(rest[i]) {
			continue
		}
		major, end := digits(rest, i)
		if end-i > 2 {
			i = end
			continue
		}
		if end < len(rest) && (rest[end] == '-' || rest[end] == '.') {
			if minor, last := digits(rest, end+1); last > end+1 && last-end <= 3 {
				return version(major*100 + minor)
			}
		}
		return version(major * 100)
	}
	return newest
}

func isDigit(c byte) bool { return c-'0' <= 9 }

// digits is the number that begins at an index, and where it ends.
func digits(s string, from int) (n, end int) {
	for end = from; end < len(s) && isDigit(s[end]); end++ {
		n = n*10%10000 + int(s[end]-'0')
	}
	return n, end
}

// openAI is what is known of one of OpenAI's models by its name.
type openAI struct {
	least, most effort // what it takes; unset where it does not think
	still       bool   // it does not think by itself
}

// openAIOf knows https://platform.openai.com/docs/guides/reasoning. Ok is false for a model that is another's, which takes what its own server says.
func openAIOf(model string) (m openAI, ok bool) {
	model = model[strings.LastIndexByte(model, '/')+1:]
	if len(model) > 1 && model[0] == 'o' && isDigit(model[1]) {
		return openAI{least: effortLow, most: effortHigh}, true
	}
	codex := strings.Contains(model, "codex")
	switch v := versionOf(model, "gpt-"); {
	case v == 0 || v >= 1000, // gpt-35-turbo is Azure's
		strings.Contains(model, "-chat"), strings.Contains(model, "gpt-oss"):
		return openAI{}, false
	case v < thinks:
		return openAI{}, true
	case v < still && codex:
		return openAI{least: effortLow, most: effortHigh}, true
	case v < still:
		return openAI{least: effortMinimal, most: effortHigh}, true
	default:
		m = openAI{least: effortNone, most: effortHigh, still: v < unstill && !codex}
		if v >= more || strings.Contains(model, "codex-max") {
			m.most = effortMore
		}
		if codex {
			m.least = effortLow
		}
		return m, true
	}
}

// instructsAnywhere tells whether instructions may stand within a conversation. The APIs of others have no place for them there, and servers like OpenAI's
// may refuse them, by the templates of their models.
func (x *Exchange) instructsAnywhere() bool {
	if x.to != Chat {
		return x.to == Responses
	}
	_, ok := openAIOf(x.providerModel())
	return ok
}

// askOpenAI makes of what is asked of one of OpenAI's models what it takes: an effort that it knows, and no sampling while it thinks.
func (x *Exchange) askOpenAI(r *conversation) {
	m, ok := openAIOf(x.providerModel())
	if !ok {
		return
	}
	if m.most == effortUnset {
		x.leftOut(r.effort > effortNone, effortFields[x.from])
		r.effort = effortUnset
		return
	}
	if r.effort != effortUnset {
		r.effort = min(max(r.effort, m.least), m.most)
	}
	if r.effort == effortMinimal && m.least != effortMinimal {
		r.effort = effortLow
	}
	if r.effort == effortNone || r.effort == effortUnset && m.still {
		return
	}
	for _, number := range [...]struct {
		is    *[]byte
		names [apis]string
	}{{&r.temperature, temperatureNames}, {&r.topP, topPNames}} {
		x.leftOut(*number.is != nil && !isOne(*number.is), number.names[x.from])
		*number.is = nil
	}
}

// isOne tells of a number whether it is what models do by themselves.
func isOne(number []byte) bool {
	f, err := strconv.ParseFloat(string(number), 64)
	return err == nil && f == 1
}

// wantsThoughts tells of a model in chats whether it refuses a conversation without what it thought ahead of its calls:
// https://api-docs.deepseek.com/guides/thinking_mode, https://platform.moonshot.ai/docs/guide/use-kimi-k2-thinking-model. OpenAI refuses one with it.
func (x *Exchange) wantsThoughts() bool {
	if x.to != Chat {
		return false
	}
	model := strings.ToLower(x.providerModel())
	thinks := !strings.Contains(model, "instruct") && !strings.Contains(model, "distill") // which strict servers have, that refuse the field
	return thinks && (strings.Contains(model, "deepseek") || strings.Contains(model, "kimi"))
}
