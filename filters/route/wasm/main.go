// Command wasm is the module route alone, as one .wasm file.
package main

import (
	_ "github.com/leash-gateway/leash/filters/route"
	_ "github.com/leash-gateway/leash/module/proxywasm"
)

func main() {}
