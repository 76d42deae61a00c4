package contentfilter

import (
	"strings"
	"testing"

	"github.com/leash-gateway/leash/module/moduletest"
)

// escaped writes every character as its number, as a string in JSON may have it.
func escaped(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		b.WriteString(`\u00` + string("0123456789abcdef"[c>>4]) + string("0123456789abcdef"[c&15]))
	}
	return b.String()
}

func TestNumbersInPlaceOfCharactersHideNothingInJSON(t *testing.T) {
	arguments := `{"of":"` + escaped("project bluebird") + `"}`
	t.Run("what a tool was called with", func(t *testing.T) {
		request := `{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":` + quoted(arguments) + `}}]}]}`
		if got := newHost(t, rules).Do(moduletest.Exchange{Request: request}); got.Sent || got.Body != blocked {
			t.Errorf("sent %t, got %s", got.Sent, got.Body)
		}
	})
	t.Run("a structured answer", func(t *testing.T) {
		x := moduletest.Exchange{Request: user(`"hi"`)}
		x.Answer = whole(choice(0, says(`{"a":"`+escaped("seal-12345")+`","b":"\u0022\n\/"}`)))
		if got, want := newHost(t, rules).Do(x).Body, whole(choice(0, says(`{"a":"[seal]","b":"\u0022\n/"}`))); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
	t.Run("behind a byte order mark", func(t *testing.T) {
		x := moduletest.Exchange{Request: user(`"hi"`)}
		x.Answer = whole(choice(0, says("\ufeff"+arguments)))
		if got := newHost(t, rules).Do(x); got.Status != 400 {
			t.Errorf("got %s", got.Body)
		}
	})
	t.Run("not in what is no JSON", func(t *testing.T) {
		x := moduletest.Exchange{Request: user(`"hi"`)}
		x.Answer = whole(choice(0, says(`write `+escaped("seal-12345"))))
		if got := newHost(t, rules).Do(x).Body; got != x.Answer {
			t.Errorf("got %s", got)
		}
	})
	t.Run("a stream of a tool's arguments", func(t *testing.T) {
		text := `{"of":"` + escaped("seal-12345") + `\ud83d\ude00\u00"}`
		for at := range len(text) {
			piece := func(s string) string {
				return delta(0, `"tool_calls":[{"index":0,"function":{"arguments":`+quoted(s)+`}}]`)
			}
			got := newHost(t, rules).Do(stream(`"hi"`, piece(text[:at]), piece(text[at:]), finish(0), done))
			if got, want := said(t, got.Body)["0 call 0"], `{"of":"[seal]😀\u00"}`; got != want {
				t.Fatalf("split at %d: got %s, want %s", at, got, want)
			}
		}
	})
}

// FuzzPlain: however a text is split, it is the same; and what it means is not changed.
func FuzzPlain(f *testing.F) {
	f.Add(`{"a":"\u0061\ud83d\ude00\ud83d\u0022\\u0061\/\n"}`, uint8(1))
	f.Add(`{\u\u0\ud8`, uint8(2))
	f.Fuzz(func(t *testing.T, text string, size uint8) {
		var p plain
		got := ""
		for rest := text; rest != ""; {
			n := min(len(rest), int(size)+1)
			got += p.feed(rest[:n])
			rest = rest[n:]
		}
		if got += p.flush(); got != plainOf(text) {
			t.Errorf("in pieces %q, whole %q", got, plainOf(text))
		}
		if again := plainOf(got); strings.HasPrefix(text, "{") && strings.Count(again, `\`) > strings.Count(text, `\`) {
			t.Errorf("%q became %q", text, again)
		}
	})
}
