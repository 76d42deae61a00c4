// Package contentfilter is the module that blocks, redacts or flags keywords and patterns in what the user and the
// model wrote (not in the JSON around it), in requests, answers and streams. In a stream no piece of a match leaves
// before it is certain that it is none.
package contentfilter

import (
	"errors"
	"slices"
	"strings"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/match"
	"github.com/leash-gateway/leash/module/printf"
)

func init() { module.Register("contentfilter", module.Policy, New) }

var matches = module.Counter("leash_content_matches_total", "rule", "action", "tenant")

// Action is what happens to a text that a rule finds something in.
type Action string

// The actions.
const (
	// Block refuses the request, or replaces the answer with an error.
	Block Action = "block"
	// Redact replaces what was found.
	Redact Action = "redact"
	// Flag counts it and notes it for the logger.
	Flag Action = "flag"
)

// Config lists the rules. Where several that block or redact find something at the same place, the match that begins
// first decides, of these the longest, and of equal ones the rule that stands first. Rules that flag see everything: what
// they find hides nothing from the others.
type Config struct {
	Rules []Rule `json:"rules"`
	// MaxHoldBytes bounds how much text of a stream is held back while it may still become a match. Text that could
	// be a match and is longer is treated as one.
	MaxHoldBytes int `json:"max_hold_bytes"`
}

// SetDefaults sets the bound of held text.
func (c *Config) SetDefaults() { c.MaxHoldBytes = 1024 }

// Rule looks for keywords and patterns.
type Rule struct {
	Name string `json:"name"`
	// Keywords are found in any case; WholeWords only between word boundaries.
	Keywords   []string `json:"keywords"`
	WholeWords bool     `json:"whole_words"`
	// Regexps are regular expressions in RE2 syntax, Builtins names of ready ones (email, card, …).
	Regexps  []string `json:"regexps"`
	Builtins []string `json:"builtins"`
	// In says where to look: request, response, or both when it is empty.
	In     string `json:"in"`
	Action Action `json:"action"`
	// Replacement stands where something was redacted: "[NAME]" by default.
	Replacement string `json:"replacement"`
}

// Validate refuses a rule that could not work.
func (r *Rule) Validate() error {
	switch {
	case r.Name == "":
		return errors.New("name: is empty")
	case strings.Contains(r.Name, ","):
		return errors.New("name: holds a comma, which stands between names in logs")
	case len(r.Keywords)+len(r.Regexps)+len(r.Builtins) == 0:
		return errors.New("has neither keywords nor regexps nor builtins")
	case r.In != "" && r.In != "request" && r.In != "response":
		return printf.Errorf("in: %q is neither request nor response", r.In)
	case r.Action != Block && r.Action != Redact && r.Action != Flag:
		return printf.Errorf("action: %q is not one of block, redact, flag", r.Action)
	}
	return nil
}

// patterns are what the rule looks for, each tried alone, so that an error can name its path in the rule.
func (r *Rule) patterns() (patterns []match.Pattern, err error) {
	add := func(list string, i int, p match.Pattern) {
		if err != nil {
			return
		}
		if _, wrong := match.Compile([]match.Pattern{p}); wrong != nil {
			if cause := errors.Unwrap(wrong); cause != nil {
				wrong = cause
			}
			err = printf.Errorf("%s[%d]: %w", list, i, wrong)
		}
		patterns = append(patterns, p)
	}
	for i, word := range r.Keywords {
		add("keywords", i, match.Pattern{Name: r.Name, Keyword: word, Whole: r.WholeWords})
	}
	for i, re := range r.Regexps {
		add("regexps", i, match.Pattern{Name: r.Name, Regexp: re})
	}
	for i, name := range r.Builtins {
		p, known := match.Builtin(name)
		if !known {
			return nil, printf.Errorf("builtins[%d]: %q is not one of %s", i, name, strings.Join(match.BuiltinNames(), ", "))
		}
		add("builtins", i, p)
	}
	return patterns, err
}

// direction is the rules of requests, or of answers. Those that flag are looked for apart, so that their matches never
// stand in the way of a match that must not pass. Either may be nil.
type direction struct{ acts, flags *ruleSet }

func (d *direction) empty() bool { return d.acts == nil && d.flags == nil }

func compile(rules []Rule, except string) (d direction, err error) {
	if d.acts, err = compileRules(rules, func(r *Rule) bool { return r.In != except && r.Action != Flag }); err != nil {
		return d, err
	}
	d.flags, err = compileRules(rules, func(r *Rule) bool { return r.In != except && r.Action == Flag })
	return d, err
}

// ruleSet is rules that are compiled together: a text is gone through once.
type ruleSet struct {
	set   *match.Set
	rules []*Rule // by pattern
}

