// Command wasm is the module costtracker alone, as one .wasm file.
package main

import (
	_ "github.com/leash-gateway/leash/filters/costtracker"
	_ "github.com/leash-gateway/leash/module/proxywasm"
)

func main() {}
