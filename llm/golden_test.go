package llm_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/llm"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestOpenAIExamplesAreReadAndEdited(t *testing.T) {
	files, err := filepath.Glob("testdata/openai/*.*")
	if err != nil {
		t.Fatal(err)
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
				describeRequest(t, &got, body)
			case "response":
				describeResponse(t, &got, body)
			case "stream":
				describeStream(t, &got, body)
			default:
				t.Fatalf("%s is of no kind that is known", file)
			}
			golden := file + ".golden"
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("got\n%s\nwant\n%s", got.Bytes(), want)
			}
		})
	}
}

func describeRequest(t *testing.T, w *bytes.Buffer, body []byte) {
	t.Helper()
	r, err := llm.ParseRequest(llm.OpenAIChat, body)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Bytes(); r.Edited() || !bytes.Equal(got, body) {
		t.Errorf("without an edit got %s", got)
	}
	fmt.Fprintf(w, "model %q stream %v wants usage %v max %d n %d user %q estimate %d\n",
		r.Model, r.Stream, r.WantsUsage, r.MaxTokens, r.N, r.User, r.EstimateTokens())
	describeTexts(w, r.Texts)
	r.SetModel("local/llama")
	r.AskUsage()
	for i := range r.Texts {
		r.SetText(i, fmt.Sprintf("[text %d]", i))
	}
	fmt.Fprintf(w, "edited:\n%s", r.Bytes())
}

func describeResponse(t *testing.T, w *bytes.Buffer, body []byte) {
	t.Helper()
	r, err := llm.ParseResponse(llm.OpenAIChat, body)
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

func describeStream(t *testing.T, w *bytes.Buffer, stream []byte) {
	t.Helper()
	var d llm.Decoder
	describe := func(f llm.Frame) error {
		e, err := llm.ParseEvent(llm.OpenAIChat, f.Data)
		if err != nil {
			return err
		}
		if got := e.Data(); e.Edited() || !bytes.Equal(got, f.Data) {
			t.Errorf("without an edit got %s", got)
		}
		fmt.Fprintf(w, "done %v error %v id %q model %q finish %v usage %v only %v %+v\n",
			e.Done, e.Error, e.ID, e.Model, e.Finish, e.HasUsage, e.UsageOnly, e.Usage)
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
	}
}
