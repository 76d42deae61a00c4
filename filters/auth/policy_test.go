package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/moduletest"
)

const (
	aliceKey  = "sk-acme-alice"
	robotKey  = "sk-acme-robot"
	globexKey = "sk-globex"
	chat      = `{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}`
)

func sum(key string) string {
	digest := sha256.Sum256([]byte(key))
	return hex.EncodeToString(digest[:])
}

// pipeline hands the caller over as a property, as it does between filters of one Envoy, so that tests can see it.
func pipeline(config string) string {
	return `{"handover":true,"modules":[{"name":"auth","config":` + config + `}]}`
}

var keys = fmt.Sprintf(`{"keys":[
	{"sha256":%q,"tenant":"acme","name":"app","user":"alice"},
	{"sha256":%q,"tenant":"acme","name":"robot"},
	{"sha256":%q,"tenant":"globex","name":"app"}]}`, sum(aliceKey), strings.ToUpper(sum(robotKey)), sum(globexKey))

func call(t testing.TB, config string, header map[string]string) (moduletest.Result, *moduletest.Host) {
	t.Helper()
	h := moduletest.New(t, pipeline(config))
	return h.Do(moduletest.Exchange{Header: header, Request: chat, Answer: `{}`}), h
}

func TestWhoCallsIsHandedToTheLaterModules(t *testing.T) {
	tests := map[string]struct {
		authorization string
		want          string // tenant, key and user, with zero bytes between them
	}{
		"a key of a user":                     {"Bearer " + aliceKey, "acme\x00app\x00alice"},
		"a SHA-256 configured in upper case":  {"Bearer " + robotKey, "acme\x00robot\x00"},
		"the same key name of another tenant": {"Bearer " + globexKey, "globex\x00app\x00"},
		"the scheme in lower case":            {"bearer " + globexKey, "globex\x00app\x00"},
		"the scheme in upper case":            {"BEARER " + globexKey, "globex\x00app\x00"},
		"several spaces, as RFC 9110 allows":  {"Bearer   " + globexKey + "  ", "globex\x00app\x00"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, _ := call(t, keys, map[string]string{"Authorization": tc.authorization})
			if caller := got.Properties["leash.caller"]; !got.Sent || caller != tc.want {
				t.Errorf("sent %t, caller %q, want %q; %s", got.Sent, caller, tc.want, got.Body)
			}
		})
	}
}

func TestWhoHasNoKnownKeyIsRefused(t *testing.T) {
	const (
		missing = "no API key was sent: set the header Authorization: Bearer YOUR_KEY"
		unknown = "the API key is not known to this gateway: check it, or ask its operator for one"
	)
	tests := map[string]struct {
		header map[string]string
		want   string
	}{
		"no header":                        {nil, missing},
		"an empty header":                  {map[string]string{"authorization": ""}, missing},
		"a scheme alone":                   {map[string]string{"authorization": "Bearer"}, missing},
		"a scheme and spaces":              {map[string]string{"authorization": "Bearer    "}, missing},
		"a key without a scheme":           {map[string]string{"authorization": aliceKey}, missing},
		"another scheme":                   {map[string]string{"authorization": "Basic " + aliceKey}, missing},
		"no space behind the scheme":       {map[string]string{"authorization": "Bearer:" + aliceKey}, missing},
		"an unknown key":                   {map[string]string{"authorization": "Bearer sk-unknown"}, unknown},
		"a key in other case":              {map[string]string{"authorization": "Bearer " + strings.ToUpper(aliceKey)}, unknown},
		"the start of a key":               {map[string]string{"authorization": "Bearer " + aliceKey[:len(aliceKey)-1]}, unknown},
		"more than a key":                  {map[string]string{"authorization": "Bearer " + aliceKey + "x"}, unknown},
		"the SHA-256 of a key":             {map[string]string{"authorization": "Bearer " + sum(aliceKey)}, unknown},
		"two keys, the first known":        {map[string]string{"authorization": "Bearer " + aliceKey + ",Bearer sk-unknown"}, unknown},
		"two headers with a known key":     {map[string]string{"authorization": "Bearer " + aliceKey + ",Bearer " + aliceKey}, unknown},
		"the key in x-api-key":             {map[string]string{"x-api-key": aliceKey}, missing},
		"the key in api-key":               {map[string]string{"api-key": aliceKey}, missing},
		"the key in a cookie":              {map[string]string{"cookie": "authorization=Bearer " + aliceKey}, missing},
		"the key as a proxy's credentials": {map[string]string{"proxy-authorization": "Bearer " + aliceKey}, missing},
		"a forged caller": {map[string]string{
			"leash.caller": "acme\x00app\x00alice", "x-leash-tenant": "acme", "x-leash-caller": "acme", "authorization": "Bearer sk-unknown",
		}, unknown},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, h := call(t, keys, tc.header)
			if got.Sent || got.Status != 401 {
				t.Fatalf("got %d, sent %t, want 401 and nothing sent", got.Status, got.Sent)
			}
			want := `{"error":{"message":"` + tc.want + `","type":"authentication_error","param":null,"code":"invalid_api_key"}}`
			if got.Body != want {
				t.Errorf("got  %s\nwant %s", got.Body, want)
			}
			if caller, known := got.Properties["leash.caller"]; known {
				t.Errorf("a refused exchange has the caller %q", caller)
			}
			if n := h.Metrics["leash_refusals_total.[module=auth].[code=invalid_api_key].[tenant=none]"]; n != 1 {
				t.Errorf("counted %d refusals, want 1: %v", n, h.Metrics)
			}
		})
	}
}

