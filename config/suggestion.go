package config

import (
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// Suggestion says which known name was probably meant, or lists them.
func Suggestion(name string, known []string) string {
	known = slices.Clone(known)
	slices.Sort(known)
	name = strings.ToLower(name)
	best, least := "", len(name)/3+2
	for _, candidate := range known {
		far := levenshtein.ComputeDistance(name, candidate)
		if name != "" && strings.HasPrefix(candidate, name) {
			far = 1 // warn for warning
		}
		if far < least {
			best, least = candidate, far
		}
	}
	switch {
	case best != "":
		return "did you mean " + best + "?"
	case len(known) == 0:
		return "there are none"
	}
	return "known are " + strings.Join(known, ", ")
}
