package e2e

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/mock"
)

// Ways around the policies. Each asks for what the content filter blocks, or pretends to be somebody else.
var bypassTests = []sharedTest{
	{"compressed requests are refused", bypassCompressedRequest},
	{"a compressed answer is not asked for, nor passed on unread", bypassCompressedAnswer},
	{"the same key twice is refused", bypassDuplicateKeys},
	{"escapes, marks, bad UTF-8 and depth do not hide anything", bypassEncodings},
	{"other spellings of the path lead nowhere else", bypassPaths},
	{"unknown paths and methods are refused", bypassUnknown},
	{"who calls cannot be forged", bypassForgedTenant},
	{"headers that steer Envoy are not the client's to send", bypassSteering},
	{"framing tricks are refused", bypassFraming},
	{"other credentials do not reach the provider", bypassSmuggledKeys},
	{"HTTP/1.1, HTTP/2, Expect: 100-continue and single bytes are alike", bypassCarriers},
	{"framing tricks of HTTP/2 are refused", bypassFrames},
	{"a body in hundreds of pieces is read as one", bypassPieces},
}

const forbidden = "all of project bluebird"

func wantBlocked(t *testing.T, what string, a answer) {
	t.Helper()
	if a.Status != 400 || a.errorCode() != "content_blocked" {
		t.Errorf("%s: got %d %.300s, want 400 content_blocked", what, a.Status, a.Body)
	}
}

