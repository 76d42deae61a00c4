package project_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/leash-gateway/leash/author/project"
)

func ExampleNew() {
	folder, err := os.MkdirTemp("", "example-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(folder)
	dir, err := project.New(project.Options{Name: "greeter", Template: "policy", Dir: filepath.Join(folder, "greeter")})
	fmt.Println(filepath.Base(dir), err)
	_, err = project.New(project.Options{Name: "Greeter!"})
	fmt.Println(err)
	// Output:
	// greeter <nil>
	// bad options: "Greeter!" cannot be a module's name: it is made of lower-case letters, digits and dashes, up to 63
}
