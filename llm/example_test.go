package llm_test

import (
	"fmt"

	"github.com/leash-gateway/leash/llm"
)

func ExampleFormatOf() {
	fmt.Println(llm.FormatOf("POST", "/v1/chat/completions"))
	fmt.Println(llm.FormatOf("POST", "/v1//chat/completions"))
	// Output:
	// openai-chat
	// none
}

func ExampleCheck() {
	fmt.Println(llm.Check([]byte(`{"model":"cheap","\u006dodel":"dear"}`)))
	// Output: invalid JSON at byte 17: key "model" appears twice
}

func ExampleParseRequest() {
	body := []byte(`{"model":"fast", "messages":[{"role":"user","content":"my card is 4111"}], "seed":7}`)
	r, err := llm.ParseRequest(llm.OpenAIChat, body)
	if err != nil {
		fmt.Println(err)
		return
	}
	r.SetModel("gpt-4o-mini")
	r.SetText(0, "my card is [card]")
	fmt.Println(r.Texts[0].Role, r.EstimateTokens())
	fmt.Printf("%s\n", r.Bytes())
	// Output:
	// user 9
	// {"model":"gpt-4o-mini", "messages":[{"role":"user","content":"my card is [card]"}], "seed":7}
}

func ExampleParseResponse() {
	body := []byte(`{"model":"gpt-4o-mini","choices":[{"message":{"role":"assistant","content":"Hello!"},"finish_reason":"stop"}],` +
		`"usage":{"prompt_tokens":19,"completion_tokens":10}}`)
	r, err := llm.ParseResponse(llm.OpenAIChat, body)
	if err != nil {
		fmt.Println(err)
		return
	}
	price, _ := llm.DefaultPrices().Find("openai", r.Model)
	fmt.Println(r.Texts[0].Value, r.FinishReasons, r.Usage.Total(), price.Cost(r.Usage))
	// Output: Hello! [stop] 29 0.00000885 USD
}

func ExampleDecoder() {
	emit := func(f llm.Frame) error {
		e, err := llm.ParseEvent(llm.OpenAIChat, f.Data)
		if err != nil {
			return err
		}
		for _, t := range e.Texts {
			fmt.Printf("choice %d says %q\n", t.Message, t.Value)
		}
		if e.Done {
			fmt.Println("done")
		}
		return nil
	}
	var d llm.Decoder
	for _, chunk := range []string{
		`data: {"choices":[{"index":0,"delta":{"content":"Hel`,
		"lo\"}}]}\n\ndata: [DO",
		"NE]\n\n",
	} {
		if err := d.Feed([]byte(chunk), emit); err != nil {
			fmt.Println(err)
		}
	}
	if err := d.Flush(emit); err != nil {
		fmt.Println(err)
	}
	// Output:
	// choice 0 says "Hello"
	// done
}

func ExampleEvent_WithText() {
	e, err := llm.ParseEvent(llm.OpenAIChat, []byte(`{"id":"c1","choices":[{"index":0,"delta":{"content":"4111"},"finish_reason":"stop"}]}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s\n", e.WithText(0, "[card]").Data())
	// Output: {"id":"c1","choices":[{"index":0,"delta":{"content":"[card]"},"finish_reason":null}]}
}

func ExampleAppendFrame() {
	fmt.Printf("%s", llm.AppendFrame(nil, "error", []byte(`{"error":{}}`)))
	// Output:
	// event: error
	// data: {"error":{}}
}

func ExampleParseUSDPerMillion() {
	perToken, err := llm.ParseUSDPerMillion("0.15")
	fmt.Println(int64(perToken), perToken, err)
	// Output: 150000 0.00000015 USD <nil>
}

func ExamplePrices_Find() {
	p, ok := llm.DefaultPrices().Find("openai", "gpt-4o-mini-2029-01-31")
	fmt.Println(p.Model, p.Input, ok)
	// Output: gpt-4o-mini 0.00000015 USD true
}

func ExampleErrorBody() {
	fmt.Printf("%s\n", llm.ErrorBody(llm.OpenAIChat, 404, "model_not_found", "there is no model \"x\""))
	// Output: {"error":{"message":"there is no model \"x\"","type":"not_found_error","param":null,"code":"model_not_found"}}
}

func ExampleModelList() {
	fmt.Printf("%s\n", llm.ModelList(llm.OpenAIModels, []string{"gpt-4o"}, "leash"))
	// Output: {"object":"list","data":[{"id":"gpt-4o","object":"model","created":0,"owned_by":"leash"}]}
}
