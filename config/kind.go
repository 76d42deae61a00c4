package config

import (
	"bytes"
	"cmp"
	_ "embed"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A Kind is what providers of one make have in common. kinds.yaml lists them: a provider is data, not code.
type Kind struct {
	// BaseURL is where it is; empty where each is elsewhere. {region} and the like stand for fields of the provider (places).
	BaseURL string `yaml:"base_url"`
	// Places are base URLs of some locations, by the location, that are elsewhere.
	Places map[string]string `yaml:"places"`
	// API is what it is spoken to in by clients that do not speak its own: chat, responses, messages, gemini or converse.
	API string `yaml:"api"`
	// Formats are those that it is sent as clients send them (llm.Format).
	Formats []string `yaml:"formats"`
	// Auth is where the key stands.
	Auth Auth `yaml:"auth"`
	// Headers are what every request needs that does not say otherwise.
	Headers map[string]string `yaml:"headers"`
	// Paths are those of formats that are not at their usual place, relative to the base URL, with fields of the provider as in
	// BaseURL, and {model}. Where there are any, there is nothing else.
	Paths map[string]string `yaml:"paths"`
	// Streams are likewise those of formats that are elsewhere when they are streamed.
	Streams map[string]string `yaml:"streams"`
	// Quirks are what it reads otherwise than its API's maker; package filters/provider knows them.
	Quirks []string `yaml:"quirks"`
	// Health is a path, relative to the base URL, that costs nothing and needs no key; empty where there is none.
	Health string `yaml:"health"`

	// Like is the kind from which it has whatever it does not say itself.
	Like string `yaml:"like"`
}

// Auth is where a provider's key stands in a request.
type Auth struct {
	Header string `yaml:"header"`
	Prefix string `yaml:"prefix"`
	// SigV4 is the service of Amazon's that requests may be signed for instead.
	SigV4 string `yaml:"sigv4"`
	// Google says that tokens of service accounts are taken.
	Google bool `yaml:"google"`
}

// Plain says that the provider reads requests of its formats as clients send them, at the usual paths: such a request may go there without
// the module provider.
func (k *Kind) Plain() bool { return k.API != "converse" && len(k.Paths) == 0 && len(k.Quirks) == 0 }

// Versioned says that the base URL has the version of the API in it, as clients of OpenAI's have theirs: /v1/models is
// BASE/models.
func (k *Kind) Versioned() bool { return k.API == "chat" || k.API == "responses" }

// At is the base URL of a server that has the APIs at their usual paths, as a client of this kind is given it.
func (k *Kind) At(server *url.URL) *url.URL {
	if k.Versioned() && len(k.Paths) == 0 {
		return &url.URL{Scheme: server.Scheme, Host: server.Host, Path: "/v1"}
	}
	return &url.URL{Scheme: server.Scheme, Host: server.Host}
}

// PathAt is where a provider with this path of its base URL has what its clients know by another path.
func (k *Kind) PathAt(base, path string) string {
	if k.Versioned() {
		path = strings.TrimPrefix(path, "/v1")
	}
	return strings.TrimRight(base, "/") + path
}

// DefaultKind is what a provider is whose kind is not named.
const DefaultKind = "openai"

//go:embed kinds.yaml
var kindsFile []byte

// kinds are all of them, by name.
var kinds = readKinds(kindsFile)

// Kinds are the names of all kinds, sorted.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }

// Description is what the provider's kind says of it.
func (p *Provider) Description() *Kind { return kinds[p.Kind] }

// CheckPath is what the provider's health check asks for, relative to the base URL; empty where there is none.
func (p *Provider) CheckPath() string { return cmp.Or(p.HealthCheck.Path, p.Description().Health) }

func readKinds(file []byte) map[string]*Kind {
	read := map[string]*Kind{}
	decoder := yaml.NewDecoder(bytes.NewReader(file))
	decoder.KnownFields(true)
	if err := decoder.Decode(&read); err != nil {
		panic("config: kinds.yaml: " + err.Error()) // a test reads it
	}
	for name, k := range read {
		if k.Like == "" {
			continue
		}
		model := read[k.Like]
		if model == nil || model.Like != "" {
			panic(fmt.Sprintf("config: kinds.yaml: %s is like %q, which is none, or like another itself", name, k.Like))
		}
		if k.API == "" {
			k.API = model.API
		}
		if k.Formats == nil {
			k.Formats = model.Formats
		}
		if k.Auth == (Auth{}) {
			k.Auth = model.Auth
		}
		if k.Headers == nil {
			k.Headers = model.Headers
		}
	}
	return read
}
