package build

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// part is a Go module whose packages are in the .wasm.
type part struct {
	Path, Version string
	Main          bool
	Replace       *struct{ Path, Version, Dir string }
	Sum           string // as in go.sum
}

// goPackage is a package that is linked in, as go list tells of it.
type goPackage struct {
	ImportPath, Name, Dir string
	GoFiles, Imports      []string
	Module                *part
}

// contents are what is linked in.
type contents struct {
	modules  []part // the project first, then by path
	packages []goPackage
}

// paths are the packages' import paths as the linker has them.
func (c contents) paths() []string {
	paths := make([]string, len(c.packages))
	for i, p := range c.packages {
		if paths[i] = p.ImportPath; p.Name == "main" {
			paths[i] = "main"
		}
	}
	return paths
}

func contentsOf(ctx context.Context, o Options) (c contents, err error) {
	out, err := goCommand(ctx, o, "list", "-deps", "-tags="+o.Tags, "-json=ImportPath,Name,Dir,GoFiles,Imports,Module", o.Package).Output()
	if err != nil {
		return c, fmt.Errorf("list what the module is made of: %w", err)
	}
	for decoder := json.NewDecoder(bytes.NewReader(out)); decoder.More(); {
		var p goPackage
		if err := decoder.Decode(&p); err != nil {
			return c, fmt.Errorf("list what the module is made of: %w", err)
		}
		c.packages = append(c.packages, p)
		if p.Module != nil && !slices.ContainsFunc(c.modules, func(other part) bool { return other.Path == p.Module.Path }) {
			c.modules = append(c.modules, *p.Module)
		}
	}
	slices.SortFunc(c.modules, func(a, b part) int {
		if a.Main != b.Main {
			if a.Main {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Path, b.Path)
	})
	return c, nil
}
