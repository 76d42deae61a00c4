// Package logger is the module that writes one JSON line an exchange: who asked what model, how it ended, how long it
// took, what it used and cost. Prompts and answers stand in it only when asked for, redacted.
package logger

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/match"
	"github.com/leash-gateway/leash/module/printf"
	"github.com/leash-gateway/leash/module/record"
)

func init() { module.Register("logger", module.Inspector, New) }

// Config says what stands in the line besides the facts.
type Config struct {
	// Prompts adds what the user wrote, Completions what the model wrote, both redacted and cut at MaxTextBytes.
	Prompts      bool `json:"prompts"`
	Completions  bool `json:"completions"`
	MaxTextBytes int  `json:"max_text_bytes"`
	// OmitAddress leaves the client's address out.
	OmitAddress bool `json:"omit_address"`
	// Redact names the built-in patterns that are taken out of prompts and completions; all of them by default.
	Redact []string `json:"redact"`
	// Keywords are further words that are taken out.
	Keywords []string `json:"keywords"`
}

// SetDefaults sets the bound of logged texts and redacts everything that is known.
func (c *Config) SetDefaults() {
	c.MaxTextBytes = 4096
	c.Redact = match.BuiltinNames()
}

// Logger writes the lines.
type Logger struct {
	Config
	redact *match.Set
}

// New builds the module.
func New(c Config) (*Logger, error) {
	if c.MaxTextBytes < 0 {
		return nil, errors.New("max_text_bytes: must not be negative")
	}
	var patterns []match.Pattern
	for i, name := range c.Redact {
		p, known := match.Builtin(name)
		if !known {
			return nil, printf.Errorf("redact[%d]: %q is not one of %s", i, name, strings.Join(match.BuiltinNames(), ", "))
		}
		patterns = append(patterns, p)
	}
	for i, word := range c.Keywords {
		p := match.Pattern{Name: "keyword", Keyword: word}
		if _, err := match.Compile([]match.Pattern{p}); err != nil {
			return nil, printf.Errorf("keywords[%d]: %w", i, err)
		}
		patterns = append(patterns, p)
	}
	set, err := match.Compile(patterns)
	return &Logger{Config: c, redact: set}, err
}

// Needs leaves out what the facts alone do not need: bodies are asked for only when texts are logged.
func (l *Logger) Needs() module.Phase {
	needs := module.PhaseFinish | module.PhaseRequest
	if l.Completions {
		needs |= module.PhaseResponse | module.PhaseEvent
	}
	return needs
}

// notes is what the logger keeps of an exchange until its end. The prompt is taken down when it comes, because a
// later module may have replaced it by then.
type notes struct {
	model, prompt, completion string
	stream                    bool
	said                      []running
	size                      int // of all that was said, in bytes
}

// running is a text of a stream. Choices and kinds of text come in turn, and some servers send what the model thought
// in two fields of each event; put together in the order of arrival, none could be read or redacted.
type running struct {
	choice, part, again int
	kind                llm.Kind
	text                []byte
}

// Request takes down the model and, when asked for, the prompt.
func (l *Logger) Request(x *module.Exchange) error {
	if x.Request == nil {
		return nil
	}
	r := module.Local[notes](x)
	r.model, r.stream = strings.Clone(x.Request.Model), x.Request.Stream
	if l.Prompts {
		r.prompt = l.collect("", x.Request.Texts)
	}
	return nil
}

// Response takes down a whole answer.
func (l *Logger) Response(x *module.Exchange) error {
	r := module.Local[notes](x)
	r.completion = l.collect("", x.Response.Texts)
	return nil
}

// Event takes down a piece of a streamed answer.
func (l *Logger) Event(x *module.Exchange, e *module.Event) error {
	r := module.Local[notes](x)
	for i := range e.Texts {
		if r.size >= l.rawBound() {
			return nil
		}
		if t := &e.Texts[i]; t.Value == "" || t.Whole && r.has(t) {
			continue
		}
		one := r.of(e.Texts, i)
		one.text = append(one.text, e.Texts[i].Value...)
		r.size += len(e.Texts[i].Value)
	}
	return nil
}

// of is the running text that texts[i] goes on with.
func (r *notes) of(texts []llm.Text, i int) *running {
	t := running{choice: texts[i].Message, part: texts[i].Part, kind: texts[i].Kind}
	for j := range texts[:i] {
		if before := &texts[j]; before.Message == t.choice && before.Part == t.part && before.Kind == t.kind {
			t.again++
		}
	}
	for j := range r.said {
		if one := &r.said[j]; one.choice == t.choice && one.part == t.part && one.kind == t.kind && one.again == t.again {
			return one
		}
	}
	r.said = append(r.said, t)
	return &r.said[len(r.said)-1]
}

