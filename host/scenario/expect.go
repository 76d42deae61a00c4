package scenario

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/host/harness"
)

// A Failure is an expectation that was not met.
type Failure struct {
	// Where is the file, line and column of the expectation: "auth.yaml:12:9".
	Where string `json:"where"`
	// What is the expectation: "step 2: headers.retry-after".
	What string `json:"what"`
	// Text tells what was wanted and what was got.
	Text string `json:"text"`
}

// String is the failure as people read it.
func (f Failure) String() string {
	return strings.TrimSuffix(f.Where+": "+f.What, ": ") + "\n    " + strings.ReplaceAll(f.Text, "\n", "\n    ")
}

// checker compares one step's result with what is expected.
type checker struct {
	f        *File
	path     string // of expect
	label    string
	update   bool
	failures []Failure
	notes    []string
}

func (c *checker) fail(path, format string, args ...any) {
	at := c.f.position(join(c.path, path))
	c.failures = append(c.failures, Failure{
		Where: fmt.Sprintf("%s:%d:%d", c.f.path, at.line, at.column), What: strings.TrimSuffix(c.label+path, ": "), Text: fmt.Sprintf(format, args...),
	})
}

func (c *checker) note(format string, args ...any) {
	c.notes = append(c.notes, fmt.Sprintf(format, args...))
}

func (c *checker) same(path, want, got string) {
	if want != got {
		c.fail(path, "%s", difference(want, got))
	}
}

// anyOutcome stands for every end but none.
const anyOutcome = "any"

// check compares everything.
func (c *checker) check(e *Expect, got *harness.Result, session Session, lacks Lacks) {
	outcome := e.Outcome
	if outcome == "" {
		outcome = string(harness.Answered)
	}
	if string(got.Outcome) != outcome && (outcome != anyOutcome || got.Outcome == harness.Held) {
		c.fail("outcome", "want %s, got %s", outcome, got.Outcome)
	}
	switch {
	case e.Crash && len(got.Crashes) == 0:
		c.fail("crash", "want a VM to fail, but none did")
	case !e.Crash:
		for _, crash := range got.Crashes {
			c.fail("crash", "a VM failed: %v", crash)
		}
	}
	if e.Status != 0 && e.Status != got.Status {
		c.fail("status", "want %d, got %d%s", e.Status, got.Status, shown(got.Body))
	}
	c.message("", &e.Message, &got.Message)
	c.events(e, got.Body)
	switch {
	case e.ProviderNotReached && got.Provider != nil:
		c.fail("provider_not_reached", "the provider received %s %s", got.Provider.Headers.Get(":method"), got.Provider.Headers.Get(":path"))
	case e.Provider != nil && got.Provider == nil:
		c.fail("provider", "nothing reached the provider: the answer is %d%s", got.Status, shown(got.Body))
	case e.Provider != nil:
		c.received("provider", e.Provider, got.Provider)
	}
	c.callouts(e, got)
	c.logs(e, got.Logs)
	c.metrics(e, session)
	c.shared(e, session, lacks)
}

func (c *checker) received(path string, want *Received, got *harness.Message) {
	if want.Method != "" {
		c.same(path+".method", want.Method, got.Headers.Get(":method"))
	}
	if want.Path != "" {
		c.same(path+".path", want.Path, got.Headers.Get(":path"))
	}
	c.message(path, &want.Message, got)
}

func (c *checker) message(path string, want *Message, got *harness.Message) {
	for _, name := range slices.Sorted(maps.Keys(want.Headers)) {
		at := join(path, "headers."+name)
		if value, there := got.Headers.Lookup(name); !there {
			c.fail(at, "want %q, but there is no such header", want.Headers[name])
		} else {
			c.same(at, want.Headers[name], value)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want.HeadersMatch)) {
		at := join(path, "headers_match."+name)
		if value, there := got.Headers.Lookup(name); !there {
			c.fail(at, "there is no such header")
		} else if !want.HeadersMatch[name].re.MatchString(value) {
			c.fail(at, "%q does not match", value)
		}
	}
	for i, name := range want.HeadersAbsent {
		if value, there := got.Headers.Lookup(name); there {
			c.fail(join(path, "headers_absent["+strconv.Itoa(i)+"]"), "%s is there: %q", name, value)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want.Trailers)) {
		c.same(join(path, "trailers."+name), want.Trailers[name], got.Trailers.Get(name))
	}
	c.body(path, want, got.Body)
}

