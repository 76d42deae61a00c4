package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
)

// Secret refers to a secret; leash.yaml never holds one.
type Secret struct {
	// Env is the name of the environment variable that holds the secret.
	Env string `yaml:"env" json:"env,omitempty"`
	// File is the path of the file that holds it (a mounted Kubernetes secret, say), relative to leash.yaml.
	File string `yaml:"file" json:"file,omitempty"`
}

// ErrNoSecret says that the variable is not set, or the file not there or empty.
var ErrNoSecret = errors.New("secret is not set")

// maxSecret is the largest secret that is read, in bytes.
const maxSecret = 64 << 10

// Resolve reads the secret, without blanks and line ends around it. env looks up environment variables (os.LookupEnv).
// The error is ErrNoSecret where there is none; it never holds any of the secret.
func (s *Secret) Resolve(env func(string) (string, bool)) (SecretValue, error) {
	text, source, err := s.read(env)
	if err != nil {
		return SecretValue{}, err
	}
	return secretOf(text, source)
}

// ResolveDocument is Resolve for a secret that may have several lines, and does not go into an HTTP header.
func (s *Secret) ResolveDocument(env func(string) (string, bool)) (SecretValue, error) {
	text, source, err := s.read(env)
	if err != nil {
		return SecretValue{}, err
	}
	return documentOf(text, source)
}

// read is the secret as it is there, and where that is.
func (s *Secret) read(env func(string) (string, bool)) (text, source string, err error) {
	if s.Env != "" {
		text, _ = env(s.Env)
		return text, "environment variable " + s.Env, nil
	}
	data, err := readSecret(s.File)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", "", fmt.Errorf("read secret: %w", err)
	}
	return string(data), "file " + s.File, nil
}

// documentOf makes a secret of a text that was found in a source.
func documentOf(text, source string) (SecretValue, error) {
	switch text = strings.TrimSpace(text); {
	case text == "":
		return SecretValue{}, fmt.Errorf("%w: %s", ErrNoSecret, source)
	case len(text) > maxSecret:
		return SecretValue{}, fmt.Errorf("read secret: %s holds more than %d bytes", source, maxSecret)
	}
	return SecretValue{text}, nil
}

// secretOf makes one that goes into an HTTP header.
func secretOf(text, source string) (SecretValue, error) {
	secret, err := documentOf(text, source)
	if err == nil && strings.ContainsFunc(secret.text, func(r rune) bool { return r < ' ' || r > '~' }) {
		return SecretValue{}, fmt.Errorf("read secret: %s holds more than one line, or other than ASCII characters", source)
	}
	return secret, err
}

// NewSecretValue keeps a secret that was got elsewhere.
func NewSecretValue(text string) SecretValue { return SecretValue{text} }

func readSecret(path string) ([]byte, error) {
	file, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // was only read
	return io.ReadAll(io.LimitReader(file, maxSecret+1))
}

// SecretValue is a secret itself. In texts, logs and JSON only its place is seen; Reveal gives it.
type SecretValue struct{ text string }

// Reveal gives the secret. Whoever calls it keeps it out of all that people read.
func (v SecretValue) Reveal() string { return v.text }

// String hides the secret.
func (SecretValue) String() string { return hidden }

// Format hides the secret from all verbs of package fmt, %#v among them.
func (SecretValue) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// MarshalJSON hides the secret.
func (SecretValue) MarshalJSON() ([]byte, error) { return json.Marshal(hidden) }

// MarshalText hides the secret from what writes YAML, XML and keys of maps.
func (SecretValue) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// LogValue hides the secret from package slog.
func (SecretValue) LogValue() slog.Value { return slog.StringValue(hidden) }
