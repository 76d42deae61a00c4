package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
)

const moduleHostName = "Envoy and a module host (ext_proc, Unix socket), six modules, one file"

// goals of the module host, against plain Envoy.
const (
	goalHostP50 = 500 * time.Microsecond
	goalHostP95 = 2 * time.Millisecond
)

// moduleHost starts `leash host serve`, and an Envoy on what `leash render --target ext_proc` prints.
func moduleHost(ctx context.Context, dir, provider string) (*server, error) {
	file, port, err := writeConfig(dir, pipeline{modules: modules}.config(provider))
	if err != nil {
		return nil, err
	}
	socket := "unix:" + filepath.Join(dir, "host.sock")
	host, err := launch(ctx, fmt.Sprintf("http://127.0.0.1:%d/readyz", port[1]), exec.CommandContext(ctx, "bin/leash", //nolint:gosec // our own command
		"host", "serve", "-c", file, "--listen", socket, "--http", fmt.Sprintf("127.0.0.1:%d", port[1])))
	if err != nil {
		return nil, err
	}
	s, err := extProcEnvoy(ctx, dir, file, socket, port[2])
	if err != nil {
		host.stop()
		return nil, err
	}
	s.url = fmt.Sprintf("http://127.0.0.1:%d/v1", port[0])
	s.counts = both(s, host)
	go func() { // the host goes with its Envoy
		<-s.ended
		_ = syscall.Kill(-host.command.Process.Pid, syscall.SIGINT)
	}()
	return s, nil
}

// both counts the programs of two servers.
func both(a, b *server) func(procfs.ProcStat) bool {
	ofA, ofB := a.counts, b.counts
	return func(p procfs.ProcStat) bool { return ofA(p) || ofB(p) }
}

func extProcEnvoy(ctx context.Context, dir, config, socket string, admin int) (*server, error) {
	bootstrap, err := exec.CommandContext(ctx, "bin/leash", "render", "--target", "ext_proc", "-c", config, "--host", socket).Output() //nolint:gosec // our own command
	if err != nil {
		return nil, fmt.Errorf("leash render: %w", err)
	}
	return runEnvoy(ctx, dir, bootstrap, admin)
}
