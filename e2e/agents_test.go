package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A recording is what a coding agent sent to the provider of its own API: one request that has it call a tool, and the next, with what the tool
// answered. Long texts are cut. docs/guides/agents.md says how each was started.
type recording struct {
	Client, Version string
	Requests        []struct {
		Path    string
		Headers map[string]string
		Body    json.RawMessage
	}
}

// agents are what coding agents ask for in their recordings: the model, its provider, and the call of a tool as it stands in their own API.
var agents = map[string]struct{ model, provider, call string }{
	"claude-code": {"claude-sonnet-4-5", "anthropic", `"name":"Bash","input":{`},
	"codex":       {"gpt-5.1-codex", "openai", `"name":"exec_command"`},
	"gemini-cli":  {"gemini-2.5-flash", "google", `"name":"read_file"`},
	"opencode":    {"gpt-5.1", "openai", `"name":"glob"`},
}

// TestCodingAgentsReachEveryProvider, as they are: what they ask for beside a conversation is translated or left out, and what they tell of the user's
// machine stays here.
func TestCodingAgentsReachEveryProvider(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, p ports) {
		p.Fleet = startFleet(t, "openai", "anthropic", "google")
		g := start(t, three, p)
		for name, agent := range agents {
			data, err := os.ReadFile(filepath.Join("testdata", "agents", name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			var recorded recording
			if err := json.Unmarshal(data, &recorded); err != nil {
				t.Fatal(err)
			}
			for provider, model := range models {
				for turn, want := range []string{agent.call, "The tools said: "} {
					request := recorded.Requests[turn]
					r, err := http.NewRequest(http.MethodPost, g.URL+strings.Replace(request.Path, agent.model, model, 1),
						strings.NewReader(strings.Replace(string(request.Body), agent.model, model, 1)))
					if err != nil {
						t.Fatal(err)
					}
					for name, value := range request.Headers {
						r.Header.Set(name, value)
					}
					r.Header.Set("Authorization", "Bearer "+demoKey)
					r.Header.Set("Content-Type", "application/json")
					r.Header.Set("X-Mock", "chunk=1000")
					a := do(t, r)
					if a.Status != 200 {
						t.Fatalf("%s, %s: got %d %s", name, model, a.Status, a.Body)
					}
					wantAll(t, a.Body, []string{want})
					received := p.Fleet[provider].Requests()
					for header := range received[len(received)-1].Header {
						for _, prefix := range []string{"X-Codex-", "X-Claude-Code-"} {
							if provider != agent.provider && strings.HasPrefix(header, prefix) {
								t.Errorf("%s of %s came to %s", header, name, provider)
							}
						}
					}
				}
			}
		}
	})
}

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
