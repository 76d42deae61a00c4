package outage

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// lines are what a log was told, without its time.
func lines(text *strings.Builder) *slog.Logger {
	return slog.New(slog.NewTextHandler(text, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

func TestAnOutageIsToldWhenItBeginsAndWhenItEnds(t *testing.T) {
	var text strings.Builder
	p := Provider{Name: "openai", Address: "api.openai.com:443", Log: lines(&text)}
	const (
		refused = `level=WARN msg="a provider cannot be reached" provider=openai address=api.openai.com:443 cause="` + Refused + "\"\n"
		noTLS   = `level=WARN msg="a provider cannot be reached" provider=openai address=api.openai.com:443 cause="` + NoTLS + "\"\n"
		again   = `level=INFO msg="a provider can be reached again" provider=openai address=api.openai.com:443` + "\n"
	)
	var told Teller
	began := time.Now()
	steps := []struct {
		name  string
		after time.Duration // since the beginning
		cause string        // "": a request gets through
		want  string
	}{
		{"a request gets through", 0, "", ""},
		{"the first does not", 0, Refused, refused},
		{"the next one", time.Second, Refused, ""},
		{"one with another cause", 2 * time.Second, NoTLS, noTLS},
		{"one gets through", 3 * time.Second, "", again},
		{"and another", 3 * time.Second, "", ""},
		{"a relapse", 4 * time.Second, Refused, ""},
		{"after which one gets through", 5 * time.Second, "", ""},
		{"an outage that goes on", Pause, Refused, refused},
		{"the other cause", Pause + time.Second, NoTLS, ""},
	}
	for _, step := range steps {
		text.Reset()
		if step.cause == "" {
			told.Reached(p)
		} else {
			told.Unreached(p, step.cause, began.Add(step.after))
		}
		if got := text.String(); got != step.want {
			t.Errorf("%s: told %q, want %q", step.name, got, step.want)
		}
	}
}

func TestCausesThatAreEachDifferentAreNotAllTold(t *testing.T) {
	var text strings.Builder
	var told Teller
	for i := range 1000 {
		told.Unreached(Provider{Log: lines(&text)}, fmt.Sprint("cause ", i), time.Now())
	}
	if got := strings.Count(text.String(), "\n"); got != maxCauses {
		t.Errorf("%d lines, want %d", got, maxCauses)
	}
}

func BenchmarkReached(b *testing.B) {
	var told Teller
	for b.Loop() {
		told.Reached(Provider{})
	}
}
