package config

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	variable   = regexp.MustCompile(`\$(\$|\{[^}]*\}?)`)
	expression = regexp.MustCompile(`^\{([A-Za-z_][A-Za-z0-9_]*)(:-(.*))?\}$`)
)

// expand puts variables in: ${NAME}, ${NAME:-default}; $$ is a dollar sign. As in a shell, the default holds for a
// variable that is empty too. It works on one scalar at a time, after YAML has been read: what stands in a variable can
// neither add fields nor move anything to another line. A number or truth value for a module must come without quotes,
// as everywhere in YAML, and so not within {} or [].
func expand(text string, env func(string) (string, bool)) (expanded string, variables bool, err error) {
	if !strings.Contains(text, "$") {
		return text, false, nil
	}
	expanded = variable.ReplaceAllStringFunc(text, func(found string) string {
		if found == "$$" {
			return "$"
		}
		m := expression.FindStringSubmatch(found[1:])
		if m == nil {
			err = fmt.Errorf("%s is not a variable: write ${NAME} or ${NAME:-default}, and $$ for a dollar sign", found)
			return ""
		}
		variables = true
		value, set := env(m[1])
		switch {
		case value != "" || set && m[2] == "":
			return value
		case strings.Contains(m[3], "${"):
			err = fmt.Errorf("%s} has a variable in its default, which holds none: nothing is put in there", found)
			return ""
		case m[2] != "":
			return m[3]
		}
		err = fmt.Errorf("environment variable %s is not set: set it, or write ${%s:-default}", m[1], m[1])
		return ""
	})
	return expanded, variables, err
}
