package config

import (
	"fmt"
	"strings"
)

// Error is something wrong in a configuration.
type Error struct {
	File         string
	Line, Column int
	// Path is where it stands, such as pipeline[3].config.
	Path string
	// Reason says what is wrong, Hint what to do.
	Reason, Hint string
	// Source is the line as it stands in the file.
	Source string
}

// Error writes file, line and column, what is wrong and what to do, and the line itself.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: ", e.File, e.Line, e.Column)
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	b.WriteString(e.Reason)
	if e.Hint != "" {
		b.WriteString(" (" + e.Hint + ")")
	}
	if e.Source != "" {
		fmt.Fprintf(&b, "\n    %s\n    %s^", e.Source, strings.Repeat(" ", max(e.Column-1, 0)))
	}
	return b.String()
}

// Errors is everything that is wrong in a configuration, in the order of its lines.
type Errors []*Error

// Error writes one after the other.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
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
