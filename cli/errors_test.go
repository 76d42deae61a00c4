package cli

import (
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"
)

// What refuses, as it is written in the code: the error's code is the last group.
var refusals = []*regexp.Regexp{
	regexp.MustCompile(`\b(?:Refuse|border|refusal)\((?:"/", )?\d{3}, "([a-z_]+)"`),
	regexp.MustCompile(`\.Fail\([\w.]+, \d{3}, "([a-z_]+)"`),
	regexp.MustCompile(`\bcode :?= "([a-z_]+)"`),
	regexp.MustCompile(`\bnewReply\(http\.\w+(?:, "[^"]*"){3}, "([a-z_]+)"`),
	regexp.MustCompile(`"code":"([a-z_]+)"`),
}

func TestErrorsOfClientsAreAllDescribed(t *testing.T) {
	page, err := os.ReadFile("../docs/reference/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	described := map[string]bool{} // and whether the code is there
	for row := range strings.Lines(string(page)) {
		if columns := strings.Split(row, "|"); len(columns) > 2 {
			for _, code := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(columns[2], -1) {
				described[code[1]] = false
			}
		}
	}
	repository := os.DirFS("..")
	for _, folder := range []string{"envoy", "filters", "host", "llm", "module", "registry/distribution"} {
		err := fs.WalkDir(repository, folder, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			source, err := fs.ReadFile(repository, path)
			for _, pattern := range refusals {
				for _, found := range pattern.FindAllSubmatch(source, -1) {
					code := string(found[1])
					if _, ok := described[code]; !ok {
						t.Errorf("%s: docs/reference/errors.md has no code %s", path, code)
					}
					described[code] = true
				}
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	for code, known := range described {
		if !known {
			t.Errorf("docs/reference/errors.md: nothing refuses with the code %s", code)
		}
	}
}
