package envoy

import (
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/host/outage"
)

// FuzzLog reads what an Envoy writes, in whatever pieces it comes: lines are whole, and no key stays in one.
func FuzzLog(f *testing.F) {
	const key = "sk-planted-0123456789"
	f.Add("info\twasm\twasm log leash: hello\n\nwarning\tmain\tcaught SIGINT\n", 7)
	f.Add("debug\thttp\t'authorization', 'Bearer "+key+"'\n", 1)
	f.Add(config.Record+`"x":1}`+"\n"+config.Record+`"x":2}`, 3)
	f.Add("trace\thttp\tcompleted header: key=authorization value="+key, 2)
	f.Fuzz(func(t *testing.T, text string, size int) {
		server := &Server{keys: []string{key}}
		var got []string
		w := &lineWriter{line: func(line string) { got = append(got, server.hide(line)) }, done: func() {}}
		for rest := text; rest != ""; {
			piece := rest[:min(max(size, 1), len(rest))]
			rest = rest[len(piece):]
			if n, err := w.Write([]byte(piece)); n != len(piece) || err != nil {
				t.Fatalf("wrote %d of %d bytes: %v", n, len(piece), err)
			}
		}
		w.flush()
		var want []string
		for line := range strings.Lines(text) {
			want = append(want, server.hide(strings.TrimSuffix(line, "\n")))
		}
		if !slices.Equal(got, want) {
			t.Errorf("got lines %q, want %q", got, want)
		}
		if strings.Contains(strings.Join(got, "\n"), key) {
			t.Errorf("the key stands in %q", got)
		}
	})
}

