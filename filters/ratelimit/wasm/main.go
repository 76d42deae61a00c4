// Command wasm is the module ratelimit alone, as one .wasm file.
package main

import (
	_ "github.com/leash-gateway/leash/filters/ratelimit"
	_ "github.com/leash-gateway/leash/module/proxywasm"
)

func main() {}
