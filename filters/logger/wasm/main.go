// Command wasm is the module logger alone, as one .wasm file.
package main

import (
	_ "github.com/leash-gateway/leash/filters/logger"
	_ "github.com/leash-gateway/leash/module/proxywasm"
)

func main() {}
