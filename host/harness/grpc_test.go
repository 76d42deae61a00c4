package harness_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/host/harness"
	"github.com/leash-gateway/leash/host/internal/asm"
)

func TestGRPCCallsAreAnsweredFromTheScript(t *testing.T) {
	resume := []asm.Step{asm.Drop("proxy_set_effective_context", asm.Slot(0)), asm.Drop("proxy_continue_stream", asm.Word(0))}
	status := asm.Call("proxy_get_status", asm.OutWord(2), asm.OutBytes())
	unary := asm.Module{
		"proxy_on_request_headers": {Return: 1, Do: []asm.Step{asm.Save(0, asm.Param(0)),
			asm.Drop("proxy_grpc_call", asm.Text("ledger"), asm.Text("s.Ledger"), asm.Text("Take"), asm.Pairs("x-meta", "data"), asm.Text("ask"), asm.Word(1000), asm.OutQuiet(1))}},
		"proxy_on_grpc_receive": {Do: append([]asm.Step{asm.Call("proxy_get_buffer_bytes", asm.Word(5), asm.Word(0), asm.Word(100), asm.OutBytes())}, resume...)},
		"proxy_on_grpc_close":   {Do: append([]asm.Step{status}, resume...)},
	}
	stream := asm.Module{
		"proxy_on_request_headers": {Return: 1, Do: []asm.Step{asm.Save(0, asm.Param(0)),
			asm.Drop("proxy_grpc_stream", asm.Text("ledger"), asm.Text("s.Ledger"), asm.Text("Watch"), asm.Pairs(), asm.OutQuiet(1)),
			asm.Drop("proxy_grpc_send", asm.Slot(1), asm.Text("one"), asm.Word(0)), asm.Drop("proxy_grpc_send", asm.Slot(1), asm.Text("two"), asm.Word(1))}},
		"proxy_on_grpc_receive_initial_metadata":  {Do: []asm.Step{asm.Call("proxy_get_header_map_value", asm.Word(4), asm.Text("x-first"), asm.OutBytes())}},
		"proxy_on_grpc_receive":                   {Do: unary["proxy_on_grpc_receive"].Do[:1]},
		"proxy_on_grpc_receive_trailing_metadata": {Do: []asm.Step{asm.Call("proxy_get_header_map_value", asm.Word(5), asm.Text("x-last"), asm.OutBytes())}},
		"proxy_on_grpc_close":                     unary["proxy_on_grpc_close"],
	}
	tests := map[string]struct {
		module asm.Module
		answer harness.Answer
		sent   string // messages of the module, joined
		want   string // values that it saw
	}{
		"a message":            {unary, harness.Answer{Body: "given"}, "ask", "> given"},
		"a status":             {unary, harness.Answer{Trailers: harness.Headers{{"grpc-status", "7"}, {"grpc-message", "not you"}}}, "ask", "> 00000007|> not you"},
		"a status of HTTP":     {unary, harness.Answer{Status: 503}, "ask", "> 0000000e|> "},
		"nobody there":         {unary, harness.Answer{Failure: harness.Unreachable}, "ask", "> 0000000e|> "},
		"no answer in time":    {unary, harness.Answer{Failure: harness.Timeout}, "ask", "> 00000004|> "},
		"an answer that lasts": {unary, harness.Answer{Body: "given", Delay: 500 * time.Millisecond}, "ask", "> given"},
		"an answer too late":   {unary, harness.Answer{Body: "given", Delay: 2 * time.Second}, "ask", "> 00000004|> "},
		"a stream":             {stream, harness.Answer{Headers: harness.Headers{{"X-First", "1"}}, Chunks: []string{"a", "b"}, Trailers: harness.Headers{{"x-last", "2"}}}, "one|two", "> 1|> a|> b|> 2|> 00000000|> "},
		"a stream that breaks": {stream, harness.Answer{Chunks: []string{"a"}, Failure: harness.Cut}, "one|two", "> a|> 0000000d|> "},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "module.wasm")
			if err := os.WriteFile(file, tc.module.Build(), 0o600); err != nil {
				t.Fatal(err)
			}
			p := harness.Load(t, file).Start(harness.Setup{Modules: []harness.Module{{}}, Callouts: map[string][]harness.Answer{"ledger": {tc.answer}}})
			got := p.Do(harness.Request{})
			if got.Outcome != harness.Answered || len(got.Callouts) != 1 {
				t.Fatalf("got %+v", got)
			}
			if sent := strings.Join(got.Callouts[0].Chunks, "|"); sent != tc.sent || !strings.HasPrefix(got.Callouts[0].Headers.Get(":path"), "/s.Ledger/") {
				t.Errorf("the server got %q %+v", sent, got.Callouts[0])
			}
			var seen []string
			for _, line := range got.Logs {
				if strings.HasPrefix(line.Message, "> ") {
					seen = append(seen, line.Message)
				}
			}
			if got := strings.Join(seen, "|"); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}
