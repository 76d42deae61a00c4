package abi_test

import (
	"context"
	"fmt"

	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/host/abi/chain"
	"github.com/leash-gateway/leash/host/internal/asm"
)

// printer is a Sink that prints what has passed the modules.
type printer struct{ to string }

func (p printer) Headers(h *abi.Headers, _ bool) {
	for name, value := range h.All() {
		fmt.Println(p.to, name, value)
	}
}
func (p printer) Data(data []byte, _ bool) { fmt.Printf("%s %s\n", p.to, data) }
func (printer) Trailers(*abi.Headers)      {}

// One module, and one exchange through it.
func Example() {
	ctx := context.Background()
	engine, err := abi.New(ctx, abi.Options{}) // CacheDir makes the next start fast
	if err != nil {
		panic(err)
	}
	defer engine.Close(ctx)

	program, err := engine.Compile(ctx, wasm)
	if err != nil {
		panic(err)
	}
	var w abi.Worker
	w.Do(func() {
		vm, err := program.NewVM(ctx, &w, abi.VMConfig{})
		if err != nil {
			panic(err)
		}
		defer vm.Close(ctx)
		plugin, err := vm.NewPlugin(abi.PluginConfig{Name: "greeter"})
		if err != nil {
			panic(err)
		}
		x := chain.New([]*abi.Plugin{plugin}, chain.Config{Upstream: printer{"to the server:"}, Downstream: printer{"to the client:"}})
		defer x.Close()
		x.OnRequestHeaders(abi.NewHeaders(":method", "GET", ":path", "/"), true)
		x.OnResponseHeaders(abi.NewHeaders(":status", "200"), false)
		x.OnResponseData([]byte("hello"), true)
	})
	// Output:
	// to the server: :method GET
	// to the server: :path /
	// to the server: x-greeting hello
	// to the client: :status 200
	// to the client: hello
}

// wasm is what a file holds.
var wasm = asm.Module{"proxy_on_request_headers": {Do: []asm.Step{
	asm.Drop("proxy_add_header_map_value", asm.Word(0), asm.Text("x-greeting"), asm.Text("hello")),
}}}.Build()
