package translate_test

import (
	"fmt"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/llm/eventstream"
	"github.com/leash-gateway/leash/llm/translate"
)

// A client that speaks OpenAI's API is served by a provider that speaks Anthropic's.
func Example() {
	x, err := translate.New(llm.OpenAIChat, translate.Messages, translate.Options{Model: "claude-sonnet-4-5"})
	if err != nil {
		fmt.Println(err)
		return
	}
	request, err := x.Request("fast", []byte(`{"model":"fast","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"}],"store":true}`))
	if err != nil {
		fmt.Println(err) // what Anthropic's API cannot say
		return
	}
	fmt.Println(request.Path, string(request.Body), "without", x.Dropped())

	answer, err := x.Response([]byte(`{"id":"msg_1","type":"message","content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn","usage":{"input_tokens":9,"output_tokens":1}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(answer))
	// Output:
	// /v1/messages {"model":"claude-sonnet-4-5","max_tokens":4096,"system":"Be brief.","messages":[{"role":"user","content":"Hi"}]} without [store]
	// {"id":"msg_1","object":"chat.completion","created":0,"model":"fast","choices":[{"index":0,"message":{"role":"assistant","content":"Hello","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10,"prompt_tokens_details":{"cached_tokens":0,"cache_write_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0}}}
}

// The events of a stream are translated as they come.
func ExampleExchange_Stream() {
	x, err := translate.New(llm.AnthropicMessages, translate.Gemini, translate.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := x.Request("m", []byte(`{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"Hi"}]}`)); err != nil {
		fmt.Println(err)
		return
	}
	s := x.Stream(llm.ServerSentEvents)
	out, err := s.Event(nil, []byte(`{"candidates":[{"content":{"parts":[{"text":"Hello"}]},"finishReason":"STOP"}],"responseId":"1"}`))
	if err != nil {
		out = s.Fail(out, 502, "unreadable_answer", err.Error())
	}
	fmt.Printf("%s", s.End(out))
	// Output:
	// event: message_start
	// data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}}
	//
	// event: content_block_start
	// data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}
	//
	// event: content_block_delta
	// data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}
	//
	// event: content_block_stop
	// data: {"type":"content_block_stop","index":0}
	//
	// event: message_delta
	// data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}
	//
	// event: message_stop
	// data: {"type":"message_stop"}
}

// A stream of Amazon Bedrock's becomes one of OpenAI's chats, in whatever pieces it comes. A module keeps one memory for all of its exchanges.
func ExampleStream_Feed() {
	var memory translate.Memory
	x, err := translate.New(llm.OpenAIChat, translate.Converse, translate.Options{Model: "anthropic.claude-sonnet-4-5", ID: "chatcmpl-1", Memory: &memory})
	if err != nil {
		fmt.Println(err)
		return
	}
	to, err := x.Request("", []byte(`{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"hi"}]}`))
	fmt.Println(to.Path, err)
	stream := eventstream.Append(nil, eventstream.Message{Type: "event", Event: "contentBlockDelta", Payload: []byte(`{"contentBlockIndex":0,"delta":{"text":"Hello"}}`)})
	stream = eventstream.Append(stream, eventstream.Message{Type: "event", Event: "messageStop", Payload: []byte(`{"stopReason":"end_turn"}`)})
	s := x.Stream(llm.ServerSentEvents)
	var out []byte
	for _, chunk := range [][]byte{stream[:50], stream[50:]} {
		if out, err = s.Feed(out[:0], chunk); err != nil {
			fmt.Println(err)
		}
		fmt.Print(string(out))
	}
	fmt.Print(string(s.End(out[:0])))
	// Output:
	// /model/anthropic.claude-sonnet-4-5/converse-stream <nil>
	// data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":0,"model":"gpt-4o","choices":[{"index":0,"delta":{"role":"assistant","content":"Hello"},"logprobs":null,"finish_reason":null}]}
	//
	// data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":0,"model":"gpt-4o","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}
	//
	// data: [DONE]
}
