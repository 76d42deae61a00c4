package translate_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"gotest.tools/v3/golden"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/llm/eventstream"
	"github.com/leash-gateway/leash/llm/translate"
)

// framed is a stream of Bedrock's, of which text has a message a line.
func framed(t testing.TB, text string) (stream []byte) {
	t.Helper()
	for line := range strings.Lines(text) {
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		name, payload, _ := strings.Cut(rest, " ")
		m := eventstream.Message{Type: kind, Event: name, Payload: []byte(payload)}
		if kind != "event" {
			m.Event, m.Exception = "", name
		}
		stream = eventstream.Append(stream, m)
	}
	return stream
}

// fed translates a stream that comes in chunks of a size.
func fed(t testing.TB, x *translate.Exchange, framing llm.Framing, stream []byte, size int) (out []byte, err error) {
	t.Helper()
	s := x.Stream(framing)
	for len(stream) > 0 && err == nil {
		n := min(size, len(stream))
		out, err = s.Feed(out, stream[:n])
		stream = stream[n:]
	}
	return s.End(out), err
}

func TestBedrocksPublishedStreamsAreTranslated(t *testing.T) {
	for _, file := range examples(t, translate.Converse, "stream") {
		t.Run(nameOf(file), func(t *testing.T) {
			var out bytes.Buffer
			stream := framed(t, string(read(t, file)))
			for _, from := range allAPIs {
				got, err := fed(t, answering(t, from, translate.Converse, true), llm.ServerSentEvents, stream, len(stream))
				if err != nil {
					t.Fatal(err)
				}
				hear(t, from, llm.ServerSentEvents, got)
				fmt.Fprintf(&out, "to %s\n%s\n", from, got)
			}
			golden.Assert(t, out.String(), nameOf(file)+".golden")
		})
	}
}

func TestAnyCutOfAProvidersStreamGivesTheClientTheSame(t *testing.T) {
	for _, to := range providerAPIs {
		for _, file := range examples(t, to, "stream") {
			if strings.HasSuffix(file, ".json") {
				continue // Google is asked for server-sent events
			}
			stream := read(t, file)
			if to == translate.Converse {
				stream = framed(t, string(stream))
			}
			for _, from := range allAPIs {
				if from == to {
					continue
				}
				want, err := fed(t, answering(t, from, to, true), llm.ServerSentEvents, stream, len(stream))
				if err != nil {
					t.Fatalf("%s: %v", file, err)
				}
				for _, size := range []int{1, 2, 7, 64} {
					got, err := fed(t, answering(t, from, to, true), llm.ServerSentEvents, stream, size)
					if err != nil || !bytes.Equal(got, want) {
						t.Errorf("%s to %s in chunks of %d: %v, got\n%s\nwant\n%s", nameOf(file), from, size, err, got, want)
					}
				}
			}
		}
	}
}

func TestAStreamSaysWhetherItHasBegunAndWhyItFailed(t *testing.T) {
	const chatText = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n"
	for name, c := range map[string]struct {
		to      translate.API
		stream  []byte
		begun   bool
		failure string
	}{
		"nothing of an answer":        {translate.Chat, []byte("data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}]}\n\n"), false, ""},
		"a text":                      {translate.Chat, []byte(chatText), true, ""},
		"an error at once":            {translate.Chat, []byte("data: {\"error\":{\"message\":\"overloaded\"}}\n\n"), false, "overloaded"},
		"an error after a text":       {translate.Chat, []byte(chatText + "data: {\"error\":{\"message\":\"overloaded\"}}\n\n"), true, "overloaded"},
		"no events":                   {translate.Chat, []byte("data: <html>\n\n"), false, "the provider's stream cannot be read: invalid JSON at byte 0: expected a value, found '<'"},
		"Bedrock's beginning":         {translate.Converse, framed(t, `event messageStart {"role":"assistant"}`), false, ""},
		"an exception of Bedrock's":   {translate.Converse, framed(t, `exception throttlingException {"message":"slow down"}`), false, "slow down"},
		"a text of Bedrock's":         {translate.Converse, framed(t, `event contentBlockDelta {"contentBlockIndex":0,"delta":{"text":"a"}}`), true, ""},
		"what is no stream of Amazon": {translate.Converse, []byte("<html>Bad gateway</html>"), false, "the provider's stream cannot be read: decode event stream: a checksum does not match"},
	} {
		s := answering(t, translate.Messages, c.to, true).Stream(llm.ServerSentEvents)
		_, _ = s.Feed(nil, c.stream)
		if s.Begun() != c.begun || s.Failure() != c.failure {
			t.Errorf("%s: got %v and %q", name, s.Begun(), s.Failure())
		}
	}
}

