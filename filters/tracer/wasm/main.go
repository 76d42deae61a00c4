// Command wasm is the module tracer alone, as one .wasm file.
package main

import (
	_ "github.com/leash-gateway/leash/filters/tracer"
	_ "github.com/leash-gateway/leash/module/proxywasm"
)

func main() {}
