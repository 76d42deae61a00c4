package llm_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/leash-gateway/leash/llm"
)

// decode feeds the stream in pieces that end at the cuts, and returns a line for each frame.
func decode(t *testing.T, d *llm.Decoder, stream []byte, cuts ...int) (frames []string, err error) {
	t.Helper()
	note := func(f llm.Frame) error {
		data := "none"
		if f.Data != nil {
			data = fmt.Sprintf("%q", f.Data)
		}
		frames = append(frames, fmt.Sprintf("%q name %q data %s", f.Raw, f.Name, data))
		return nil
	}
	at := 0
	for _, cut := range append(cuts, len(stream)) {
		// A chunk of its own, overwritten afterwards, shows what the decoder should have copied.
		chunk := bytes.Clone(stream[at:cut])
		if err = d.Feed(chunk, note); err != nil {
			return frames, err
		}
		for i := range chunk {
			chunk[i] = '!'
		}
		at = cut
	}
	return frames, d.Flush(note)
}

func TestDecoderFollowsTheStandard(t *testing.T) {
	tests := map[string]struct {
		stream string
		want   []string
	}{
		"nothing":           {"", nil},
		"one event":         {"data: a\n\n", []string{`"data: a\n\n" name "" data "a"`}},
		"two events":        {"data: a\n\ndata: b\n\n", []string{`"data: a\n\n" name "" data "a"`, `"data: b\n\n" name "" data "b"`}},
		"CRLF":              {"data: a\r\n\r\ndata: b\r\n\r\n", []string{`"data: a\r\n\r\n" name "" data "a"`, `"data: b\r\n\r\n" name "" data "b"`}},
		"CR":                {"data: a\r\rdata: b\r\r", []string{`"data: a\r\r" name "" data "a"`, `"data: b\r\r" name "" data "b"`}},
		"all line ends":     {"data: a\r\ndata: b\rdata: c\n\r\n", []string{`"data: a\r\ndata: b\rdata: c\n\r\n" name "" data "a\nb\nc"`}},
		"CR, then LF":       {"data: a\n\r\ndata: b\n\n\r", []string{`"data: a\n\r\n" name "" data "a"`, `"data: b\n\n" name "" data "b"`, `"\r" name "" data none`}},
		"name":              {"event: error\ndata: a\n\n", []string{`"event: error\ndata: a\n\n" name "error" data "a"`}},
		"the last name":     {"event: a\nevent:b\ndata\n\n", []string{`"event: a\nevent:b\ndata\n\n" name "b" data none`}},
		"several lines":     {"data: YHOO\ndata: +2\ndata: 10\n\n", []string{`"data: YHOO\ndata: +2\ndata: 10\n\n" name "" data "YHOO\n+2\n10"`}},
		"empty data":        {"data\n\ndata\ndata\n\ndata:\n\n", []string{`"data\n\n" name "" data none`, `"data\ndata\n\n" name "" data "\n"`, `"data:\n\n" name "" data none`}},
		"one space is lost": {"data:test\n\ndata:  test\n\ndata:\ttest\n\n", []string{`"data:test\n\n" name "" data "test"`, `"data:  test\n\n" name "" data " test"`, `"data:\ttest\n\n" name "" data "\ttest"`}},
		"comments":          {": ping\n\n:data: no\ndata: a: b\n\n", []string{`": ping\n\n" name "" data none`, `":data: no\ndata: a: b\n\n" name "" data "a: b"`}},
		"other fields":      {"id: 7\nretry: 10\ndata: a\n\n", []string{`"id: 7\nretry: 10\ndata: a\n\n" name "" data "a"`}},
		"unknown fields":    {"Data: a\n data: b\ndata : c\nnope\n\n", []string{`"Data: a\n data: b\ndata : c\nnope\n\n" name "" data none`}},
		"blank lines":       {"\n\r\n\ndata: a\n\n", []string{`"\n" name "" data none`, `"\r\n" name "" data none`, `"\n" name "" data none`, `"data: a\n\n" name "" data "a"`}},
		"byte-order mark":   {"\uFEFFdata: a\n\n", []string{`"\ufeffdata: a\n\n" name "" data "a"`}},
		"mark, blank line":  {"\uFEFF\ndata: a\n\n", []string{`"\ufeff\n" name "" data none`, `"data: a\n\n" name "" data "a"`}},
		"two marks":         {"\uFEFF\uFEFFdata: a\n\n", []string{`"\ufeff\ufeffdata: a\n\n" name "" data none`}},
		"mark later":        {"data: a\n\n\uFEFFdata: b\n\n", []string{`"data: a\n\n" name "" data "a"`, `"\ufeffdata: b\n\n" name "" data none`}},
		"no blank line":     {"data: a\n\ndata: b\n", []string{`"data: a\n\n" name "" data "a"`, `"data: b\n" name "" data "b"`}},
		"no line end":       {"data: [DONE]", []string{`"data: [DONE]" name "" data "[DONE]"`}},
		"lone CR at end":    {"data: a\r", []string{`"data: a\r" name "" data "a"`}},
		"blank CR at end":   {"data: a\n\r", []string{`"data: a\n\r" name "" data "a"`}},
		"mark only":         {"\uFEFF", []string{`"\ufeff" name "" data none`}},
		"half a mark":       {"\xef\xbb\n\n", []string{`"\xef\xbb\n\n" name "" data none`}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			stream := []byte(tc.stream)
			got, err := decode(t, &llm.Decoder{}, stream)
			if err != nil || !slices.Equal(got, tc.want) {
				t.Errorf("got  %q %v\nwant %q", got, err, tc.want)
			}
			var all []int
			for cut := range stream {
				all = append(all, cut)
				if got, err := decode(t, &llm.Decoder{}, stream, cut); err != nil || !slices.Equal(got, tc.want) {
					t.Errorf("cut at %d: got  %q %v\nwant %q", cut, got, err, tc.want)
				}
			}
			if got, err := decode(t, &llm.Decoder{}, stream, all...); err != nil || !slices.Equal(got, tc.want) {
				t.Errorf("byte by byte: got  %q %v\nwant %q", got, err, tc.want)
			}
		})
	}
}

