package translate

// An Action is what happens to a field of a request on its way to another API.
type Action uint8

// The actions.
const (
	Translated Action = iota // into the field that Treatment.As names
	Dropped                  // left out: the answer is as good without it. Exchange.Dropped tells
	Refused                  // the answer would not be what was asked for
)

// A Treatment is what happens to a field on its way to one API.
type Treatment struct {
	Action Action
	As     string // where it is found there: a path, or words that begin with "the"
}

// A Field is one of a request.
type Field struct {
	API  API
	Name string
	// Example are members of a request that has it.
	Example string
	// To is by the API that it goes to; of its own it is meaningless.
	To [apis]Treatment
}

func as(path string) Treatment { return Treatment{Translated, path} }

var (
	dropped = Treatment{Action: Dropped}
	refused = Treatment{Action: Refused}
)

// treatment is what the list says of a field. One that it does not have is dropped: it is newer than the list, or of a
// client for a server of its own.
func treatment(from, to API, field string) Action {
	for i := range Fields {
		if f := &Fields[i]; f.API == from && f.Name == field {
			return f.To[to].Action
		}
	}
	return Dropped
}

// Fields are all that are known, by the API of the client. The documentation is made of it, and a test tries each Example.
var Fields = []Field{
	{Chat, "model", `"model":"m"`, [apis]Treatment{Responses: as("model"), Messages: as("model"), Gemini: as("the path"), Converse: as("the path")}},
	{Chat, "messages[] of role system, developer", `"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"hi"}]`, [apis]Treatment{Responses: as("input[] of role developer"), Messages: as("system"), Gemini: as("systemInstruction"), Converse: as("system[].text")}},
	{Chat, "messages[] of role user", `"messages":[{"role":"user","content":"hi"}]`, [apis]Treatment{Responses: as("input[]"), Messages: as("messages[]"), Gemini: as("contents[]"), Converse: as("messages[]")}},
	{Chat, "messages[] of role assistant", `"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]`, [apis]Treatment{Responses: as("input[]"), Messages: as("messages[]"), Gemini: as("contents[]"), Converse: as("messages[]")}},
	{Chat, "messages[] of role tool", chatToolMessages, [apis]Treatment{Responses: as("input[] of type function_call_output"), Messages: as("messages[].content[] of type tool_result"), Gemini: as("contents[].parts[].functionResponse"), Converse: as("messages[].content[].toolResult")}},
	{Chat, "messages[].tool_calls", chatToolMessages, [apis]Treatment{Responses: as("input[] of type function_call"), Messages: as("messages[].content[] of type tool_use"), Gemini: as("contents[].parts[].functionCall"), Converse: as("messages[].content[].toolUse")}},
	{Chat, "messages[].refusal", `"messages":[{"role":"user","content":"a"},{"role":"assistant","content":null,"refusal":"no"},{"role":"user","content":"c"}]`, [apis]Treatment{Responses: as("input[].content[] of type refusal"), Messages: as("messages[].content[].text"), Gemini: as("contents[].parts[].text"), Converse: as("messages[].content[].text")}},
	{Chat, "messages[].reasoning_content", `"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","reasoning_content":"hm"}]`, [apis]Treatment{Responses: dropped, Messages: dropped, Gemini: dropped, Converse: dropped}},
	{Chat, "messages[].name", `"messages":[{"role":"user","name":"bob","content":"a"}]`, [apis]Treatment{Responses: dropped, Messages: dropped, Gemini: dropped, Converse: dropped}},
	{Chat, "messages[].function_call", `"messages":[{"role":"user","content":"a"},{"role":"assistant","function_call":{"name":"f","arguments":"{}"}}]`, [apis]Treatment{Responses: refused, Messages: refused, Gemini: refused, Converse: refused}},
	{Chat, "messages[].audio", `"messages":[{"role":"user","content":"a"},{"role":"assistant","audio":{"id":"a"}}]`, [apis]Treatment{Responses: refused, Messages: refused, Gemini: refused, Converse: refused}},
	{Chat, "messages[].content[] of type image_url", `"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBO"}}]}]`, [apis]Treatment{Responses: as("input[].content[] of type input_image"), Messages: as("messages[].content[] of type image"), Gemini: as("contents[].parts[].inlineData"), Converse: as("messages[].content[].image")}},
	{Chat, "messages[].content[].image_url.detail", `"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBO","detail":"low"}}]}]`, [apis]Treatment{Responses: dropped, Messages: dropped, Gemini: dropped, Converse: dropped}},
	{Chat, "messages[].content[] of type file", `"messages":[{"role":"user","content":[{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,JVBE"}}]}]`, [apis]Treatment{Responses: as("input[].content[] of type input_file"), Messages: as("messages[].content[] of type document"), Gemini: as("contents[].parts[].inlineData"), Converse: as("messages[].content[].document")}},
	{Chat, "messages[].content[].input_audio", `"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"UklG","format":"wav"}}]}]`, [apis]Treatment{Responses: refused, Messages: refused, Gemini: as("contents[].parts[].inlineData"), Converse: as("messages[].content[].audio")}},
	{Chat, "file_id", `"messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"file-1"}}]}]`, [apis]Treatment{Responses: refused, Messages: refused, Gemini: refused, Converse: refused}},
	{Chat, "prompt", `"prompt":"hi"`, [apis]Treatment{Responses: as("input[]"), Messages: as("messages[]"), Gemini: as("contents[]"), Converse: as("messages[]")}},
	{Chat, "suffix", `"suffix":"end"`, [apis]Treatment{Responses: refused, Messages: refused, Gemini: refused, Converse: refused}},
	{Chat, "echo", `"echo":true`, [apis]Treatment{Responses: refused, Messages: refused, Gemini: refused, Converse: refused}},
	{Chat, "best_of", `"best_of":2`, [apis]Treatment{Responses: refused, Messages: refused, Gemini: refused, Converse: refused}},
	{Chat, "stream", `"stream":true`, [apis]Treatment{Responses: as("stream"), Messages: as("stream"), Gemini: as("the path"), Converse: as("the path")}},
	{Chat, "max_tokens", `"max_tokens":7`, [apis]Treatment{Responses: as("max_output_tokens"), Messages: as("max_tokens"), Gemini: as("generationConfig.maxOutputTokens"), Converse: as("inferenceConfig.maxTokens")}},
	{Chat, "max_completion_tokens", `"max_completion_tokens":7`, [apis]Treatment{Responses: as("max_output_tokens"), Messages: as("max_tokens"), Gemini: as("generationConfig.maxOutputTokens"), Converse: as("inferenceConfig.maxTokens")}},
	{Chat, "n", `"n":2`, [apis]Treatment{Responses: refused, Messages: refused, Gemini: as("generationConfig.candidateCount"), Converse: refused}},
	{Chat, "temperature", `"temperature":0.5`, [apis]Treatment{Responses: as("temperature"), Messages: as("temperature"), Gemini: as("generationConfig.temperature"), Converse: as("inferenceConfig.temperature")}},
	{Chat, "temperature above 1", `"temperature":1.5`, [apis]Treatment{Responses: as("temperature"), Messages: refused, Gemini: as("generationConfig.temperature"), Converse: refused}},
	{Chat, "top_p", `"top_p":0.5`, [apis]Treatment{Responses: as("top_p"), Messages: as("top_p"), Gemini: as("generationConfig.topP"), Converse: as("inferenceConfig.topP")}},
	{Chat, "seed", `"seed":5`, [apis]Treatment{Responses: dropped, Messages: dropped, Gemini: as("generationConfig.seed"), Converse: dropped}},
	{Chat, "frequency_penalty", `"frequency_penalty":0.5`, [apis]Treatment{Responses: dropped, Messages: dropped, Gemini: as("generationConfig.frequencyPenalty"), Converse: dropped}},
	{Chat, "presence_penalty", `"presence_penalty":0.5`, [apis]Treatment{Responses: dropped, Messages: dropped, Gemini: as("generationConfig.presencePenalty"), Converse: dropped}},
	{Chat, "stop", `"stop":["END"]`, [apis]Treatment{Responses: refused, Messages: as("stop_sequences"), Gemini: as("generationConfig.stopSequences"), Converse: as("inferenceConfig.stopSequences")}},
	{Chat, "user", `"user":"u1"`, [apis]Treatment{Responses: as("user"), Messages: as("metadata.user_id"), Gemini: dropped, Converse: dropped}},
	{Chat, "safety_identifier", `"safety_identifier":"u1"`, [apis]Treatment{Responses: as("user"), Messages: as("metadata.user_id"), Gemini: dropped, Converse: dropped}},
	{Chat, "tools[] of type function", `"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"}}}]`, [apis]Treatment{Responses: as("tools[]"), Messages: as("tools[]"), Gemini: as("tools[].functionDeclarations[]"), Converse: as("toolConfig.tools[].toolSpec")}},
	{Chat, "tools[] of other types", `"tools":[{"type":"custom","custom":{"name":"f"}}]`, [apis]Treatment{Responses: refused, Messages: refused, Gemini: refused, Converse: refused}},
	{Chat, "tool_choice", `"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"type":"function","function":{"name":"f"}}`, [apis]Treatment{Responses: as("tool_choice"), Messages: as("tool_choice"), Gemini: as("toolConfig.functionCallingConfig"), Converse: as("toolConfig.toolChoice")}},
	{Chat, "tool_choice of other types", `"tool_choice":{"type":"allowed_tools","allowed_tools":{}}`, [apis]Treatment{Responses: refused, Messages: refused, Gemini: refused, Converse: refused}},
	{Chat, "parallel_tool_calls", `"tools":[{"type":"function","function":{"name":"f"}}],"parallel_tool_calls":false`, [apis]Treatment{Responses: as("parallel_tool_calls"), Messages: as("tool_choice.disable_parallel_tool_use"), Gemini: as("the first call of an answer"), Converse: as("the first call of an answer")}},
	{Chat, "response_format of type json_schema", `"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"},"strict":true}}`, [apis]Treatment{Responses: as("text.format"), Messages: as("output_config.format"), Gemini: as("generationConfig.responseJsonSchema"), Converse: as("outputConfig.textFormat")}},
	{Chat, "json_object", `"response_format":{"type":"json_object"}`, [apis]Treatment{Responses: as("text.format"), Messages: as("system"), Gemini: as("generationConfig.responseMimeType"), Converse: as("system[].text")}},
	{Chat, "reasoning_effort", `"reasoning_effort":"high","max_completion_tokens":30000`, [apis]Treatment{Responses: as("reasoning.effort"), Messages: as("thinking.budget_tokens"), Gemini: as("generationConfig.thinkingConfig.thinkingBudget"), Converse: as("additionalModelRequestFields.thinking")}},
	{Chat, "modalities", `"modalities":["text","audio"]`, [apis]Treatment{Responses: refused, Messages: refused, Gemini: refused, Converse: refused}},
	{Chat, "audio", `"audio":{"voice":"alloy"}`, [apis]Treatment{Responses: refused, Messages: refused, Gemini: refused, Converse: refused}},
	{Chat, "logprobs", `"logprobs":true`, [apis]Treatment{Responses: refused, Messages: refused, Gemini: refused, Converse: refused}},
	{Chat, "top_logprobs", `"top_logprobs":2`, [apis]Treatment{Responses: refused, Messages: refused, Gemini: refused, Converse: refused}},
	{Chat, "logit_bias", `"logit_bias":{"50256":-100}`, [apis]Treatment{Responses: refused, Messages: refused, Gemini: refused, Converse: refused}},
	{Chat, "functions", `"functions":[{"name":"f"}]`, [apis]Treatment{Responses: refused, Messages: refused, Gemini: refused, Converse: refused}},
	{Chat, "function_call", `"function_call":"auto"`, [apis]Treatment{Responses: refused, Messages: refused, Gemini: refused, Converse: refused}},
	{Chat, "web_search_options", `"web_search_options":{"search_context_size":"low"}`, [apis]Treatment{Responses: refused, Messages: refused, Gemini: refused, Converse: refused}},
	{Chat, "moderation", `"moderation":{"model":"m"}`, [apis]Treatment{Responses: refused, Messages: refused, Gemini: refused, Converse: refused}},
	{Chat, "prediction", `"prediction":{"type":"content","content":"a"}`, [apis]Treatment{Responses: dropped, Messages: dropped, Gemini: dropped, Converse: dropped}},
	{Chat, "metadata", `"metadata":{"a":"b"}`, [apis]Treatment{Responses: dropped, Messages: dropped, Gemini: dropped, Converse: dropped}},
	{Chat, "store", `"store":true`, [apis]Treatment{Responses: dropped, Messages: dropped, Gemini: dropped, Converse: dropped}},
	{Chat, "service_tier", `"service_tier":"flex"`, [apis]Treatment{Responses: dropped, Messages: dropped, Gemini: dropped, Converse: dropped}},
	{Chat, "verbosity", `"verbosity":"low"`, [apis]Treatment{Responses: dropped, Messages: dropped, Gemini: dropped, Converse: dropped}},
	{Chat, "prompt_cache_key", `"prompt_cache_key":"k"`, [apis]Treatment{Responses: dropped, Messages: dropped, Gemini: dropped, Converse: dropped}},

	{Responses, "model", `"model":"m"`, [apis]Treatment{Chat: as("model"), Messages: as("model"), Gemini: as("the path"), Converse: as("the path")}},
	{Responses, "input", `"input":"hi"`, [apis]Treatment{Chat: as("messages[]"), Messages: as("messages[]"), Gemini: as("contents[]"), Converse: as("messages[]")}},
	{Responses, "input[] of type message", `"input":[{"role":"user","content":[{"type":"input_text","text":"hi"}]}]`, [apis]Treatment{Chat: as("messages[]"), Messages: as("messages[]"), Gemini: as("contents[]"), Converse: as("messages[]")}},
	{Responses, "input[] of type function_call", responsesCalls, [apis]Treatment{Chat: as("messages[].tool_calls"), Messages: as("messages[].content[] of type tool_use"), Gemini: as("contents[].parts[].functionCall"), Converse: as("messages[].content[].toolUse")}},
	{Responses, "input[] of type function_call_output", responsesCalls, [apis]Treatment{Chat: as("messages[] of role tool"), Messages: as("messages[].content[] of type tool_result"), Gemini: as("contents[].parts[].functionResponse"), Converse: as("messages[].content[].toolResult")}},
	{Responses, "input[] of type custom_tool_call", customCalls, [apis]Treatment{Chat: as("messages[].tool_calls"), Messages: as("messages[].content[] of type tool_use"), Gemini: as("contents[].parts[].functionCall"), Converse: as("messages[].content[].toolUse")}},
	{Responses, "input[] of type custom_tool_call_output", customCalls, [apis]Treatment{Chat: as("messages[] of role tool"), Messages: as("messages[].content[] of type tool_result"), Gemini: as("contents[].parts[].functionResponse"), Converse: as("messages[].content[].toolResult")}},
	{Responses, "input[] of type reasoning", `"input":[{"role":"user","content":"a"},{"type":"reasoning","summary":[]}]`, [apis]Treatment{Chat: dropped, Messages: dropped, Gemini: dropped, Converse: dropped}},
	{Responses, "input[] of type web_search_call", `"input":[{"role":"user","content":"a"},{"type":"web_search_call","id":"ws_1","status":"completed","action":{"type":"search","query":"b"}}]`, [apis]Treatment{Chat: dropped, Messages: dropped, Gemini: dropped, Converse: dropped}},
	{Responses, "input[] of type item_reference", `"input":[{"type":"item_reference","id":"msg_1"}]`, [apis]Treatment{Chat: refused, Messages: refused, Gemini: refused, Converse: refused}},
	{Responses, "input[] of other types", `"input":[{"type":"local_shell_call","id":"lsh_1"}]`, [apis]Treatment{Chat: refused, Messages: refused, Gemini: refused, Converse: refused}},
	{Responses, "input[].content[] of type input_image", `"input":[{"role":"user","content":[{"type":"input_image","image_url":"data:image/png;base64,iVBO"}]}]`, [apis]Treatment{Chat: as("messages[].content[] of type image_url"), Messages: as("messages[].content[] of type image"), Gemini: as("contents[].parts[].inlineData"), Converse: as("messages[].content[].image")}},
	{Responses, "input[].content[].detail", `"input":[{"role":"user","content":[{"type":"input_image","detail":"low","image_url":"data:image/png;base64,iVBO"}]}]`, [apis]Treatment{Chat: dropped, Messages: dropped, Gemini: dropped, Converse: dropped}},
	{Responses, "input[].content[] of type input_file", `"input":[{"role":"user","content":[{"type":"input_file","filename":"a.pdf","file_data":"data:application/pdf;base64,JVBE"}]}]`, [apis]Treatment{Chat: as("messages[].content[] of type file"), Messages: as("messages[].content[] of type document"), Gemini: as("contents[].parts[].inlineData"), Converse: as("messages[].content[].document")}},
	{Responses, "file_id", `"input":[{"role":"user","content":[{"type":"input_file","file_id":"file-1"}]}]`, [apis]Treatment{Chat: refused, Messages: refused, Gemini: refused, Converse: refused}},
	{Responses, "instructions", `"instructions":"Be brief."`, [apis]Treatment{Chat: as("messages[] of role system"), Messages: as("system"), Gemini: as("systemInstruction"), Converse: as("system[].text")}},
	{Responses, "stream", `"stream":true`, [apis]Treatment{Chat: as("stream"), Messages: as("stream"), Gemini: as("the path"), Converse: as("the path")}},
	{Responses, "max_output_tokens", `"max_output_tokens":7`, [apis]Treatment{Chat: as("max_completion_tokens"), Messages: as("max_tokens"), Gemini: as("generationConfig.maxOutputTokens"), Converse: as("inferenceConfig.maxTokens")}},
	{Responses, "temperature", `"temperature":0.5`, [apis]Treatment{Chat: as("temperature"), Messages: as("temperature"), Gemini: as("generationConfig.temperature"), Converse: as("inferenceConfig.temperature")}},
	{Responses, "temperature above 1", `"temperature":1.5`, [apis]Treatment{Chat: as("temperature"), Messages: refused, Gemini: as("generationConfig.temperature"), Converse: refused}},
	{Responses, "top_p", `"top_p":0.5`, [apis]Treatment{Chat: as("top_p"), Messages: as("top_p"), Gemini: as("generationConfig.topP"), Converse: as("inferenceConfig.topP")}},
	{Responses, "user", `"user":"u1"`, [apis]Treatment{Chat: as("user"), Messages: as("metadata.user_id"), Gemini: dropped, Converse: dropped}},
	{Responses, "safety_identifier", `"safety_identifier":"u1"`, [apis]Treatment{Chat: as("user"), Messages: as("metadata.user_id"), Gemini: dropped, Converse: dropped}},
	{Responses, "tools[] of type function", `"tools":[{"type":"function","name":"f","description":"d","parameters":{"type":"object"},"strict":true}]`, [apis]Treatment{Chat: as("tools[]"), Messages: as("tools[]"), Gemini: as("tools[].functionDeclarations[]"), Converse: as("toolConfig.tools[].toolSpec")}},
	{Responses, "tools[] of type custom", `"tools":[{"type":"custom","name":"f","description":"d","format":{"type":"text"}}]`, [apis]Treatment{Chat: as("tools[]"), Messages: as("tools[]"), Gemini: as("tools[].functionDeclarations[]"), Converse: as("toolConfig.tools[].toolSpec")}},
	{Responses, "tools[] of type namespace", `"tools":[{"type":"namespace","name":"n","tools":[{"type":"function","name":"f","parameters":{"type":"object"}}]}]`, [apis]Treatment{Chat: as("tools[]"), Messages: as("tools[]"), Gemini: as("tools[].functionDeclarations[]"), Converse: as("toolConfig.tools[].toolSpec")}},
	{Responses, "tools[] of type web_search, beside others", `"tools":[{"type":"web_search"},{"type":"function","name":"f"}]`, [apis]Treatment{Chat: dropped, Messages: dropped, Gemini: dropped, Converse: dropped}},
	{Responses, "tools[] of other types", `"tools":[{"type":"file_search"}]`, [apis]Treatment{Chat: refused, Messages: refused, Gemini: refused, Converse: refused}},
	{Responses, "tool_choice", `"tools":[{"type":"function","name":"f"}],"tool_choice":"required"`, [apis]Treatment{Chat: as("tool_choice"), Messages: as("tool_choice"), Gemini: as("toolConfig.functionCallingConfig"), Converse: as("toolConfig.toolChoice")}},
	{Responses, "tool_choice of other types", `"tool_choice":{"type":"web_search"}`, [apis]Treatment{Chat: refused, Messages: refused, Gemini: refused, Converse: refused}},
	{Responses, "parallel_tool_calls", `"tools":[{"type":"function","name":"f"}],"parallel_tool_calls":false`, [apis]Treatment{Chat: as("parallel_tool_calls"), Messages: as("tool_choice.disable_parallel_tool_use"), Gemini: as("the first call of an answer"), Converse: as("the first call of an answer")}},
	{Responses, "reasoning.effort", `"reasoning":{"effort":"high"},"max_output_tokens":30000`, [apis]Treatment{Chat: as("reasoning_effort"), Messages: as("thinking.budget_tokens"), Gemini: as("generationConfig.thinkingConfig.thinkingBudget"), Converse: as("additionalModelRequestFields.thinking")}},
	{Responses, "text.format of type json_schema", `"text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object"}}}`, [apis]Treatment{Chat: as("response_format"), Messages: as("output_config.format"), Gemini: as("generationConfig.responseJsonSchema"), Converse: as("outputConfig.textFormat")}},
	{Responses, "json_object", `"text":{"format":{"type":"json_object"}}`, [apis]Treatment{Chat: as("response_format"), Messages: as("system"), Gemini: as("generationConfig.responseMimeType"), Converse: as("system[].text")}},
	{Responses, "text.verbosity", `"text":{"verbosity":"low"}`, [apis]Treatment{Chat: dropped, Messages: dropped, Gemini: dropped, Converse: dropped}},
	{Responses, "previous_response_id", `"previous_response_id":"resp_1"`, [apis]Treatment{Chat: refused, Messages: refused, Gemini: refused, Converse: refused}},
	{Responses, "conversation", `"conversation":"conv_1"`, [apis]Treatment{Chat: refused, Messages: refused, Gemini: refused, Converse: refused}},
	{Responses, "prompt", `"prompt":{"id":"pmpt_1"}`, [apis]Treatment{Chat: refused, Messages: refused, Gemini: refused, Converse: refused}},
	{Responses, "background", `"background":true`, [apis]Treatment{Chat: refused, Messages: refused, Gemini: refused, Converse: refused}},
	{Responses, "truncation", `"truncation":"auto"`, [apis]Treatment{Chat: refused, Messages: refused, Gemini: refused, Converse: refused}},
	{Responses, "max_tool_calls", `"max_tool_calls":1`, [apis]Treatment{Chat: refused, Messages: refused, Gemini: refused, Converse: refused}},
	{Responses, "top_logprobs", `"top_logprobs":2`, [apis]Treatment{Chat: refused, Messages: refused, Gemini: refused, Converse: refused}},
	{Responses, "moderation", `"moderation":{"model":"m"}`, [apis]Treatment{Chat: refused, Messages: refused, Gemini: refused, Converse: refused}},
	{Responses, "context_management", `"context_management":[{"type":"compaction"}]`, [apis]Treatment{Chat: refused, Messages: refused, Gemini: refused, Converse: refused}},
	{Responses, "include", `"include":["reasoning.encrypted_content"]`, [apis]Treatment{Chat: dropped, Messages: dropped, Gemini: dropped, Converse: dropped}},
	{Responses, "store", `"store":true`, [apis]Treatment{Chat: dropped, Messages: dropped, Gemini: dropped, Converse: dropped}},
	{Responses, "metadata", `"metadata":{"a":"b"}`, [apis]Treatment{Chat: dropped, Messages: dropped, Gemini: dropped, Converse: dropped}},
	{Responses, "service_tier", `"service_tier":"flex"`, [apis]Treatment{Chat: dropped, Messages: dropped, Gemini: dropped, Converse: dropped}},
	{Responses, "prompt_cache_key", `"prompt_cache_key":"k"`, [apis]Treatment{Chat: dropped, Messages: dropped, Gemini: dropped, Converse: dropped}},

	{Messages, "model", `"model":"m"`, [apis]Treatment{Chat: as("model"), Responses: as("model"), Gemini: as("the path"), Converse: as("the path")}},
	{Messages, "system", `"system":[{"type":"text","text":"Be brief."}]`, [apis]Treatment{Chat: as("messages[] of role system"), Responses: as("input[] of role developer"), Gemini: as("systemInstruction"), Converse: as("system[].text")}},
	{Messages, "messages[]", `"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]`, [apis]Treatment{Chat: as("messages[]"), Responses: as("input[]"), Gemini: as("contents[]"), Converse: as("messages[]")}},
	{Messages, "messages[].content[] of type image", `"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBO"}}]}]`, [apis]Treatment{Chat: as("messages[].content[] of type image_url"), Responses: as("input[].content[] of type input_image"), Gemini: as("contents[].parts[].inlineData"), Converse: as("messages[].content[].image")}},
	{Messages, "messages[].content[] of type document", `"messages":[{"role":"user","content":[{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBE"}}]}]`, [apis]Treatment{Chat: as("messages[].content[] of type file"), Responses: as("input[].content[] of type input_file"), Gemini: as("contents[].parts[].inlineData"), Converse: as("messages[].content[].document")}},
	{Messages, "messages[].content[].citations", `"messages":[{"role":"user","content":[{"type":"document","citations":{"enabled":true},"source":{"type":"text","media_type":"text/plain","data":"a"}}]}]`, [apis]Treatment{Chat: dropped, Responses: dropped, Gemini: dropped, Converse: dropped}},
	{Messages, "messages[].content[].context", `"messages":[{"role":"user","content":[{"type":"document","context":"of May","source":{"type":"text","media_type":"text/plain","data":"a"}}]}]`, [apis]Treatment{Chat: refused, Responses: refused, Gemini: refused, Converse: refused}},
	{Messages, "messages[].content[].is_error", `"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"tool_use","id":"c1","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"b","is_error":true}]}]`, [apis]Treatment{Chat: dropped, Responses: dropped, Gemini: as("contents[].parts[].functionResponse.response.error"), Converse: as("messages[].content[].toolResult.status")}},
	{Messages, "messages[].content[].source of type text", `"messages":[{"role":"user","content":[{"type":"document","source":{"type":"text","media_type":"text/plain","data":"words"}}]}]`, [apis]Treatment{Chat: as("messages[].content"), Responses: as("input[].content"), Gemini: as("contents[].parts[].text"), Converse: as("messages[].content[].text")}},
	{Messages, "messages[].content[].source of type content", `"messages":[{"role":"user","content":[{"type":"document","source":{"type":"content","content":[{"type":"text","text":"words"}]}}]}]`, [apis]Treatment{Chat: as("messages[].content"), Responses: as("input[].content"), Gemini: as("contents[].parts[].text"), Converse: as("messages[].content[].text")}},
	{Messages, "messages[].content[] of type search_result", `"messages":[{"role":"user","content":[{"type":"search_result","source":"s","title":"t","content":[{"type":"text","text":"words"}]}]}]`, [apis]Treatment{Chat: as("messages[].content"), Responses: as("input[].content"), Gemini: as("contents[].parts[].text"), Converse: as("messages[].content[].text")}},
	{Messages, "messages[].content[].source of other types", `"messages":[{"role":"user","content":[{"type":"image","source":{"type":"file","file_id":"file_1"}}]}]`, [apis]Treatment{Chat: refused, Responses: refused, Gemini: refused, Converse: refused}},
	{Messages, "messages[].content[] of type tool_use", messagesCalls, [apis]Treatment{Chat: as("messages[].tool_calls"), Responses: as("input[] of type function_call"), Gemini: as("contents[].parts[].functionCall"), Converse: as("messages[].content[].toolUse")}},
	{Messages, "messages[].content[] of type tool_result", messagesCalls, [apis]Treatment{Chat: as("messages[] of role tool"), Responses: as("input[] of type function_call_output"), Gemini: as("contents[].parts[].functionResponse"), Converse: as("messages[].content[].toolResult")}},
	{Messages, "messages[].content[] of type thinking", `"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"text","text":"b"}]}]`, [apis]Treatment{Chat: dropped, Responses: dropped, Gemini: dropped, Converse: dropped}},
	{Messages, "messages[].content[] of other types", `"messages":[{"role":"assistant","content":[{"type":"server_tool_use","id":"s1","name":"web_search","input":{}}]}]`, [apis]Treatment{Chat: refused, Responses: refused, Gemini: refused, Converse: refused}},
	{Messages, "cache_control", `"system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}]`, [apis]Treatment{Chat: dropped, Responses: dropped, Gemini: dropped, Converse: as("system[].cachePoint")}},
	{Messages, "stream", `"stream":true`, [apis]Treatment{Chat: as("stream"), Responses: as("stream"), Gemini: as("the path"), Converse: as("the path")}},
	{Messages, "max_tokens", `"max_tokens":7`, [apis]Treatment{Chat: as("max_completion_tokens"), Responses: as("max_output_tokens"), Gemini: as("generationConfig.maxOutputTokens"), Converse: as("inferenceConfig.maxTokens")}},
	{Messages, "max_tokens of 0", `"max_tokens":0`, [apis]Treatment{Chat: refused, Responses: refused, Gemini: refused, Converse: refused}},
	{Messages, "temperature", `"temperature":0.5`, [apis]Treatment{Chat: as("temperature"), Responses: as("temperature"), Gemini: as("generationConfig.temperature"), Converse: as("inferenceConfig.temperature")}},
	{Messages, "top_p", `"top_p":0.5`, [apis]Treatment{Chat: as("top_p"), Responses: as("top_p"), Gemini: as("generationConfig.topP"), Converse: as("inferenceConfig.topP")}},
	{Messages, "top_k", `"top_k":5`, [apis]Treatment{Chat: dropped, Responses: dropped, Gemini: as("generationConfig.topK"), Converse: as("additionalModelRequestFields.top_k")}},
	{Messages, "stop_sequences", `"stop_sequences":["END"]`, [apis]Treatment{Chat: as("stop"), Responses: refused, Gemini: as("generationConfig.stopSequences"), Converse: as("inferenceConfig.stopSequences")}},
	{Messages, "metadata.user_id", `"metadata":{"user_id":"u1"}`, [apis]Treatment{Chat: as("user"), Responses: as("user"), Gemini: dropped, Converse: dropped}},
	{Messages, "tools[] of type custom", `"tools":[{"name":"f","description":"d","input_schema":{"type":"object"}}]`, [apis]Treatment{Chat: as("tools[]"), Responses: as("tools[]"), Gemini: as("tools[].functionDeclarations[]"), Converse: as("toolConfig.tools[].toolSpec")}},
	{Messages, "tools[] of other types", `"tools":[{"type":"web_search_20250305","name":"web_search"}]`, [apis]Treatment{Chat: refused, Responses: refused, Gemini: refused, Converse: refused}},
	{Messages, "tool_choice", `"tools":[{"name":"f","input_schema":{}}],"tool_choice":{"type":"tool","name":"f"}`, [apis]Treatment{Chat: as("tool_choice"), Responses: as("tool_choice"), Gemini: as("toolConfig.functionCallingConfig"), Converse: as("toolConfig.toolChoice")}},
	{Messages, "tool_choice.disable_parallel_tool_use", `"tools":[{"name":"f","input_schema":{}}],"tool_choice":{"type":"auto","disable_parallel_tool_use":true}`, [apis]Treatment{Chat: as("parallel_tool_calls"), Responses: as("parallel_tool_calls"), Gemini: as("the first call of an answer"), Converse: as("the first call of an answer")}},
	{Messages, "thinking", `"thinking":{"type":"enabled","budget_tokens":2000}`, [apis]Treatment{Chat: as("reasoning_effort"), Responses: as("reasoning.effort"), Gemini: as("generationConfig.thinkingConfig.thinkingBudget"), Converse: as("additionalModelRequestFields.thinking")}},
	{Messages, "output_config.effort", `"output_config":{"effort":"high"}`, [apis]Treatment{Chat: as("reasoning_effort"), Responses: as("reasoning.effort"), Gemini: as("generationConfig.thinkingConfig.thinkingBudget"), Converse: as("additionalModelRequestFields.thinking")}},
	{Messages, "output_config.format", `"output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}}`, [apis]Treatment{Chat: as("response_format"), Responses: as("text.format"), Gemini: as("generationConfig.responseJsonSchema"), Converse: as("outputConfig.textFormat")}},
	{Messages, "output_format", `"output_format":{"type":"json_schema","schema":{"type":"object"}}`, [apis]Treatment{Chat: as("response_format"), Responses: as("text.format"), Gemini: as("generationConfig.responseJsonSchema"), Converse: as("outputConfig.textFormat")}},
	{Messages, "thread", `"thread":{"type":"create"}`, [apis]Treatment{Chat: refused, Responses: refused, Gemini: refused, Converse: refused}},
	{Messages, "container", `"container":"c1"`, [apis]Treatment{Chat: refused, Responses: refused, Gemini: refused, Converse: refused}},
	{Messages, "mcp_servers", `"mcp_servers":[{"type":"url","url":"https://x","name":"x"}]`, [apis]Treatment{Chat: refused, Responses: refused, Gemini: refused, Converse: refused}},
	{Messages, "compaction", `"compaction":{"type":"summarize"}`, [apis]Treatment{Chat: refused, Responses: refused, Gemini: refused, Converse: refused}},
	{Messages, "context_management", `"context_management":{"edits":[{"type":"clear_thinking_20251015","keep":"all"}]}`, [apis]Treatment{Chat: dropped, Responses: dropped, Gemini: dropped, Converse: dropped}},
	{Messages, "inference_geo", `"inference_geo":"us"`, [apis]Treatment{Chat: refused, Responses: refused, Gemini: refused, Converse: refused}},
	{Messages, "service_tier", `"service_tier":"auto"`, [apis]Treatment{Chat: dropped, Responses: dropped, Gemini: dropped, Converse: dropped}},
	{Messages, "speed", `"speed":"fast"`, [apis]Treatment{Chat: dropped, Responses: dropped, Gemini: dropped, Converse: dropped}},

	{Gemini, "contents[]", `"contents":[{"parts":[{"text":"a"}]},{"role":"model","parts":[{"text":"b"}]},{"role":"user","parts":[{"text":"c"}]}]`, [apis]Treatment{Chat: as("messages[]"), Responses: as("input[]"), Messages: as("messages[]"), Converse: as("messages[]")}},
	{Gemini, "contents[].parts[].inlineData of images", `"contents":[{"parts":[{"inlineData":{"mimeType":"image/png","data":"iVBO"}}]}]`, [apis]Treatment{Chat: as("messages[].content[] of type image_url"), Responses: as("input[].content[] of type input_image"), Messages: as("messages[].content[] of type image"), Converse: as("messages[].content[].image")}},
	{Gemini, "contents[].parts[].inlineData of files", `"contents":[{"parts":[{"inlineData":{"mimeType":"application/pdf","data":"JVBE"}}]}]`, [apis]Treatment{Chat: as("messages[].content[] of type file"), Responses: as("input[].content[] of type input_file"), Messages: as("messages[].content[] of type document"), Converse: as("messages[].content[].document")}},
	{Gemini, "contents[].parts[] of audio", `"contents":[{"parts":[{"inlineData":{"mimeType":"audio/wav","data":"UklG"}}]}]`, [apis]Treatment{Chat: as("messages[].content[] of type input_audio"), Responses: refused, Messages: refused, Converse: as("messages[].content[].audio")}},
	{Gemini, "contents[].parts[] of video", `"contents":[{"parts":[{"inlineData":{"mimeType":"video/mp4","data":"AAAA"}}]}]`, [apis]Treatment{Chat: refused, Responses: refused, Messages: refused, Converse: refused}},
	{Gemini, "contents[].parts[] of files at Google", `"contents":[{"parts":[{"fileData":{"mimeType":"image/png","fileUri":"https://generativelanguage.googleapis.com/v1beta/files/a"}}]}]`, [apis]Treatment{Chat: refused, Responses: refused, Messages: refused, Converse: refused}},
	{Gemini, "contents[].parts[].functionCall", geminiCalls, [apis]Treatment{Chat: as("messages[].tool_calls"), Responses: as("input[] of type function_call"), Messages: as("messages[].content[] of type tool_use"), Converse: as("messages[].content[].toolUse")}},
	{Gemini, "contents[].parts[].functionResponse", geminiCalls, [apis]Treatment{Chat: as("messages[] of role tool"), Responses: as("input[] of type function_call_output"), Messages: as("messages[].content[] of type tool_result"), Converse: as("messages[].content[].toolResult")}},
	{Gemini, "contents[].parts[].functionResponse.parts", geminiPictures, [apis]Treatment{Chat: as("messages[].content[] of type image_url"), Responses: as("input[] of type function_call_output"), Messages: as("messages[].content[] of type tool_result"), Converse: as("messages[].content[].toolResult")}},
	{Gemini, "contents[].parts[].thought", `"contents":[{"parts":[{"text":"a"}]},{"role":"model","parts":[{"text":"hm","thought":true},{"text":"b"}]}]`, [apis]Treatment{Chat: dropped, Responses: dropped, Messages: dropped, Converse: dropped}},
	{Gemini, "contents[].parts[].mediaResolution", `"contents":[{"parts":[{"inlineData":{"mimeType":"image/png","data":"iVBO"},"mediaResolution":{"level":"MEDIA_RESOLUTION_LOW"}}]}]`, [apis]Treatment{Chat: dropped, Responses: dropped, Messages: dropped, Converse: dropped}},
	{Gemini, "contents[].parts[] of other types", `"contents":[{"parts":[{"executableCode":{"language":"PYTHON","code":"1"}}]}]`, [apis]Treatment{Chat: refused, Responses: refused, Messages: refused, Converse: refused}},
	{Gemini, "systemInstruction", `"system_instruction":{"parts":[{"text":"Be brief."}]}`, [apis]Treatment{Chat: as("messages[] of role system"), Responses: as("input[] of role developer"), Messages: as("system"), Converse: as("system[].text")}},
	{Gemini, "generationConfig.maxOutputTokens", `"generationConfig":{"maxOutputTokens":7}`, [apis]Treatment{Chat: as("max_completion_tokens"), Responses: as("max_output_tokens"), Messages: as("max_tokens"), Converse: as("inferenceConfig.maxTokens")}},
	{Gemini, "generationConfig.candidateCount", `"generationConfig":{"candidateCount":2}`, [apis]Treatment{Chat: as("n"), Responses: refused, Messages: refused, Converse: refused}},
	{Gemini, "generationConfig.temperature", `"generationConfig":{"temperature":0.5}`, [apis]Treatment{Chat: as("temperature"), Responses: as("temperature"), Messages: as("temperature"), Converse: as("inferenceConfig.temperature")}},
	{Gemini, "generationConfig.temperature above 1", `"generationConfig":{"temperature":1.5}`, [apis]Treatment{Chat: as("temperature"), Responses: as("temperature"), Messages: refused, Converse: refused}},
	{Gemini, "generationConfig.topP", `"generationConfig":{"topP":0.5}`, [apis]Treatment{Chat: as("top_p"), Responses: as("top_p"), Messages: as("top_p"), Converse: as("inferenceConfig.topP")}},
	{Gemini, "generationConfig.topK", `"generationConfig":{"topK":5}`, [apis]Treatment{Chat: dropped, Responses: dropped, Messages: as("top_k"), Converse: as("additionalModelRequestFields.top_k")}},
	{Gemini, "generationConfig.seed", `"generationConfig":{"seed":5}`, [apis]Treatment{Chat: as("seed"), Responses: dropped, Messages: dropped, Converse: dropped}},
	{Gemini, "generationConfig.frequencyPenalty", `"generationConfig":{"frequencyPenalty":0.5}`, [apis]Treatment{Chat: as("frequency_penalty"), Responses: dropped, Messages: dropped, Converse: dropped}},
	{Gemini, "generationConfig.presencePenalty", `"generationConfig":{"presencePenalty":0.5}`, [apis]Treatment{Chat: as("presence_penalty"), Responses: dropped, Messages: dropped, Converse: dropped}},
	{Gemini, "generationConfig.stopSequences", `"generationConfig":{"stopSequences":["END"]}`, [apis]Treatment{Chat: as("stop"), Responses: refused, Messages: as("stop_sequences"), Converse: as("inferenceConfig.stopSequences")}},
	{Gemini, "generationConfig.responseMimeType", `"generationConfig":{"responseMimeType":"application/json"}`, [apis]Treatment{Chat: as("response_format"), Responses: as("text.format"), Messages: as("system"), Converse: as("system[].text")}},
	{Gemini, "generationConfig.responseSchema", `"generationConfig":{"responseMimeType":"application/json","responseSchema":{"type":"OBJECT"}}`, [apis]Treatment{Chat: as("response_format"), Responses: as("text.format"), Messages: as("output_config.format"), Converse: as("outputConfig.textFormat")}},
	{Gemini, "generationConfig.responseJsonSchema", `"generationConfig":{"responseMimeType":"application/json","responseJsonSchema":{"type":"object"}}`, [apis]Treatment{Chat: as("response_format"), Responses: as("text.format"), Messages: as("output_config.format"), Converse: as("outputConfig.textFormat")}},
	{Gemini, "generationConfig.responseModalities", `"generationConfig":{"responseModalities":["TEXT","IMAGE"]}`, [apis]Treatment{Chat: refused, Responses: refused, Messages: refused, Converse: refused}},
	{Gemini, "generationConfig.thinkingConfig", `"generationConfig":{"thinkingConfig":{"thinkingBudget":2000}}`, [apis]Treatment{Chat: as("reasoning_effort"), Responses: as("reasoning.effort"), Messages: as("thinking.budget_tokens"), Converse: as("additionalModelRequestFields.thinking")}},
	{Gemini, "generationConfig.responselogprobs", `"generationConfig":{"responseLogprobs":true}`, [apis]Treatment{Chat: refused, Responses: refused, Messages: refused, Converse: refused}},
	{Gemini, "generationConfig.logprobs", `"generationConfig":{"logprobs":2}`, [apis]Treatment{Chat: refused, Responses: refused, Messages: refused, Converse: refused}},
	{Gemini, "generationConfig.responseformat", `"generationConfig":{"responseFormat":[{"text":{"mimeType":"APPLICATION_JSON"}}]}`, [apis]Treatment{Chat: refused, Responses: refused, Messages: refused, Converse: refused}},
	{Gemini, "generationConfig.speechconfig", `"generationConfig":{"speechConfig":{"languageCode":"en"}}`, [apis]Treatment{Chat: refused, Responses: refused, Messages: refused, Converse: refused}},
	{Gemini, "generationConfig.mediaresolution", `"generationConfig":{"mediaResolution":"MEDIA_RESOLUTION_LOW"}`, [apis]Treatment{Chat: dropped, Responses: dropped, Messages: dropped, Converse: dropped}},
	{Gemini, "tools[].functionDeclarations", `"tools":[{"functionDeclarations":[{"name":"f","description":"d","parameters":{"type":"OBJECT"}}]}]`, [apis]Treatment{Chat: as("tools[]"), Responses: as("tools[]"), Messages: as("tools[]"), Converse: as("toolConfig.tools[].toolSpec")}},
	{Gemini, "tools[] of other types", `"tools":[{"googleSearch":{}}]`, [apis]Treatment{Chat: refused, Responses: refused, Messages: refused, Converse: refused}},
	{Gemini, "toolConfig.functionCallingConfig", `"tools":[{"functionDeclarations":[{"name":"f"}]}],"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["f"]}}`, [apis]Treatment{Chat: as("tool_choice"), Responses: as("tool_choice"), Messages: as("tool_choice"), Converse: as("toolConfig.toolChoice")}},
	{Gemini, "toolConfig of several allowedFunctionNames", `"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["f","g"]}}`, [apis]Treatment{Chat: refused, Responses: refused, Messages: refused, Converse: refused}},
	{Gemini, "toolConfig of other modes", `"toolConfig":{"functionCallingConfig":{"mode":"NEWEST"}}`, [apis]Treatment{Chat: refused, Responses: refused, Messages: refused, Converse: refused}},
	{Gemini, "cachedcontent", `"cachedContent":"cachedContents/a"`, [apis]Treatment{Chat: refused, Responses: refused, Messages: refused, Converse: refused}},
	{Gemini, "safetysettings", `"safetySettings":[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"BLOCK_NONE"}]`, [apis]Treatment{Chat: dropped, Responses: dropped, Messages: dropped, Converse: dropped}},
	{Gemini, "labels", `"labels":{"a":"b"}`, [apis]Treatment{Chat: dropped, Responses: dropped, Messages: dropped, Converse: dropped}},
}

