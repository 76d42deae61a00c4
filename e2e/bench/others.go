package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/prometheus/procfs"
)

// The other gateways come from their own packages into .bench/ (make bench brings them). They run as their documentation
// says, with one provider and without policies, logging turned down. The memory of all their processes counts.

// errNotInstalled says that a gateway could not be brought.
var errNotInstalled = errors.New("its package is not installed here")

// installed is a gateway's folder, if it is whole.
func installed(name string) (string, error) {
	dir := filepath.Join(".bench", name)
	if _, err := os.Stat(filepath.Join(dir, "installed")); err != nil {
		return "", errNotInstalled
	}
	return dir, nil
}

// liteLLMConfig asks the provider for the pace at which streams are measured: LiteLLM does not pass the client's header on.
const liteLLMConfig = `model_list:
  - model_name: gpt-4o-mini
    litellm_params: {model: openai/gpt-4o-mini, api_base: %q, api_key: sk-none, extra_headers: {X-Mock: %q}}
`

func liteLLM(ctx context.Context, dir, provider string) (*server, error) {
	home, err := installed("litellm")
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "litellm.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, liteLLMConfig, provider, pace), 0o600); err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, filepath.Join(home, "bin", "litellm"), //nolint:gosec // ours to install
		"--config", file, "--host", "127.0.0.1", "--port", fmt.Sprint(port), "--num_workers", "2",
		// A worker takes longer to start than the five seconds after which it would be killed for not answering.
		"--timeout_worker_healthcheck", "120")
	command.Env = append(os.Environ(), "LITELLM_LOG=ERROR", "LITELLM_LOCAL_MODEL_COST_MAP=True",
		// Without a key of its own it checks none, as plain Envoy does; it wants to be told that this is meant.
		"LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY=true")
	s, err := launch(ctx, fmt.Sprintf("http://127.0.0.1:%d/health/liveliness", port), command)
	if err != nil {
		return nil, err
	}
	s.url, s.counts = fmt.Sprintf("http://127.0.0.1:%d/v1", port), group(command.Process.Pid)
	return s, nil
}

func portkey(ctx context.Context, _, provider string) (*server, error) {
	home, err := installed("portkey")
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, "node", filepath.Join(home, "node_modules/@portkey-ai/gateway/build/start-server.js"), //nolint:gosec // ours to install
		fmt.Sprintf("--port=%d", port), "--headless")
	command.Env = append(os.Environ(), "TRUSTED_CUSTOM_HOSTS=127.0.0.1")
	s, err := launch(ctx, fmt.Sprintf("http://127.0.0.1:%d/", port), command)
	if err != nil {
		return nil, err
	}
	s.url, s.counts = fmt.Sprintf("http://127.0.0.1:%d/v1", port), group(command.Process.Pid)
	s.header.Set("x-portkey-provider", "openai")
	s.header.Set("x-portkey-custom-host", provider)
	s.header.Set("x-portkey-forward-headers", paceHeader)
	return s, nil
}

// group counts a program and all that it has started.
func group(leader int) func(procfs.ProcStat) bool {
	return func(p procfs.ProcStat) bool { return p.PGRP == leader }
}
