package harness

import "strings"

// SampleChat is a chat of 600 bytes, SampleAnswer an answer to it, for measuring.
var SampleChat = `{"model":"gpt-4o-mini","messages":[{"role":"system","content":"You are a helpful assistant that answers briefly."},` +
	`{"role":"user","content":"` + strings.Repeat("The quick brown fox jumps over the lazy dog. ", 9) + `"}],"temperature":0.2,"max_tokens":64}`

// SampleAnswer is an answer to SampleChat.
const SampleAnswer = `{"id":"chatcmpl-1","object":"chat.completion","created":1795467185,"model":"gpt-4o-mini",` +
	`"choices":[{"index":0,"message":{"role":"assistant","content":"The fox jumps over the dog, nine times over, and it does so quickly."},` +
	`"finish_reason":"stop"}],"usage":{"prompt_tokens":93,"completion_tokens":15,"total_tokens":108}}`
