package control

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gotest.tools/v3/golden"

	dto "github.com/prometheus/client_model/go"

	"github.com/leash-gateway/leash/config"
)

func TestReferenceIsCurrent(t *testing.T) {
	golden.Assert(t, reference(), "../../docs/reference/metrics.md")
}

func reference() string {
	var b strings.Builder
	b.WriteString(`# Metrics

<!-- Generated from control/catalog.go: go test ./control -update -->

` + "`leash up`" + ` serves them at ` + "`http://127.0.0.1:8081/metrics`" + ` (` + "`control.listen`" + ` in ` + "`leash.yaml`" + `), in Prometheus' format. Modules count in Envoy, which
passes histograms on every second; an Envoy that starts anew counts from 0.

Labels are bounded: the label model has the model's name if it has a price, else the pattern of its route, and ` + "`unknown`" + ` where no route
serves it. What goes beyond 1,500 combinations of one metric counts as ` + "`other`" + `. ` + "`none`" + ` stands for what is not known, such as the tenant
of a request without a valid key.

The buckets of histograms end at ` + strings.Trim(fmt.Sprint(config.HistogramBounds), "[]") + ` (milliseconds, say), in Envoy, in the
embedded gateway and in the module host alike.

What was counted of a provider stays when a reload takes it out of ` + "`leash.yaml`" + `; its state (gauges) does not.

| metric | kind | labels | what it is | counted by |
|---|---|---|---|---|
`)
	for _, d := range catalog {
		labels := strings.Join(d.labels, ", ")
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", d.name, strings.ToLower(d.kind.String()), labels, d.help, d.from)
	}
	b.WriteString(`
Besides these there are the Go runtime's (` + "`go_*`" + `) and the process' (` + "`process_*`" + `) of ` + "`leash up`" + ` itself, and what modules of your own count under a name
that begins with ` + "`leash_`" + `. All of Envoy's own are at its admin, ` + "`http://127.0.0.1:9901/stats/prometheus`" + `.
`)
	return b.String()
}

// What modules declare stands in their source: package module is compiled into Envoy, so the catalog cannot ask it.
func TestCatalogHasEveryMetricThatModulesDeclare(t *testing.T) {
	var declared []string
	for _, pattern := range []string{"../module/*.go", "../filters/*/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("found no source at %s: %v", pattern, err)
		}
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") {
				declared = append(declared, declarations(t, file)...)
			}
		}
	}
	var described []string
	for _, d := range catalog {
		if d.from == fromModule {
			described = append(described, signature(d.kind, d.name, d.labels))
		}
	}
	slices.Sort(declared)
	slices.Sort(described)
	if got, want := strings.Join(described, "\n"), strings.Join(declared, "\n"); got != want {
		t.Errorf("catalog.go describes\n%s\nand the modules declare\n%s", got, want)
	}
}

func signature(kind dto.MetricType, name string, labels []string) string {
	return strings.ToLower(kind.String()) + " " + name + "{" + strings.Join(labels, ",") + "}"
}

// declarations finds calls such as module.Counter("leash_x_total", "tenant") in a file.
func declarations(t *testing.T, file string) (found []string) {
	t.Helper()
	tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]dto.MetricType{"Counter": dto.MetricType_COUNTER, "Gauge": dto.MetricType_GAUGE, "Histogram": dto.MetricType_HISTOGRAM}
	ast.Inspect(tree, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		name := ""
		switch f := call.Fun.(type) {
		case *ast.Ident:
			name = f.Name
		case *ast.SelectorExpr:
			name = f.Sel.Name
		}
		kind, ok := kinds[name]
		if !ok || len(call.Args) == 0 {
			return true
		}
		var words []string
		for _, arg := range call.Args {
			if literal, ok := arg.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				word, err := strconv.Unquote(literal.Value)
				if err != nil {
					t.Fatal(err)
				}
				words = append(words, word)
			}
		}
		if len(words) > 0 && strings.HasPrefix(words[0], "leash_") {
			found = append(found, signature(kind, words[0], words[1:]))
		}
		return true
	})
	return found
}

func TestEveryTranslationIsDescribed(t *testing.T) {
	for _, tr := range translations {
		if d := describe(tr.name); d.from != fromEnvoy {
			t.Errorf("%s is not described as Envoy's in catalog.go", tr.name)
		}
	}
}
