// Package schemas holds what the providers publish about the requests that they take, and checks requests with it.
//
// The schemas are made by generate.py (make mock-schemas); README.md beside this file names their sources and licences.
package schemas

import (
	"bytes"
	"compress/gzip"
	"embed"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

//go:embed *.json.gz
var files embed.FS

// The APIs with a published schema. Each is read at its first request, which takes some tens of milliseconds.
var (
	OpenAI    = &API{name: "openai"}    // chat, responses, completions, embeddings
	Anthropic = &API{name: "anthropic"} // messages, count_tokens
	Google    = &API{name: "google"}    // generateContent, countTokens, embedContent, batchEmbedContents
	Vertex    = &API{name: "vertex"}    // generateContent, countTokens, embedContent, predict
	Bedrock   = &API{name: "bedrock"}   // converse, converse-stream, count-tokens
)

// An API is the requests of one provider's API, by the names of its operations. It is safe for concurrent use.
type API struct {
	name       string
	once       sync.Once
	operations map[string]*operation
}

type operation struct {
	schema *jsonschema.Schema
	// valid is the body that was found to be good last: who sends the same again and again, as benchmarks do, is not
	// measured with the check.
	valid atomic.Pointer[[]byte]
}

// A Problem is the reason why a request is refused.
type Problem struct {
	// Path leads to what is wrong: names of members and indexes.
	Path []string
	// Reason says what is wrong with it.
	Reason string
}

// Check returns what is wrong with a request's body, nil for nothing. The body is valid JSON.
func (a *API) Check(name string, body []byte) *Problem {
	a.once.Do(a.load)
	op := a.operations[name]
	if op == nil {
		panic("schemas: " + a.name + " has no operation " + name) // names are constants, and a test uses each
	}
	if valid := op.valid.Load(); valid != nil && bytes.Equal(*valid, body) {
		return nil
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return &Problem{Reason: err.Error()}
	}
	switch err := op.schema.Validate(value).(type) { //nolint:errorlint // the library returns this type and no other
	case nil:
		kept := bytes.Clone(body)
		op.valid.Store(&kept)
		return nil
	case *jsonschema.ValidationError:
		return problem(err)
	default:
		return &Problem{Reason: err.Error()}
	}
}

// load compiles the embedded schemas of an API. That they can be compiled is tested.
func (a *API) load() {
	must := func(err error) {
		if err != nil {
			panic("schemas: " + a.name + ": " + err.Error())
		}
	}
	packed, err := files.Open(a.name + ".json.gz")
	must(err)
	unpacked, err := gzip.NewReader(packed)
	must(err)
	text, err := io.ReadAll(unpacked)
	must(err)
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	must(err)
	url := a.name + ".json"
	c := jsonschema.NewCompiler()
	must(c.AddResource(url, document))
	a.operations = map[string]*operation{}
	for name := range document.(map[string]any)["operations"].(map[string]any) { //nolint:forcetypeassert,errcheck // what generate.py writes
		schema, err := c.Compile(url + "#/operations/" + name)
		must(err)
		a.operations[name] = &operation{schema: schema}
	}
}

// problem is the one of a validation's many errors that tells most. Of several alternatives it is in the one that was meant:
// whose type (or role, or other constant) is the value's, and else in the one that fits deepest.
func problem(err *jsonschema.ValidationError) *Problem {
	leaf := best(err)
	return &Problem{Path: leaf.InstanceLocation, Reason: reason(leaf)}
}

var english = message.NewPrinter(language.English)

func reason(leaf *jsonschema.ValidationError) string {
	if merged, ok := leaf.ErrorKind.(*alternatives); ok {
		return merged.reason
	}
	return leaf.ErrorKind.LocalizedString(english)
}

func best(err *jsonschema.ValidationError) *jsonschema.ValidationError {
	if len(err.Causes) == 0 {
		return err
	}
	leaves := make([]*jsonschema.ValidationError, len(err.Causes))
	for i, cause := range err.Causes {
		leaves[i] = best(cause)
	}
	if _, alternative := err.ErrorKind.(*kind.AnyOf); !alternative {
		return slices.MinFunc(leaves, func(a, b *jsonschema.ValidationError) int {
			return slices.Compare(a.InstanceLocation, b.InstanceLocation)
		})
	}
	depth := len(err.InstanceLocation)
	var meant *jsonschema.ValidationError
	var others []*jsonschema.ValidationError
	for i, cause := range err.Causes {
		if wrong := otherKind(cause, depth); wrong != nil {
			others = append(others, wrong)
		} else if meant == nil || len(leaves[i].InstanceLocation) > len(meant.InstanceLocation) {
			meant = leaves[i]
		}
	}
	if meant != nil {
		return meant
	}
	return joined(err, others)
}

// otherKind returns the error that a value is of another kind than was wanted: of another type, or with another constant in one
// of its own members. It is nil if the value is of the kind, but wrong.
func otherKind(err *jsonschema.ValidationError, depth int) *jsonschema.ValidationError {
	if len(err.Causes) == 0 {
		switch err.ErrorKind.(type) {
		case *kind.Type:
			if len(err.InstanceLocation) == depth {
				return err
			}
		case *kind.Const, *kind.Enum:
			if len(err.InstanceLocation) <= depth+1 {
				return err
			}
		}
		return nil
	}
	if _, union := err.ErrorKind.(*kind.AnyOf); !union {
		for _, cause := range err.Causes {
			if wrong := otherKind(cause, depth); wrong != nil {
				return wrong // one is enough
			}
		}
		return nil
	}
	var wrong []*jsonschema.ValidationError
	for _, cause := range err.Causes {
		w := otherKind(cause, depth)
		if w == nil {
			return nil // one of the alternatives inside was meant
		}
		wrong = append(wrong, w)
	}
	return joined(err, wrong)
}

// alternatives is the error of a value that is none of several kinds.
type alternatives struct{ reason string }

// KeywordPath implements [jsonschema.ErrorKind].
func (*alternatives) KeywordPath() []string { return []string{"anyOf"} }

// LocalizedString implements [jsonschema.ErrorKind].
func (a *alternatives) LocalizedString(*message.Printer) string { return a.reason }

// joined is the error of a value that is none of the alternatives, with what each wants of the deepest place.
func joined(err *jsonschema.ValidationError, leaves []*jsonschema.ValidationError) *jsonschema.ValidationError {
	deepest := slices.MaxFunc(leaves, func(a, b *jsonschema.ValidationError) int {
		return len(a.InstanceLocation) - len(b.InstanceLocation)
	})
	var reasons []string
	for _, leaf := range leaves {
		if r := reason(leaf); slices.Equal(leaf.InstanceLocation, deepest.InstanceLocation) && !slices.Contains(reasons, r) {
			reasons = append(reasons, r)
		}
	}
	return &jsonschema.ValidationError{
		SchemaURL: err.SchemaURL, InstanceLocation: deepest.InstanceLocation, ErrorKind: &alternatives{strings.Join(reasons, ", or ")},
	}
}