func compileRules(rules []Rule, takes func(*Rule) bool) (*ruleSet, error) {
	s := &ruleSet{}
	var all []match.Pattern
	for i := range rules {
		rule := &rules[i]
		if !takes(rule) {
			continue
		}
		patterns, err := rule.patterns()
		if err != nil {
			return nil, printf.Errorf("rules[%d].%w", i, err)
		}
		for range patterns {
			s.rules = append(s.rules, rule)
		}
		all = append(all, patterns...)
	}
	if len(all) == 0 {
		return nil, nil //nolint:nilnil // no rule of this kind is not an error
	}
	var err error
	s.set, err = match.Compile(all)
	return s, err
}

// Filter applies the rules.
type Filter struct {
	request, response direction
	maxHold           int
}

// New builds the module.
func New(c Config) (*Filter, error) {
	f := &Filter{maxHold: c.MaxHoldBytes}
	if c.MaxHoldBytes < 1 {
		return nil, errors.New("max_hold_bytes: must be positive")
	}
	for i := range c.Rules {
		if r := &c.Rules[i]; r.Replacement == "" {
			r.Replacement = "[" + r.Name + "]"
		}
	}
	var err error
	if f.request, err = compile(c.Rules, "response"); err != nil {
		return nil, err
	}
	f.response, err = compile(c.Rules, "request")
	return f, err
}

// Needs leaves out the direction that no rule looks at.
func (f *Filter) Needs() (needs module.Phase) {
	if !f.request.empty() {
		needs |= module.PhaseRequest
	}
	if !f.response.empty() {
		needs |= module.PhaseResponse | module.PhaseEvent
	}
	return needs
}

// Request looks through the texts of a request.
func (f *Filter) Request(x *module.Exchange) error {
	if x.Request == nil {
		return nil
	}
	for i := range x.Request.Texts {
		text, changed, err := f.request.apply(x, x.Request.Texts[i].Value)
		if err != nil {
			return err
		}
		if changed {
			x.Request.SetText(i, text)
		}
	}
	return nil
}

// Response looks through the texts of an answer.
func (f *Filter) Response(x *module.Exchange) error {
	for i := range x.Response.Texts {
		text, changed, err := f.response.apply(x, x.Response.Texts[i].Value)
		if err != nil {
			return err
		}
		if changed {
			x.Response.SetText(i, text)
		}
	}
	return nil
}

// apply finds what the rules look for in a text and does what they say.
func (d *direction) apply(x *module.Exchange, text string) (string, bool, error) {
	if s := d.flags; s != nil {
		for _, m := range s.set.Find(text) {
			s.rules[m.Pattern].note(x)
		}
	}
	if d.acts == nil {
		return text, false, nil
	}
	return d.acts.apply(x, text)
}

// repeat does with a text what was done with it before.
func (d *direction) repeat(text string) (string, bool, error) {
	if d.acts == nil {
		return text, false, nil
	}
	return d.acts.each(text, func(*Rule) error { return nil })
}

func (s *ruleSet) apply(x *module.Exchange, text string) (string, bool, error) {
	return s.each(text, func(r *Rule) error { return r.found(x) })
}

func (s *ruleSet) each(text string, do func(*Rule) error) (string, bool, error) {
	found := s.set.Find(text)
	if found == nil {
		return text, false, nil
	}
	var out strings.Builder
	from := 0
	for _, m := range found {
		rule := s.rules[m.Pattern]
		if err := do(rule); err != nil {
			return "", false, err
		}
		out.WriteString(text[from:m.Start])
		out.WriteString(rule.Replacement)
		from = m.End
	}
	out.WriteString(text[from:])
	return out.String(), true, nil
}

// release does what the rules say with a piece of a stream that is certain. Text that could be a match and has grown too
// long to be held is taken for one.
func (s *ruleSet) release(x *module.Exchange, segments []match.Segment) (string, error) {
	if len(segments) == 1 && segments[0].Pattern < 0 {
		return segments[0].Text, nil
	}
	var out strings.Builder
	for _, one := range segments {
		if one.Pattern < 0 {
			out.WriteString(one.Text)
			continue
		}
		rule := s.rules[one.Pattern]
		if err := rule.found(x); err != nil {
			return "", err
		}
		out.WriteString(rule.Replacement)
	}
	return out.String(), nil
}

// flag notes what rules that flag have found in a stream. Text that could be a match and has grown too long is none to
// them.
func (s *ruleSet) flag(x *module.Exchange, segments []match.Segment) {
	for _, one := range segments {
		if one.Pattern >= 0 && !one.Undecided {
			s.rules[one.Pattern].note(x)
		}
	}
}

// found notes that a rule has found something; it returns the refusal of a rule that blocks.
func (r *Rule) found(x *module.Exchange) error {
	r.note(x)
	if r.Action == Block {
		return module.Refuse(400, "content_blocked", "the content was blocked by the rule %q of this gateway", r.Name)
	}
	return nil
}

