package mock

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// A Behavior is how requests are answered: the pace and the pieces of the answer, and its faults. The zero Behavior is a
// healthy provider at full speed.
//
// Its settings can be written as a query string, "status=429&retry_after=2s", in three places, of which the later wins:
// [Options], POST /mock/faults (as JSON, with the same names), the request's header X-Mock, and behind a question mark in
// the name of the model that is asked for: gpt-4o-mini?status=503. docs/reference/mock.md lists them.
type Behavior struct {
	// Delay passes before the answer's headers are sent.
	Delay time.Duration
	// Pace passes between two events of a stream.
	Pace time.Duration
	// Chunk is how many bytes of text an event carries (a character is never cut); 0: one token.
	Chunk int
	// Write is how many bytes go out at once, so that events are split at any byte; 0: an event.
	Write int
	// Escape writes every character of the answer's text as a JSON escape.
	Escape bool
	// Gzip says when answers are compressed.
	Gzip Gzip
	// Status, when it is not zero, answers with that error status.
	Status int
	// RetryAfter adds a Retry-After header to an error.
	RetryAfter time.Duration
	// AsOK tells an error with status 200, as some providers and gateways do.
	AsOK bool
	// PerSecond is how many requests are answered in a second; the others get 429 and, in Retry-After, when it is over. 0: all.
	PerSecond int
	// LimitUsed is how much of the rate limits is used up, in percent, as the headers tell it; LimitReset is when they begin anew.
	LimitUsed  int
	LimitReset time.Duration
	// Drop closes the connection instead of an answer.
	Drop bool
	// Reset breaks the connection with a reset (RST) instead of an answer or, with CutAfter or CutBytes, in its course.
	Reset bool
	// Down refuses connections for so long, and closes those that there are. It needs a listener of [Provider.Listen].
	Down time.Duration
	// Garbage answers with bytes that mean nothing.
	Garbage Garbage
	// Hang never answers: it ends when the client leaves.
	Hang bool
	// CutAfter closes the connection after so many events of a stream, or bytes of any other answer; 0: never.
	CutAfter int
	// CutBytes closes the connection after so many bytes of whatever answer; 0: never.
	CutBytes int
	// HangAfter stops after so many events of a stream, or bytes of any other answer, and leaves the connection open; 0: never.
	HangAfter int
	// ErrorAfter sends an error event after so many events of a stream, and ends it; 0: never.
	ErrorAfter int
	// InvalidJSON breaks the JSON of the answer, or of a stream's second event.
	InvalidJSON bool
	// OmitUsage never tells what was used.
	OmitUsage bool
	// CachedTokens and ReasoningTokens appear in the usage: so many of the prompt's tokens (at most all of them) were cached,
	// so many were spent on reasoning, in addition to those of the text.
	CachedTokens, ReasoningTokens int
	// Times is for how many requests a behavior lasts that is set at run time, and Lasts for how long; 0: until it is cleared.
	Times int
	Lasts time.Duration
	// Every is which requests a behavior concerns that is set at run time: every second, every third; 0: all.
	Every int
}

// Garbage says where an answer stops to make sense.
type Garbage string

// Where an answer stops to make sense.
const (
	GarbageNone Garbage = ""
	GarbageBody Garbage = "body" // status 200 and the right type, and random bytes
	GarbageHTTP Garbage = "http" // bytes that are no HTTP
)

// Gzip says when answers are compressed.
type Gzip string

// When answers are compressed.
const (
	GzipNever    Gzip = ""
	GzipAccepted Gzip = "accepted" // as OpenAI: if the request's Accept-Encoding has it
	GzipAlways   Gzip = "always"   // also for those who did not ask for it
)

// behaviorHeader is the request header with a Behavior for that request.
const behaviorHeader = "X-Mock"

// A setting is one of a Behavior's fields, as it is written outside of Go.
type setting struct {
	name, about string
	field       func(*Behavior) any
}

// settings are all of them; the reference is made from this table.
var settings = []setting{
	{"delay", "time before the answer's headers are sent", func(b *Behavior) any { return &b.Delay }},
	{"pace", "time between two events of a stream", func(b *Behavior) any { return &b.Pace }},
	{"chunk", "bytes of text in an event; 0: one token", func(b *Behavior) any { return &b.Chunk }},
	{"write", "bytes that go out at once, so that events are split anywhere; 0: an event", func(b *Behavior) any { return &b.Write }},
	{"escape", "write every character of the text as a JSON escape (`\\u0061`)", func(b *Behavior) any { return &b.Escape }},
	{"gzip", "compress the answer: `accepted` (if the request accepts it) or `always`", func(b *Behavior) any { return &b.Gzip }},
	{"status", "answer with this error status", func(b *Behavior) any { return &b.Status }},
	{"retry_after", "the error's Retry-After header, and Google's RetryInfo", func(b *Behavior) any { return &b.RetryAfter }},
	{"as_200", "tell the error with status 200", func(b *Behavior) any { return &b.AsOK }},
	{"per_second", "answer so many requests a second, and the others with 429 and Retry-After", func(b *Behavior) any { return &b.PerSecond }},
	{"limit_used", "percent of the rate limits that the headers tell as used", func(b *Behavior) any { return &b.LimitUsed }},
	{"limit_reset", "when the headers tell that they begin anew", func(b *Behavior) any { return &b.LimitReset }},
	{"drop", "close the connection instead of an answer", func(b *Behavior) any { return &b.Drop }},
	{"reset", "break the connection with a reset instead of an answer, or where `cut_after` or `cut_bytes` says", func(b *Behavior) any { return &b.Reset }},
	{"down", "refuse connections for so long, and close those that there are", func(b *Behavior) any { return &b.Down }},
	{"garbage", "answer with random bytes: `body` (behind status 200 and the right type) or `http` (no HTTP at all)", func(b *Behavior) any { return &b.Garbage }},
	{"hang", "never answer", func(b *Behavior) any { return &b.Hang }},
	{"cut_after", "close the connection after so many events of a stream, or bytes of another answer", func(b *Behavior) any { return &b.CutAfter }},
	{"cut_bytes", "close the connection after so many bytes of a stream, or of another answer", func(b *Behavior) any { return &b.CutBytes }},
	{"hang_after", "go silent after so many events of a stream, or bytes of another answer", func(b *Behavior) any { return &b.HangAfter }},
	{"error_after", "send an error event after so many events of a stream, and end it", func(b *Behavior) any { return &b.ErrorAfter }},
	{"invalid_json", "break the JSON of the answer, or of a stream's second event", func(b *Behavior) any { return &b.InvalidJSON }},
	{"omit_usage", "never tell the usage", func(b *Behavior) any { return &b.OmitUsage }},
	{"cached_tokens", "so many of the prompt's tokens count as cached", func(b *Behavior) any { return &b.CachedTokens }},
	{"reasoning_tokens", "so many tokens of reasoning are added to the usage", func(b *Behavior) any { return &b.ReasoningTokens }},
	{"times", "at run time only: for so many requests; 0: until cleared", func(b *Behavior) any { return &b.Times }},
	{"lasts", "at run time only: for so long; 0: until cleared", func(b *Behavior) any { return &b.Lasts }},
	{"every", "at run time only: for each second, third, ... request; 0: all", func(b *Behavior) any { return &b.Every }},
}

