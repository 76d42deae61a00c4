package places_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/leash-gateway/leash/host/abi"
)

// seen is what the probe has seen: phases that came, attributes by the phases that have them, what functions answered, and values.
type seen struct {
	phases     map[string]bool
	attributes map[string][]string
	functions  map[string]string
	values     map[string]string // "proxy_on_log request.path"
}

func read(lines []string) seen {
	s := seen{map[string]bool{}, map[string][]string{}, map[string]string{}, map[string]string{}}
	phase, attribute, function := "", "", ""
	for _, line := range lines {
		status, isStatus := afterEquals(line)
		switch {
		case strings.HasPrefix(line, phaseMark):
			phase, attribute, function = strings.TrimPrefix(line, phaseMark), "", ""
			s.phases[phase] = true
		case strings.HasPrefix(line, attributeMark):
			attribute, function = strings.TrimPrefix(line, attributeMark), ""
		case strings.HasPrefix(line, functionMark):
			attribute, function = "", strings.TrimPrefix(line, functionMark)
		case isStatus && function != "":
			s.functions[function] = status
			function = ""
		case isStatus && attribute != "" && status == "ok":
			s.attributes[attribute] = append(s.attributes[attribute], phase)
		case strings.HasPrefix(line, "> ") && attribute != "":
			s.values[phase+" "+attribute] = strings.TrimPrefix(line, "> ")
		}
	}
	return s
}

// afterEquals is the status of a line such as "proxy_log = 00000001".
func afterEquals(line string) (string, bool) {
	name, hex, found := strings.Cut(line, " = ")
	if !found || !strings.HasPrefix(name, "proxy_") || len(hex) != 8 {
		return "", false
	}
	var status uint32
	if _, err := fmt.Sscanf(hex, "%08x", &status); err != nil {
		return "", false
	}
	return abi.Status(status).String(), true
}

const introduction = `# What exists where

Modules see the same thing in all places: Envoy 1.40, the embedded gateway (` + "`leash up --engine embedded`" + `), a Module Host behind an Envoy
that loads no Wasm (ext_proc, ` + "`leash host serve`" + `), and the harness (` + "`leash module test`" + `). Where they do not, it says so here.
This page is generated from a run: one module that looks at everything, on one leash.yaml, in one exchange (an HTTP/2 client with trailers, an
HTTP/1.1 provider) in all four places; a test compares. Values that do not depend on the place (request.path, response.code, …) are
required to be the same. What host calls do beyond that is the same code in the last three, and is compared with Envoy case by case:
[abi.md](abi.md).
`

// table is the page.
func table(places []*place) []byte {
	var doc bytes.Buffer
	head := func(title, text, what string) {
		fmt.Fprintf(&doc, "\n## %s\n\n%s| %s |", title, text, what)
		for _, p := range places {
			fmt.Fprintf(&doc, " %s |", p.name)
		}
		doc.WriteString("\n|---|" + strings.Repeat("---|", len(places)) + "\n")
	}
	doc.WriteString(introduction)
	head("Phases", "", "callback")
	for _, name := range phases {
		fmt.Fprintf(&doc, "| `%s` |", name)
		for _, p := range places {
			doc.WriteString(map[bool]string{true: " yes |", false: " – |"}[p.seen.phases[name]])
		}
		doc.WriteString("\n")
	}
	head("Host calls", "What each answers in the request's headers. Those that are no bad news: without a key `sign` and `verify_signature` are bad arguments, and a state\n"+
		"that nobody knows is not found by `set_envoy_filter_state`.\n\n", "function")
	for _, f := range functions {
		fmt.Fprintf(&doc, "| `%s` |", f.name)
		for _, p := range places {
			doc.WriteString(" " + p.seen.functions[f.name] + " |")
		}
		doc.WriteString("\n")
	}
	head("Attributes", "", "attribute")
	var nowhere []string
	for _, a := range attributes {
		if !slices.ContainsFunc(places, func(p *place) bool { return len(p.seen.attributes[a.path]) > 0 }) {
			nowhere = append(nowhere, "`"+a.path+"`")
			continue
		}
		fmt.Fprintf(&doc, "| `%s` |", a.path)
		for _, p := range places {
			doc.WriteString(" " + when(p.seen.attributes[a.path]) + " |")
		}
		doc.WriteString("\n")
	}
	doc.WriteString("\nQ: in the request's headers. S: in the response's. L: in `proxy_on_log`. –: not found, in none of them.\n\n" +
		"Found in no place, because nothing in this exchange is behind them (there is no TLS, no metadata on hosts, nothing has failed):\n" +
		strings.Join(nowhere, ", ") + ".\n")
	return doc.Bytes()
}

// when says in which phases an attribute is there.
func when(in []string) string {
	letters := map[string]string{"proxy_on_request_headers": "Q", "proxy_on_response_headers": "S", "proxy_on_log": "L"}
	text := ""
	for _, phase := range slices.Compact(slices.Clone(in)) {
		text += letters[phase]
	}
	if text == "" {
		return "–"
	}
	return text
}