func (c *checker) body(path string, want *Message, got string) {
	if want.Body != nil {
		c.same(join(path, "body"), *want.Body, got)
	}
	if want.BodyFile != "" {
		c.golden(join(path, "body_file"), c.f.beside(want.BodyFile), got)
	}
	for i, text := range want.BodyContains {
		if !strings.Contains(got, text) {
			c.fail(join(path, "body_contains["+strconv.Itoa(i)+"]"), "%q is not in the body%s", text, shown(got))
		}
	}
	for i, text := range want.BodyLacks {
		if strings.Contains(got, text) {
			c.fail(join(path, "body_lacks["+strconv.Itoa(i)+"]"), "%q is in the body%s", text, shown(got))
		}
	}
	if !want.BodyMatch.IsZero() && !want.BodyMatch.re.MatchString(got) {
		c.fail(join(path, "body_match"), "the body does not match%s", shown(got))
	}
	c.json(join(path, "json"), want.JSON, want.JSONAbsent, got)
}

// json compares values by their path.
func (c *checker) json(path string, want map[string]Value, absent []string, text string) {
	if len(want)+len(absent) == 0 {
		return
	}
	got, err := decodeJSON(text)
	if err != nil {
		c.fail(path, "%v%s", err, shown(text))
		return
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		wanted, _ := encode(want[name].v)
		value, there := at(got, name)
		if !there {
			c.fail(path+"."+name, "want %s, but there is nothing at this path%s", wanted, shown(text))
		} else if !equal(want[name].v, value) {
			found, _ := encode(value)
			c.fail(path+"."+name, "%s", jsonDifference(string(wanted), string(found)))
		}
	}
	for i, name := range absent {
		if value, there := at(got, name); there {
			found, _ := encode(value)
			c.fail(path+"_absent["+strconv.Itoa(i)+"]", "%s is there: %s", name, found)
		}
	}
}

// golden compares with a file, or writes it.
func (c *checker) golden(path, file, got string) {
	if c.update {
		err := os.MkdirAll(filepath.Dir(file), 0o750)
		if err == nil {
			err = os.WriteFile(file, []byte(got), 0o600)
		}
		if err != nil {
			c.fail(path, "%v", err)
		}
		return
	}
	want, err := os.ReadFile(file) //nolint:gosec // the author names the file
	if err != nil {
		c.fail(path, "%v (-update writes it)", err)
		return
	}
	c.same(path, string(want), got)
}

// events compares server-sent events.
func (c *checker) events(e *Expect, body string) {
	if e.Events == nil && e.EventsJoined == nil {
		return
	}
	got := eventsOf(body)
	if e.Events != nil && len(e.Events) != len(got) {
		c.fail("events", "want %d events, got %d:\n%s", len(e.Events), len(got), strings.Join(got, "\n"))
	}
	for i, want := range e.Events[:min(len(e.Events), len(got))] {
		path := "events[" + strconv.Itoa(i) + "]"
		if want.Data != "" {
			c.same(path+".data", want.Data, got[i])
		}
		if !want.Match.IsZero() && !want.Match.re.MatchString(got[i]) {
			c.fail(path+".match", "%s does not match", got[i])
		}
		c.json(path+".json", want.JSON, nil, got[i])
	}
	for _, path := range slices.Sorted(maps.Keys(e.EventsJoined)) {
		var text strings.Builder
		for _, data := range got {
			if v, err := decodeJSON(data); err == nil {
				if piece, there := at(v, path); there {
					text.WriteString(Value{piece, piece != nil}.text())
				}
			}
		}
		c.same("events_joined."+path, e.EventsJoined[path], text.String())
	}
}

