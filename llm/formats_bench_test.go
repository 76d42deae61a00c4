package llm_test

import (
	"os"
	"testing"

	"github.com/leash-gateway/leash/llm"
)

// examplesOfFormats are a request, an answer and an event of each API, as they are published.
var examplesOfFormats = []struct {
	format                   llm.Format
	request, response, event string
}{
	{llm.OpenAIResponses, "openai-responses/request_items.json", "openai-responses/response_default.json", `{"type":"response.output_text.delta","sequence_number":4,"item_id":"msg_67c9fdcf","output_index":0,"content_index":0,"delta":" there!"}`},
	{llm.AnthropicMessages, "anthropic-messages/request_tools.json", "anthropic-messages/response_tools_cache.json", `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" Hello"}}`},
	{llm.GoogleStream, "google-generate/request_functions.json", "google-generate/response_default.json", `{"candidates": [{"content": {"parts": [{"text": " upon a time"}],"role": "model"},"index": 0}],"usageMetadata": {"promptTokenCount": 8},"modelVersion": "gemini-2.5-flash"}`},
}

func BenchmarkFormats(b *testing.B) {
	for _, x := range examplesOfFormats {
		request, err := os.ReadFile("testdata/" + x.request)
		if err != nil {
			b.Fatal(err)
		}
		response, err := os.ReadFile("testdata/" + x.response)
		if err != nil {
			b.Fatal(err)
		}
		for name, run := range map[string]func() error{
			"request":  func() error { _, err := llm.ParseRequestAt(x.format, x.format.Path(googleModel), request); return err },
			"response": func() error { _, err := llm.ParseResponse(x.format, response); return err },
			"event":    func() error { _, err := llm.ParseEvent(x.format, []byte(x.event)); return err },
		} {
			b.Run(x.format.String()+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := run(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
