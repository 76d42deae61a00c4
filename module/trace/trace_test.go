package trace_test

import (
	"testing"

	"github.com/leash-gateway/leash/module/trace"
)

// The valid ones are of https://www.w3.org/TR/trace-context/#examples-of-http-traceparent-headers.
func TestTraceparentIsReadAsW3CSays(t *testing.T) {
	const id, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	tests := map[string]struct {
		header  string
		ok      bool
		sampled bool
	}{
		"sampled":               {"00-" + id + "-" + span + "-01", true, true},
		"not sampled":           {"00-" + id + "-" + span + "-00", true, false},
		"other flags":           {"00-" + id + "-" + span + "-ff", true, true},
		"a version to come":     {"cc-" + id + "-" + span + "-01-what-is-to-come", true, true},
		"of which no more":      {"cc-" + id + "-" + span + "-01", true, true},
		"but not that":          {"cc-" + id + "-" + span + "-01.what", false, false},
		"no version":            {"ff-" + id + "-" + span + "-01", false, false},
		"more than there is":    {"00-" + id + "-" + span + "-01-x", false, false},
		"no trace":              {"00-00000000000000000000000000000000-" + span + "-01", false, false},
		"no span":               {"00-" + id + "-0000000000000000-01", false, false},
		"capitals":              {"00-4BF92F3577B34DA6A3CE929D0E0E4736-" + span + "-01", false, false},
		"too short":             {"00-" + id + "-" + span, false, false},
		"two that were joined":  {"00-" + id + "-" + span + "-01,00-" + id + "-" + span + "-01", false, false},
		"empty":                 {"", false, false},
		"other marks in it":     {"00." + id + "." + span + ".01", false, false},
		"flags that are none":   {"00-" + id + "-" + span + "-0g", false, false},
		"a version that is not": {"0g-" + id + "-" + span + "-01", false, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c, ok := trace.Parse(tc.header)
			if ok != tc.ok || c.Sampled != tc.sampled || ok && (c.Trace() != id || trace.Digits(c.Span) != span) {
				t.Errorf("got %+v %t", c, ok)
			}
		})
	}
}

func FuzzTraceparent(f *testing.F) {
	f.Add("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	f.Fuzz(func(t *testing.T, header string) {
		c, ok := trace.Parse(header)
		if !ok {
			return
		}
		if again, ok := trace.Parse(c.String()); !ok || again != c {
			t.Errorf("%q is read as %+v, and that written as %q", header, c, c)
		}
		if c.Exchange() == c.Span {
			t.Errorf("%q: the span of the exchange is %x", header, c.Exchange())
		}
	})
}

func TestAttemptsAreHandedOn(t *testing.T) {
	a := trace.Attempt{Span: 0xf067aa0ba902b7, Began: 1793534400000000001, Number: 2}
	if got, ok := trace.ParseAttempt(a.String()); !ok || got != a {
		t.Errorf("%q is read as %+v, %t", a, got, ok)
	}
	for _, wrong := range []string{"", "x", "00f067aa0ba902b7", "00f067aa0ba902b7-1", "f067aa0ba902b7-1-1", "0000000000000000-1-1", "00f067aa0ba902b7-x-1", "00f067aa0ba902b7-1-x"} {
		if got, ok := trace.ParseAttempt(wrong); ok {
			t.Errorf("%q is read as %+v", wrong, got)
		}
	}
}
