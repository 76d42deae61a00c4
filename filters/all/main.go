// Command all is every module of Leash in one .wasm file: a pipeline of them parses an exchange once and crosses the
// boundary to its host once.
package main

import (
	_ "github.com/leash-gateway/leash/filters/auth"
	_ "github.com/leash-gateway/leash/filters/contentfilter"
	_ "github.com/leash-gateway/leash/filters/costtracker"
	_ "github.com/leash-gateway/leash/filters/logger"
	_ "github.com/leash-gateway/leash/filters/provider"
	_ "github.com/leash-gateway/leash/filters/ratelimit"
	_ "github.com/leash-gateway/leash/filters/route"
	_ "github.com/leash-gateway/leash/filters/tracer"
	_ "github.com/leash-gateway/leash/module/proxywasm"
)

func main() {}