// Conversations in which a tool is called.
const (
	chatToolMessages = `"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]},{"role":"tool","tool_call_id":"c1","content":"b"}]`
	responsesCalls   = `"input":[{"role":"user","content":"a"},{"type":"function_call","call_id":"c1","name":"f","arguments":"{\"x\":1}"},{"type":"function_call_output","call_id":"c1","output":"b"}]`
	customCalls      = `"input":[{"role":"user","content":"a"},{"type":"custom_tool_call","call_id":"c1","name":"f","input":"x"},{"type":"custom_tool_call_output","call_id":"c1","output":"b"}]`
	messagesCalls    = `"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"tool_use","id":"c1","name":"f","input":{"x":1}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"b"}]}]`
	geminiCalls      = `"contents":[{"parts":[{"text":"a"}]},{"role":"model","parts":[{"functionCall":{"name":"f","args":{"x":1}}}]},{"role":"user","parts":[{"functionResponse":{"name":"f","response":{"result":"b"}}}]}]`
	geminiPictures   = `"contents":[{"parts":[{"text":"a"}]},{"role":"model","parts":[{"functionCall":{"name":"f","args":{"x":1}}}]},{"role":"user","parts":[{"functionResponse":{"name":"f","response":{"result":"b"},"parts":[{"inlineData":{"mimeType":"image/png","data":"iVBO"}}]}}]}]`
)
