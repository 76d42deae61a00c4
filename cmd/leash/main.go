// Command leash creates, checks and runs LLM gateways of Envoy and WebAssembly modules.
package main

import (
	"os"

	"github.com/leash-gateway/leash/cli"
)

// version is set by the linker (make build).
var version string

func main() { os.Exit(cli.Run(version, os.Args, os.Stdout, os.Stderr)) }
