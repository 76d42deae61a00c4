// Command wasm is the module auth alone, as one .wasm file.
package main

import (
	_ "github.com/leash-gateway/leash/filters/auth"
	_ "github.com/leash-gateway/leash/module/proxywasm"
)

func main() {}