// has tells whether a text, or pieces of it, were taken down.
func (r *notes) has(t *llm.Text) bool {
	for j := range r.said {
		if one := &r.said[j]; one.choice == t.Message && one.part == t.Part && one.kind == t.Kind {
			return true
		}
	}
	return false
}

// whole is what was said, one text below the other.
func (r *notes) whole() string {
	text := r.completion
	for i := range r.said {
		if text != "" && len(r.said[i].text) > 0 {
			text += "\n"
		}
		text += string(r.said[i].text)
	}
	return text
}

// rawBound is how much text is kept before redaction: more than is logged, so that what is cut off at the end is not
// the half of something that should have been redacted.
func (l *Logger) rawBound() int { return l.MaxTextBytes + 1024 }

func (l *Logger) collect(text string, texts []llm.Text) string {
	for i := range texts {
		if text != "" {
			text += "\n"
		}
		text += texts[i].Value
		if len(text) > l.rawBound() {
			text = text[:l.rawBound()]
			break
		}
	}
	return text
}

// clean redacts a text and cuts it to the bound.
func (l *Logger) clean(text string) string { return l.redact.Redacted(text, l.MaxTextBytes) }

// FinishesLate says that nothing waits for Finish.
func (*Logger) FinishesLate() {}

// Finish writes the line.
func (l *Logger) Finish(x *module.Exchange) {
	r := module.Local[notes](x)
	now := x.Now()
	caller := x.Caller()
	refusedBy, code := x.Refusal()
	if refusedBy == "" {
		code = x.AnswerError
	}

	w := record.Of("exchange")
	w = w.Text("time", x.Started().UTC().Format(time.RFC3339Nano))
	w = w.Text("request_id", record.Cut(x.ID))
	w = w.Text("tenant", caller.Tenant)
	w = w.Text("key", caller.Key)
	w = w.Text("user", caller.User)
	if !l.OmitAddress {
		w = w.Text("address", record.Cut(x.ClientAddress()))
	}
	w = w.Text("method", record.Cut(x.Method))
	w = w.Text("path", record.Cut(x.Path))
	w = w.Text("model", record.Cut(r.model))
	w = w.Text("upstream_model", x.Fact(module.FactUpstreamModel))
	w = w.Text("provider", x.Fact(module.FactProvider))
	w = w.Number("status", int64(x.Status))
	w = w.Text("outcome", outcome(x, refusedBy))
	w = w.Text("refused_by", refusedBy)
	w = w.Text("code", code)
	w = w.Text("trace_id", x.Fact(module.FactTrace))
	w = w.Text("flags", x.Fact(module.FactFlags))
	w = w.Flag("stream", r.stream)
	w = w.Number("latency_ms", now.Sub(x.Started()).Milliseconds())
	if !x.FirstToken().IsZero() {
		w = w.Number("time_to_first_token_ms", x.FirstToken().Sub(x.Started()).Milliseconds())
	}
	if x.Usage != (llm.Usage{}) {
		w = w.Number("input_tokens", x.Usage.Input)
		w = w.Number("cached_input_tokens", x.Usage.CachedInput)
		w = w.Positive("cache_write_tokens", x.Usage.CacheWrite)
		w = w.Positive("cache_write_1h_tokens", x.Usage.CacheWrite1h)
		w = w.Positive("input_audio_tokens", x.Usage.InputAudio)
		w = w.Number("output_tokens", x.Usage.Output)
		w = w.Positive("output_reasoning_tokens", x.Usage.OutputReasoning)
		w = w.Positive("output_audio_tokens", x.Usage.OutputAudio)
		w = w.Flag("usage_estimated", x.UsageEstimated)
	}
	if amount, err := strconv.ParseInt(x.Fact(module.FactCost), 10, 64); err == nil {
		w = w.Number("cost_picodollars", amount)
	}
	if l.Prompts {
		w = w.Text("prompt", l.clean(r.prompt))
	}
	if l.Completions {
		w = w.Text("completion", l.clean(r.whole()))
	}
	x.Log(module.Info, w.String())
}

// outcome says in a word how an exchange ended.
func outcome(x *module.Exchange, refusedBy string) string {
	switch {
	case refusedBy != "":
		return "refused"
	case !x.Completed:
		return "aborted" // by the client, or by the provider where nobody could say so in the stream
	case x.Status >= 400 || x.Status == 0 || x.AnswerError != "":
		return "error"
	default:
		return "ok"
	}
}