// eventsOf are the data of a stream's events. https://html.spec.whatwg.org/multipage/server-sent-events.html
func eventsOf(body string) []string {
	var events, data []string
	for line := range strings.SplitSeq(strings.ReplaceAll(strings.ReplaceAll(body, "\r\n", "\n"), "\r", "\n"), "\n") {
		switch rest, found := strings.CutPrefix(line, "data:"); {
		case found:
			data = append(data, strings.TrimPrefix(rest, " "))
		case line == "" && data != nil:
			events, data = append(events, strings.Join(data, "\n")), nil
		}
	}
	return events
}

func (c *checker) callouts(e *Expect, got *harness.Result) {
	if e.Callouts == nil {
		return
	}
	if len(e.Callouts) != len(got.Callouts) {
		var made []string
		for _, one := range got.Callouts {
			made = append(made, one.Upstream)
		}
		c.fail("callouts", "want %d, got %d: %s", len(e.Callouts), len(got.Callouts), strings.Join(made, ", "))
	}
	for i := range min(len(e.Callouts), len(got.Callouts)) {
		path := "callouts[" + strconv.Itoa(i) + "]"
		c.same(path+".upstream", e.Callouts[i].Upstream, got.Callouts[i].Upstream)
		c.received(path, &e.Callouts[i].Received, &got.Callouts[i].Message)
	}
}

func (c *checker) logs(e *Expect, got []harness.Log) {
	next := 0
	for i := range e.Logs {
		var near []Failure // why the last candidates were none
		found := false
		for k := next; k < len(got) && !found; k++ {
			near, found = c.line("logs["+strconv.Itoa(i)+"]", &e.Logs[i], got[k], near)
			if found {
				next = k + 1
			}
		}
		if !found {
			text := "no line is so"
			for _, one := range near {
				text += "\n" + strings.TrimPrefix(one.What, c.label) + ": " + one.Text
			}
			for _, line := range got {
				text += "\n" + line.Level + ": " + line.Message
			}
			c.fail("logs["+strconv.Itoa(i)+"]", "%s", text)
		}
	}
	for i, lack := range e.LogsLack {
		for _, line := range got {
			if strings.Contains(line.Message, lack) {
				c.fail("logs_lack["+strconv.Itoa(i)+"]", "%q is in a line: %s", lack, line.Message)
			}
		}
	}
}

// line tells whether a line is as wanted, and if it is not, why: the fewest reasons of it and of those before.
func (c *checker) line(path string, want *Line, got harness.Log, before []Failure) ([]Failure, bool) {
	own := checker{f: c.f, path: c.path, label: c.label}
	if want.Level != "" {
		own.same(path+".level", want.Level, got.Level)
	}
	if !strings.Contains(got.Message, want.Contains) {
		own.fail(path+".contains", "%q is not in it", want.Contains)
	}
	if !want.Match.IsZero() && !want.Match.re.MatchString(got.Message) {
		own.fail(path+".match", "it does not match")
	}
	if len(want.JSON)+len(want.JSONAbsent) > 0 {
		own.json(path+".json", want.JSON, want.JSONAbsent, got.Message)
	}
	if before == nil || len(own.failures) < len(before) {
		before = own.failures
	}
	return before, len(own.failures) == 0
}

func (c *checker) metrics(e *Expect, session Session) {
	if len(e.Metrics) == 0 {
		return
	}
	got := session.Metrics()
	for _, name := range slices.Sorted(maps.Keys(e.Metrics)) {
		value, there := got[name]
		switch {
		case !there && e.Metrics[name] != 0:
			c.fail("metrics."+name, "want %d, but there is no such metric (%s)", e.Metrics[name], config.Suggestion(name, slices.Collect(maps.Keys(got))))
		case int64(e.Metrics[name]) != value:
			c.fail("metrics."+name, "want %d, got %d", e.Metrics[name], value)
		}
	}
}

func (c *checker) shared(e *Expect, session Session, lacks Lacks) {
	if lacks.Shared && len(e.Shared) > 0 {
		c.note("shared data cannot be looked at in Envoy: not checked")
		return
	}
	for _, key := range slices.Sorted(maps.Keys(e.Shared)) {
		if value, there := session.Shared(key); !there {
			c.fail("shared."+key, "want %q, but there is no such key (%s)", e.Shared[key], config.Suggestion(key, session.SharedKeys()))
		} else {
			c.same("shared."+key, e.Shared[key], value)
		}
	}
}