func gzipped(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func bypassCompressedRequest(t *testing.T, g *gateway, _ *mock.Provider) {
	for _, encoding := range []string{"gzip", "GZIP", "br", "identity, gzip", "deflate"} {
		r := g.request(string(gzipped(t, chatBody(forbidden, false))))
		r.Header.Set("Content-Encoding", encoding)
		onCarriers(t, r, func(how string, a answer) {
			if a.Status != 415 || a.errorCode() != "unsupported_content_encoding" {
				t.Errorf("%s, %s: got %d %s, want 415", encoding, how, a.Status, a.Body)
			}
		})
	}
}

func bypassCompressedAnswer(t *testing.T, g *gateway, provider *mock.Provider) {
	provider.SetFaults(mock.Behavior{Gzip: mock.GzipAccepted})
	r := g.request(chatBody("say: the code is seal-12345", false))
	r.Header.Set("Accept-Encoding", "gzip, br")
	if got, want := content(t, do(t, r)), "the code is [seal]"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	provider.SetFaults(mock.Behavior{Gzip: mock.GzipAlways})
	for name, stream := range map[string]bool{"whole": false, "streamed": true} {
		a := do(t, g.request(chatBody("say: the code is seal-12345", stream)))
		if a.Status != 502 || a.errorCode() != "unreadable_answer" {
			t.Errorf("%s: got %d %.200s, want 502 unreadable_answer", name, a.Status, a.Body)
		}
		if g.ports.Engine == moduleHost {
			continue // it translates nothing
		}
		for _, d := range []dialect{dialectNamed("messages"), dialectNamed("gemini")} {
			a := do(t, d.request(g, "gpt-4o-mini", "say: the code is seal-12345", stream))
			if a.Status != 502 {
				t.Errorf("%s, translated for %s: got %d %.200s, want 502", name, d.name, a.Status, a.Body)
			}
			wantAll(t, a.Body, d.failure)
		}
	}
}

func bypassDuplicateKeys(t *testing.T, g *gateway, _ *mock.Provider) {
	messages := `[{"role":"user","content":"` + forbidden + `"}]`
	for name, body := range map[string]string{
		"messages, harmless last":  `{"model":"gpt-4o-mini","messages":` + messages + `,"messages":[{"role":"user","content":"hi"}]}`,
		"messages, harmless first": `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}],"messages":` + messages + `}`,
		"one of them escaped":      `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}],"\u006dessages":` + messages + `}`,
		"within a message":         `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi","content":"` + forbidden + `"}]}`,
		"in another case":          `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}],"Messages":` + messages + `}`,
		"the model":                `{"model":"gpt-4o-mini","model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}`,
	} {
		onCarriers(t, g.request(body), func(how string, a answer) {
			if a.Status != 400 || a.errorCode() != "invalid_json" && a.errorCode() != "invalid_request" {
				t.Errorf("%s, %s: got %d %s, want 400", name, how, a.Status, a.Body)
			}
		})
	}
}

func bypassEncodings(t *testing.T, g *gateway, _ *mock.Provider) {
	escaped := ""
	for _, c := range forbidden {
		escaped += fmt.Sprintf(`\u%04x`, c)
	}
	body := func(content string) string {
		return `{"model":"gpt-4o-mini","messages":[{"role":"user","content":` + content + `}]}`
	}
	for name, text := range map[string]string{
		"escapes":                `"` + escaped + `"`,
		"parts":                  `[{"type":"text","text":"hi"},{"type":"text","text":"` + forbidden + `"}]`,
		"a part of unknown type": `[{"type":"text","text":"hi"},{"type":"input_text","text":"` + forbidden + `"}]`,
	} {
		onCarriers(t, g.request(body(text)), func(how string, a answer) { wantBlocked(t, name+", "+how, a) })
	}
	for name, more := range map[string]string{
		"a tool":               `"tools":[{"type":"function","function":{"name":"f","description":"` + forbidden + `"}}]`,
		"the answer's schema":  `"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"string","description":"` + forbidden + `"}}}`,
		"a field of somewhere": `"documents":[{"text":"` + forbidden + `"}]`,
	} {
		onCarriers(t, g.request(strings.Replace(body(`"hi"`), "{", "{"+more+",", 1)), func(how string, a answer) { wantBlocked(t, name+", "+how, a) })
	}
	for name, raw := range map[string]string{
		"a byte-order mark":      "\xef\xbb\xbf" + body(`"hi"`),
		"invalid UTF-8":          body("\"hi \xff\xfe\""),
		"an overlong encoding":   body("\"hi \xc0\xaf\""),
		"a lone surrogate":       body(`"hi \ud800"`),
		"UTF-16":                 "\xff\xfe{\x00}\x00",
		"depth 10,000":           `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}],"x":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}`,
		"a comment":              `{"model":"gpt-4o-mini",/* */"messages":[{"role":"user","content":"hi"}]}`,
		"single quotes":          `{'model':'gpt-4o-mini','messages':[]}`,
		"a trailing comma":       `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}],}`,
		"a raw control byte":     body("\"hi \x01\""),
		"a null byte at the end": body(`"hi"`) + "\x00",
	} {
		onCarriers(t, g.request(raw), func(how string, a answer) {
			if a.Status != 400 || !strings.HasPrefix(a.errorCode(), "invalid_") {
				t.Errorf("%s, %s: got %d %.200s, want 400", name, how, a.Status, a.Body)
			}
		})
	}
	r := g.request(chatBody(forbidden, false))
	r.Header.Set("Content-Type", "text/plain; charset=utf-16")
	wantBlocked(t, "another content type", do(t, r))
	r = g.request(chatBody("say: from a page", false)) // as browsers let any page send it
	r.Header.Set("Content-Type", "text/plain;charset=UTF-8")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	onCarriers(t, r, func(how string, a answer) {
		if a.Status != 403 || a.errorCode() != "cross_site" {
			t.Errorf("%s: got %d %s of a page of another site, want 403", how, a.Status, a.Body)
		}
	})
	r = g.request(chatBody("say: read me", false))
	r.Header.Set("Content-Type", "application/json; charset=utf-7")
	onCarriers(t, r, func(how string, a answer) {
		if a.Status != 200 {
			t.Errorf("%s: got %d %s", how, a.Status, a.Body)
		}
	})
	if strings.Contains(received(t, g.ports.Provider), "utf-7") {
		t.Error("the provider is told of another encoding than the modules have read")
	}
}

// dial is a connection of its own to the gateway, which fails where nothing comes for long.
func (g *gateway) dial() net.Conn {
	g.t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(g.URL, "http://"))
	if err != nil {
		g.t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// raw sends bytes as they are and reads what comes back.
func (g *gateway) raw(request string) string {
	g.t.Helper()
	c := g.dial()
	defer c.Close() //nolint:errcheck // read to its end or deadline
	if _, err := io.WriteString(c, request); err != nil {
		g.t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close() //nolint:errcheck // read to its end or deadline
	body, _ := io.ReadAll(response.Body)
	return fmt.Sprintf("HTTP/1.1 %d %s", response.StatusCode, body)
}

// post writes a request by hand.
func post(path, header, body string) string {
	return "POST " + path + " HTTP/1.1\r\nHost: leash\r\nAuthorization: Bearer " + demoKey +
		"\r\nContent-Type: application/json\r\nConnection: close\r\n" + header + "\r\n" + body
}

func length(body string) string { return fmt.Sprintf("Content-Length: %d\r\n", len(body)) }

func bypassPaths(t *testing.T, g *gateway, _ *mock.Provider) {
	body := chatBody(forbidden, false)
	for _, path := range []string{
		"//v1//chat/completions", "/v1/./chat/completions", "/x/../v1/chat/completions", "/v1/chat/completions?x=1",
		"/v1/chat/completions/", "/v1/chat%2fcompletions", "/v1%2Fchat/completions", "/v1/chat/completions%00", "/v1/chat/completions;x",
		"/V1/chat/completions", "/v1/chat/completions/../completions", "/v1\\chat\\completions", "/v1/chat/completions%3f", "/v1/chat/completion%73",
		"http://elsewhere/v1/chat/completions",
	} {
		got := g.raw(post(path, length(body), body))
		if !strings.HasPrefix(got, "HTTP/1.1 4") && !strings.HasPrefix(got, "HTTP/1.1 3") {
			t.Errorf("%s: got %.200s, want it refused", path, got)
		}
	}
	if got := received(t, g.ports.Provider); strings.Contains(got, "bluebird") {
		t.Error("a blocked request reached the provider by another path")
	}
}

func bypassUnknown(t *testing.T, g *gateway, _ *mock.Provider) {
	before := strings.Count(received(t, g.ports.Provider), `"target"`)
	for _, tc := range [][2]string{
		{"GET", "/v1/chat/completions"}, {"PUT", "/v1/chat/completions"}, {"DELETE", "/v1/models/x"}, {"POST", "/v1/models"},
		{"POST", "/v1/moderations"}, {"GET", "/v1/responses"}, {"POST", "/v1/responses/"}, {"GET", "/"}, {"POST", "/v1/files"}, {"GET", "/mock/requests"}, {"PATCH", "/v1/chat/completions"},
	} {
		r, err := http.NewRequest(tc[0], g.URL+tc[1], strings.NewReader(chatBody("hi", false)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+demoKey)
		if a := do(t, r); a.Status != 404 || a.errorCode() != "unknown_url" {
			t.Errorf("%s %s: got %d %.200s, want 404 unknown_url", tc[0], tc[1], a.Status, a.Body)
		}
	}
	if after := strings.Count(received(t, g.ports.Provider), `"target"`); after != before {
		t.Errorf("%d requests reached the provider", after-before)
	}
}

func bypassForgedTenant(t *testing.T, g *gateway, _ *mock.Provider) {
	r := g.request(chatBody("say: hi", false))
	for _, name := range []string{"x-leash-tenant", "x-leash-caller", "leash.caller", "x-leash-route", "X-Leash-Route", "x_leash_route", "x-envoy-original-path"} {
		r.Header.Set(name, "trial")
	}
	onCarriers(t, r, func(how string, a answer) {
		if got := g.exchange(a.Header.Get("X-Request-Id")); got["tenant"] != "demo" || got["key"] != "laptop" || a.Status != 200 {
			t.Errorf("%s: got status %d and %v, want it to be of tenant demo", how, a.Status, got)
		}
	})
	unknown := g.request(strings.Replace(chatBody("say: hi", false), "gpt-4o-mini", "no-such-model", 1))
	unknown.Header.Set("x-leash-route", "r0")
	onCarriers(t, unknown, func(how string, a answer) {
		if a.Status != 404 {
			t.Errorf("a forged route, %s: got %d %s, want 404", how, a.Status, a.Body)
		}
	})
	for name, header := range map[string]string{
		"no key": "", "an empty key": "Bearer ", "a wrong key": "Bearer sk-test-laptop-9D2c", "another scheme": "Basic " + demoKey,
		"a key and more": "Bearer " + demoKey + "x", "its hash": "Bearer " + demoSum,
	} {
		r := g.request(chatBody("say: hi", false))
		r.Header.Set("Authorization", header)
		onCarriers(t, r, func(how string, a answer) {
			if a.Status != 401 || a.errorCode() != "invalid_api_key" {
				t.Errorf("%s, %s: got %d %s, want 401", name, how, a.Status, a.Body)
			}
		})
	}
	twice := g.request(chatBody("say: hi", false))
	twice.Header["Authorization"] = []string{"Bearer " + demoKey, "Bearer " + trialKey}
	onCarriers(t, twice, func(how string, a answer) {
		if a.Status != 401 {
			t.Errorf("two keys, %s: got %d %s, want 401", how, a.Status, a.Body)
		}
	})
}

func bypassSteering(t *testing.T, g *gateway, provider *mock.Provider) {
	provider.SetFaults(mock.Behavior{Delay: 200 * time.Millisecond, Status: 500})
	r := g.request(chatBody("say: steered", false))
	for name, value := range map[string]string{
		"x-envoy-upstream-rq-timeout-ms": "1", "x-envoy-upstream-rq-per-try-timeout-ms": "1", "x-envoy-expected-rq-timeout-ms": "1", "grpc-timeout": "1m",
		"x-envoy-max-retries": "3", "x-envoy-retry-on": "5xx", "x-envoy-retry-grpc-on": "internal", "x-envoy-retriable-status-codes": "500",
		"x-envoy-original-host": "127.0.0.1:1", "x-envoy-peer-metadata": "x", "x-envoy-degraded": "1", "x-envoy-original-dst-host": "127.0.0.1:1", "x-envoy-hedge-on-per-try-timeout": "true",
		"x-envoy-attempt-count": "2", "x-leash-target-1": "nobody", "x-leash-next": "1", "x-leash-rest": "1", "x-leash-mid-stream": "1",
	} {
		r.Header.Set(name, value)
	}
	onCarriers(t, r, func(how string, a answer) {
		if a.Status != 500 {
			t.Errorf("%s: got %d %s, want the provider's 500", how, a.Status, a.Body)
		}
	})
	if got, want := strings.Count(received(t, g.ports.Provider), "say: steered"), len(carriers); got != want {
		t.Errorf("the provider was asked %d times for %d requests", got, want)
	}
	if got := strings.ToLower(received(t, g.ports.Provider)); strings.Contains(got, `"x-leash-`) || strings.Contains(got, `"x-envoy-`) {
		t.Error("such a header has reached the provider")
	}
}

func bypassFraming(t *testing.T, g *gateway, _ *mock.Provider) {
	body := chatBody(forbidden, false)
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	for name, request := range map[string]string{
		"both lengths":            post("/v1/chat/completions", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", chunked),
		"two lengths":             post("/v1/chat/completions", "Content-Length: 4\r\n"+length(body), body),
		"an odd encoding":         post("/v1/chat/completions", "Transfer-Encoding: xchunked\r\n", chunked),
		"identity and chunked":    post("/v1/chat/completions", "Transfer-Encoding: identity, chunked\r\n", chunked),
		"a space before the sign": post("/v1/chat/completions", "Transfer-Encoding : chunked\r\n", chunked),
		"gzip and chunked":        post("/v1/chat/completions", "Transfer-Encoding: gzip, chunked\r\n", chunked),
		"chunked":                 post("/v1/chat/completions", "Transfer-Encoding: chunked\r\n", chunked),
		"a chunk extension":       post("/v1/chat/completions", "Transfer-Encoding: chunked\r\n", fmt.Sprintf("%x;x=y\r\n%s\r\n0\r\n\r\n", len(body), body)),
		"trailers":                post("/v1/chat/completions", "Transfer-Encoding: chunked\r\nTrailer: x-y\r\n", fmt.Sprintf("%x\r\n%s\r\n0\r\nx-y: z\r\n\r\n", len(body), body)),
	} {
		got := g.raw(request)
		// Envoy closes the connection of who breaks HTTP without waiting for filters that answer later, as a module host does.
		closed := g.ports.Engine == moduleHost && got == io.ErrUnexpectedEOF.Error()
		if !strings.HasPrefix(got, "HTTP/1.1 4") && !strings.HasPrefix(got, "HTTP/1.1 501") && !closed {
			t.Errorf("%s: got %.300q, want it refused", name, got)
		}
	}
	if got := received(t, g.ports.Provider); strings.Contains(got, "bluebird") {
		t.Error("a blocked request reached the provider")
	}
}

func bypassSmuggledKeys(t *testing.T, g *gateway, _ *mock.Provider) {
	r := g.request(chatBody("say: smuggled keys", false))
	for _, name := range []string{
		"x-api-key", "api-key", "x-goog-api-key", "proxy-authorization", "cookie", "openai-organization", "openai-project",
		"x-goog-user-project", "ocp-apim-subscription-key", "x-http-method-override", "x-original-url",
		"forwarded", "x-forwarded-host", "x-forwarded-client-cert", "x-real-ip", "true-client-ip", "cf-connecting-ip",
	} {
		r.Header.Set(name, "sk-smuggled")
	}
	r.URL.RawQuery = "key=sk-smuggled&api_key=sk-smuggled"
	onCarriers(t, r, func(how string, a answer) {
		if a.Status != 200 {
			t.Errorf("%s: got %d %s", how, a.Status, a.Body)
		}
	})
	got := received(t, g.ports.Provider)
	if strings.Contains(got, "sk-smuggled") {
		t.Error("a credential of the client reached the provider")
	}
	if strings.Contains(got, demoKey) {
		t.Error("the virtual key reached the provider")
	}
	if !strings.Contains(got, upstreamKey) {
		t.Error("the provider's key did not reach it")
	}
}

func bypassCarriers(t *testing.T, g *gateway, _ *mock.Provider) {
	onCarriers(t, g.request(chatBody(forbidden, false)), func(how string, a answer) { wantBlocked(t, how, a) })
	onCarriers(t, g.request(chatBody(forbidden, true)), func(how string, a answer) { wantBlocked(t, how+", a stream", a) })
	onCarriers(t, g.request(chatBody("say: hi", false)), func(how string, a answer) {
		if a.Status != 200 || content(t, a) != "hi" {
			t.Errorf("%s: got %d %s, want 200", how, a.Status, a.Body)
		}
	})
}

func bypassPieces(t *testing.T, g *gateway, _ *mock.Provider) {
	body := chatBody(forbidden, false)
	var pieces strings.Builder
	for i := range len(body) {
		fmt.Fprintf(&pieces, "1\r\n%c\r\n", body[i])
	}
	got := g.raw(post("/v1/chat/completions", "Transfer-Encoding: chunked\r\n", pieces.String()+"0\r\n\r\n"))
	if !strings.HasPrefix(got, "HTTP/1.1 400") || !strings.Contains(got, "content_blocked") {
		t.Errorf("got %.300s, want 400 content_blocked", got)
	}
}
