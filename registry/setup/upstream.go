package setup

import (
	"errors"
	"fmt"
	"strings"

	"github.com/leash-gateway/leash/registry/store"
)

// An Upstream is an OCI registry that is there already, such as Harbor, ECR or zot.
type Upstream struct {
	// URL is its address, with the path below which repositories are: https://harbor.example.com/leash.
	URL string `yaml:"url"`
	// User is its user, PasswordEnv the environment variable that holds the password. "": docker's credentials for it.
	User        string `yaml:"user"`
	PasswordEnv string `yaml:"password_env"`
	// CAFile holds certificates (PEM) that vouch for it, besides the system's.
	CAFile string `yaml:"ca_file"`
	// CacheBytes bounds what is kept here of it. Default: 10 GiB.
	CacheBytes int64 `yaml:"cache_bytes"`
}

func (u *Upstream) check() error {
	switch {
	case !strings.HasPrefix(u.URL, "https://") && !strings.HasPrefix(u.URL, "http://"):
		return fmt.Errorf("url %q: it is an address, such as https://harbor.example.com/leash", u.URL)
	case (u.User == "") != (u.PasswordEnv == ""):
		return errors.New("user and password_env belong together")
	}
	return nil
}

func (c *Config) openUpstream(cache string, o Options) (*store.Upstream, error) {
	u := c.Upstream
	options := store.UpstreamOptions{URL: u.URL, User: u.User, Cache: cache, CacheBytes: u.CacheBytes, Log: o.Log, UserAgent: "leash/" + o.Version}
	if u.CAFile != "" {
		options.CAFile = c.beside(u.CAFile)
	}
	if u.PasswordEnv != "" {
		password, set := o.Env(u.PasswordEnv)
		if !set {
			return nil, c.place("upstream.password_env", fmt.Errorf("environment variable %s is not set", u.PasswordEnv))
		}
		options.Password = password
	}
	opened, err := store.OpenUpstream(options)
	if err != nil {
		return nil, c.place("upstream", err)
	}
	return opened, nil
}
