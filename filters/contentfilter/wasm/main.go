// Command wasm is the module contentfilter alone, as one .wasm file.
package main

import (
	_ "github.com/leash-gateway/leash/filters/contentfilter"
	_ "github.com/leash-gateway/leash/module/proxywasm"
)

func main() {}
