package envoy

import (
	_ "embed"
	"fmt"
	"path/filepath"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	aws "github.com/envoyproxy/go-control-plane/envoy/extensions/common/aws/v3"
	signing "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/aws_request_signing/v3"
	injector "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/credential_injector/v3"
	lua "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/lua/v3"
	codec "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/upstream_codec/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	generic "github.com/envoyproxy/go-control-plane/envoy/extensions/http/injected_credentials/generic/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/leash-gateway/leash/config"
)

// Envoy itself puts the provider's key into each request, or signs it, behind all modules: none of them knows a key (apart.go).

// secretName is the secret of a provider.
func secretName(provider string) string { return "key." + provider }

// upstreamFilters are the last that a request to a provider passes.
func (t *translation) upstreamFilters(name string) []*hcm.HttpFilter {
	var filters []*hcm.HttpFilter
	auth := t.c.Providers[name].Description().Auth
	switch {
	case t.signs(name):
		filters = append(filters, httpFilter("envoy.filters.http.aws_request_signing", &signing.AwsRequestSigning{
			ServiceName: auth.SigV4, Region: t.c.Providers[name].Region, CredentialProvider: t.accessKey(name),
			// Besides host and date. All else is what a proxy on the way may change.
			MatchIncludedHeaders: []*matcher.StringMatcher{{MatchPattern: &matcher.StringMatcher_Exact{Exact: "content-type"}}},
		}), withoutCredential("x-amz-security-token", ""))
	case t.hasKey(name):
		secret := &tls.SdsSecretConfig{Name: secretName(name)}
		if !t.o.Static {
			secret.SdsConfig = adsSource()
		}
		filters = append(filters, httpFilter("envoy.filters.http.credential_injector", &injector.CredentialInjector{
			Overwrite: true,
			Credential: &core.TypedExtensionConfig{
				Name: "envoy.http.injected_credentials.generic",
				TypedConfig: pack(&generic.Generic{
					Credential: secret, Header: auth.Header, HeaderValuePrefix: auth.Prefix,
				}),
			},
		}), withoutCredential(auth.Header, auth.Prefix))
	}
	return append(filters, httpFilter("envoy.filters.http.upstream_codec", &codec.UpstreamCodec{}))
}

//go:embed credential.lua
var credentialScript string

// withoutCredential takes out of errors the credential that stands in a header behind a prefix. It is a script because nothing else but the
// filters in front of it may see that (docs/decisions/131-errors-without-credentials.md).
func withoutCredential(header, prefix string) *hcm.HttpFilter {
	set := fmt.Sprintf("local header, prefix, shortest = %q, %q, %d\nlocal redacted, withheld = %q, %q\n",
		header, prefix, config.MinSecret, config.Redacted, config.WithheldError)
	return httpFilter("envoy.filters.http.lua", &lua.Lua{
		DefaultSourceCode: &core.DataSource{Specifier: &core.DataSource_InlineString{InlineString: set + credentialScript}},
	})
}

func (t *translation) hasKey(name string) bool {
	p := t.c.Providers[name]
	return (p.APIKey != nil || p.ServiceAccount != nil) && t.o.Mock[name] == nil
}

func (t *translation) signs(name string) bool {
	return t.c.Providers[name].AWS != nil && t.o.Mock[name] == nil
}

// secret is a provider's key: its value over xDS, or a reference that Envoy follows.
func (t *translation) secret(name string) *tls.Secret {
	if !t.hasKey(name) {
		return nil
	}
	source := &core.DataSource{}
	key := t.c.Providers[name].APIKey
	switch value, resolved := t.o.Secrets[name]; {
	case resolved || key == nil: // without a token of a service account: until there is one Envoy refuses requests
		source.Specifier = &core.DataSource_InlineString{InlineString: value.Reveal()}
	case key.Env != "":
		source.Specifier = &core.DataSource_EnvironmentVariable{EnvironmentVariable: key.Env}
	default:
		source.Specifier = &core.DataSource_Filename{Filename: key.File}
	}
	return &tls.Secret{Name: secretName(name), Type: &tls.Secret_GenericSecret{GenericSecret: &tls.GenericSecret{Secret: source}}}
}

// accessKey is where Envoy has the access key of Amazon's from: its value over xDS, in fields that Envoy never shows, or a reference that
// Envoy follows.
func (t *translation) accessKey(name string) *aws.AwsCredentialProvider {
	from := t.c.Providers[name].AWS
	switch key, resolved := t.o.AWS[name]; {
	case resolved:
		return &aws.AwsCredentialProvider{InlineCredential: &aws.InlineCredentialProvider{
			AccessKeyId: key.ID, SecretAccessKey: key.Secret.Reveal(), SessionToken: key.Token.Reveal(),
		}}
	case from.CredentialsFile != "":
		return &aws.AwsCredentialProvider{CustomCredentialProviderChain: true, CredentialsFileProvider: &aws.CredentialsFileCredentialProvider{
			CredentialsDataSource: &core.DataSource{
				Specifier:        &core.DataSource_Filename{Filename: from.CredentialsFile},
				WatchedDirectory: &core.WatchedDirectory{Path: filepath.Dir(from.CredentialsFile)},
			},
			Profile: from.Profile,
		}}
	default:
		return &aws.AwsCredentialProvider{CustomCredentialProviderChain: true, EnvironmentCredentialProvider: &aws.EnvironmentCredentialProvider{}}
	}
}

// checkStatic says what of a provider an Envoy that somebody else runs could not do.
func (t *translation) checkStatic(name string) error {
	p := t.c.Providers[name]
	if !t.o.Static {
		return nil
	}
	if p.ServiceAccount != nil {
		return t.c.Errorf("providers."+name+".service_account", "tokens of a service account are got and renewed by leash up alone: "+
			"for an Envoy of your own let something else write them to a file, and name that in api_key")
	}
	if p.AWS == nil || p.AWS.CredentialsFile != "" {
		return nil
	}
	for _, s := range p.AWS.Secrets() {
		if variable := "AWS_" + strings.ToUpper(s.Field); s.Secret != nil && s.Secret.Env != variable {
			return t.c.Errorf("providers."+name+".aws."+s.Field, "an Envoy of your own reads it from the environment variable %s only: name that, or a credentials_file", variable)
		}
	}
	return nil
}
