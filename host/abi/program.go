package abi

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/leash-gateway/leash/host/abi/internal/meter"
)

// A Program is a compiled module. Many VMs run it.
type Program struct {
	engine   *Engine
	compiled wazero.CompiledModule
	version  Version
	imports  []string
}

// ErrNotProxyWasm says that a file is WebAssembly, but not a proxy-wasm module.
var ErrNotProxyWasm = errors.New("not a proxy-wasm module")

// Compile compiles a module; with a warm cache (Options.CacheDir) in milliseconds. The error says why Envoy too would refuse
// it: no WebAssembly, no ABI version, no function to allocate memory, an import that does not exist.
func (e *Engine) Compile(ctx context.Context, wasm []byte) (*Program, error) {
	metered, err := meter.Rewrite(wasm, meter.Options{MaxDepth: e.maxDepth, Conditions: e.conditions != nil})
	if err != nil {
		return nil, fmt.Errorf("compile module: %w", err)
	}
	ctx = experimental.WithCompilationWorkers(ctx, runtime.GOMAXPROCS(0))
	compiled, err := e.runtime.CompileModule(ctx, metered)
	if err != nil && e.cacheDir != "" && strings.Contains(err.Error(), "compilationcache:") { // of wazero; it has no error value for it
		e.emptyCache()
		compiled, err = e.runtime.CompileModule(ctx, metered)
	}
	if err != nil {
		return nil, fmt.Errorf("compile module: %w", err)
	}
	if e.cacheDir != "" {
		trimCache(e.cacheDir) // also in a host that runs for months, and loads another build each day
	}
	p := &Program{engine: e, compiled: compiled}
	if err := p.check(); err != nil {
		_ = compiled.Close(ctx)
		return nil, fmt.Errorf("compile module: %w", err)
	}
	return p, nil
}

// Imports are the functions that the module wants of the host, sorted, as capability restriction names them:
// "proxy_log", "fd_write".
func (p *Program) Imports() []string { return p.imports }

