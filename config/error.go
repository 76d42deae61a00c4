package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Error is something wrong in a configuration.
type Error struct {
	File string
	// Line and Column are 0 for what does not stand in the file.
	Line, Column int
	// Path is where it stands, such as pipeline[3].config.
	Path string
	// Reason says what is wrong, Hint what to do.
	Reason, Hint string
	// Source is the line as it stands in the file.
	Source string
}

// Error writes file, line and column if it has them, what is wrong and what to do, and the line itself.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	b.WriteString(": ")
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	b.WriteString(e.Reason)
	if e.Hint != "" {
		b.WriteString(" (" + e.Hint + ")")
	}
	if strings.TrimSpace(e.Source) != "" {
		source, column := excerpt([]rune(e.Source), max(e.Column-1, 0))
		b.WriteString("\n    " + source + "\n    " + strings.Repeat(" ", column) + "^")
	}
	return b.String()
}

// maxSource bounds how much of a line is shown, in characters.
const maxSource = 120

// excerpt is a line with tabs as single blanks, so that the mark below it stands where it should, and cut around the
// column when it is long.
func excerpt(line []rune, column int) (string, int) {
	from := 0
	if len(line) > maxSource {
		from = min(max(column-maxSource/2, 0), len(line)-maxSource)
		line = line[from : from+maxSource]
	}
	return strings.ReplaceAll(strings.TrimRight(string(line), " \t"), "\t", " "), max(column-from, 0)
}

// Errors is everything that is wrong in a configuration, in the order of its lines.
type Errors []*Error

// byPlace orders errors as a reader meets them, and the same every time.
func byPlace(a, b *Error) int {
	return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Reason, b.Reason))
}

// inOrder is all of them as a reader meets them; nil where there are none.
func (e Errors) inOrder() error {
	if len(e) == 0 {
		return nil
	}
	slices.SortStableFunc(e, byPlace)
	return e
}

// Join is all that several have found wrong in one configuration, as Errors; nil where that is nothing.
func Join(errs ...error) error {
	var all Errors
	for _, err := range errs {
		if several, ok := errors.AsType[Errors](err); ok {
			all = append(all, several...)
		} else if one, ok := errors.AsType[*Error](err); ok {
			all = append(all, one)
		} else if err != nil {
			return errors.Join(errs...) // it is about something else too
		}
	}
	return all.inOrder()
}

// Error writes one after the other.
func (e Errors) Error() string {
	var lines []string
	for i, one := range e {
		if i == maxErrors {
			lines = append(lines, "and more")
			break
		}
		lines = append(lines, one.Error())
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the single errors.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, one := range e {
		all[i] = one
	}
	return all
}
