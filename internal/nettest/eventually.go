package nettest

import (
	"testing"
	"time"
)

// patience is for what is slowest: Envoy compiles a file for each module in half a minute where it has the machine for itself. No test relies on its end.
const patience, pollEvery = 3 * time.Minute, 5 * time.Millisecond

// Eventually polls until something holds, in the goroutine of the test. The test fails with what was waited for.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	if !polled(holds) {
		t.Fatalf("waited %s in vain for %s", patience, what)
	}
}

// Succeeds polls until try does. The test fails with what was waited for and the last that try said.
func Succeeds(t testing.TB, what string, try func() error) {
	t.Helper()
	var last error
	if !polled(func() bool { last = try(); return last == nil }) {
		t.Fatalf("waited %s in vain for %s: %v", patience, what, last)
	}
}

func polled(holds func() bool) bool {
	for deadline := time.Now().Add(patience); !holds(); <-time.After(pollEvery) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}