// Callbacks are the functions that the module gives to the host, sorted: "proxy_on_request_headers".
func (p *Program) Callbacks() []string {
	var names []string
	for name := range p.compiled.ExportedFunctions() {
		if strings.HasPrefix(name, "proxy_on_") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Kit says that the module is made with Leash's kit, as its export leash_kit tells: it holds the body back itself while it holds headers back.
// A plugin of it has AllowOnHeadersStopIteration; one of another module must not have it, as its body would take the held headers with it.
func (p *Program) Kit() bool {
	_, found := p.compiled.ExportedFunctions()["leash_kit"]
	return found
}

// Close frees the compiled code. VMs that run it go on.
func (p *Program) Close(ctx context.Context) error { return p.compiled.Close(ctx) }

func (p *Program) check() error {
	exports := p.compiled.ExportedFunctions()
	for v := V010; v <= V021; v <<= 1 { // as in Envoy, the first that is found
		if _, found := exports["proxy_abi_version_"+strings.ReplaceAll(v.String(), ".", "_")]; found {
			p.version = v
			break
		}
	}
	if p.version == 0 {
		return fmt.Errorf("%w: it exports no proxy_abi_version_0_1_0, _0_2_0 or _0_2_1", ErrNotProxyWasm)
	}
	if exports["malloc"] == nil && exports["proxy_on_memory_allocate"] == nil {
		return fmt.Errorf("%w: it exports neither malloc nor proxy_on_memory_allocate", ErrNotProxyWasm)
	}
	if len(p.compiled.ExportedMemories()) == 0 {
		return fmt.Errorf("%w: it exports no memory", ErrNotProxyWasm)
	}
	for name, signature := range callbackSignatures {
		if f := exports[name]; f != nil && !fits(f, signature, p.version) {
			return fmt.Errorf("%w: %s has another signature than ABI %s says", ErrNotProxyWasm, name, p.version)
		}
	}
	return p.checkImports()
}

func (p *Program) checkImports() error {
	for _, f := range p.compiled.ImportedFunctions() {
		module, name, _ := f.Import()
		if module == meter.Module {
			continue // Rewrite put it there
		}
		c := findHostcall(module, name)
		if c == nil || c.versions != 0 && c.versions&p.version == 0 {
			return fmt.Errorf("it imports %s.%s, which ABI %s does not have", module, name, p.version)
		}
		if !slices.Equal(f.ParamTypes(), c.types()) || !slices.Equal(f.ResultTypes(), c.results()) {
			return fmt.Errorf("it imports %s.%s with another signature than ABI %s says", module, name, p.version)
		}
		p.imports = append(p.imports, name)
	}
	slices.Sort(p.imports)
	p.imports = slices.Compact(p.imports)
	return nil
}

// A callback's signature is its number of parameters, all i32, and whether it has a result.
type signature struct {
	params int
	result bool
}

// callbackSignatures are the functions of a module that the host calls.
// https://github.com/proxy-wasm/spec/blob/main/abi-versions/v0.2.1/README.md
var callbackSignatures = map[string]signature{
	"malloc":                                  {1, true},
	"proxy_on_memory_allocate":                {1, true},
	"_initialize":                             {0, false},
	"_start":                                  {0, false},
	"proxy_on_context_create":                 {2, false},
	"proxy_on_vm_start":                       {2, true},
	"proxy_on_configure":                      {2, true},
	"proxy_validate_configuration":            {2, true},
	"proxy_on_tick":                           {1, false},
	"proxy_on_done":                           {1, true},
	"proxy_on_log":                            {1, false},
	"proxy_on_delete":                         {1, false},
	"proxy_on_request_headers":                {3, true},
	"proxy_on_request_body":                   {3, true},
	"proxy_on_request_trailers":               {2, true},
	"proxy_on_request_metadata":               {2, true},
	"proxy_on_response_headers":               {3, true},
	"proxy_on_response_body":                  {3, true},
	"proxy_on_response_trailers":              {2, true},
	"proxy_on_response_metadata":              {2, true},
	"proxy_on_new_connection":                 {1, true},
	"proxy_on_downstream_data":                {3, true},
	"proxy_on_upstream_data":                  {3, true},
	"proxy_on_downstream_connection_close":    {2, false},
	"proxy_on_upstream_connection_close":      {2, false},
	"proxy_on_http_call_response":             {5, false},
	"proxy_on_grpc_receive":                   {3, false},
	"proxy_on_grpc_close":                     {3, false},
	"proxy_on_grpc_receive_initial_metadata":  {3, false},
	"proxy_on_grpc_receive_trailing_metadata": {3, false},
	"proxy_on_queue_ready":                    {2, false},
	"proxy_on_foreign_function":               {3, false},
}

// ModuleCallbacks are the functions of modules that hosts call in the course of plugins, exchanges and connections, sorted.
func ModuleCallbacks() []string {
	var names []string
	for name := range callbackSignatures {
		if strings.HasPrefix(name, "proxy_") && name != "proxy_on_memory_allocate" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// fits tells whether a module's function has the signature; in ABI 0.1.0 the header callbacks lack end_of_stream.
func fits(f api.FunctionDefinition, s signature, v Version) bool {
	if v == V010 && (strings.HasSuffix(f.Name(), "_headers") || slices.Contains(f.ExportNames(), "proxy_on_request_headers") || slices.Contains(f.ExportNames(), "proxy_on_response_headers")) {
		s.params = 2
	}
	if len(f.ParamTypes()) != s.params || (len(f.ResultTypes()) == 1) != s.result || len(f.ResultTypes()) > 1 {
		return false
	}
	for _, t := range append(slices.Clone(f.ParamTypes()), f.ResultTypes()...) {
		if t != api.ValueTypeI32 {
			return false
		}
	}
	return true
}
