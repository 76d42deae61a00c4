package llm_test

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/llm"
)

// framesOf decodes a stream that comes in the given chunks.
func framesOf(framing llm.Framing, chunks ...[]byte) (data []string, raw []byte, err error) {
	d := llm.Decoder{Framing: framing}
	emit := func(f llm.Frame) error {
		raw = append(raw, f.Raw...)
		if f.Data != nil {
			data = append(data, string(f.Data))
		}
		return nil
	}
	for _, chunk := range chunks {
		if err := d.Feed(bytes.Clone(chunk), emit); err != nil {
			return data, raw, err
		}
	}
	return data, raw, d.Flush(emit)
}

func TestAnArrayIsDecodedElementByElement(t *testing.T) {
	tests := map[string]struct {
		stream string
		want   []string
		failed bool
	}{
		"empty":                 {`[]`, nil, false},
		"one":                   {"[{\"a\":1}\n]\n", []string{`{"a":1}`}, false},
		"several":               {"[ {\"a\":\"]}\\\"\"}\n,\r\n{\"b\":[{},[1]]}]", []string{`{"a":"]}\""}`, `{"b":[{},[1]]}`}, false},
		"not closed":            {`[{"a":1},`, []string{`{"a":1}`}, false},
		"cut in an element":     {`[{"a":1},{"b"`, []string{`{"a":1}`, `{"b"`}, false},
		"nothing":               {``, nil, false},
		"an object":             {`{"error":{}}`, nil, true},
		"two commas":            {`[{},,{}]`, []string{`{}`}, true},
		"a comma in front":      {`[,{}]`, nil, true},
		"a comma at the end":    {`[{},]`, []string{`{}`}, true},
		"no comma":              {`[{}{}]`, []string{`{}`}, true},
		"an element that is 1":  {`[1]`, nil, true},
		"data behind the array": {`[{}]{}`, []string{`{}`}, true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, raw, err := framesOf(llm.JSONArray, []byte(tc.stream))
			if !slices.Equal(got, tc.want) || (err != nil) != tc.failed {
				t.Errorf("got %q, %v", got, err)
			}
			if !tc.failed && string(raw) != tc.stream {
				t.Errorf("the frames are %q", raw)
			}
		})
	}
}

func FuzzAnyChunksOfAnArrayGiveTheSameEvents(f *testing.F) {
	if stream, err := os.ReadFile("testdata/google-stream/stream_array.json"); err == nil {
		f.Add(stream, uint8(7))
	}
	f.Add([]byte(`[{"a":"\\"},{}`), uint8(1))
	f.Fuzz(func(t *testing.T, stream []byte, size uint8) {
		want, raw, err := framesOf(llm.JSONArray, stream)
		if err == nil && !bytes.Equal(raw, stream) {
			t.Errorf("%q became %q", stream, raw)
		}
		var chunks [][]byte
		for chunk := range slices.Chunk(stream, max(1, int(size))) {
			chunks = append(chunks, chunk)
		}
		got, _, again := framesOf(llm.JSONArray, chunks...)
		if !slices.Equal(got, want) || (err == nil) != (again == nil) {
			t.Errorf("got %q, %v, want %q, %v", got, again, want, err)
		}
	})
}

