package build

import (
	"errors"
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strings"

	"github.com/leash-gateway/leash/author/kit"
	"github.com/leash-gateway/leash/manifest"
)

// handlers are the kit's interfaces by the phase for which a module implements them.
var handlers = map[manifest.Phase]string{
	manifest.RequestHeader: "RequestHeaderHandler", manifest.Request: "RequestHandler", manifest.Body: "BodyHandler",
	manifest.ResponseHeader: "ResponseHeaderHandler", manifest.Response: "ResponseHandler", manifest.Event: "EventHandler",
	manifest.Usage: "UsageReader", manifest.Finish: "Finisher",
}

// kitModule is the package with Register, adapter the one that what is registered is run by.
const (
	kitModule = kit.ModulePath + "/module"
	adapter   = kitModule + "/proxywasm"
)

// A registration is a call of the kit's Register in the project's code.
type registration struct {
	name, kind string // "" where the code does not say it in a constant
	of         types.Type
	at         token.Position
}

// checkRegistered holds what the project's code registers against the manifest. A callback that the manifest does not
// name is left out of the .wasm, so a method that it forgets would never be called. Code that is not written against the
// kit is not judged.
func checkRegistered(dir string, m *manifest.Manifest, packages []goPackage) error {
	s := newSources(packages)
	found := s.registrations()
	_, adapted := s.listed[adapter]
	switch {
	case len(found) > 0 && !adapted:
		return fmt.Errorf("%s: the code registers a module that nothing brings to a host: import _ %q", s.place(dir, found[0].at), adapter)
	case len(found) == 0:
		if adapted && !s.othersKnowTheKit() {
			return fmt.Errorf("the code registers no module, but %s names %s: call module.Register(%[2]q, …) in an init", manifest.FileName, m.Name)
		}
		return nil
	}
	named := slices.IndexFunc(found, func(r registration) bool { return r.name == m.Name || r.name == "" })
	if named < 0 {
		return fmt.Errorf("%s: the code registers the module %q, but %s calls it %q: they must be the same", s.place(dir, found[0].at), found[0].name, manifest.FileName, m.Name)
	}
	var wrong []error
	r := found[named]
	if r.kind != "" && r.kind != string(m.Kind) {
		wrong = append(wrong, fmt.Errorf("%s: the code registers a module of kind %s, but %s says %s", s.place(dir, r.at), r.kind, manifest.FileName, m.Kind))
	}
	all := !slices.ContainsFunc(found, func(r registration) bool { return !judged(r.of) })
	for _, phase := range manifest.Phases {
		handler := s.handler(phase)
		if handler == nil {
			continue
		}
		by := slices.IndexFunc(found, func(r registration) bool { return types.Implements(r.of, handler) })
		listed, method := slices.Contains(m.Phases, phase), handler.Method(0)
		switch {
		case by >= 0 && !listed:
			wrong = append(wrong, fmt.Errorf("%s: %s has a method %s, but %s does not list %s among the phases: add it, or nothing will ever call the method",
				s.place(dir, found[by].at), s.name(found[by].of), method.Name(), manifest.FileName, phase))
		case by < 0 && listed && all:
			what := fmt.Sprintf("%s: %s lists the phase %s, but %s has no method %s%s", s.place(dir, r.at), manifest.FileName, phase, s.name(r.of),
				method.Name(), strings.TrimPrefix(types.TypeString(method.Signature(), (*types.Package).Name), "func"))
			if types.Implements(types.NewPointer(r.of), handler) {
				what += fmt.Sprintf(": *%s has it, so the constructor must return that", s.name(r.of))
			}
			wrong = append(wrong, errors.New(what))
		}
	}
	return errors.Join(wrong...)
}

// sources type-checks the project and the kit, from their sources and without anybody else's: what others' packages hold
// is unknown, which matters to no method of a module.
type sources struct {
	listed  map[string]goPackage
	checked map[string]*types.Package
	files   *token.FileSet
	found   []registration
}

func newSources(packages []goPackage) *sources {
	s := &sources{listed: map[string]goPackage{}, checked: map[string]*types.Package{}, files: token.NewFileSet()}
	for _, p := range packages {
		s.listed[p.ImportPath] = p
	}
	return s
}

var _ types.Importer = (*sources)(nil)

