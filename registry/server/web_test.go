package server_test

import (
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/registry/server"
	"github.com/leash-gateway/leash/registry/signing"
)

const hostileReadme = "# Hello\n\nIt says **hello**.\n\n<script>alert(1)</script>\n\n[click](javascript:alert(1)) ![x](x\" onerror=\"alert(1))\n"

// seen is a page's text, and the attributes and elements that could do something.
func seen(t *testing.T, page string) (text string, links []string, active []string) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for node := range root.Descendants() {
		if node.Type == html.TextNode {
			b.WriteString(strings.TrimSpace(node.Data) + " ")
		}
		if node.Type == html.ElementNode && (node.Data == "script" || node.Data == "iframe" || node.Data == "object") {
			active = append(active, node.Data)
		}
		for _, a := range node.Attr {
			if strings.HasPrefix(a.Key, "on") || strings.HasPrefix(strings.ToLower(strings.TrimSpace(a.Val)), "javascript:") {
				active = append(active, a.Key+"="+a.Val)
			}
			if a.Key == "href" {
				links = append(links, a.Val)
			}
		}
	}
	return b.String(), links, active
}

func TestPagesTellPeopleWhatThereIs(t *testing.T) {
	t.Parallel()
	key, policy := signer(t)
	r := start(t, func(o *server.Options) { o.Trust = policy })
	wasm, err := manifest.PutProject(module(t, "1.0.0"), map[string][]byte{"README.md": []byte(hostileReadme)})
	if err != nil {
		t.Fatal(err)
	}
	at := r.mustPush(t, "team/hello:1.0.0", wasm)
	if _, err := signing.Sign(t.Context(), client(t), at, key, signing.Bundle, signing.Options{}); err != nil {
		t.Fatal(err)
	}
	r.mustPush(t, "team/hello:1.1.0", module(t, "1.1.0")) // waits for its signature
	for path, want := range map[string][]string{
		"/":                                  {"team/hello", "1.0.0", "A module of a test."},
		"/?q=hello":                          {"team/hello"},
		"/?q=nonsense":                       {"no module with these words"},
		"/modules/team/hello":                {"1.0.0", "released", "pending", "release", "It says", "hello", at.Digest.String(), "Apache-2.0", "anonymous"},
		"/modules/team/hello?version=1.1.0":  {"1.1.0", "It cannot be had:", "waits for a signature"},
		"/modules/team/hello?version=9.9.9":  {"There is no such module"},
		"/modules/team/nobody":               {"There is no such module"},
		"/?q=%3Cscript%3Ealert(1)%3C/script": {"no module"},
	} {
		answer, err := http.Get("http://" + r.address + path)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if policy := answer.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") {
			t.Errorf("%s: the policy is %q", path, policy)
		}
		_, page := r.get(t, path)
		text, _, active := seen(t, page)
		for _, one := range want {
			if !strings.Contains(text, one) {
				t.Errorf("%s does not say %q:\n%s", path, one, text)
			}
		}
		if len(active) > 0 {
			t.Errorf("%s: there is %v", path, active)
		}
	}
	_, page := r.get(t, "/modules/team/hello")
	_, links, _ := seen(t, page)
	for _, link := range links {
		if !strings.HasPrefix(link, "/") && link != "" {
			t.Errorf("there is a link to %q", link)
			continue
		}
		if status, _ := r.get(t, link); status != http.StatusOK {
			t.Errorf("the link to %s leads to %d", link, status)
		}
	}
}

func TestPagesShowNobodyMoreThanTheyMaySee(t *testing.T) {
	t.Parallel()
	r, publisher, reader := guarded(t)
	_ = publisher
	page := func(path, secret string) (int, string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.address+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if secret != "" {
			request.SetBasicAuth("", secret)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode, answer.Header.Get("WWW-Authenticate")
	}
	if status, ask := page("/modules/team/hello", ""); status != http.StatusUnauthorized || !strings.HasPrefix(ask, "Basic") {
		t.Errorf("nobody: %d %s", status, ask)
	}
	if status, _ := page("/modules/secret/hello", reader); status != http.StatusNotFound {
		t.Errorf("another's: %d", status)
	}
	if status, _ := page("/", "leash_guess"); status != http.StatusUnauthorized {
		t.Errorf("a guess: %d", status)
	}
	if status, _ := page("/", reader); status != http.StatusOK {
		t.Errorf("a reader: %d", status)
	}
}