func (r *Rule) note(x *module.Exchange) {
	x.Count(matches, 1, r.Name, string(r.Action), x.Caller().Tenant)
	if flags := strings.Split(x.Fact(module.FactFlags), ","); !slices.Contains(flags, r.Name) {
		if flags[0] != "" {
			x.SetFact(module.FactFlags, strings.Join(flags, ",")+","+r.Name)
		} else {
			x.SetFact(module.FactFlags, r.Name)
		}
	}
}

// held is what an exchange's stream holds back, by the place that its texts belong to.
type held struct {
	texts []heldText
}

// heldText is one running text of a stream: of a choice, a kind and (for tool calls) a part. Some servers send what the
// model thought twice in each event, as reasoning and as reasoning_content; again tells these apart.
type heldText struct {
	choice, part int
	kind         llm.Kind
	again        int
	stream       *match.Stream // nil without rules that block or redact
	flags        *match.Stream // nil without rules that flag; what it holds has left
	// last is the event that the text came with last, and index its place there: what is released at the end is sent
	// in its form.
	last  *llm.Event
	index int
	// out is what has been let go of the text of last.
	out string
}

func (h *held) of(e *module.Event, i int, d *direction, maxHold int) *heldText {
	t, again := &e.Texts[i], 0
	if t.Kind == llm.Reasoning {
		for j := range e.Texts[:i] {
			if before := &e.Texts[j]; before.Kind == t.Kind && before.Message == t.Message {
				again++
			}
		}
	}
	for j := range h.texts {
		if one := &h.texts[j]; one.choice == t.Message && one.part == t.Part && one.kind == t.Kind && one.again == again {
			return one
		}
	}
	one := heldText{choice: t.Message, part: t.Part, kind: t.Kind, again: again}
	if d.acts != nil {
		one.stream = d.acts.set.NewStream(maxHold)
	}
	if d.flags != nil {
		one.flags = d.flags.set.NewStream(maxHold)
	}
	h.texts = append(h.texts, one)
	return &h.texts[len(h.texts)-1]
}

// has tells whether pieces of a text have come.
func (h *held) has(t *llm.Text) bool {
	for j := range h.texts {
		if one := &h.texts[j]; one.choice == t.Message && one.part == t.Part && one.kind == t.Kind {
			return true
		}
	}
	return false
}

// Event looks through a piece of a streamed answer together with what it has held back, and lets go what is certain.
func (f *Filter) Event(x *module.Exchange, e *module.Event) error {
	h := module.Local[held](x)
	for i := range e.Texts {
		text := &e.Texts[i]
		if text.Whole {
			if err := f.whole(x, e, i, h); err != nil {
				return err
			}
			continue
		}
		one := h.of(e, i, &f.response, f.maxHold)
		if one.flags != nil {
			f.response.flags.flag(x, one.flags.Feed(text.Value))
		}
		if one.stream == nil {
			continue
		}
		one.last, one.index = e.Event, i
		out, err := f.response.acts.release(x, one.stream.Feed(text.Value))
		if err != nil {
			return err
		}
		if one.out = out; out != text.Value {
			e.SetText(i, out)
		}
	}
	for _, closed := range e.Closed {
		if err := f.flush(x, e, h, func(t *heldText) bool { return t.choice == closed.Message && t.part == closed.Part }); err != nil {
			return err
		}
	}
	for _, finish := range e.Finish {
		if err := f.flush(x, e, h, func(t *heldText) bool { return t.choice == finish.Choice }); err != nil {
			return err
		}
	}
	if e.Done {
		return f.flush(x, e, h, func(*heldText) bool { return true })
	}
	return nil
}

// whole looks through a text that is complete. What has come in pieces before was counted then.
func (f *Filter) whole(x *module.Exchange, e *module.Event, i int, h *held) error {
	t := &e.Texts[i]
	var text string
	var changed bool
	var err error
	if h.has(t) {
		text, changed, err = f.response.repeat(t.Value)
	} else {
		text, changed, err = f.response.apply(x, t.Value)
	}
	if changed {
		e.SetText(i, text)
	}
	return err
}

// flush lets go what was held back of the texts that ends, ahead of the event that ends them.
func (f *Filter) flush(x *module.Exchange, e *module.Event, h *held, ends func(*heldText) bool) error {
	for i := range h.texts {
		one := &h.texts[i]
		if !ends(one) {
			continue
		}
		if one.flags != nil {
			f.response.flags.flag(x, one.flags.Flush())
		}
		if one.stream == nil || one.stream.Held() == 0 {
			continue
		}
		out, err := f.response.acts.release(x, one.stream.Flush())
		if err != nil {
			return err
		}
		switch {
		case out == "":
		case one.last == e.Event: // its own text, which what was held of it follows
			e.SetText(one.index, one.out+out)
		default:
			e.InsertBefore(one.last.WithText(one.index, out))
		}
	}
	return nil
}
