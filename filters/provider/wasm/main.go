// Command wasm is the module provider alone, as one .wasm file.
package main

import (
	_ "github.com/leash-gateway/leash/filters/provider"
	_ "github.com/leash-gateway/leash/module/proxywasm"
)

func main() {}
