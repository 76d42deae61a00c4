package auth

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/moduletest"
)

// bounded lets two unknown keys come from an address within a minute.
var bounded = strings.TrimSuffix(keys, "}") + `,"unknown_keys":{"requests":2}}`

// A try is a request from an address with a key, and what it is answered.
type try struct {
	address, key string
	want         int
}

func from(t *testing.T, h *moduletest.Host, one try) moduletest.Result {
	t.Helper()
	header := map[string]string{"authorization": "Bearer " + one.key}
	if one.key == "" {
		header = nil
	}
	got := h.Do(moduletest.Exchange{Header: header, Request: chat, Answer: `{}`, Properties: map[string]string{"source.address": one.address}})
	if got.Status != one.want {
		t.Errorf("%s with the key %q: got %d %s, want %d", one.address, one.key, got.Status, got.Body, one.want)
	}
	return got
}

func TestWhoTriesKeysIsRefusedWhateverComesNext(t *testing.T) {
	const here, there = "203.0.113.9:1", "203.0.113.10:1"
	tests := map[string][]try{
		"a third unknown key":             {{here, "sk-a", 401}, {here, "sk-b", 401}, {here, "sk-c", 429}},
		"a known key after two":           {{here, "sk-a", 401}, {here, "sk-b", 401}, {here, aliceKey, 429}},
		"a known key after one":           {{here, "sk-a", 401}, {here, aliceKey, 200}, {here, "sk-b", 401}, {here, aliceKey, 429}},
		"the same key again":              {{here, "sk-a", 401}, {here, "sk-a", 401}, {here, "sk-a", 429}},
		"known keys count for nothing":    {{here, aliceKey, 200}, {here, aliceKey, 200}, {here, aliceKey, 200}, {here, "sk-a", 401}, {here, robotKey, 200}},
		"no key at all does not":          {{here, "", 401}, {here, "", 401}, {here, "", 401}, {here, aliceKey, 200}},
		"no key at all, after two":        {{here, "sk-a", 401}, {here, "sk-b", 401}, {here, "", 401}},
		"another address":                 {{here, "sk-a", 401}, {here, "sk-b", 401}, {there, "sk-c", 401}, {there, aliceKey, 200}},
		"another port":                    {{here, "sk-a", 401}, {"203.0.113.9:2", "sk-b", 401}, {"203.0.113.9:3", aliceKey, 429}},
		"another address of one's IPv6":   {{"[2001:db8::1]:1", "sk-a", 401}, {"[2001:db8::2]:1", "sk-b", 401}, {"[2001:db8::3]:1", aliceKey, 429}},
		"another network of IPv6":         {{"[2001:db8::1]:1", "sk-a", 401}, {"[2001:db8::2]:1", "sk-b", 401}, {"[2001:db8:0:1::1]:1", aliceKey, 200}},
		"an address that nobody can tell": {{"", "sk-a", 401}, {"", "sk-b", 401}, {"", aliceKey, 429}},
	}
	for name, tries := range tests {
		t.Run(name, func(t *testing.T) {
			h := moduletest.New(t, pipeline(bounded))
			for _, one := range tries {
				from(t, h, one)
			}
		})
	}
}

func TestTriesComeBackWithTime(t *testing.T) {
	h := moduletest.New(t, pipeline(bounded))
	for range 2 {
		from(t, h, try{"203.0.113.9:1", "sk-a", 401})
	}
	got := from(t, h, try{"203.0.113.9:1", aliceKey, 429})
	if got.Header["retry-after"] != "30" || gjson.Get(got.Body, "error.code").Str != "too_many_unknown_keys" {
		t.Errorf("got %v %s, want too_many_unknown_keys for 30 s", got.Header, got.Body)
	}
	h.Clock = h.Clock.Add(30 * time.Second)
	from(t, h, try{"203.0.113.9:1", aliceKey, 200})
	from(t, h, try{"203.0.113.9:1", "sk-a", 401})
	from(t, h, try{"203.0.113.9:1", aliceKey, 429})
	h.Clock = h.Clock.Add(time.Hour)
	for range 2 {
		from(t, h, try{"203.0.113.9:1", "sk-a", 401})
	}
	from(t, h, try{"203.0.113.9:1", "sk-a", 429})
}

func TestWithoutABoundKeysMayBeTried(t *testing.T) {
	h := moduletest.New(t, pipeline(keys))
	for i := range 100 {
		from(t, h, try{"203.0.113.9:1", fmt.Sprint("sk-", i), 401})
	}
	from(t, h, try{"203.0.113.9:1", aliceKey, 200})
}

func TestWhichAddressesShareTriesDependsOnTheKeys(t *testing.T) {
	one, err := New(Config{UnknownKeys: Tries{Requests: 1, Window: time.Minute}, Keys: []Key{{SHA256: sum(aliceKey), Tenant: "a"}}})
	if err != nil {
		t.Fatal(err)
	}
	other, err := New(Config{UnknownKeys: Tries{Requests: 1, Window: time.Minute}, Keys: []Key{{SHA256: sum(robotKey), Tenant: "a"}}})
	if err != nil {
		t.Fatal(err)
	}
	if one.tries.secret == other.tries.secret || one.tries.secret == [prefixBytes]byte{} {
		t.Errorf("the secrets are %x and %x", one.tries.secret, other.tries.secret)
	}
}

func TestBoundsOfTriesAreChecked(t *testing.T) {
	definition, _ := module.Lookup("auth")
	for bound, want := range map[string]string{
		`{"requests":-1}`:                "unknown_keys.requests: must be 0 to 1000000",
		`{"requests":1000001}`:           "unknown_keys.requests: must be 0 to 1000000",
		`{"requests":1,"window":"1ms"}`:  "unknown_keys.window: must be between 1s and 744h",
		`{"requests":1,"window":"745h"}`: "unknown_keys.window: must be between 1s and 744h",
		`{"requests":1,"burst":2}`:       "unknown_keys.burst: unknown field; the known ones are requests, window",
		`{"requests":1,"place":"a"}`:     "unknown_keys.place: unknown field; the known ones are requests, window",
	} {
		if _, err := definition.New([]byte(`{"unknown_keys":` + bound + `}`)); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", bound, err, want)
		}
	}
}