func TestTheKeyComesInTheHeaderOfTheClientsOwnAPI(t *testing.T) {
	const messages = `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"hi"}]}`
	const generate = "/v1beta/models/m:generateContent"
	const contents = `{"contents":[{"parts":[{"text":"hi"}]}]}`
	tests := map[string]struct {
		path, request string
		header        map[string]string
		caller        string // empty for a refusal
	}{
		"Anthropic":                    {"/v1/messages", messages, map[string]string{"x-api-key": aliceKey}, "acme\x00app\x00alice"},
		"Anthropic, as a bearer":       {"/v1/messages", messages, map[string]string{"authorization": "Bearer " + aliceKey}, "acme\x00app\x00alice"},
		"Anthropic, both":              {"/v1/messages", messages, map[string]string{"x-api-key": aliceKey, "authorization": "Bearer " + globexKey}, "acme\x00app\x00alice"},
		"Anthropic in Google's header": {"/v1/messages", messages, map[string]string{"x-goog-api-key": aliceKey}, ""},
		"Google":                       {generate, contents, map[string]string{"x-goog-api-key": aliceKey}, "acme\x00app\x00alice"},
		"Google in a query":            {generate + "?key=" + aliceKey, contents, nil, ""},
		"Google in Anthropic's header": {generate, contents, map[string]string{"x-api-key": aliceKey}, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := moduletest.New(t, pipeline(keys)).Do(moduletest.Exchange{Path: tc.path, Header: tc.header, Request: tc.request, Answer: `{}`})
			if got.Properties["leash.caller"] != tc.caller || got.Sent != (tc.caller != "") {
				t.Errorf("caller %q, sent %t: %d %s", got.Properties["leash.caller"], got.Sent, got.Status, got.Body)
			}
			for _, name := range credentials {
				if v, ok := got.SentHeader[name]; ok {
					t.Errorf("the provider read %s: %s", name, v)
				}
			}
		})
	}
}

func TestWithoutKeysNobodyIsLetIn(t *testing.T) {
	for name, config := range map[string]string{"an empty list": `{"keys":[]}`, "no list": `{}`} {
		t.Run(name, func(t *testing.T) {
			got, _ := call(t, config, map[string]string{"authorization": "Bearer " + aliceKey})
			if got.Status != 401 || got.Sent {
				t.Errorf("got %d, sent %t, want 401", got.Status, got.Sent)
			}
		})
	}
}

// The keys are looked up by the first 8 bytes of their SHA-256; all 32 decide.
func TestAHashThatBeginsAlikeIsAnotherKey(t *testing.T) {
	alike := sum(aliceKey)[:16] + strings.Repeat("0", 48)
	header := map[string]string{"authorization": "Bearer " + aliceKey}
	one := `{"sha256":"` + alike + `","tenant":"mallory","name":"alike"}`
	other := `{"sha256":"` + sum(aliceKey) + `","tenant":"acme","name":"app"}`

	if got, _ := call(t, `{"keys":[`+one+`]}`, header); got.Sent || got.Status != 401 {
		t.Errorf("the first 8 bytes let a key in: %d", got.Status)
	}
	for name, list := range map[string]string{"before": one + "," + other, "behind": other + "," + one} {
		got, _ := call(t, `{"keys":[`+list+`]}`, header)
		if caller := got.Properties["leash.caller"]; caller != "acme\x00app\x00" {
			t.Errorf("the one alike stands %s: caller %q, want acme's", name, caller)
		}
	}
}

func TestKeysStandInNoAnswerLogOrMetric(t *testing.T) {
	const planted = "sk-planted-c0ffee"
	config := `{"keys":[{"sha256":"` + sum(aliceKey) + `","tenant":"acme","name":"app"}]}`
	for name, header := range map[string]map[string]string{
		"refused":          {"authorization": "Bearer " + planted},
		"refused, a basic": {"authorization": "Basic " + planted},
		"known":            {"authorization": "Bearer " + aliceKey, "x-api-key": planted},
	} {
		t.Run(name, func(t *testing.T) {
			got, h := call(t, config, header)
			told := append(slices.Collect(maps.Keys(h.Metrics)), h.Logs...)
			told = append(told, got.Body)
			for k, v := range got.Header {
				told = append(told, k+": "+v)
			}
			for k, v := range got.Properties {
				told = append(told, k+": "+v)
			}
			for _, line := range told {
				for _, secret := range []string{planted, aliceKey, sum(planted), sum(aliceKey)} {
					if strings.Contains(line, secret) {
						t.Errorf("%q is told in %q", secret, line)
					}
				}
			}
		})
	}
}