func TestAnEncoderKeepsAnArrayWhole(t *testing.T) {
	const stream = "[{\"n\":1}\n,\r\n{\"n\":2}\n]\n"
	tests := map[string]struct {
		stream string
		write  func(e *llm.Encoder, out []byte, f llm.Frame) []byte
		want   string
	}{
		"as it came":      {stream, (*llm.Encoder).Frame, stream},
		"empty":           {"[]", (*llm.Encoder).Frame, "[]"},
		"first left out":  {stream, unless(`{"n":1}`), "[{\"n\":2}\n]\n"},
		"second left out": {stream, unless(`{"n":2}`), "[{\"n\":1}\n]\n"},
		"all left out":    {`[{"n":1}]`, unless(`{"n":1}`), "[]"},
		"one more in front": {stream, func(e *llm.Encoder, out []byte, f llm.Frame) []byte {
			if string(f.Data) == `{"n":1}` {
				out = e.Event(out, "", []byte(`{"n":0}`))
			}
			return e.Frame(out, f)
		}, "[{\"n\":0},\r\n{\"n\":1}\n,\r\n{\"n\":2}\n]\n"},
		"one more at the end": {"[]", func(e *llm.Encoder, out []byte, f llm.Frame) []byte {
			return e.Event(e.Frame(out, f), "", []byte(`{}`))
		}, "[{}]"},
		"cut": {`[{"n":1}`, (*llm.Encoder).Frame, `[{"n":1}`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			d, e := llm.Decoder{Framing: llm.JSONArray}, llm.Encoder{Framing: llm.JSONArray}
			var out []byte
			emit := func(f llm.Frame) error { out = tc.write(&e, out, f); return nil }
			if err := d.Feed([]byte(tc.stream), emit); err != nil {
				t.Fatal(err)
			}
			if err := d.Flush(emit); err != nil {
				t.Fatal(err)
			}
			if out = e.End(out); string(out) != tc.want {
				t.Errorf("got  %q\nwant %q", out, tc.want)
			}
		})
	}
}

func unless(data string) func(*llm.Encoder, []byte, llm.Frame) []byte {
	return func(e *llm.Encoder, out []byte, f llm.Frame) []byte {
		if string(f.Data) == data {
			return out
		}
		return e.Frame(out, f)
	}
}

func TestAStreamEndsWithAnErrorInItsOwnForm(t *testing.T) {
	tests := map[string]struct {
		format  llm.Format
		framing llm.Framing
		begun   bool
		want    string
	}{
		"chat":        {llm.OpenAIChat, llm.ServerSentEvents, true, "data: {\"error\":{\"message\":\"m\",\"type\":\"server_error\",\"param\":null,\"code\":\"c\"}}\n\ndata: [DONE]\n\n"},
		"responses":   {llm.OpenAIResponses, llm.ServerSentEvents, true, "event: error\ndata: {\"type\":\"error\",\"code\":\"c\",\"message\":\"m\",\"param\":null,\"sequence_number\":0}\n\n"},
		"messages":    {llm.AnthropicMessages, llm.ServerSentEvents, true, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"m\"}}\n\n"},
		"Google":      {llm.GoogleStream, llm.ServerSentEvents, true, "data: {\"error\":{\"code\":502,\"message\":\"m\",\"status\":\"UNAVAILABLE\",\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\",\"reason\":\"c\",\"domain\":\"leash\"}]}}\n\n"},
		"array":       {llm.GoogleStream, llm.JSONArray, true, "[{},\r\n{\"error\":{\"code\":502,\"message\":\"m\",\"status\":\"UNAVAILABLE\",\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\",\"reason\":\"c\",\"domain\":\"leash\"}]}}]"},
		"empty array": {llm.GoogleStream, llm.JSONArray, false, "[{\"error\":{\"code\":502,\"message\":\"m\",\"status\":\"UNAVAILABLE\",\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\",\"reason\":\"c\",\"domain\":\"leash\"}]}}]"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e := llm.Encoder{Framing: tc.framing}
			var out []byte
			if tc.begun && tc.framing == llm.JSONArray {
				out = e.Event(out, "", []byte("{}"))
			}
			if got := string(e.Error(out, tc.format, 502, "c", "m")); got != tc.want {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
			if event, err := llm.ParseEvent(tc.format, []byte(tc.want[strings.LastIndex(tc.want, "data: {")+len("data: "):len(tc.want)-1])); tc.format == llm.AnthropicMessages && (err != nil || !event.Error) {
				t.Errorf("read as %+v, %v", event, err)
			}
		})
	}
}
