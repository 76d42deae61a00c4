package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// childOf finds the Envoy that a process has started.
func childOf(t testing.TB, parent int) int {
	t.Helper()
	if found := children(parent); len(found) > 0 {
		return found[0]
	}
	t.Fatalf("process %d has no child", parent)
	return 0
}

// children are the processes that a process has started, as far as they are Envoys.
func children(parent int) (found []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		stat, err := os.ReadFile(path) //nolint:gosec // from the glob
		if err != nil {
			continue
		}
		fields := strings.Fields(string(stat))
		if len(fields) > 3 && fields[1] == "(envoy)" && fields[2] != "Z" && fields[3] == strconv.Itoa(parent) {
			pid, _ := strconv.Atoi(fields[0])
			found = append(found, pid)
		}
	}
	return found
}
