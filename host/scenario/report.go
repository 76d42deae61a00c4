package scenario

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Failed says whether any scenario failed.
func Failed(reports []Report) bool {
	return slices.ContainsFunc(reports, func(r Report) bool { return len(r.Failures) > 0 })
}

// Print writes a report as people read it: failures always, the others and their details if verbose.
func Print(w io.Writer, r Report, verbose bool) {
	took := r.Took.Round(100 * time.Microsecond)
	switch {
	case len(r.Failures) > 0:
		_, _ = fmt.Fprintf(w, "FAIL  %s:%d: %s (%v)\n", r.File, r.Line, r.Name, took)
		for _, failure := range r.Failures {
			_, _ = fmt.Fprintf(w, "  %s\n", strings.ReplaceAll(failure.String(), "\n", "\n  "))
		}
	case r.Skipped != "":
		_, _ = fmt.Fprintf(w, "skip  %s:%d: %s (%s)\n", r.File, r.Line, r.Name, r.Skipped)
	case verbose || len(r.Notes) > 0:
		_, _ = fmt.Fprintf(w, "ok    %s:%d: %s (%v)\n", r.File, r.Line, r.Name, took)
	}
	notes := slices.Clone(r.Notes)
	for _, note := range slices.Compact(notes) {
		_, _ = fmt.Fprintf(w, "  note: %s\n", note)
	}
	if verbose {
		for _, detail := range r.Details {
			_, _ = fmt.Fprintf(w, "  %s\n", strings.ReplaceAll(detail, "\n", "\n    "))
		}
	}
}

// Summary counts what came of all.
func Summary(reports []Report) string {
	var passed, failed, skipped int
	var took time.Duration
	for _, r := range reports {
		took += r.Took
		switch {
		case len(r.Failures) > 0:
			failed++
		case r.Skipped != "":
			skipped++
		default:
			passed++
		}
	}
	text := fmt.Sprintf("%d passed, %d failed", passed, failed)
	if skipped > 0 {
		text += fmt.Sprintf(", %d skipped", skipped)
	}
	return fmt.Sprintf("%s, in %v", text, took.Round(time.Millisecond))
}

// WriteJSON writes all reports as one JSON array.
func WriteJSON(w io.Writer, reports []Report) error {
	if reports == nil {
		reports = []Report{}
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(reports)
}

type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Time     string      `xml:"time,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	File    string        `xml:"file,attr"`
	Line    int           `xml:"line,attr"`
	Time    string        `xml:"time,attr"`
	Failure *junitMessage `xml:"failure,omitempty"`
	Skipped *junitMessage `xml:"skipped,omitempty"`
}

type junitMessage struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// WriteJUnit writes all reports in the XML that CI systems read. https://github.com/testmoapp/junitxml
func WriteJUnit(w io.Writer, reports []Report) error {
	suite := junitSuite{Name: "leash module test", Tests: len(reports)}
	var took time.Duration
	for _, r := range reports {
		took += r.Took
		one := junitCase{Class: r.File, Name: r.Name, File: r.File, Line: r.Line, Time: seconds(r.Took)}
		if len(r.Failures) > 0 {
			suite.Failures++
			var texts []string
			for _, f := range r.Failures {
				texts = append(texts, f.String())
			}
			one.Failure = &junitMessage{r.Failures[0].What, strings.Join(texts, "\n")}
		} else if r.Skipped != "" {
			suite.Skipped++
			one.Skipped = &junitMessage{Message: r.Skipped}
		}
		suite.Cases = append(suite.Cases, one)
	}
	suite.Time = seconds(took)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	encoder := xml.NewEncoder(w)
	encoder.Indent("", "  ")
	if err := encoder.Encode(suite); err != nil {
		return fmt.Errorf("write JUnit: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
