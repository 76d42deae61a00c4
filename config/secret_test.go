package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/config"
)

func TestSecretsAreRead(t *testing.T) {
	dir := t.TempDir()
	in := folder{t, dir}
	in.write("key", planted+"\n")
	in.write("empty", " \n")
	in.write("lines", "first\nsecond\n")
	in.write("large", strings.Repeat("x", 1<<20))
	tests := map[string]struct {
		secret config.Secret
		want   string
		err    string // a part of it; "unset" is ErrNoSecret
	}{
		"from the environment":    {config.Secret{Env: "PLANTED"}, planted, ""},
		"from a file":             {config.Secret{File: "key"}, planted, ""},
		"a variable without text": {config.Secret{Env: "EMPTY"}, "", "unset"},
		"a variable that is not":  {config.Secret{Env: "NONE"}, "", "unset"},
		"a file without text":     {config.Secret{File: "empty"}, "", "unset"},
		"a file that is not":      {config.Secret{File: "none"}, "", "unset"},
		"a folder":                {config.Secret{File: "."}, "", "is a directory"},
		"several lines":           {config.Secret{File: "lines"}, "", "more than one line"},
		"too large":               {config.Secret{File: "large"}, "", "more than 65536 bytes"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if tc.secret.File != "" {
				tc.secret.File = filepath.Join(dir, tc.secret.File)
			}
			got, err := tc.secret.Resolve(environment)
			switch {
			case got.Reveal() != tc.want:
				t.Errorf("got %q, want %q", got.Reveal(), tc.want)
			case tc.err == "unset" && !errors.Is(err, config.ErrNoSecret):
				t.Errorf("got %v, want ErrNoSecret", err)
			case tc.err == "" && err != nil, tc.err != "" && err == nil, tc.err != "unset" && err != nil && !strings.Contains(err.Error(), tc.err):
				t.Errorf("got %v, want %q", err, tc.err)
			}
		})
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	secret, err := (&config.Secret{Env: "PLANTED"}).Resolve(environment)
	if err != nil {
		t.Fatal(err)
	}
	held := struct {
		Secret config.SecretValue
		Table  map[string]config.SecretValue
	}{secret, map[string]config.SecretValue{"a": secret}}
	var shown bytes.Buffer
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		_, _ = fmt.Fprintf(&shown, format+" "+format+" "+format+"\n", secret, &secret, held)
	}
	encoded, err := json.Marshal(held)
	if err != nil {
		t.Fatal(err)
	}
	shown.Write(encoded)
	slog.New(slog.NewTextHandler(&shown, nil)).Info("text", "secret", secret, "held", held)
	slog.New(slog.NewJSONHandler(&shown, nil)).Info("json", "secret", secret, "held", held)
	for name, form := range map[string]string{"plain": planted, "hexadecimal": fmt.Sprintf("%x", planted)} {
		if strings.Contains(shown.String(), form) {
			t.Errorf("%s in:\n%s", name, &shown)
		}
	}
}
