package abi_test

import (
	"testing"

	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/host/internal/asm"
)

// BenchmarkCallback is what this host adds to a callback: a phase in which the module asks for one header.
func BenchmarkCallback(b *testing.B) {
	program := compiled(b, newEngine(b, abi.Options{}), asm.Module{"proxy_on_response_headers": {Do: []asm.Step{
		asm.Drop("proxy_get_header_map_size", asm.Word(2), asm.OutQuiet(0)),
	}}})
	var w abi.Worker
	p := newPlugin(b, program, &w, abi.VMConfig{}, abi.PluginConfig{})
	s, err := p.NewStream(&exchange{})
	if err != nil {
		b.Fatal(err)
	}
	h := abi.NewHeaders(":status", "200", "content-type", "text/plain")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.OnResponseHeaders(h, true); err != nil {
			b.Fatal(err)
		}
	}
}
