package config

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// A part is a field of a provider that stands in the addresses of some kinds, as {NAME}.
type part struct {
	name    string
	of      func(*Provider) *string
	form    *regexp.Regexp
	example string
}

// parts are all of them. What they may be made of is all that can stand in a host name or path unescaped.
var parts = []part{
	{"region", func(p *Provider) *string { return &p.Region }, regexp.MustCompile(`^[a-z]{2,}(-[a-z]+)+-[0-9]+$`), "us-east-1"},
	{"project", func(p *Provider) *string { return &p.Project }, regexp.MustCompile(`^[a-z0-9][a-z0-9.:-]*$`), "my-project-123"},
	{"location", func(p *Provider) *string { return &p.Location }, regexp.MustCompile(`^[a-z][a-z0-9-]*$`), "us-central1, europe-west4 or global"},
	{"resource", func(p *Provider) *string { return &p.Resource }, regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]*$`), "my-resource, of https://my-resource.openai.azure.com"},
	{"api_version", func(p *Provider) *string { return &p.APIVersion }, regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}(-preview)?$`), "2024-10-21"},
}

// expanded is an address or path of the provider's kind with what stands in it.
func (p *Provider) expanded(text string) string {
	for _, one := range parts {
		if value := *one.of(p); value != "" {
			text = strings.ReplaceAll(text, "{"+one.name+"}", value)
		}
	}
	return text
}

// expandedAll is expanded of each of several.
func (p *Provider) expandedAll(texts map[string]string) map[string]string {
	all := maps.Clone(texts)
	for name, text := range all {
		all[name] = p.expanded(text)
	}
	return all
}

// kindBaseURL is the base URL that the provider has by its kind; empty where the kind has none, or needs to know more for it.
func (p *Provider) kindBaseURL(k *Kind) string {
	found := p.expanded(cmp.Or(k.Places[p.Location], k.BaseURL))
	if strings.Contains(found, "{") {
		return ""
	}
	return found
}

// holds says that a part stands in an address of a kind: in the base URL, or in the others.
func (k *Kind) holds(name string) (base, paths bool) {
	in := func(text string) bool { return strings.Contains(text, "{"+name+"}") }
	for _, path := range k.Paths {
		paths = paths || in(path)
	}
	return in(k.BaseURL) || name == "location" && len(k.Places) > 0, paths
}

// checkParts looks at what stands in the addresses of the provider's kind. given says that base_url was.
func (p *Provider) checkParts(path string, k *Kind, fail failer) {
	for _, one := range parts {
		base, paths := k.holds(one.name)
		if one.name == "region" && k.Auth.SigV4 != "" {
			paths = p.AWS != nil // the signature is of a region
		}
		switch value := *one.of(p); {
		case value == "" && (paths || base && p.BaseURL.Host == ""):
			fail(path, "such as "+one.example, "%s is missing: the kind %s needs it", one.name, p.Kind)
		case value == "":
		case !base && !paths:
			fail(path+"."+one.name, "leave it away", "is nothing that the kind %s has: it is for %s", p.Kind, strings.Join(kindsWith(one.name), ", "))
		case !one.form.MatchString(value):
			fail(path+"."+one.name, "such as "+one.example, "%q does not look like one", value)
		}
	}
}

// kindsWith are the kinds that have a part.
func kindsWith(name string) []string {
	return kindsThat(func(k *Kind) bool {
		base, paths := k.holds(name)
		return base || paths
	})
}

func kindsThat(are func(*Kind) bool) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		if are(kinds[name]) {
			names = append(names, name)
		}
	}
	return names
}
