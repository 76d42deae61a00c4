package config_test

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/config"
)

// FuzzParse looks for files that crash the reader, whose errors have no place, or that give filters which are no JSON.
func FuzzParse(f *testing.F) {
	for _, dir := range []string{"errors", "valid"} {
		for _, file := range inputs(f, dir) {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(data))
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := config.Parse("leash.yaml", []byte(text), environment)
		if err != nil {
			all, ok := errors.AsType[config.Errors](err)
			if !ok || len(all) == 0 {
				t.Fatalf("got a %T: %v", err, err)
			}
			lines := 1
			for _, r := range text {
				if strings.ContainsRune("\r\n\u0085\u2028\u2029", r) {
					lines++ // more than there are where one is \r\n
				}
			}
			for _, e := range all {
				if e.Line < 1 || e.Column < 1 || e.Line > lines {
					t.Errorf("%d:%d is no place in %q: %v", e.Line, e.Column, text, e)
				}
			}
			if len(err.Error()) > 1<<20 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
			return
		}
		for _, filter := range c.Filters() {
			if !json.Valid(filter.Config) {
				t.Errorf("no JSON: %s", filter.Config)
			}
		}
	})
}
