package access_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/leash-gateway/leash/registry/access"
)

func Example() {
	dir, err := os.MkdirTemp("", "access-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "tokens.yaml")
	secret, kept, err := access.NewToken("ci", time.Time{})
	if err == nil {
		err = access.Add(file, kept)
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := access.New(access.Options{TokensFile: file, Grants: []access.Grant{{Role: access.Publisher, To: []string{"token:ci"}, Namespaces: []string{"team/*"}}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	who, err := c.Authenticate(&http.Request{Header: http.Header{"Authorization": {"Bearer " + secret}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(who.Name, who.May(access.Push, "team/hello"), who.May(access.Promote, "team/hello"))
	// Output: token:ci true false
}