func TestWhatBedrockTellsOfTokensIsWhatClientsRead(t *testing.T) {
	body := []byte(`{"output":{"message":{"role":"assistant","content":[{"text":"a"}]}},"stopReason":"end_turn","usage":{"inputTokens":4,"outputTokens":52,"totalTokens":2180,` +
		`"cacheReadInputTokens":1024,"cacheWriteInputTokens":1100,"cacheDetails":[{"ttl":"1h","inputTokens":600},{"ttl":"5m","inputTokens":500}]}}`)
	stream := framed(t, `event messageStop {"stopReason":"end_turn"}
		event metadata {"usage":{"inputTokens":4,"outputTokens":52,"totalTokens":2180,"cacheReadInputTokens":1024,"cacheWriteInputTokens":1100,"cacheDetails":[{"ttl":"1h","inputTokens":600},{"ttl":"5m","inputTokens":500}]}}`)
	want := llm.Usage{Input: 2128, CachedInput: 1024, CacheWrite: 500, CacheWrite1h: 600, Output: 52}
	for _, from := range allAPIs {
		got, err := answering(t, from, translate.Converse, false).Response(body)
		if err != nil {
			t.Fatal(err)
		}
		r, err := llm.ParseResponse(clientFormat(from), got)
		if err != nil {
			t.Fatal(err)
		}
		compareUsage(t, from, r.Usage, want)
		events, err := fed(t, answering(t, from, translate.Converse, true), llm.ServerSentEvents, stream, 9)
		if err != nil {
			t.Fatal(err)
		}
		compareUsage(t, from, hear(t, from, llm.ServerSentEvents, events).usage, want)
	}
}

func TestStreamsThatAreNoneOfBedrocksEndWithAnError(t *testing.T) {
	whole := framed(t, `event messageStart {"role":"assistant"}
		event contentBlockDelta {"contentBlockIndex":0,"delta":{"text":"Hi"}}`)
	garbled := bytes.Clone(whole)
	garbled[len(garbled)-20] ^= 1
	for name, stream := range map[string][]byte{
		"cut between messages":      whole,
		"cut inside of one":         whole[:len(whole)-3],
		"a checksum":                garbled,
		"something else altogether": []byte("<html>Bad gateway</html>"),
		"an error without a name":   eventstream.Append(whole, eventstream.Message{Type: "error", Reason: "gone"}),
		"a payload that is no JSON": eventstream.Append(whole, eventstream.Message{Type: "event", Event: "metadata", Payload: []byte(`{"usage":`)}),
		"an exception and nothing":  eventstream.Append(nil, eventstream.Message{Type: "exception", Exception: "internalServerException"}),
	} {
		for _, from := range allAPIs {
			got, _ := fed(t, answering(t, from, translate.Converse, true), llm.ServerSentEvents, stream, 5)
			if h := hear(t, from, llm.ServerSentEvents, got); !h.failed {
				t.Errorf("%s to %s: got no error in %s", name, from, got)
			}
		}
	}
}

func TestWhatBedrockCannotSayIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		from    translate.API
		members string
		want    string
	}{
		"an image at an address":         {translate.Chat, `"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}]}]`, "address"},
		"an image of a type":             {translate.Chat, `"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/tiff;base64,AA=="}}]}]`, `"image/tiff"`},
		"a file of a type":               {translate.Messages, `"messages":[{"role":"user","content":[{"type":"document","source":{"type":"base64","media_type":"application/zip","data":"AA=="}}]}]`, `"application/zip"`},
		"arguments that are no object":   {translate.Chat, `"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"[1]"}}]}]`, "no JSON object"},
		"no tool, once one was called":   {translate.Messages, `"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"tool_use","id":"c1","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"b"}]}],"tools":[{"name":"f","input_schema":{}}],"tool_choice":{"type":"none"}`, "tool_choice"},
		"a system prompt with a picture": {translate.Gemini, `"systemInstruction":{"parts":[{"inlineData":{"mimeType":"image/png","data":"AA=="}}]}`, "system prompt"},
		"several answers":                {translate.Gemini, `"generationConfig":{"candidateCount":2}`, "more than one"},
	} {
		_, err := begin(t, clientFormat(c.from), translate.Converse).Request("m", []byte(requestWith(c.from, c.members)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q in it", name, err, c.want)
		}
	}
}

