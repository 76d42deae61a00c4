package fuzz

import "github.com/leash-gateway/leash/host/harness"

const chat = `{"model":"gpt-4o-mini","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Say hello to 4111 1111 1111 1112."}],"temperature":0.2,"max_tokens":64}`

const completion = `{"id":"chatcmpl-1","object":"chat.completion","created":1795467185,"model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"Hello."},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}`

// samples are exchanges of all kinds that a gateway for LLMs sees.
func samples() []Step {
	stream := []string{
		"data: {\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
		"data: {\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hel\"}}]}\n\n",
		"data: {\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"lo.\"},\"finish_reason\":\"stop\"}]}\n\n",
		"data: {\"id\":\"1\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,\"total_tokens\":11}}\n\n",
		"data: [DONE]\n\n",
	}
	events := []string{
		"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"role\":\"assistant\",\"content\":[],\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\n",
		"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello.\"}}\n\n",
		"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}\n\n",
		"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
	}
	authorized := harness.Headers{{"authorization", "Bearer sk-leash-demo"}, {"content-type", "application/json"}}
	requests := []harness.Request{
		{},
		{Path: "/v1/models"},
		{Headers: authorized, Body: chat, Answer: harness.Answer{Body: completion}},
		{Headers: authorized, Body: `{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":[{"type":"text","text":"Hi"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}]}]}`, Answer: harness.Answer{Chunks: stream}},
		{Headers: authorized, Path: "/v1/responses", Body: `{"model":"gpt-4o-mini","input":"Hi"}`, Answer: harness.Answer{Body: `{"id":"r","output":[{"type":"message","content":[{"type":"output_text","text":"Hello."}]}],"usage":{"input_tokens":1,"output_tokens":1}}`}},
		{Headers: authorized, Path: "/v1/embeddings", Body: `{"model":"e","input":["a","b"]}`, Answer: harness.Answer{Body: `{"data":[{"embedding":[0.1]}],"usage":{"prompt_tokens":2,"total_tokens":2}}`}},
		{Headers: harness.Headers{{"x-api-key", "sk-leash-demo"}, {"anthropic-version", "2023-06-01"}}, Path: "/v1/messages", Body: `{"model":"claude","max_tokens":64,"stream":true,"messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]}]}`, Answer: harness.Answer{Chunks: events}},
		{Headers: harness.Headers{{"x-goog-api-key", "sk-leash-demo"}}, Path: "/v1beta/models/gemini:generateContent", Body: `{"contents":[{"role":"user","parts":[{"text":"Hi"}]}]}`, Answer: harness.Answer{Body: `{"candidates":[{"content":{"parts":[{"text":"Hello."}]}}],"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":1}}`}},
		{Headers: authorized, Body: chat, Answer: harness.Answer{Status: 429, Headers: harness.Headers{{"retry-after", "1"}}, Body: `{"error":{"message":"slow down","type":"rate_limit"}}`}},
		{Headers: authorized, Body: chat, Answer: harness.Answer{Failure: harness.Cut, Chunks: stream[:2]}},
		{Headers: authorized, Body: chat, Leaves: harness.InAnswer, Answer: harness.Answer{Chunks: stream}},
		{Headers: authorized, Body: chat, Answer: harness.Answer{Failure: harness.Unreachable}},
		{Method: "POST", Path: "/package.Service/Method", Headers: harness.Headers{{"content-type", "application/grpc"}, {"te", "trailers"}}, Body: "\x00\x00\x00\x00\x02hi", Trailers: harness.Headers{{"x-end", "1"}}, Answer: harness.Answer{Body: "\x00\x00\x00\x00\x02ho", Trailers: harness.Headers{{"grpc-status", "0"}}}},
	}
	steps := make([]Step, len(requests))
	for i, r := range requests {
		steps[i].Request = r
	}
	return steps
}
