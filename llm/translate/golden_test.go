package translate_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gotest.tools/v3/golden"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/llm/translate"
)

// The examples are those of package llm: what providers publish. NAME.golden holds what they become in each other API.
var folders = map[translate.API]string{
	translate.Chat: "openai", translate.Responses: "openai-responses", translate.Messages: "anthropic-messages", translate.Gemini: "google-generate",
}

func examples(t testing.TB, a translate.API, kind string) []string {
	t.Helper()
	patterns := []string{"../testdata/" + folders[a] + "/" + kind + "_*"}
	if a == translate.Converse {
		patterns = []string{"testdata/bedrock/" + kind + "_*"}
	}
	if a == translate.Gemini {
		patterns = append(patterns, "../testdata/google-stream/"+kind+"_*.sse", "../testdata/google-stream/"+kind+"_*t.json")
	}
	var files []string
	for _, p := range patterns {
		all, err := filepath.Glob(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range all {
			if !strings.HasSuffix(file, ".golden") {
				files = append(files, file)
			}
		}
	}
	if len(files) == 0 {
		t.Fatalf("no examples of %s", patterns)
	}
	return files
}

// nameOf is the name of the golden file of an example.
func nameOf(file string) string {
	return filepath.Base(filepath.Dir(file)) + "_" + filepath.Base(file)
}

func read(t testing.TB, file string) []byte {
	t.Helper()
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

var options = translate.Options{Now: time.Unix(1700000000, 0)}

func begin(t testing.TB, client llm.Format, to translate.API) *translate.Exchange {
	t.Helper()
	x, err := translate.New(client, to, options)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestPublishedRequestsAreTranslated(t *testing.T) {
	for _, from := range allAPIs {
		for _, file := range examples(t, from, "request") {
			t.Run(nameOf(file), func(t *testing.T) {
				var out bytes.Buffer
				for _, to := range providerAPIs {
					if to == from {
						continue
					}
					x := begin(t, clientFormat(from), to)
					got, err := x.Request("gemini-2.5-flash", read(t, file))
					fmt.Fprintf(&out, "to %s\n", to)
					if err != nil {
						fmt.Fprintf(&out, "error: %v\n\n", err)
						continue
					}
					readable(t, got)
					fmt.Fprintf(&out, "%s\ndropped: %q\n%s\n\n", got.Path, x.Dropped(), got.Body)
				}
				golden.Assert(t, out.String(), nameOf(file)+".golden")
			})
		}
	}
}

// answering begins an exchange of a client whose provider has the API to.
func answering(t testing.TB, from, to translate.API, stream bool) *translate.Exchange {
	t.Helper()
	client, members := clientFormat(from), ""
	if stream {
		members = `"stream":true`
	}
	switch {
	case stream && from == translate.Gemini:
		client, members = llm.GoogleStream, ""
	case stream && from == translate.Chat:
		members += `,"stream_options":{"include_usage":true}`
	}
	x := begin(t, client, to)
	if _, err := x.Request("m", []byte(requestWith(from, members))); err != nil {
		t.Fatal(err)
	}
	return x
}

func TestPublishedAnswersAreTranslated(t *testing.T) {
	for _, to := range providerAPIs {
		for _, file := range examples(t, to, "response") {
			t.Run(nameOf(file), func(t *testing.T) {
				var out bytes.Buffer
				for _, from := range allAPIs {
					if from == to {
						continue
					}
					x := answering(t, from, to, false)
					fmt.Fprintf(&out, "to %s\n", from)
					if strings.Contains(file, "response_error") {
						fmt.Fprintf(&out, "%s\n\n", x.Error(400, read(t, file)))
						continue
					}
					got, err := x.Response(read(t, file))
					if err != nil {
						fmt.Fprintf(&out, "error: %v\n\n", err)
						continue
					}
					if to != translate.Converse { // whose usage package llm does not read
						sameUsage(t, from, to, got, read(t, file))
					}
					fmt.Fprintf(&out, "%s\n\n", got)
				}
				golden.Assert(t, out.String(), nameOf(file)+".golden")
			})
		}
	}
}

// sameUsage fails the test unless both answers tell the same usage, as far as the APIs can say it.
func sameUsage(t *testing.T, from, to translate.API, got, provider []byte) {
	t.Helper()
	before, err := llm.ParseResponse(clientFormat(to), provider)
	if err != nil {
		t.Fatal(err)
	}
	after, err := llm.ParseResponse(clientFormat(from), got)
	if err != nil {
		t.Fatalf("%v in %s", err, got)
	}
	compareUsage(t, from, after.Usage, before.Usage)
}

func compareUsage(t *testing.T, in translate.API, got, want llm.Usage) {
	t.Helper()
	switch in {
	case translate.Chat, translate.Responses:
		want.CacheWrite, want.CacheWrite1h = want.CacheWrite+want.CacheWrite1h, 0
	case translate.Gemini:
		want.CacheWrite, want.CacheWrite1h = 0, 0
	}
	if in == translate.Responses || in == translate.Messages {
		want.InputAudio, want.OutputAudio = 0, 0
	}
	if got != want {
		t.Errorf("in %s got %+v, want %+v", in, got, want)
	}
}

// translateStream translates a stream of server-sent events, and returns the text that each side reads in it besides.
func translateStream(t testing.TB, x *translate.Exchange, to translate.API, framing llm.Framing, stream []byte) (out []byte, said string) {
	t.Helper()
	s := x.Stream(framing)
	var d llm.Decoder
	feed := func(f llm.Frame) error {
		if f.Data == nil {
			return nil
		}
		e, err := llm.ParseEvent(x.Format(), f.Data)
		if err != nil {
			return err
		}
		for _, text := range e.Texts {
			if !text.Whole && (text.Kind == llm.Content || text.Kind == llm.Refusal) {
				said += text.Value
			}
		}
		out, err = s.Event(out, f.Data)
		return err
	}
	if err := d.Feed(stream, feed); err != nil {
		t.Fatalf("%v from %s", err, to)
	}
	if err := d.Flush(feed); err != nil {
		t.Fatal(err)
	}
	return s.End(out), said
}

func TestPublishedStreamsAreTranslated(t *testing.T) {
	for _, to := range allAPIs {
		for _, file := range examples(t, to, "stream") {
			if strings.HasSuffix(file, ".json") {
				continue
			}
			t.Run(nameOf(file), func(t *testing.T) {
				var out bytes.Buffer
				for _, from := range allAPIs {
					if from == to {
						continue
					}
					x := answering(t, from, to, true)
					got, said := translateStream(t, x, to, llm.ServerSentEvents, read(t, file))
					fmt.Fprintf(&out, "to %s\n%s\n", from, got)
					if read := readStream(t, from, got); read != said {
						t.Errorf("%s reads %q, want %q", from, read, said)
					}
				}
				golden.Assert(t, out.String(), nameOf(file)+".golden")
			})
		}
	}
}

// readStream is the text of a stream in a client's API.
func readStream(t testing.TB, a translate.API, stream []byte) (said string) {
	t.Helper()
	format := clientFormat(a)
	if a == translate.Gemini {
		format = llm.GoogleStream
	}
	var d llm.Decoder
	read := func(f llm.Frame) error {
		if f.Data == nil {
			return nil
		}
		e, err := llm.ParseEvent(format, f.Data)
		if err != nil {
			return err
		}
		if e.Name != f.Name {
			t.Errorf("event %q is called %q", e.Name, f.Name)
		}
		for _, text := range e.Texts {
			if !text.Whole && (text.Kind == llm.Content || text.Kind == llm.Refusal) {
				said += text.Value
			}
		}
		return nil
	}
	if err := d.Feed(stream, read); err != nil {
		t.Fatalf("%v in %s", err, stream)
	}
	return said
}

// TestPublishedAnswersBecomeStreamsForClientsThatWantThose has providers that do not stream though they were asked to.
func TestPublishedAnswersBecomeStreamsForClientsThatWantThose(t *testing.T) {
	for _, to := range providerAPIs {
		for _, file := range examples(t, to, "response") {
			for _, from := range allAPIs {
				if from == to || strings.Contains(file, "response_error") {
					continue
				}
				t.Run(from.String()+" of "+nameOf(file), func(t *testing.T) {
					body := read(t, file)
					whole, err := answering(t, from, to, false).Response(body)
					if err != nil {
						t.Fatal(err)
					}
					want, err := llm.ParseResponse(clientFormat(from), whole)
					if err != nil {
						t.Fatal(err)
					}
					stream, err := answering(t, from, to, true).Stream(llm.ServerSentEvents).Whole(nil, body)
					if err != nil {
						t.Fatal(err)
					}
					said := ""
					for _, text := range want.Texts {
						if text.Kind == llm.Content || text.Kind == llm.Refusal {
							said += text.Value
						}
					}
					if got := readStream(t, from, stream); got != said {
						t.Errorf("the stream says %q, want %q: %s", got, said, stream)
					}
					compareUsage(t, from, usageIn(t, from, stream), want.Usage)
				})
			}
		}
	}
}

// usageIn is the usage that a stream in a client's API tells.
func usageIn(t testing.TB, a translate.API, stream []byte) (u llm.Usage) {
	t.Helper()
	format := clientFormat(a)
	if a == translate.Gemini {
		format = llm.GoogleStream
	}
	var d llm.Decoder
	if err := d.Feed(stream, func(f llm.Frame) error {
		e, err := llm.ParseEvent(format, f.Data)
		if err == nil {
			u = u.Joined(e.Usage)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return u
}