func TestDecoderIsBounded(t *testing.T) {
	tests := map[string]struct {
		stream string
		frames int
		fails  bool
	}{
		"just fits":             {"data: 12\n\n", 1, false},
		"one byte more":         {"data: 123\n\n", 0, true},
		"after one that fits":   {"data: 12\n\ndata: 123\n\n", 1, true},
		"without a line end":    {"data: 123456789", 0, true},
		"just fits, not ended":  {"data: 1234", 1, false},
		"just fits, ends in CR": {"data: 12\r\r", 1, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			for cut := range tc.stream {
				d := llm.Decoder{MaxEvent: 10}
				got, err := decode(t, &d, []byte(tc.stream), cut)
				if errors.Is(err, llm.ErrEventTooLarge) != tc.fails || len(got) != tc.frames {
					t.Errorf("cut at %d: got %q %v", cut, got, err)
				}
				if again := d.Feed(nil, nil); tc.fails && !errors.Is(again, err) {
					t.Errorf("cut at %d: then got %v", cut, again)
				}
			}
		})
	}
}

func TestAnEventThatComesByteByByteTakesLinearTime(t *testing.T) {
	for name, c := range map[string]struct {
		framing llm.Framing
		before  string
	}{
		"server-sent events": {llm.ServerSentEvents, `data: {"a":"`},
		"a JSON array":       {llm.JSONArray, `[{"a":"`},
	} {
		t.Run(name, func(t *testing.T) {
			body := append([]byte(c.before), bytes.Repeat([]byte("a"), 1<<20-100)...)
			d := llm.Decoder{Framing: c.framing}
			start := time.Now()
			for i := range body {
				if err := d.Feed(body[i:i+1], func(llm.Frame) error { return nil }); err != nil {
					t.Fatal(err)
				}
			}
			// Milliseconds, or tenths of seconds with the race detector; it was half a minute when each byte copied all before it.
			if took := time.Since(start); took > 8*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestDecoderHasABoundByDefault(t *testing.T) {
	var d llm.Decoder
	none := func(llm.Frame) error { return nil }
	if err := d.Feed(bytes.Repeat([]byte("x"), llm.DefaultMaxEvent), none); err != nil {
		t.Errorf("got %v", err)
	}
	if err := d.Feed([]byte("x"), none); !errors.Is(err, llm.ErrEventTooLarge) {
		t.Errorf("got %v", err)
	}
}

func TestDecoderStopsWhereEmitFails(t *testing.T) {
	full := errors.New("full")
	calls := 0
	var d llm.Decoder
	fail := func(llm.Frame) error { calls++; return full }
	for range 2 {
		if err := d.Feed([]byte("data: a\n\ndata: b\n\n"), fail); !errors.Is(err, full) {
			t.Errorf("got %v", err)
		}
	}
	if err := d.Flush(fail); !errors.Is(err, full) || calls != 1 {
		t.Errorf("got %v after %d calls", err, calls)
	}
}

func TestAppendFrame(t *testing.T) {
	tests := map[string]struct {
		name, data string
		want       string
	}{
		"data":            {"", `{"a":1}`, "data: {\"a\":1}\n\n"},
		"name":            {"error", "x", "event: error\ndata: x\n\n"},
		"empty":           {"", "", "data: \n\n"},
		"lines":           {"", "a\nb\rc\r\nd", "data: a\ndata: b\ndata: c\ndata: d\n\n"},
		"line end at end": {"", "a\n", "data: a\ndata: \n\n"},
		"space in front":  {"", " a", "data:  a\n\n"},
		"name of lines":   {"a\ndata: forged\n\n", "x", "event: a\ndata: x\n\n"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := string(llm.AppendFrame([]byte("> "), tc.name, []byte(tc.data))); got != "> "+tc.want {
				t.Errorf("got %q, want %q", got, "> "+tc.want)
			}
		})
	}
}

func FuzzDecoder(f *testing.F) {
	f.Add([]byte("data: a\r\n\r\n\r: c\n\nevent: x\rdata: b\rdata:\r\r\uFEFFdata: c\n\ndata: d"), []byte{1, 2, 3, 9, 9, 1})
	f.Add([]byte("\uFEFF\n\ndata\n\n"), []byte{1, 1, 1, 1})
	f.Add(bytes.Repeat([]byte("data: 0123456789\n"), 8), []byte{64, 7})
	f.Fuzz(func(t *testing.T, stream, steps []byte) {
		const bound = 64
		var cuts []int
		at := 0
		for _, s := range steps {
			if at += int(s); at > len(stream) {
				break
			}
			cuts = append(cuts, at)
		}
		whole, wholeErr := decode(t, &llm.Decoder{MaxEvent: bound}, stream)
		split, splitErr := decode(t, &llm.Decoder{MaxEvent: bound}, stream, cuts...)
		if !slices.Equal(whole, split) || !errors.Is(wholeErr, splitErr) {
			t.Errorf("%q in one piece: %q %v\ncut at %v: %q %v", stream, whole, wholeErr, cuts, split, splitErr)
		}

		var raw, written []byte
		var d llm.Decoder
		var sent [][]byte
		collect := func(fr llm.Frame) error {
			raw = append(raw, fr.Raw...)
			if fr.Data != nil {
				sent = append(sent, bytes.Clone(fr.Data))
				written = llm.AppendFrame(written, fr.Name, fr.Data)
			}
			return nil
		}
		if err := errors.Join(d.Feed(stream, collect), d.Flush(collect)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(raw, stream) {
			t.Errorf("%q became %q", stream, raw)
		}

		var got [][]byte
		again := llm.Decoder{}
		if err := again.Feed(written, func(fr llm.Frame) error { got = append(got, bytes.Clone(fr.Data)); return nil }); err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(got, sent, bytes.Equal) {
			t.Errorf("%q was written as %q", sent, written)
		}
	})
}