// TestNoLineShowsACredential has the lines that Envoy writes at the level trace.
func TestNoLineShowsACredential(t *testing.T) {
	for line, want := range map[string]string{
		"'authorization', 'Bearer sk-x'":                               "'authorization', '[hidden]'",
		"completed header: key=X-Api-Key value=sk-x":                   "completed header: key=X-Api-Key value=[hidden]",
		"':path', '/v1beta/models/m:generateContent?alt=sse&key=sk-x'": "':path', '/v1beta/models/m:generateContent?alt=sse&key=[hidden]'",
		"':path', '/v1/moderations?api_key=sk-x&monkey=1'":             "':path', '/v1/moderations?api_key=[hidden]&monkey=1'",
		"':path', '/v1/moderations?monkey=1'":                          "':path', '/v1/moderations?monkey=1'",
	} {
		if got := (&Server{}).hide(line); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// TestRecordsAreWrittenWhateverTheKeysAre has keys as people write them where a provider wants none.
func TestRecordsAreWrittenWhateverTheKeysAre(t *testing.T) {
	const rest = `"model":"x","provider":"ollama"}`
	for key, want := range map[string]string{
		"x":        config.Record + rest,
		"EMPTY":    config.Record + rest,
		"ollama":   config.Record + `"model":"x","provider":"[hidden]"}`,
		"exchange": `{"event":"[hidden]",` + rest,
	} {
		var records, log strings.Builder
		r := &Runner{Server: &Server{}, Records: &records, Log: slog.New(slog.NewTextHandler(&log, nil))}
		r.Server.hideFromLog(&Resources{hidden: []string{key}})
		r.line("info\twasm\twasm log leash.pipeline~: " + config.Record + rest)
		r.line(config.Record + rest)
		r.records.flush(r.Records)
		if got := records.String(); got != want+"\n"+want+"\n" || log.Len() > 0 {
			t.Errorf("with the key %q the records are %q and the log %q, want two of %q", key, got, log.String(), want)
		}
	}
}

// TestAWarningThatNobodyCanDoAnythingAboutIsNotShown leaves all others as they are.
func TestAWarningThatNobodyCanDoAnythingAboutIsNotShown(t *testing.T) {
	const deprecated = "Deprecated field: type envoy.extensions.wasm.v3.PluginConfig Using deprecated option 'envoy.extensions.wasm.v3.PluginConfig."
	for line, want := range map[string]string{
		"warning\tmisc\t" + deprecated + "fail_open' from file wasm.proto.": "DEBUG",
		"warning\tmisc\t" + deprecated + "other' from file wasm.proto.":     "WARN",
		"error\tmain\tit is broken":                                         "ERROR",
	} {
		var log strings.Builder
		r := &Runner{Server: &Server{}, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
		if r.line(line); !strings.Contains(log.String(), "level="+want+" ") {
			t.Errorf("%q is logged as %s, want %s", line, log.String(), want)
		}
	}
}

// TestARefusedModuleIsWarnedOfOnce though Envoy says so for each filter that waits for it; the next refusal is another one.
func TestARefusedModuleIsWarnedOfOnce(t *testing.T) {
	var log strings.Builder
	r := &Runner{Server: &Server{}, Log: slog.New(slog.NewTextHandler(&log, nil))}
	for _, line := range []string{
		"critical\twasm\tPlugin leash.hello failed to load",
		"critical\twasm\tPlugin configured to fail closed failed to load",
		"critical\twasm\tPlugin configured to fail closed failed to load",
		"warning\tconfig\tgRPC config for type.googleapis.com/X rejected: Unable to create Wasm plugin leash.hello",
		"warning\tconfig\tgRPC config for type.googleapis.com/X rejected: Unable to create Wasm plugin leash.hello",
		"critical\twasm\tPlugin leash.hello failed to load",
		"warning\tconfig\tgRPC config for type.googleapis.com/X rejected: Unable to create Wasm plugin leash.hello",
		"warning\twasm\twasm log: said twice",
		"warning\twasm\twasm log: said twice",
	} {
		r.line(line)
	}
	for text, want := range map[string]int{"leash.hello failed to load": 2, "fail closed": 1, "rejected": 2, "said twice": 2} {
		if got := strings.Count(log.String(), text); got != want {
			t.Errorf("%q is logged %d times, want %d:\n%s", text, got, want, log.String())
		}
	}
}

// TestThatEnvoyEndsIsNoWarningWhereItWasToldTo: at any other time it is one.
func TestThatEnvoyEndsIsNoWarningWhereItWasToldTo(t *testing.T) {
	for _, line := range []string{
		"warning\tconfig\tStreamAggregatedResources gRPC config stream to leash.xds closed: 13, upstream_reset_after_response_started{connection_termination}",
		"warning\tmain\tcaught SIGINT",
	} {
		for ending, want := range map[bool]string{false: "WARN", true: "DEBUG"} {
			var log strings.Builder
			r := &Runner{Server: &Server{}, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
			r.ending.Store(ending)
			if r.line(line); !strings.Contains(log.String(), "level="+want+" ") {
				t.Errorf("%q is logged as %s, want %s where it is to end: %t", line, log.String(), want, ending)
			}
		}
	}
}

// TestTheOperatorIsToldOnceWhyAProviderCannotBeReached has the details as Envoy writes them.
func TestTheOperatorIsToldOnceWhyAProviderCannotBeReached(t *testing.T) {
	const (
		reset   = "upstream_reset_before_response_started"
		refused = reset + "{remote_connection_failure|delayed_connect_error:_Connection_refused}"
		tls     = reset + "{remote_connection_failure|TLS_error:|268435581:SSL_routines:OPENSSL_internal:"
		invalid = tls + "CERTIFICATE_VERIFY_FAILED:verify_cert_failed:_"
		depth   = invalid + "X509_verify_cert:_certificate_verification_error_at_depth_0:_"
	)
	tests := map[string]struct{ cluster, details, want string }{
		"a port that refuses":             {"provider.openai", refused, "address=api.openai.com:443 cause=\"" + outage.Refused},
		"within the bound of a route":     {"provider.openai~1s", refused, "address=api.openai.com:443 cause=\"" + outage.Refused},
		"an authority that is not known":  {"provider.openai", depth + "unable_to_get_local_issuer_certificate:TLS_error_end}", outage.Untrusted},
		"another authority of that name":  {"provider.openai", depth + "certificate_signature_failure:TLS_error_end}", outage.Untrusted},
		"a certificate by itself":         {"provider.openai", depth + "self-signed_certificate:TLS_error_end}", outage.Untrusted},
		"a certificate that ran out":      {"provider.openai", depth + "certificate_has_expired:TLS_error_end}", outage.Expired},
		"another name":                    {"provider.openai", invalid + "SAN_matcher,_certificate_SANs_are_[example.com]:TLS_error_end}", outage.OtherName + ": it is for [example.com]\""},
		"a certificate that is otherwise": {"provider.openai", depth + "unsuitable_certificate_purpose:TLS_error_end}", "depth 0: unsuitable certificate purpose\""},
		"a port without TLS":              {"provider.openai", tls + "WRONG_VERSION_NUMBER:TLS_error_end}", outage.NoTLS},
		"a port that says nothing":        {"provider.openai", reset + "{connection_timeout}", outage.Late},
		"a port that closes":              {"provider.openai", reset + "{connection_termination}", outage.Closed},
		"a port that is no HTTP":          {"provider.openai", reset + "{protocol_error}", outage.Broken},
		"a name that is not known":        {"provider.openai", "no_healthy_upstream", outage.UnknownName},
		"something else":                  {"provider.openai", reset + "{something_else}", "something else"},
		"a key":                           {"provider.openai", reset + "{sk-planted-0123456789}", hidden},
		"a request that was given up":     {"provider.openai", "downstream_remote_disconnect", ""},
		"an answer that breaks off":       {"provider.openai", "upstream_reset_after_response_started{connection_termination}", ""},
		"a step within Envoy":             {"exit.openai", refused, ""},
		"a provider that is not there":    {"provider.other", refused, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			r := &Runner{Server: &Server{keys: []string{"sk-planted-0123456789"}}, Log: slog.New(slog.NewTextHandler(&log, nil))}
			r.Server.places = map[string]place{"openai": {"api.openai.com:443", outage.UnknownName}}
			for range 3 {
				r.line(unreachedLine + tc.cluster + "\t" + tc.details)
			}
			if tc.want == "" {
				if log.Len() > 0 {
					t.Errorf("told %q", log.String())
				}
				return
			}
			got := log.String()
			if strings.Count(got, "\n") != 1 || !strings.Contains(got, `level=WARN msg="a provider cannot be reached" provider=openai address=`) || !strings.Contains(got, tc.want) {
				t.Errorf("told %q, want one line with %q", got, tc.want)
			}
		})
	}
}

// TestWhyNothingCanBeSentToAProvider: Envoy itself does not tell the two causes apart.
func TestWhyNothingCanBeSentToAProvider(t *testing.T) {
	const text = `
providers:
  address: {kind: ollama}
  name: {kind: openai-compatible, base_url: "https://models.example.com/v1"}
  checked: {kind: openai-compatible, base_url: "http://models.example.com/v1", health_check: {path: /health}}
allow_anonymous: true
routes: [{model: m, provider: name}]
pipeline: [{module: route}]
`
	c, err := config.Parse("leash.yaml", []byte(text), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]place{
		"address": {"127.0.0.1:11434", outage.Unhealthy},
		"name":    {"models.example.com:443", outage.UnknownName},
		"checked": {"models.example.com:80", outage.NoAddress},
	} {
		if got := (&translation{c: c}).place(name); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}
