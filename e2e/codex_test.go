package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestCodexsToolsReachEveryProvider: Codex sends a custom tool and a namespace of tools in each request, and takes what it is to do out of the items of the answer.
func TestCodexsToolsReachEveryProvider(t *testing.T) {
	t.Parallel()
	const tools = `[{"type":"custom","name":"apply_patch","description":"Edits files.","format":{"type":"grammar","syntax":"lark","definition":"start: /.+/s"}},` +
		`{"type":"namespace","name":"multi_agent_v1","tools":[{"type":"function","name":"spawn","parameters":{"type":"object"}}]}]`
	const earlier = `{"type":"custom_tool_call","call_id":"c1","name":"apply_patch","input":"*** Begin"},{"type":"custom_tool_call_output","call_id":"c1","output":"done"},` +
		`{"type":"function_call","call_id":"c2","name":"spawn","namespace":"multi_agent_v1","arguments":"{}"},{"type":"function_call_output","call_id":"c2","output":"ok"}`
	const asked = `call: apply_patch {\"input\":\"*** End\"}\ncall: multi_agent_v1__spawn {}`
	wanted := []string{`"type":"custom_tool_call"`, `"name":"apply_patch"`, `"input":"*** End"`, `"type":"function_call"`, `"name":"spawn"`, `"namespace":"multi_agent_v1"`}
	onEngines(t, func(t *testing.T, p ports) {
		p.Fleet = startFleet(t, "openai", "anthropic", "google")
		g := start(t, three, p)
		for _, model := range []string{"claude-sonnet-4-5", "gemini-2.5-flash"} {
			for _, stream := range []bool{false, true} {
				body := fmt.Sprintf(`{"model":%q,"stream":%t,"store":false,"tools":%s,"input":[{"role":"user","content":"hi"},%s,{"role":"user","content":"%s"}]}`, model, stream, tools, earlier, asked)
				r, err := http.NewRequest(http.MethodPost, g.URL+"/v1/responses", strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Authorization", "Bearer "+demoKey)
				r.Header.Set("Content-Type", "application/json")
				a := do(t, r)
				if a.Status != 200 {
					t.Fatalf("%s, streamed %t: got %d %s", model, stream, a.Status, a.Body)
				}
				wantAll(t, a.Body, wanted)
				if stream {
					wantAll(t, a.Body, []string{"response.custom_tool_call_input.delta", "response.custom_tool_call_input.done", "response.completed"})
				}
			}
		}
	})
}
