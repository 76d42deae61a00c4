package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/mock"
)

// What is Envoy's alone has its tests elsewhere: that its process is watched (TestEnvoyIsStartedAgainWhenItDies) and that it takes what
// `leash render` prints (TestRenderedBootstrapIsValidForEnvoy). All else that is promised of a gateway is tested on each engine; here, on both
// at once, that they make the same of requests that can be read in two ways.

// A spelling is a request as bytes, and the status that each engine answers.
type spelling struct {
	request         string
	envoy, embedded int // 0: the same
}

// verdict is what an engine makes of a request: the status, and whether the connection ends.
func (g *gateway) verdict(t *testing.T, request string) (status int, ends bool) {
	t.Helper()
	c := g.with(t).dial()
	defer c.Close() //nolint:errcheck // read to its end or deadline
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(c)
	for {
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatalf("read the answer: %v", err)
		}
		if response.StatusCode != http.StatusContinue {
			_ = response.Body.Close()
			return response.StatusCode, response.Close
		}
	}
}

func TestEnginesReadRequestsAlike(t *testing.T) {
	t.Parallel()
	body := chatBody("say: alike", false)
	to := func(path string) string { return post(path, length(body), body) }
	with := func(header string) string { return post("/v1/chat/completions", header+length(body), body) }
	unframed := func(header string) string { return post("/v1/chat/completions", header, body) }
	waits := func(header string) string { // for its answer before it sends the body
		return strings.Replace(post("/v1/chat/completions", header+length(body), ""), demoKey, "sk-nobody", 1)
	}
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	tests := map[string]spelling{
		"chunks":                           {post("/v1/chat/completions", "Transfer-Encoding: chunked\r\n", chunked), 200, 0},
		"a chat":                           {with(""), 200, 0},
		"slashes":                          {to("//v1///chat//completions"), 200, 0},
		"a slash at the end":               {to("/v1/chat/completions/"), 404, 0},
		"dots":                             {to("/v1/./x/../chat/completions"), 200, 0},
		"dots beyond the root":             {to("/../../v1/chat/completions"), 200, 0},
		"dots at the end":                  {to("/v1/chat/completions/.."), 404, 0},
		"escaped dots":                     {to("/v1/%2e%2e/v1/chat/completions"), 200, 0},
		"escaped letters":                  {to("/v1/ch%61t/completion%73"), 200, 0},
		"an escaped slash":                 {to("/v1/chat%2Fcompletions"), 400, 0},
		"an escaped backslash":             {to("/v1/chat%5ccompletions"), 400, 0},
		"a backslash":                      {to(`/v1\chat\completions`), 200, 0},
		"an escaped null":                  {to("/v1/chat/completions%00"), 400, 0},
		"an escaped question mark":         {to("/v1/chat/completions%3Fx"), 404, 0},
		"a broken escape":                  {to("/v1/chat/completions%zz"), 404, 400},
		"a query":                          {to("/v1/chat/completions?a=%2f../"), 200, 0},
		"an empty query":                   {to("/v1/chat/completions?"), 200, 0},
		"parameters":                       {to("/v1/chat/completions;x=y"), 404, 0},
		"a fragment":                       {to("/v1/chat/completions#x"), 400, 0},
		"capitals":                         {to("/V1/Chat/Completions"), 404, 0},
		"beyond ASCII":                     {to("/v1/chat/completions\xe9"), 400, 0},
		"beyond ASCII in the query":        {to("/v1/chat/completions?\xe9"), 400, 0},
		"the form for a proxy":             {to("http://elsewhere/v1/chat/completions"), 200, 0},
		"the form for a proxy, no path":    {to("http://elsewhere"), 404, 0},
		"the form for a proxy, over TLS":   {to("https://elsewhere/v1/chat/completions"), 403, 200},
		"no slash":                         {to("v1/chat/completions"), 400, 0},
		"a star":                           {to("*"), 400, 0},
		"about the server":                 {strings.Replace(to("*"), "POST", "OPTIONS", 1), 404, 400},
		"a tunnel":                         {"CONNECT leash:443 HTTP/1.1\r\nHost: leash:443\r\n\r\n", 404, 400},
		"a method in small letters":        {strings.Replace(with(""), "POST", "post", 1), 400, 0},
		"a method of nobody's":             {strings.Replace(with(""), "POST", "BREW", 1), 400, 0},
		"HTTP/1.0":                         {strings.Replace(with(""), "HTTP/1.1", "HTTP/1.0", 1), 426, 0},
		"HTTP/1.2":                         {strings.Replace(with(""), "HTTP/1.1", "HTTP/1.2", 1), 426, 0},
		"no host":                          {strings.Replace(with(""), "Host: leash\r\n", "", 1), 400, 0},
		"two hosts":                        {with("Host: other\r\n"), 200, 400},
		"another protocol":                 {strings.Replace(with("Upgrade: websocket\r\n"), "Connection: close", "Connection: upgrade", 1), 403, 0},
		"an offer of HTTP/2":               {with("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"), 200, 0},
		"a path of the connection":         {with("Connection: :path\r\n"), 400, 0},
		"a key of the connection":          {with("Connection: authorization\r\n"), 401, 0},
		"a header of the connection":       {with("Connection: x-a\r\nX-A: b\r\n"), 200, 0},
		"100 headers":                      {with(strings.Repeat("X-A: b\r\n", 95)), 200, 0},
		"one more":                         {with(strings.Repeat("X-A: b\r\n", 96)), 431, 0},
		"101 headers":                      {with(strings.Repeat("X-A: b\r\n", 101)), 431, 0},
		"70 KiB of headers":                {with("X-A: " + strings.Repeat("b", 70<<10) + "\r\n"), 431, 0},
		"50 KiB of headers":                {with("X-A: " + strings.Repeat("b", 50<<10) + "\r\n"), 200, 0},
		"a header without a name":          {with(": x\r\n"), 400, 0},
		"a space in a name":                {with("X A: b\r\n"), 400, 0},
		"a null in a value":                {with("X-A: b\x00c\r\n"), 400, 0},
		"a folded header":                  {with("X-A: b\r\n c\r\n"), 200, 0},
		"line feeds alone":                 {strings.ReplaceAll(with(""), "\r\n", "\n"), 200, 0},
		"a negative length":                {unframed("Content-Length: -1\r\n"), 400, 0},
		"a length with a sign":             {unframed(fmt.Sprintf("Content-Length: +%d\r\n", len(body))), 400, 0},
		"two lengths":                      {with("Content-Length: 3\r\n"), 400, 0},
		"the same length twice":            {with(length(body)), 400, 200},
		"a length, and chunks":             {post("/v1/chat/completions", "Transfer-Encoding: chunked\r\n"+length(body), chunked), 400, 200},
		"an unknown encoding":              {unframed("Transfer-Encoding: xchunked\r\n"), 501, 0},
		"the encoding identity":            {unframed("Transfer-Encoding: identity\r\n"), 501, 0},
		"an unknown expectation":           {with("Expect: 200-ok\r\n"), 417, 0},
		"a refusal before the body":        {waits(""), 401, 0},
		"a refusal before it is asked for": {waits("Expect: 100-continue\r\n"), 401, 0},
	}
	_, url := startProvider(t, mock.Options{Control: true, Key: upstreamKey})
	running := map[string]*gateway{}
	for _, engine := range engines {
		running[engine] = start(t, policies, ports{Engine: engine, Provider: url})
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			for engine, g := range running {
				want := tc.envoy
				if engine == "embedded" && tc.embedded != 0 {
					want = tc.embedded
				}
				status, ends := g.verdict(t, tc.request)
				if status != want {
					t.Errorf("%s: got %d, want %d", engine, status, want)
				}
				if !ends && status != http.StatusOK && status != http.StatusNotFound {
					t.Errorf("%s: after %d the connection goes on", engine, status)
				}
			}
		})
	}
}

func testRequestIDsAreNotTheClients(t *testing.T, g *gateway) {
	_, url := startProvider(t, mock.Options{Control: true, Key: upstreamKey})
	g.change(policies, url)
	r := g.request(chatBody("say: hi", false))
	r.Header.Set("X-Request-Id", "chosen-by-the-client")
	a := do(t, r)
	if id := a.Header.Get("X-Request-Id"); id == "chosen-by-the-client" || g.exchange(id)["request_id"] != id {
		t.Errorf("the request id is %q", id)
	}
	if strings.Contains(received(t, url), "chosen-by-the-client") {
		t.Error("the client's own id reached the provider")
	}
}