// ParseBehavior reads settings written as a query string.
func ParseBehavior(query string) (Behavior, error) {
	var b Behavior
	return b, b.set(query)
}

// set changes the settings that a query string names.
func (b *Behavior) set(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return fmt.Errorf("behavior %q: %w", query, err)
	}
	for name, all := range values {
		if err := b.setOne(name, all[len(all)-1]); err != nil {
			return err
		}
	}
	return b.check()
}

func (b *Behavior) setOne(name, value string) error {
	for _, s := range settings {
		if s.name != name {
			continue
		}
		if err := setField(s.field(b), value); err != nil {
			return fmt.Errorf("behavior %s: %q is not %w", name, value, err)
		}
		return nil
	}
	names := make([]string, len(settings))
	for i, s := range settings {
		names[i] = s.name
	}
	return fmt.Errorf("behavior %s: there is no such setting; the settings are %s", name, strings.Join(names, ", "))
}

// What a setting's value can be wrong in.
var (
	errNotNumber   = errors.New("a whole number that is not negative")
	errNotDuration = errors.New("a duration such as 200ms or 2s")
	errNotSwitch   = errors.New("true or false")
	errNotGzip     = errors.New("accepted or always")
	errNotGarbage  = errors.New("body or http")
	errNotPercent  = errors.New("a percentage from 0 to 100")
	errNotStatus   = errors.New("an error status from 400 to 599")
)

func setField(field any, value string) error {
	switch f := field.(type) {
	case *int:
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 {
			return errNotNumber
		}
		*f = n
	case *bool:
		on, err := strconv.ParseBool(value)
		if err != nil {
			return errNotSwitch
		}
		*f = on
	case *time.Duration:
		d, err := time.ParseDuration(value)
		if err != nil || d < 0 {
			return errNotDuration
		}
		*f = d
	case *Gzip:
		if g := Gzip(value); g == GzipNever || g == GzipAccepted || g == GzipAlways {
			*f = g
			return nil
		}
		return errNotGzip
	case *Garbage:
		if g := Garbage(value); g == GarbageNone || g == GarbageBody || g == GarbageHTTP {
			*f = g
			return nil
		}
		return errNotGarbage
	}
	return nil
}

// check refuses what only the whole of a Behavior shows to be wrong.
func (b *Behavior) check() error {
	if b.Status != 0 && (b.Status < http.StatusBadRequest || b.Status > 599) {
		return fmt.Errorf("behavior status: %d is not %w", b.Status, errNotStatus)
	}
	if b.LimitUsed > 100 {
		return fmt.Errorf("behavior limit_used: %d is not %w", b.LimitUsed, errNotPercent)
	}
	return nil
}

// MarshalJSON writes the settings that are not zero.
func (b Behavior) MarshalJSON() ([]byte, error) {
	set := map[string]any{}
	for _, s := range settings {
		switch f := s.field(&b).(type) {
		case *int:
			if *f != 0 {
				set[s.name] = *f
			}
		case *bool:
			if *f {
				set[s.name] = true
			}
		case *time.Duration:
			if *f != 0 {
				set[s.name] = f.String()
			}
		case *Gzip:
			if *f != GzipNever {
				set[s.name] = *f
			}
		case *Garbage:
			if *f != GarbageNone {
				set[s.name] = *f
			}
		}
	}
	return json.Marshal(set)
}

// UnmarshalJSON changes the settings that a JSON object names and leaves the others.
func (b *Behavior) UnmarshalJSON(in []byte) error {
	object := gjson.ParseBytes(in)
	if !gjson.ValidBytes(in) || !object.IsObject() {
		return errors.New("behavior: is not a JSON object of settings")
	}
	var err error
	object.ForEach(func(name, value gjson.Result) bool {
		err = b.setOne(name.Str, value.String())
		return err == nil
	})
	if err != nil {
		return err
	}
	return b.check()
}

// cutModel takes the settings off the name of a model.
func cutModel(name string, b *Behavior) (string, error) {
	model, query, found := strings.Cut(name, "?")
	if !found {
		return name, nil
	}
	return model, b.set(query)
}
