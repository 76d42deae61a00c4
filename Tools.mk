# The tools of this repository, pinned and run as `go run pkg@version`: they stay out of go.mod, so what they depend on
# never decides which version the product gets.
golangci_lint := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
govulncheck   := golang.org/x/vuln/cmd/govulncheck@v1.9.0
# Its plugins are named in api/buf.gen.yaml.
buf           := github.com/bufbuild/buf/cmd/buf@v1.75.0
# The last fortio before it took in a scripting language, which does not come from every module proxy.
fortio        := fortio.org/fortio@v1.68.0

# A gateway that `make bench` compares with, from its own package. Portkey's is in e2e/bench/portkey/package.json.
litellm := litellm[proxy]==1.105.0
