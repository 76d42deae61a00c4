package config

import (
	"errors"
	"log/slog"
	"maps"
	"slices"
	"time"
)

// Credentials are what providers' requests are proved with, by provider.
type Credentials struct {
	Keys map[string]SecretValue
	AWS  map[string]AWSKey
	// Accounts are keys of service accounts, with which tokens are got.
	Accounts map[string]SecretValue
	// Missing are the errors of those providers whose credentials are not set, and in whose place the built-in mock may answer.
	Missing map[string]error
}

// Credentials reads them. env looks up environment variables (os.LookupEnv). All that are missing or wrong come at once, as Errors.
func (c *Config) Credentials(env func(string) (string, bool)) (Credentials, error) {
	found := Credentials{Keys: map[string]SecretValue{}, AWS: map[string]AWSKey{}, Accounts: map[string]SecretValue{}, Missing: map[string]error{}}
	var wrong Errors
	for _, name := range slices.Sorted(maps.Keys(c.Providers)) {
		p := c.Providers[name]
		field, err := found.read(name, p, env)
		switch {
		case err == nil:
		case p.MockWithoutKey && errors.Is(err, ErrNoSecret):
			found.Missing[name] = err
		default:
			wrong = append(wrong, c.SecretError("providers."+name+"."+field, err))
		}
	}
	return found, wrong.inOrder()
}

// read reads those of one provider, and tells the field that it is about.
func (found *Credentials) read(name string, p *Provider, env func(string) (string, bool)) (field string, err error) {
	switch {
	case p.APIKey != nil:
		key, err := p.APIKey.Resolve(env)
		if err == nil {
			found.Keys[name] = key
		}
		return "api_key", err
	case p.AWS != nil:
		key, err := p.AWS.Resolve(env)
		if err == nil {
			found.AWS[name] = key
		}
		return "aws", err
	case p.ServiceAccount != nil:
		key, err := p.ServiceAccount.ResolveDocument(env)
		if err == nil {
			found.Accounts[name] = key
		}
		return "service_account", err
	}
	return "", nil
}

// SecretError is Errorf for a secret that could not be read: of one that is not set it says what to do.
func (c *Config) SecretError(path string, err error) *Error {
	e := c.Errorf(path, "%v", err)
	if errors.Is(err, ErrNoSecret) {
		e.Hint = "set the variable, or write the file, before leash starts"
	}
	return e
}

// certificateFiles are the files of certificates (ca_file) that are named, by their path in leash.yaml.
func (c *Config) certificateFiles() map[string]string {
	files := map[string]string{"tracing.ca_file": c.Tracing.CAFile}
	for name, p := range c.Providers {
		files[c.written("providers."+name+".ca_file")] = p.CAFile
	}
	maps.DeleteFunc(files, func(_, file string) bool { return file == "" })
	return files
}

// TellExpiredCertificates is TellExpired for the files of certificates.
func (c *Config) TellExpiredCertificates(log *slog.Logger, now time.Time) {
	files := slices.Compact(slices.Sorted(maps.Values(c.certificateFiles())))
	for _, file := range files {
		TellExpired(log, file, now)
	}
}

// CheckCertificates looks into the files of certificates. All that are wrong come at once, as Errors.
func (c *Config) CheckCertificates() error {
	var wrong Errors
	for path, file := range c.certificateFiles() {
		if _, err := Certificates(file); err != nil {
			e := c.Errorf(path, "%v", err)
			e.Hint = "name a file of certificates in PEM form; without ca_file the system's are asked"
			wrong = append(wrong, e)
		}
	}
	return wrong.inOrder()
}
