package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// The other gateways come from their own packages into .bench/ (make bench-others). They run as their documentation
// says, with one provider and without policies, logging turned down.

func liteLLM(ctx context.Context, dir, provider string) (*server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf("model_list:\n  - model_name: gpt-4o-mini\n    litellm_params: {model: openai/gpt-4o-mini, api_base: %q, api_key: sk-none}\n", provider)
	file := filepath.Join(dir, "litellm.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, ".bench/litellm/bin/litellm", //nolint:gosec // fixed
		"--config", file, "--host", "127.0.0.1", "--port", fmt.Sprint(port), "--num_workers", "2")
	command.Env = append(os.Environ(), "LITELLM_LOG=ERROR", "LITELLM_LOCAL_MODEL_COST_MAP=True")
	s, err := launch(ctx, fmt.Sprintf("http://127.0.0.1:%d/health/liveliness", port), command)
	if err != nil {
		return nil, err
	}
	s.url = fmt.Sprintf("http://127.0.0.1:%d/v1", port)
	return s, nil
}

func portkey(ctx context.Context, _, provider string) (*server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, "node", ".bench/portkey/node_modules/@portkey-ai/gateway/build/start-server.js", //nolint:gosec // fixed
		fmt.Sprintf("--port=%d", port), "--headless")
	command.Env = append(os.Environ(), "TRUSTED_CUSTOM_HOSTS=127.0.0.1")
	s, err := launch(ctx, fmt.Sprintf("http://127.0.0.1:%d/", port), command)
	if err != nil {
		return nil, err
	}
	s.url = fmt.Sprintf("http://127.0.0.1:%d/v1", port)
	s.header.Set("x-portkey-provider", "openai")
	s.header.Set("x-portkey-custom-host", provider)
	return s, nil
}
