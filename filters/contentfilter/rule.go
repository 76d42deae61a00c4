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
	d.acts, err = compileRules(rules, func(r *Rule) bool { return r.In != except && r.Action != Flag })
	if err != nil {
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

// look does with texts what the rules say.
func (d *direction) look(x *module.Exchange, texts []llm.Text, set func(i int, text string)) error {
	for from := 0; from < len(texts); {
		to := from + 1
		for to < len(texts) && isOneText(&texts[from], &texts[to]) {
			to++
		}
		if to > from+1 {
			if err := d.across(x, texts[from:to], func(i int, text string) { set(from+i, text) }); err != nil {
				return err
			}
		}
		for ; from < to; from++ {
			text, changed, err := d.apply(x, plainOf(texts[from].Value))
			if err != nil {
				return err
			}
			if changed {
				set(from, text)
			}
		}
	}
	return nil
}

// isOneText says whether two texts are parts of what a model reads as one.
func isOneText(a, b *llm.Text) bool {
	return a.Message == b.Message && a.Role == b.Role && a.Kind == llm.Content && b.Kind == llm.Content
}

// across does what the rules say with what is spread over several parts. Of what is to be redacted, each part is replaced.
func (d *direction) across(x *module.Exchange, texts []llm.Text, set func(i int, text string)) error {
	var flagged []int                            // by pattern: each way to join them may find the same
	for _, between := range []string{"", "\n"} { // who reads them as one puts the one or the other
		parts := join(texts, between)
		if d.flags != nil {
			for _, m := range d.flags.set.Find(parts.joined) {
				if first, last := parts.of(m); first < last && !slices.Contains(flagged, m.Pattern) {
					flagged = append(flagged, m.Pattern)
					d.flags.rules[m.Pattern].note(x)
				}
			}
		}
		if d.acts == nil {
			continue
		}
		found := d.acts.set.Find(parts.joined)
		for _, m := range slices.Backward(found) { // so that the places of those before it stay what they are
			first, last := parts.of(m)
			if first >= last {
				continue
			}
			rule := d.acts.rules[m.Pattern]
			if err := rule.found(x); err != nil {
				return err
			}
			for i := first; i <= last; i++ {
				text := plainOf(texts[parts.text[i]].Value)
				from, to := max(m.Start-parts.start[i], 0), min(m.End-parts.start[i], len(text))
				set(parts.text[i], text[:from]+rule.Replacement+text[to:])
			}
		}
	}
	return nil
}

// parts are texts as one: where in it each of them that is not empty begins, and which it is.
type parts struct {
	joined string
	start  []int
	end    []int
	text   []int
}

func join(texts []llm.Text, between string) (p parts) {
	var b strings.Builder
	for i := range texts {
		text := plainOf(texts[i].Value)
		if text == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(between)
		}
		p.start, p.text = append(p.start, b.Len()), append(p.text, i)
		b.WriteString(text)
		p.end = append(p.end, b.Len())
	}
	p.joined = b.String()
	return p
}

// of says in which parts a match begins and ends.
func (p *parts) of(m match.Match) (first, last int) {
	first, _ = slices.BinarySearch(p.end, m.Start+1)
	last, _ = slices.BinarySearch(p.start, m.End)
	return first, last - 1
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
	return d.acts.each(plainOf(text), func(*Rule) error { return nil })
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
// them, but may hold others.
func (s *ruleSet) flag(x *module.Exchange, segments []match.Segment) {
	for _, one := range segments {
		switch {
		case one.Undecided:
			for _, m := range s.set.Find(one.Text) {
				s.rules[m.Pattern].note(x)
			}
		case one.Pattern >= 0:
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
