package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// AWSKey is an access key of Amazon's. Whatever writes it as text writes the id only.
type AWSKey struct {
	ID     string
	Secret SecretValue
	Token  SecretValue // of a key that expires; else empty
}

// Secrets are what an access key is made of, by the fields that refer to it.
func (a *AWS) Secrets() []NamedSecret {
	return []NamedSecret{{"access_key_id", a.AccessKeyID}, {"secret_access_key", a.SecretAccessKey}, {"session_token", a.SessionToken}}
}

// A NamedSecret is the secret that a field refers to; nil where it refers to none.
type NamedSecret struct {
	Field  string
	Secret *Secret
}

func (a *AWS) check(path string, fail failer) {
	const both = "access_key_id and secret_access_key, such as {env: AWS_ACCESS_KEY_ID} and {env: AWS_SECRET_ACCESS_KEY}; or credentials_file"
	given := 0
	for _, s := range a.Secrets() {
		if s.Secret != nil {
			given++
			checkKey(path+"."+s.Field, s.Secret, fail)
		}
	}
	switch {
	case a.CredentialsFile != "" && given > 0:
		fail(path+".credentials_file", "remove one of them", "stands beside an access key, in whose place it is")
	case a.CredentialsFile == "" && (a.AccessKeyID == nil || a.SecretAccessKey == nil):
		fail(path, both, "holds no whole access key")
	case a.CredentialsFile == "" && a.Profile != "":
		fail(path+".profile", "", "is a section of a credentials_file, and there is none")
	}
}

// Resolve reads the access key. Its errors are those of Secret.Resolve.
func (a *AWS) Resolve(env func(string) (string, bool)) (key AWSKey, err error) {
	if a.CredentialsFile != "" {
		return a.fromFile()
	}
	for _, s := range a.Secrets() {
		if s.Secret == nil {
			continue
		}
		value, err := s.Secret.Resolve(env)
		if err != nil {
			return AWSKey{}, fmt.Errorf("%s: %w", s.Field, err)
		}
		key.set(s.Field, value)
	}
	return key, nil
}

func (k *AWSKey) set(field string, value SecretValue) {
	switch field {
	case "access_key_id":
		k.ID = value.text
	case "secret_access_key":
		k.Secret = value
	case "session_token":
		k.Token = value
	}
}

// fromFile reads a section of a file as Amazon's programs write it: https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html
func (a *AWS) fromFile() (key AWSKey, err error) {
	data, err := readSecret(a.CredentialsFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return AWSKey{}, fmt.Errorf("%w: file %s", ErrNoSecret, a.CredentialsFile)
	case err != nil:
		return AWSKey{}, fmt.Errorf("read secret: %w", err)
	case len(data) > maxSecret:
		return AWSKey{}, fmt.Errorf("read secret: file %s holds more than %d bytes", a.CredentialsFile, maxSecret)
	}
	profile, within := cmp.Or(a.Profile, "default"), false
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "["); ok {
			name, _, _ = strings.Cut(name, "]")
			within = strings.TrimSpace(name) == profile
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		field, known := strings.CutPrefix(strings.ToLower(strings.TrimSpace(name)), "aws_")
		if !within || !ok || !known || strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		secret, err := secretOf(value, "file "+a.CredentialsFile)
		if err != nil {
			return AWSKey{}, err
		}
		key.set(field, secret)
	}
	if key.ID == "" || key.Secret.text == "" {
		return AWSKey{}, fmt.Errorf("%w: file %s has no access key in the section [%s]", ErrNoSecret, a.CredentialsFile, profile)
	}
	return key, nil
}