func TestNoCredentialLeavesTowardsTheProvider(t *testing.T) {
	credentials := []string{
		"authorization", "x-api-key", "api-key", "x-goog-api-key", "proxy-authorization", "cookie", "openai-organization", "openai-project",
	}
	header := map[string]string{"user-agent": "test", "x-stainless-lang": "go"}
	for _, name := range credentials {
		header[name] = "sk-smuggled"
	}
	header["authorization"] = "Bearer " + aliceKey

	got, _ := call(t, keys, header)
	if !got.Sent {
		t.Fatalf("got %d %s, want it sent", got.Status, got.Body)
	}
	for _, name := range credentials {
		if value, there := got.SentHeader[name]; there {
			t.Errorf("%s: %q reaches the provider", name, value)
		}
	}
	if got.SentHeader["user-agent"] != "test" || got.SentHeader["x-stainless-lang"] != "go" {
		t.Errorf("headers that are no credentials are gone: %v", got.SentHeader)
	}
	if got.SentBody != chat {
		t.Errorf("the body was changed to %s", got.SentBody)
	}
}

func TestMistakesInTheConfigurationAreNamed(t *testing.T) {
	good := sum(aliceKey)
	const notHash = `sha256: is not 64 hexadecimal digits: make it with printf %s "$KEY" | sha256sum`
	tests := map[string]struct{ config, want string }{
		"keys is no list":           {`{"keys":"sk-1"}`, `keys: "sk-1" is not a list`},
		"a key is no map":           {`{"keys":["sk-1"]}`, `keys[0]: "sk-1" is not a map of fields`},
		"an unknown field":          {`{"key":[]}`, `key: unknown field; the known ones are keys, unknown_keys`},
		"an unknown field of a key": {`{"keys":[{"sha":"1"}]}`, `keys[0].sha: unknown field; the known ones are sha256, tenant, name, user`},
		"no hash":                   {`{"keys":[{"tenant":"acme"}]}`, `keys[0].` + notHash},
		"a key instead of its hash": {`{"keys":[{"sha256":"sk-acme","tenant":"acme"}]}`, `keys[0].` + notHash},
		"a hash that is too short":  {`{"keys":[{"sha256":"` + good[2:] + `","tenant":"acme"}]}`, `keys[0].` + notHash},
		"a hash that is too long":   {`{"keys":[{"sha256":"` + good + `00","tenant":"acme"}]}`, `keys[0].` + notHash},
		"a hash of another type":    {`{"keys":[{"sha256":12,"tenant":"acme"}]}`, `keys[0].sha256: 12 is not a string`},
		"no tenant":                 {`{"keys":[{"sha256":"` + good + `"}]}`, `keys[0].tenant: is empty`},
		"a tenant of another type":  {`{"keys":[{"tenant":1}]}`, `keys[0].tenant: 1 is not a string`},
		"a name of another type":    {`{"keys":[{"name":true}]}`, `keys[0].name: true is not a string`},
		"a user of another type":    {`{"keys":[{"user":[]}]}`, `keys[0].user: [] is not a string`},
		"a tenant that forges a key name": {
			`{"keys":[{"sha256":"` + good + `","tenant":"acme\u0000admin"}]}`, `keys[0].tenant: holds a control character`,
		},
		"a name with a line break": {`{"keys":[{"sha256":"` + good + `","tenant":"a","name":"x\ny"}]}`, `keys[0].name: holds a control character`},
		"a user with a zero byte":  {`{"keys":[{"sha256":"` + good + `","tenant":"a","user":"\u0000"}]}`, `keys[0].user: holds a control character`},
		"the same key of two tenants": {
			`{"keys":[{"sha256":"` + good + `","tenant":"acme"},{"sha256":"` + strings.ToUpper(good) + `","tenant":"globex"}]}`,
			`keys[1].sha256: stands twice`,
		},
	}
	definition, _ := module.Lookup("auth")
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := definition.New([]byte(tc.config))
			if err == nil || err.Error() != tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), "sk-acme") {
				t.Errorf("a key is told in %v", err)
			}
		})
	}
}

// New may be called from Go too, where no Validate has run before.
func TestNewChecksHashesForItself(t *testing.T) {
	if _, err := New(Config{Keys: []Key{{SHA256: "xyz", Tenant: "acme"}}}); err == nil || !strings.HasPrefix(err.Error(), "keys[0].sha256: ") {
		t.Errorf("got %v, want an error of keys[0].sha256", err)
	}
}

func FuzzAuthorization(f *testing.F) {
	for _, seed := range []string{"Bearer " + aliceKey, "bearer\t" + aliceKey, "", " ", "Bearer ,", "Bearer \xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, authorization string) {
		got, _ := call(t, keys, map[string]string{"authorization": authorization})
		known := strings.Contains(authorization, aliceKey) || strings.Contains(authorization, robotKey) || strings.Contains(authorization, globexKey)
		if got.Sent && !known {
			t.Errorf("%q was let in", authorization)
		}
		if !got.Sent && (got.Status != 401 || !gjson.Valid(got.Body)) {
			t.Errorf("%q was answered with %d %s", authorization, got.Status, got.Body)
		}
	})
}
