package conformance

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gotest.tools/v3/golden"

	"github.com/leash-gateway/leash/host/abi"
)

const introduction = `# The ABI: what modules may rely on

The same ` + "`.wasm`" + ` runs in Envoy and in this project's own host (test harness, ext_proc host, embedded gateway). Each case below is
a small module and an exchange, run on both, Envoy 1.40 and this host, with the same result required: what the client and the
server got, and what each host call answered. The list is generated from the cases
([` + "`host/abi/conformance`" + `](../../host/abi/conformance)); a test compares.

ABI versions: 0.1.0, 0.2.0, 0.2.1, as the module's export ` + "`proxy_abi_version_…`" + ` says.

## Where this host differs on purpose

| what | Envoy | this host |
|---|---|---|
| a callback that does not end | blocks the worker for ever | the VM is stopped after a deadline (5 s), and replaced |
| memory of a VM | at most 1 GiB | a limit, 512 MiB by default |
| calls within the module | until V8's stack is full | a limit, 20000 deep by default, and 400 MB of stack |
| ` + "`proxy_continue_stream`" + ` of a response that has not begun | may end the process | nothing happens |
| parts of one ` + "`fd_write`" + `, length of its line | any | 1024, 1 MiB: errno 28 |
| writes to stdout and stderr that end no line | a line of the log each | joined until the line or the callback ends; of what Go's runtime writes over hundreds of lines as it dies, one line |
| foreign functions | Envoy's and its extensions' | Envoy's but for those of CEL (` + "`expr_create`, `expr_evaluate`, `expr_delete`" + `), and the embedder's; the bytes that ` + "`compress`" + ` makes are others |
| what the module makes the host keep | no limit | limits, beyond which calls answer an internal failure: 4 MiB of headers in a map, 256 MiB of a body, 256 MiB of shared data and 64 MiB of queues under a vm_id, 16 MiB of properties in an exchange, 10000 metrics and 4096 open calls of a VM |
| the message of a gRPC status | ends with ` + "`via_upstream`" + ` | is the server's |
| an exchange whose module traps | with ` + "`failure_policy: FAIL_OPEN`" + ` answered with 503, later ones pass; passes with ` + "`fail_open: true`" + ` | passes if the module fails open |
`

// excused are callbacks that no case can have, and why. Tests of package abi call them.
var excused = map[string]string{
	"proxy_on_request_metadata":          "only HTTP/2 METADATA frames bring it",
	"proxy_on_response_metadata":         "only HTTP/2 METADATA frames bring it",
	"proxy_on_upstream_connection_close": "Envoy brings it at different moments, by who is first",
	"proxy_on_foreign_function":          "only extensions of Envoy call it",
	"proxy_validate_configuration":       "Envoy does not call it",
}

func TestReferenceIsCurrent(t *testing.T) {
	golden.Assert(t, string(writeReference(t)), "../../../../docs/reference/abi.md")
}

func writeReference(t *testing.T) []byte {
	t.Helper()
	engine, err := abi.New(context.Background(), abi.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close(context.Background()) })
	var doc bytes.Buffer
	doc.WriteString(introduction + "\n## Cases\n\n| case | functions |\n|---|---|\n")
	covered := map[string]int{}
	for _, c := range slices.Concat(Cases, TCPCases) {
		program, err := engine.Compile(context.Background(), c.wasm())
		if err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		var names []string
		for _, name := range program.Imports() {
			covered[name]++
			if name != "proxy_log" || strings.Contains(c.Name, "log") {
				names = append(names, "`"+name+"`")
			}
		}
		for _, name := range program.Callbacks() {
			covered[name]++
			if name != "proxy_on_delete" {
				names = append(names, "`"+name+"`")
			}
		}
		fmt.Fprintf(&doc, "| %s | %s |\n", c.Name, strings.Join(names, " "))
	}
	for _, name := range abi.ModuleCallbacks() {
		if covered[name] == 0 && excused[name] == "" {
			t.Errorf("no case has the callback %s", name)
		}
	}
	for _, f := range abi.HostFunctions() {
		if covered[f.Name] == 0 {
			t.Errorf("no case calls %s", f.Name)
		}
	}
	doc.WriteString("\n## Callbacks\n\n| callback | cases |\n|---|---|\n")
	for _, name := range abi.ModuleCallbacks() {
		if why := excused[name]; why != "" {
			fmt.Fprintf(&doc, "| `%s` | not compared: %s |\n", name, why)
		} else {
			fmt.Fprintf(&doc, "| `%s` | %d |\n", name, covered[name])
		}
	}
	doc.WriteString("\n## Functions\n\n| function | ABI | cases |\n|---|---|---|\n")
	for _, f := range abi.HostFunctions() {
		versions := "all"
		if len(f.Versions) > 0 {
			versions = strings.Join(stringsOf(f.Versions), ", ")
		}
		fmt.Fprintf(&doc, "| `%s` | %s | %d |\n", f.Name, versions, covered[f.Name])
	}
	return doc.Bytes()
}

func stringsOf(versions []abi.Version) (names []string) {
	for _, v := range versions {
		names = append(names, v.String())
	}
	return names
}

func TestCasesHaveNamesOfTheirOwn(t *testing.T) {
	var names []string
	for _, c := range Cases {
		if slices.Contains(names, c.Name) {
			t.Errorf("two cases are called %q", c.Name)
		}
		names = append(names, c.Name)
	}
}
