//go:build !wasip1

package printf

import "fmt"

// go vet holds the arguments of a function against its format if it hands them on to fmt. These never do: they are there
// for vet alone, which so looks at the callers of Sprintf, Errorf and module.Refuse too.

func vetSprintf(format string, args ...any) {
	if false {
		_ = fmt.Sprintf(format, args...)
	}
}

func vetErrorf(format string, args ...any) {
	if false {
		_ = fmt.Errorf(format, args...)
	}
}
