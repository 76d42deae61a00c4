package llm

import "math"

// Usage counts the tokens of one exchange.
type Usage struct {
	Input           int64 // all of the input, with the four kinds below
	CachedInput     int64 // read from the provider's prompt cache
	CacheWrite      int64 // written to it
	CacheWrite1h    int64 // written to it for an hour; not in CacheWrite
	InputAudio      int64
	Output          int64 // all of the output, with the two kinds below
	OutputReasoning int64
	OutputAudio     int64
}

// Total is Input and Output together. A sum that no int64 holds is the greatest that one does.
func (u Usage) Total() int64 {
	if u.Input > 0 && u.Output > math.MaxInt64-u.Input {
		return math.MaxInt64
	}
	return u.Input + u.Output
}

// Joined is u together with what was told later of the same exchange: each count the greater of both, since providers
// count up in the course of a stream and leave out what has not changed.
//
// For how long tokens are kept in the cache Anthropic says at the beginning of a stream only, and at its end how many there are in all: what has
// been told to be kept for an hour is not counted once more.
func (u Usage) Joined(later Usage) Usage {
	if later.CacheWrite1h == 0 {
		later.CacheWrite -= u.CacheWrite1h
	}
	return Usage{
		Input: max(u.Input, later.Input), CachedInput: max(u.CachedInput, later.CachedInput),
		CacheWrite: max(u.CacheWrite, later.CacheWrite), CacheWrite1h: max(u.CacheWrite1h, later.CacheWrite1h),
		InputAudio: max(u.InputAudio, later.InputAudio), Output: max(u.Output, later.Output),
		OutputReasoning: max(u.OutputReasoning, later.OutputReasoning), OutputAudio: max(u.OutputAudio, later.OutputAudio),
	}
}

// and is what two samplings have used together. Counts above MaxCount are cut to it.
func (u Usage) and(v Usage) Usage {
	return Usage{
		Input: min(u.Input+v.Input, MaxCount), CachedInput: min(u.CachedInput+v.CachedInput, MaxCount),
		CacheWrite: min(u.CacheWrite+v.CacheWrite, MaxCount), CacheWrite1h: min(u.CacheWrite1h+v.CacheWrite1h, MaxCount),
		InputAudio: min(u.InputAudio+v.InputAudio, MaxCount), Output: min(u.Output+v.Output, MaxCount),
		OutputReasoning: min(u.OutputReasoning+v.OutputReasoning, MaxCount), OutputAudio: min(u.OutputAudio+v.OutputAudio, MaxCount),
	}
}

// readUsage reads the usage of OpenAI's chat completions,
// https://platform.openai.com/docs/api-reference/chat/object#chat/object-usage. There is one when it counts the tokens
// of the prompt or of the completion. Counts above MaxCount are cut to it, fractions are cut off, and what is negative
// or no number counts as 0.
//
// What a total has beyond both is output: xAI and Google, in OpenAI's API, count what the model thought in the total only, and charge for it:
// https://docs.x.ai/docs/key-information/consumption-and-rate-limits. DeepSeek tells what was cached besides:
// https://api-docs.deepseek.com/guides/kv_cache.
func (a *answer) readUsage() (u Usage, ok bool) {
	if a.peek() != '{' {
		a.value()
		return u, false
	}
	var total, hit int64
	var input, output bool
	o, more := a.object(anyCase)
	for more && a.member(&o) {
		switch string(a.known()) {
		case "total_tokens":
			total, _ = a.tokens(false)
		case "prompt_cache_hit_tokens":
			hit, _ = a.tokens(false)
		case "prompt_tokens":
			u.Input, input = a.tokens(input)
		case "completion_tokens":
			u.Output, output = a.tokens(output)
		case "prompt_tokens_details":
			a.readDetails("cached_tokens", &u.CachedInput, &u.InputAudio, &u.CacheWrite)
		case "completion_tokens_details":
			a.readDetails("reasoning_tokens", &u.OutputReasoning, &u.OutputAudio, nil)
		default:
			a.value()
		}
	}
	u.CachedInput = max(u.CachedInput, hit)
	if input && output {
		u.Output = max(u.Output, total-u.Input)
	}
	return u, input || output
}

// readDetails reads the tokens of one name, those of audio, and of input those that were written to the cache.
func (a *answer) readDetails(name string, named, audio, written *int64) {
	if a.peek() != '{' {
		a.value()
		return
	}
	o, ok := a.object(anyCase)
	for ok && a.member(&o) {
		switch string(a.known()) {
		case name:
			*named, _ = a.tokens(false)
		case "audio_tokens":
			*audio, _ = a.tokens(false)
		case "cache_write_tokens":
			if n, _ := a.tokens(false); written != nil {
				*written = n
			}
		default:
			a.value()
		}
	}
}

// mostTokens is more than any exchange has: windows of ten million are the widest there are.
const mostTokens = 100_000_000

// believed is the usage that a provider names, or none where it cannot be: it is charged for, and taken from limits that would be in debt for years.
func believed(u Usage, known bool) (Usage, bool) {
	if max(u.Input, u.CachedInput, u.CacheWrite, u.CacheWrite1h, u.InputAudio, u.Output, u.OutputReasoning, u.OutputAudio) > mostTokens {
		return Usage{}, false
	}
	return u, known
}

// tokens reads a count of tokens, and reports whether there is one here or was one before.
func (r *reader) tokens(before bool) (int64, bool) {
	n, found := r.readCount()
	return max(0, n), before || found == right
}
