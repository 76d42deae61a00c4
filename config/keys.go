package config

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// spread makes a provider of each key of those that have several: PROVIDER#2 is the one with the second key. Where a route leads to
// the provider it then leads to all of them, so that a key is chosen, fails and cools down as a provider does.
func (c *Config) spread() {
	several := map[string][]ProviderKey{}
	c.made = map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(c.Providers)) {
		p := c.Providers[name]
		if len(p.APIKeys) == 0 {
			continue
		}
		several[name] = p.APIKeys
		for i := range p.APIKeys {
			one := *p
			one.APIKey, one.APIKeys = &p.APIKeys[i].Key, nil
			c.Providers[keyed(name, i)] = &one
			c.made["providers."+keyed(name, i)] = "providers." + name
			c.made["providers."+keyed(name, i)+".api_key"] = "providers." + name + ".api_keys[" + strconv.Itoa(i) + "].key"
		}
	}
	for i := range c.Routes {
		r := &c.Routes[i]
		if r.Model != "" && slices.ContainsFunc(r.AllTargets(), func(t Target) bool { return several[t.Provider] != nil }) {
			r.Targets = spreadTargets(r.AllTargets(), several)
			r.Provider, r.UpstreamModel = "", ""
		}
	}
}

// keyed is the name of a provider with one of its keys.
func keyed(provider string, key int) string {
	if key == 0 {
		return provider
	}
	return provider + "#" + strconv.Itoa(key+1)
}

func spreadTargets(targets []Target, several map[string][]ProviderKey) (all []Target) {
	const share = 1000 // what a weight of 1 is divided into
	group := 0
	for i, t := range targets {
		if i == 0 || t.Weight == 0 || targets[i-1].Weight == 0 {
			group++
		}
		t.group = group
		keys := several[t.Provider]
		if len(keys) == 0 {
			t.Weight *= share
			all = append(all, t)
			continue
		}
		sum := 0
		for _, k := range keys {
			sum += max(k.Weight, 1)
		}
		for j, k := range keys {
			one := t
			one.Provider = keyed(t.Provider, j)
			one.Weight = max(1, share*max(t.Weight, 1)*max(k.Weight, 1)/sum)
			all = append(all, one)
		}
	}
	return all
}

// keyCount is how many targets a target is.
func (c *Config) keyCount(t Target) int {
	if p := c.Providers[t.Provider]; p != nil {
		return max(1, len(p.APIKeys))
	}
	return 1
}

// written is what the file calls a part of a provider that was made of one of several keys.
func (c *Config) written(path string) string {
	for end := len(path); end > 0; end = strings.LastIndexByte(path[:end], '.') {
		if there, made := c.made[path[:end]]; made {
			return there + path[end:]
		}
	}
	return path
}

// StatName is what Envoy calls a provider in its statistics, whose names it cuts at dots.
func StatName(provider string) string { return statName.Replace(provider) }

var statName = strings.NewReplacer(".", "_", "#", "_")
