// Package logger is the module that writes one JSON line an exchange: who asked what model, how it ended, how long it
// took, what it used and cost. Prompts and answers stand in it only when asked for, redacted.
package logger

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/match"
)

func init() { module.Register("logger", module.Inspector, New) }

// Config says what stands in the line besides the facts.
type Config struct {
	// Prompts adds what the user wrote, Completions what the model wrote, both redacted and cut at MaxTextBytes.
	Prompts      bool `json:"prompts"`
	Completions  bool `json:"completions"`
	MaxTextBytes int  `json:"max_text_bytes"`
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
			return nil, fmt.Errorf("redact[%d]: %q is not one of %s", i, name, strings.Join(match.BuiltinNames(), ", "))
		}
		patterns = append(patterns, p)
	}
	for i, word := range c.Keywords {
		p := match.Pattern{Name: "keyword", Keyword: word}
		if _, err := match.Compile([]match.Pattern{p}); err != nil {
			return nil, fmt.Errorf("keywords[%d]: %w", i, err)
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

// record is what the logger keeps of an exchange until its end. The prompt is taken down when it comes, because a
// later module may have replaced it by then.
type record struct {
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
	r := module.Local[record](x)
	r.model, r.stream = strings.Clone(x.Request.Model), x.Request.Stream
	if l.Prompts {
		r.prompt = l.collect("", x.Request.Texts)
	}
	return nil
}

// Response takes down a whole answer.
func (l *Logger) Response(x *module.Exchange) error {
	r := module.Local[record](x)
	r.completion = l.collect("", x.Response.Texts)
	return nil
}

// Event takes down a piece of a streamed answer.
func (l *Logger) Event(x *module.Exchange, e *module.Event) error {
	r := module.Local[record](x)
	for i := range e.Texts {
		if r.size >= l.rawBound() {
			return nil
		}
		if t := &e.Texts[i]; t.Whole && r.has(t) {
			continue
		}
		one := r.of(e.Texts, i)
		one.text = append(one.text, e.Texts[i].Value...)
		r.size += len(e.Texts[i].Value)
	}
	return nil
}

// of is the running text that texts[i] goes on with.
func (r *record) of(texts []llm.Text, i int) *running {
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
func (r *record) has(t *llm.Text) bool {
	for j := range r.said {
		if one := &r.said[j]; one.choice == t.Message && one.part == t.Part && one.kind == t.Kind {
			return true
		}
	}
	return false
}

// whole is what was said, one text below the other.
func (r *record) whole() string {
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

// clean redacts a text and cuts it to the bound. What stands behind the bound only helps to see what begins before it.
func (l *Logger) clean(text string) string {
	var b strings.Builder
	from, end := 0, min(len(text), l.MaxTextBytes)
	for _, m := range l.redact.Find(text) {
		if m.Start >= end {
			break
		}
		b.WriteString(text[from:m.Start])
		b.WriteString("[redacted]")
		from = m.End
	}
	if from < end {
		b.WriteString(strings.ToValidUTF8(text[from:end], "")) // a character is not cut in half
	}
	if len(text) > end {
		b.WriteString("…")
	}
	return b.String()
}

// Finish writes the line.
func (l *Logger) Finish(x *module.Exchange) {
	r := module.Local[record](x)
	now := x.Now()
	caller := x.Caller()
	refusedBy, code := x.Refusal()

	w := line(make([]byte, 0, 512))
	w = append(w, `{"event":"exchange"`...)
	w = w.text("time", x.Started.UTC().Format(time.RFC3339Nano))
	w = w.text("request_id", cut(x.ID))
	w = w.text("tenant", caller.Tenant)
	w = w.text("key", caller.Key)
	w = w.text("user", caller.User)
	w = w.text("method", cut(x.Method))
	w = w.text("path", cut(x.Path))
	w = w.text("model", cut(r.model))
	w = w.text("upstream_model", x.Fact(module.FactUpstreamModel))
	w = w.text("provider", x.Fact(module.FactProvider))
	w = w.number("status", int64(x.Status))
	w = w.text("outcome", outcome(x, refusedBy))
	w = w.text("refused_by", refusedBy)
	w = w.text("code", code)
	w = w.text("flags", x.Fact(module.FactFlags))
	w = w.flag("stream", r.stream)
	w = w.number("latency_ms", now.Sub(x.Started).Milliseconds())
	if !x.FirstToken.IsZero() {
		w = w.number("time_to_first_token_ms", x.FirstToken.Sub(x.Started).Milliseconds())
	}
	if x.Usage != (llm.Usage{}) {
		w = w.number("input_tokens", x.Usage.Input)
		w = w.number("cached_input_tokens", x.Usage.CachedInput)
		w = w.number("output_tokens", x.Usage.Output)
		w = w.flag("usage_estimated", x.UsageEstimated)
	}
	if amount, err := strconv.ParseInt(x.Fact(module.FactCost), 10, 64); err == nil {
		w = w.number("cost_picodollars", amount)
	}
	if l.Prompts {
		w = w.text("prompt", l.clean(r.prompt))
	}
	if l.Completions {
		w = w.text("completion", l.clean(r.whole()))
	}
	x.Log(module.Info, string(append(w, '}')))
}

// outcome says in a word how an exchange ended.
func outcome(x *module.Exchange, refusedBy string) string {
	switch {
	case refusedBy != "":
		return "refused"
	case !x.Completed:
		return "aborted" // by the client, or cut by the provider
	case x.Status >= 400 || x.Status == 0:
		return "error"
	default:
		return "ok"
	}
}

// cut bounds what a client has chosen.
func cut(s string) string {
	const most = 200
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// line is a JSON object being written; what is empty or false is left out.
type line []byte

func (w line) name(name string) line {
	w = append(w, ',', '"')
	w = append(w, name...)
	return append(w, '"', ':')
}

func (w line) text(name, value string) line {
	if value == "" {
		return w
	}
	if strings.ContainsAny(value, lineBreaks) {
		return append(w.name(name), unbroken.Replace(string(llm.AppendString(nil, value)))...)
	}
	return llm.AppendString(w.name(name), value)
}

// lineBreaks are those of Unicode, at which some readers end a line. JSON needs them not escaped.
const lineBreaks = "\u2028\u2029"

var unbroken = strings.NewReplacer("\u2028", `\u2028`, "\u2029", `\u2029`)

func (w line) number(name string, value int64) line {
	return strconv.AppendInt(w.name(name), value, 10)
}

func (w line) flag(name string, value bool) line {
	if !value {
		return w
	}
	return append(w.name(name), "true"...)
}
