# The tools of this repository, pinned and run as `go run pkg@version`: they stay out of go.mod, so what they depend on
# never decides which version the product gets.
golangci_lint := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
govulncheck   := golang.org/x/vuln/cmd/govulncheck@v1.9.0
