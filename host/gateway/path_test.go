package gateway

import (
	"strings"
	"testing"
)

// TestPathsHaveOneSpelling: what Envoy makes of these is in e2e (TestEnginesReadRequestsAlike).
func TestPathsHaveOneSpelling(t *testing.T) {
	const refused = ""
	for target, want := range map[string]string{
		"/v1/chat":                   "/v1/chat",
		"/":                          "/",
		"//v1///chat":                "/v1/chat",
		"/v1/./chat":                 "/v1/chat",
		"/x/../v1/chat":              "/v1/chat",
		"/../../v1":                  "/v1",
		"/v1/chat/..":                "/v1/",
		"/v1/chat/.":                 "/v1/chat/",
		"/v1/chat/":                  "/v1/chat/",
		"/v1/chat//":                 "/v1/chat/",
		"/.":                         "/",
		"/..":                        "/",
		`\v1\chat`:                   refused,
		`/v1\chat`:                   "/v1/chat",
		"/v1/%63hat":                 "/v1/chat",
		"/v1/%2e%2e/chat":            "/chat",
		"/v1/a%20b":                  "/v1/a%20b",
		"/v1/a%3fb":                  "/v1/a%3fb",
		"/v1/a\"<>^`{|}b":            "/v1/a%22%3C%3E%5E%60%7B%7C%7Db",
		"/v1/a!$&'()*+,;=:@[]~b":     "/v1/a!$&'()*+,;=:@[]~b",
		"/v1/%C3%A9":                 "/v1/%C3%A9",
		"/v1%2fchat":                 refused,
		"/v1%5Cchat":                 refused,
		"/v1/chat%00":                refused,
		"/v1/chat\x00":               refused,
		"/v1/ch at":                  refused,
		"/v1/chat?a b":               refused,
		"/v1/chat?a\tb":              refused,
		"/v1/chat?a\x7fb":            refused,
		"/v1/chat#x":                 refused,
		"/v1/ch\xc3\xa9":             refused,
		"/v1?q=\xc3\xa9":             refused,
		"/v1/chat?a=%2f..//#":        refused,
		"/v1/chat?a=%2f..//&b=%00%5": "/v1/chat?a=%2f..//&b=%00%5",
		"//?x":                       "/?x",
		"v1":                         refused,
		"*":                          refused,
		"":                           refused,
	} {
		got, err := normalize(target)
		if want == refused && err == nil || got != want {
			t.Errorf("%q is %q (%v), want %q", target, got, err, want)
		}
	}
}

// FuzzNormalize: a path that is accepted stays the same when it is normalized again, and hides no way up.
func FuzzNormalize(f *testing.F) {
	for _, seed := range []string{"/a/../b", "/%2e%2e/x", "//", "/a%2fb", `/a\..\b`, "/a?b=../c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, target string) {
		once, err := normalize(target)
		if err != nil {
			return
		}
		if twice, err := normalize(once); err != nil || twice != once {
			t.Errorf("%q is %q, and that again %q (%v)", target, once, twice, err)
		}
		path, _, _ := strings.Cut(once, "?")
		for _, segment := range strings.Split(path, "/") {
			if segment == ".." || segment == "." {
				t.Errorf("%q is %q", target, once)
			}
		}
		if !strings.HasPrefix(path, "/") || strings.Contains(path, "//") || strings.Contains(path, `\`) {
			t.Errorf("%q is %q", target, once)
		}
	})
}
