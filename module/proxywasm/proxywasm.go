// Package proxywasm runs the registered modules inside a proxy-wasm host such as Envoy: importing it is all that the
// main package of a .wasm has to do besides importing its modules.
//
//	import (
//		_ "github.com/leash-gateway/leash/filters/auth"
//		_ "github.com/leash-gateway/leash/module/proxywasm"
//	)
//
//	func main() {}
//
// It is a thin adapter: what happens to an exchange is decided in package module, which runs natively too. Of this package only
// the encoding of headers does.
package proxywasm