func TestRequestsToBedrock(t *testing.T) {
	for name, c := range map[string]struct {
		from                 translate.API
		model, members       string
		path, want, wantsnot string
	}{
		"a model by its ARN":    {translate.Chat, "arn:aws:bedrock:us-east-1:1:inference-profile/us.a.b-v1:0", `"stream":true`, "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.a.b-v1%3A0/converse-stream", `"content":[{"text":"hi"}]`, "model"},
		"no limit of its own":   {translate.Chat, "m", ``, "/model/m/converse", `{"messages":`, "inferenceConfig"},
		"documents by one name": {translate.Chat, "m", `"messages":[{"role":"user","content":[{"type":"file","file":{"filename":"q3_été.pdf","file_data":"data:application/pdf;base64,JVBE"}},{"type":"file","file":{"filename":"q3_été.pdf","file_data":"data:application/pdf;base64,JVBE"}}]}]`, "/model/m/converse", `"name":"q3 t 2"`, "été"},
		"a schema as a string":  {translate.Chat, "m", `"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object","additionalProperties":false}}}`, "/model/m/converse", `"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{\"type\":\"object\",\"additionalProperties\":false}","name":"n"}}}}`, "response_format"},
		"none of the tools":     {translate.Chat, "m", `"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"none"`, "/model/m/converse", `"messages"`, "tool"},
		"an hour's cache":       {translate.Messages, "m", `"system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral","ttl":"1h"}}]`, "/model/m/converse", `"system":[{"text":"a"},{"cachePoint":{"type":"default","ttl":"1h"}}]`, "cache_control"},
		"a cached tool":         {translate.Messages, "m", `"tools":[{"name":"f","input_schema":{"type":"object"},"cache_control":{"type":"ephemeral"}}]`, "/model/m/converse", `{"inputSchema":{"json":{"type":"object"}}}},{"cachePoint":{"type":"default"}}]`, "cache_control"},
		"effort of a Claude":    {translate.Chat, "us.anthropic.claude-sonnet-4", `"reasoning_effort":"low","temperature":0.5`, "/model/us.anthropic.claude-sonnet-4/converse", `"inferenceConfig":{"maxTokens":6144},"additionalModelRequestFields":{"thinking":{"type":"enabled","budget_tokens":2048}}`, "temperature"},
		"effort of others":      {translate.Chat, "amazon.nova", `"reasoning_effort":"low"`, "/model/amazon.nova/converse", `"messages"`, "thinking"},
		"a result that failed":  {translate.Messages, "m", `"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"tool_use","id":"c1","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","is_error":true,"content":[{"type":"text","text":"b"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBO"}}]}]}]`, "/model/m/converse", `"toolResult":{"toolUseId":"c1","content":[{"text":"b"},{"image":{"format":"png","source":{"bytes":"iVBO"}}}],"status":"error"}`, "is_error"},
		"an object as a result": {translate.Gemini, "m", `"contents":[{"parts":[{"text":"a"}]},{"role":"model","parts":[{"functionCall":{"name":"f"}}]},{"parts":[{"functionResponse":{"name":"f","response":{"n":1}}}]}]`, "/model/m/converse", `"toolResult":{"toolUseId":"call_1","content":[{"json":{"n":1}}]}`, "status"},
	} {
		t.Run(name, func(t *testing.T) {
			x, err := translate.New(clientFormat(c.from), translate.Converse, translate.Options{Model: c.model})
			if err != nil {
				t.Fatal(err)
			}
			got, err := x.Request("m", []byte(requestWith(c.from, c.members)))
			if err != nil {
				t.Fatal(err)
			}
			body := strings.Replace(string(got.Body), `"description":"",`, "", 1)
			if got.Path != c.path || !strings.Contains(strings.ReplaceAll(body, `"name":"f",`, ""), c.want) || strings.Contains(body, c.wantsnot) {
				t.Errorf("got %s %s\nwant %s with %s and without %s", got.Path, body, c.path, c.want, c.wantsnot)
			}
		})
	}
}

func TestTokensAreCountedByBedrock(t *testing.T) {
	x := begin(t, llm.AnthropicCountTokens, translate.Converse)
	got, err := x.Request("m", []byte(`{"model":"anthropic.c","system":"s","messages":[{"role":"user","content":"hi"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"input":{"converse":{"system":[{"text":"s"}],"messages":[{"role":"user","content":[{"text":"hi"}]}]}}}`; got.Path != "/model/anthropic.c/count-tokens" || string(got.Body) != want {
		t.Errorf("got %s %s, want %s", got.Path, got.Body, want)
	}
	if answer, err := x.Response([]byte(`{"inputTokens":15}`)); err != nil || string(answer) != `{"input_tokens":15}` {
		t.Errorf("got %s, %v", answer, err)
	}
}

// TestOneMemoryServesAllExchanges translates each example twice, once with a memory that all others have used before.
func TestOneMemoryServesAllExchanges(t *testing.T) {
	var memory translate.Memory
	shared := options
	shared.Memory = &memory
	for range 2 {
		for _, from := range allAPIs {
			for _, to := range providerAPIs {
				if to == from {
					continue
				}
				for _, file := range examples(t, from, "request") {
					want, err := begin(t, clientFormat(from), to).Request("m", read(t, file))
					x, _ := translate.New(clientFormat(from), to, shared)
					got, err2 := x.Request("m", read(t, file))
					if fmt.Sprint(err) != fmt.Sprint(err2) || !bytes.Equal(got.Body, want.Body) || got.Path != want.Path {
						t.Errorf("%s to %s: got %v %s, want %v %s", file, to, err2, got.Body, err, want.Body)
					}
				}
				for _, file := range examples(t, to, "response") {
					want, err := answering(t, from, to, false).Response(read(t, file))
					x, _ := translate.New(clientFormat(from), to, shared)
					if _, err := x.Request("m", []byte(requestWith(from, ""))); err != nil {
						t.Fatal(err)
					}
					got, err2 := x.Response(read(t, file))
					if fmt.Sprint(err) != fmt.Sprint(err2) || !bytes.Equal(got, want) {
						t.Errorf("%s to %s: got %v %s, want %v %s", file, from, err2, got, err, want)
					}
				}
			}
		}
	}
}
