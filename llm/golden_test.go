package llm_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gotest.tools/v3/golden"

	"github.com/leash-gateway/leash/llm"
)

// folderOf is where the examples of a format are.
func folderOf(f llm.Format) string {
	if f == llm.OpenAIChat {
		return "testdata/openai"
	}
	return "testdata/" + f.String()
}

// allFormats are those that have bodies.
var allFormats = []llm.Format{
	llm.OpenAIChat, llm.OpenAIResponses, llm.OpenAICompletions, llm.OpenAIEmbeddings, llm.AnthropicMessages, llm.AnthropicCountTokens,
	llm.GoogleGenerate, llm.GoogleStream, llm.GoogleCountTokens, llm.GoogleEmbed, llm.GoogleBatchEmbed,
}

func TestPublishedExamplesAreReadAndEdited(t *testing.T) {
	for _, f := range allFormats {
		t.Run(f.String(), func(t *testing.T) { testExamples(t, f) })
	}
}

func testExamples(t *testing.T, format llm.Format) {
	t.Helper()
	files, err := filepath.Glob(folderOf(format) + "/*.*")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		kind, _, named := strings.Cut(filepath.Base(file), "_")
		if !named || strings.HasSuffix(file, ".golden") {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			switch kind {
			case "request":
				describeRequest(t, &got, format, body)
			case "response":
				describeResponse(t, &got, format, body)
			case "stream":
				describeStream(t, &got, format, strings.HasSuffix(file, ".json"), body)
			default:
				t.Fatalf("%s is of no kind that is known", file)
			}
			golden.Assert(t, got.String(), strings.TrimPrefix(file, "testdata/")+".golden")
		})
	}
}

func describeRequest(t *testing.T, w *bytes.Buffer, format llm.Format, body []byte) {
	t.Helper()
	r, err := llm.ParseRequestAt(format, format.Path("gemini-2.5-flash"), body)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Bytes(); r.Edited() || !bytes.Equal(got, body) {
		t.Errorf("without an edit got %s", got)
	}
	fmt.Fprintf(w, "model %q stream %v wants usage %v max %d n %d user %q estimate %d\n",
		r.Model, r.Stream, r.WantsUsage, r.MaxTokens, r.N, r.User, r.EstimateTokens())
	if format != llm.OpenAIChat {
		fmt.Fprintf(w, "path %q tools %d media %d\n", r.Path(), r.Tools, r.Media)
	}
	describeTexts(w, r.Texts)
	r.SetModel("local/llama")
	r.AskUsage()
	for i := range r.Texts {
		r.SetText(i, fmt.Sprintf("[text %d]", i))
	}
	if format.Family() == llm.Google {
		fmt.Fprintf(w, "path %q\n", r.Path())
	}
	fmt.Fprintf(w, "edited:\n%s", r.Bytes())
}

func describeResponse(t *testing.T, w *bytes.Buffer, format llm.Format, body []byte) {
	t.Helper()
	r, err := llm.ParseResponse(format, body)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Bytes(); r.Edited() || !bytes.Equal(got, body) {
		t.Errorf("without an edit got %s", got)
	}
	fmt.Fprintf(w, "id %q model %q finish %q usage %v %+v\n", r.ID, r.Model, r.FinishReasons, r.HasUsage, r.Usage)
	describeTexts(w, r.Texts)
	for i := range r.Texts {
		r.SetText(i, fmt.Sprintf("[text %d]", i))
	}
	fmt.Fprintf(w, "edited:\n%s", r.Bytes())
}

func describeStream(t *testing.T, w *bytes.Buffer, format llm.Format, array bool, stream []byte) {
	t.Helper()
	var d llm.Decoder
	if array {
		d.Framing = llm.JSONArray
	}
	describe := func(f llm.Frame) error {
		if f.Data == nil {
			return nil
		}
		e, err := llm.ParseEvent(format, f.Data)
		if err != nil {
			return err
		}
		if got := e.Data(); e.Edited() || !bytes.Equal(got, f.Data) {
			t.Errorf("without an edit got %s", got)
		}
		fmt.Fprintf(w, "done %v error %v id %q model %q finish %v usage %v only %v %+v\n",
			e.Done, e.Error, e.ID, e.Model, e.Finish, e.HasUsage, e.UsageOnly, e.Usage)
		if e.Name != f.Name {
			t.Errorf("the event %q calls itself %q", f.Name, e.Name)
		}
		if e.Name != "" || e.UsageSoFar {
			fmt.Fprintf(w, "name %q closed %v so far %v\n", e.Name, e.Closed, e.UsageSoFar)
		}
		describeTexts(w, e.Texts)
		for i := range e.Texts {
			fmt.Fprintf(w, "with text %d: %s\n", i, e.WithText(i, "[held]").Data())
			e.SetText(i, fmt.Sprintf("[text %d]", i))
		}
		fmt.Fprintf(w, "edited: %s\n\n", e.Data())
		return nil
	}
	if err := d.Feed(stream, describe); err != nil {
		t.Fatal(err)
	}
	if err := d.Flush(describe); err != nil {
		t.Fatal(err)
	}
}

func describeTexts(w *bytes.Buffer, texts []llm.Text) {
	for i, t := range texts {
		fmt.Fprintf(w, "text %d: %s %s message %d part %d %q\n", i, t.Role, t.Kind, t.Message, t.Part, t.Value)
		if t.Whole {
			fmt.Fprintf(w, "\twhole\n")
		}
	}
}