func (s *sources) registrations() []registration {
	for _, p := range s.listed {
		if p.Module != nil && p.Module.Main && slices.Contains(p.Imports, kitModule) {
			_, _ = s.Import(p.ImportPath) // the compiler has found it right
		}
	}
	slices.SortFunc(s.found, func(a, b registration) int { return strings.Compare(a.at.String(), b.at.String()) })
	return s.found
}

// othersKnowTheKit says whether packages of others are written against the kit: they may register modules.
func (s *sources) othersKnowTheKit() bool {
	for _, p := range s.listed {
		if p.Module != nil && !p.Module.Main && p.Module.Path != kit.ModulePath && slices.Contains(p.Imports, kitModule) {
			return true
		}
	}
	return false
}

// Import type-checks a package.
func (s *sources) Import(path string) (*types.Package, error) {
	if p := s.checked[path]; p != nil {
		return p, nil
	}
	listed := s.listed[path]
	own := listed.Module != nil && (listed.Module.Main || listed.Module.Path == kit.ModulePath)
	if !own {
		p := types.NewPackage(path, listed.Name)
		p.MarkComplete()
		s.checked[path] = p
		return p, nil
	}
	var files []*ast.File
	for _, name := range listed.GoFiles {
		if file, err := parser.ParseFile(s.files, filepath.Join(listed.Dir, name), nil, parser.SkipObjectResolution); file != nil && err == nil {
			files = append(files, file)
		}
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}, Instances: map[*ast.Ident]types.Instance{}}
	registers := slices.Contains(listed.Imports, kitModule)
	config := types.Config{Importer: s, Error: func(error) {}, IgnoreFuncBodies: !registers, Sizes: types.SizesFor("gc", "wasm")}
	p, _ := config.Check(path, s.files, files, info) // it has errors: what others' packages hold is not known
	s.checked[path] = p
	if registers {
		for _, file := range files {
			ast.Inspect(file, func(n ast.Node) bool {
				if call, is := n.(*ast.CallExpr); is {
					s.call(call, info)
				}
				return true
			})
		}
	}
	return p, nil
}

// call notes a call of Register.
func (s *sources) call(call *ast.CallExpr, info *types.Info) {
	const arguments = 3
	callee := call.Fun
	switch indexed := callee.(type) {
	case *ast.IndexListExpr:
		callee = indexed.X
	case *ast.IndexExpr:
		callee = indexed.X
	}
	var name *ast.Ident
	switch callee := callee.(type) {
	case *ast.SelectorExpr:
		name = callee.Sel
	case *ast.Ident:
		name = callee
	default:
		return
	}
	function, is := info.Uses[name].(*types.Func)
	if !is || function.Name() != "Register" || function.Pkg() == nil || function.Pkg().Path() != kitModule || len(call.Args) != arguments {
		return
	}
	instance := info.Instances[name]
	if instance.TypeArgs == nil || instance.TypeArgs.Len() != 2 {
		return
	}
	text := func(e ast.Expr) string {
		if value := info.Types[e].Value; value != nil && value.Kind() == constant.String {
			return constant.StringVal(value)
		}
		return ""
	}
	s.found = append(s.found, registration{
		name: text(call.Args[0]), kind: text(call.Args[1]), of: instance.TypeArgs.At(1), at: s.files.Position(call.Pos()),
	})
}

// handler is the interface of a phase; nil if the kit has none.
func (s *sources) handler(phase manifest.Phase) *types.Interface {
	if object := s.checked[kitModule].Scope().Lookup(handlers[phase]); object != nil {
		handler, _ := object.Type().Underlying().(*types.Interface)
		return handler
	}
	return nil
}

// judged says whether all methods of a type are known: they are not of an interface, nor of what embeds another's type.
func judged(t types.Type) bool {
	if pointer, is := t.Underlying().(*types.Pointer); is {
		t = pointer.Elem()
	}
	switch t := t.Underlying().(type) {
	case *types.Interface:
		return false
	case *types.Struct:
		for field := range t.Fields() {
			if field.Embedded() && (field.Type() == types.Typ[types.Invalid] || !judged(field.Type())) {
				return false
			}
		}
	}
	return true
}

func (*sources) name(t types.Type) string {
	return types.TypeString(t, func(*types.Package) string { return "" })
}

// place is a position as the compiler writes it.
func (*sources) place(dir string, at token.Position) string {
	if absolute, err := filepath.Abs(dir); err == nil {
		if relative, err := filepath.Rel(absolute, at.Filename); err == nil && filepath.IsLocal(relative) {
			at.Filename = relative
		}
	}
	return at.String()
}
