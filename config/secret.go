package config

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// Secret refers to a secret; leash.yaml never holds one.
type Secret struct {
	// Env is the name of the environment variable that holds the secret.
	Env string `yaml:"env" json:"env,omitempty"`
	// File is the path of the file that holds it (a mounted Kubernetes secret, say).
	File string `yaml:"file" json:"file,omitempty"`
}

// ErrNoSecret says that the variable is not set, or the file not there or empty.
var ErrNoSecret = errors.New("secret is not set")

// Resolve reads the secret. Its error never holds any of it.
func (s *Secret) Resolve(env func(string) (string, bool)) (string, error) {
	if s.Env != "" {
		value, _ := env(s.Env)
		if value = strings.TrimSpace(value); value == "" {
			return "", fmt.Errorf("%w: environment variable %s", ErrNoSecret, s.Env)
		}
		return value, nil
	}
	data, err := os.ReadFile(s.File)
	if errors.Is(err, os.ErrNotExist) || err == nil && len(strings.TrimSpace(string(data))) == 0 {
		return "", fmt.Errorf("%w: file %s", ErrNoSecret, s.File)
	}
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}
