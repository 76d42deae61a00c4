package config

import (
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// hidden stands where a secret was.
const hidden = "[hidden]"

// MinSecret is the length, in bytes, below which hiding a value would garble texts more than it protects.
const MinSecret = 6

const (
	// Redacted stands in a provider's error where that repeats the credential that the request was sent with.
	Redacted = "[redacted]"
	// WithheldError stands in the place of a provider's error that cannot be looked through for the credential.
	WithheldError = `{"type":"error","error":{"type":"api_error","message":"the provider's error is encoded though it was asked for plain, and is not passed on"}}`
)

// revealing are lines that hold, or seem to hold, a secret themselves, a URL with a password, or a token of a registry of Leash's. Such a line is not
// quoted, whatever the error on it is about.
var revealing = regexp.MustCompile(`(?i)(?:^|[^a-z_])(?:api_?key|key|(?:\w+_)?(?:access_key(?:_id)?|token|secret|password))["']?\s*:\s*[^\s{}\[\]&*#,]|://[^/\s"'@]*:[^/\s"'@]*@|leash_[\w-]{43}`)

// hide notes values that stand where a secret may be.
func (d *decoder) hide(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.Value != "" {
		d.literals = append(d.literals, n.Value)
	}
	for _, item := range n.Content { // not of aliases: what they stand for is elsewhere
		d.hide(item)
	}
}

// redact takes out of the errors what must never be shown: keys that were written into the file by mistake, and the
// values of the variables that hold providers' keys, should somebody have put one of those elsewhere too.
func (d *decoder) redact(c *Config) {
	secrets := d.literals
	var keys []*Secret
	for _, p := range c.Providers { // the order does not matter
		keys = append(keys, p.secrets()...)
		for i := range p.APIKeys {
			keys = append(keys, &p.APIKeys[i].Key)
		}
	}
	for _, header := range c.Tracing.Headers {
		if header != nil {
			keys = append(keys, header)
		}
	}
	for _, key := range keys {
		switch {
		case key.Env == "":
		case !variableName.MatchString(key.Env):
			secrets = append(secrets, key.Env) // the key itself, in the place of its variable's name
		default:
			if value, _ := d.env(key.Env); len(value) >= MinSecret {
				secrets = append(secrets, value)
			}
		}
	}
	for _, e := range d.errors {
		if revealing.MatchString(e.Source) {
			e.Source = ""
		}
		for _, s := range secrets {
			e.Path = strings.ReplaceAll(e.Path, s, hidden)
			e.Reason = strings.ReplaceAll(e.Reason, s, hidden)
			e.Hint = strings.ReplaceAll(e.Hint, s, hidden)
			if strings.Contains(e.Source, s) {
				e.Source = "" // its column would no longer fit
			}
		}
	}
}

// secrets are those that the provider refers to, but its APIKeys.
func (p *Provider) secrets() (all []*Secret) {
	for _, secret := range []*Secret{p.APIKey, p.ServiceAccount} {
		if secret != nil {
			all = append(all, secret)
		}
	}
	if p.AWS != nil {
		for _, s := range p.AWS.Secrets() {
			if s.Secret != nil {
				all = append(all, s.Secret)
			}
		}
	}
	return all
}
