package catalog_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/leash-gateway/leash/registry/catalog"
	"github.com/leash-gateway/leash/registry/catalog/catalogtest"
)

func Example() {
	dir, err := os.MkdirTemp("", "catalog-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	c, err := catalog.Open(catalog.Options{File: filepath.Join(dir, "catalog.db"), Store: &catalogtest.Store{}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	ctx, ada := context.Background(), catalog.Actor{Name: "ada", Via: "example"}
	if _, err := c.Push(ctx, ada, "team/hello", "1.0.0", catalog.Build{Digest: "sha256:0123", Version: "1.0.0"}); err != nil {
		fmt.Println(err)
	}
	if _, err := c.Deprecate(ctx, ada, "team/hello", "1.0.0", "use 2.0.0"); err != nil {
		fmt.Println(err)
	}
	for e, err := range c.Watch(ctx, 0) {
		if err != nil {
			break
		}
		fmt.Printf("%d %s %s: %s %s\n", e.Seq, e.Kind, e.Actor, e.Module, e.Version)
		if e.Seq == c.Seq() {
			break // else it waits for more
		}
	}
	// Output:
	// 1 push ada: team/hello 1.0.0
	// 2 release ada: team/hello 1.0.0
	// 3 deprecate ada: team/hello 1.0.0
}
