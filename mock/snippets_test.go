package mock

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The body of the snippets.
const (
	wholeBody  = `-d '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"say: one two three"}]}'`
	streamBody = `-d '{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"say: one two three"}]}'`
	chatURL    = `curl -i localhost:8090/v1/chat/completions`
	faultsURL  = `curl -i localhost:8090/mock/faults`
)

// snippets are the examples of docs/reference/mock.md, which are run.
var snippets = []struct {
	about, says string
	command     string
	want        string // a regular expression for what comes: status line, header, body, and how it ends
}{
	{"Dead", "Connections are refused for a minute, and those that there are closed.",
		faultsURL + ` -d '{"down":"1m","times":1}'` + "\n" + chatURL + ` ` + wholeBody + "\n" + chatURL + ` ` + wholeBody, `(?s)"down":"1m0s".*ends with EOF.*connection refused`},
	{"Hanging", "Nothing is ever answered.",
		chatURL + ` --max-time 0.2 -H 'X-Mock: hang=true' ` + wholeBody, `ends with timeout`},
	{"Hanging in the middle", "The stream stops after two events and stays open.",
		chatURL + ` --max-time 3 -H 'X-Mock: hang_after=2' ` + streamBody, `(?s)^200.*"content":"one".*ends with timeout`},
	{"Closing", "The connection is closed instead of an answer.",
		chatURL + ` -H 'X-Mock: drop=true' ` + wholeBody, `^ends with EOF`},
	{"Resetting", "The connection is reset.",
		chatURL + ` -H 'X-Mock: reset=true' ` + wholeBody, `^ends with connection reset by peer`},
	{"Slow to begin", "The answer begins after 300 ms.",
		chatURL + ` -H 'X-Mock: delay=300ms' ` + wholeBody, `(?s)^200 .*took at least 300ms`},
	{"Slow between events", "100 ms between each two of six events.",
		chatURL + ` -N -H 'X-Mock: pace=100ms' ` + streamBody, `(?s)^200 .*DONE.*took at least 500ms`},
	{"Garbage", "Status 200, the right type, and bytes that mean nothing.",
		chatURL + ` -H 'X-Mock: garbage=body' ` + wholeBody, `(?s)^200 .*application/json.*\x16\x03`},
	{"Not even HTTP", "Bytes that mean nothing, at once.",
		chatURL + ` -H 'X-Mock: garbage=http' ` + wholeBody, `^ends with malformed HTTP`},
	{"Half a JSON", "The answer's JSON is cut in the middle, and its length says so.",
		chatURL + ` -H 'X-Mock: invalid_json=true' ` + wholeBody, `(?s)^200 .*\{"id"[^\n]*[^}\n]\n(took|$)`},
	{"Half a JSON in a stream", "The second event is cut in the middle.",
		chatURL + ` -H 'X-Mock: invalid_json=true' ` + streamBody, `(?s)^200 .*"created"[^\n]*[^}\n]\n\ndata: .*DONE`},
	{"200 with an error", "The error's body, with status 200.",
		chatURL + ` -H 'X-Mock: status=500&as_200=true' ` + wholeBody, `(?s)^200 .*"server_error"`},
	{"429 storm", "The next three requests are too many, and Retry-After says to wait two seconds.",
		faultsURL + ` -d '{"status":429,"retry_after":"2s","times":3}'` + "\n" + chatURL + ` ` + wholeBody, `(?s)429 Too Many.*Retry-After: 2\n.*rate_limit_exceeded`},
	{"A rate limit", "One request a second, from whoever; the others get 429 until the second is over.",
		faultsURL + ` -d '{"per_second":1}'` + "\n" + chatURL + ` ` + wholeBody + "\n" + chatURL + ` ` + wholeBody + "\n" + chatURL + ` ` + wholeBody, `(?s)429 Too Many.*Retry-After: 1\n`},
	{"Limits used up", "The rate limits' headers say that a tenth is left, and that they begin anew in 30 seconds.",
		chatURL + ` -H 'X-Mock: limit_used=90&limit_reset=30s' ` + wholeBody, `(?s)^200 .*X-Ratelimit-Remaining-Requests: 1000\n.*X-Ratelimit-Reset-Requests: 30s`},
	{"Cut", "The connection is closed after three events.",
		chatURL + ` -N -H 'X-Mock: cut_after=3&pace=20ms' ` + streamBody, `(?s)^200 .*"content":" two".*ends with unexpected EOF`},
	{"Cut anywhere", "The connection is closed in the middle of an event, after 700 bytes.",
		chatURL + ` -N -H 'X-Mock: cut_bytes=700' ` + streamBody, `(?s)^200 .*"content":"one".*[^\n]\nends with unexpected EOF`},
	{"Cut by a reset", "The same, with a reset.",
		chatURL + ` -N -H 'X-Mock: cut_after=3&pace=20ms&reset=true' ` + streamBody, `(?s)^200 .*"content":" two".*ends with connection reset`},
	{"An error in the stream", "After two events, in the API's form.",
		chatURL + ` -H 'X-Mock: error_after=2' ` + streamBody, `(?s)^200 .*"content":"one".*data: \{"error":`},
	{"5xx", "Any status from 400 to 599, here in the model's name, which passes every gateway and client.",
		strings.Replace(chatURL+` `+wholeBody, "gpt-4o-mini", "gpt-4o-mini?status=503&retry_after=1s", 1), `(?s)^503 .*Retry-After: 1\n.*"server_error"`},
	{"Every third request", "Two requests pass, the third fails.",
		faultsURL + ` -d '{"status":500,"every":3}'` + "\n" + chatURL + ` ` + wholeBody + "\n" + chatURL + ` ` + wholeBody + "\n" + chatURL + ` ` + wholeBody, `(?s)200 OK.*200 OK.*200 OK.*500 Internal`},
	{"For a time", "All requests fail for a minute.",
		faultsURL + ` -d '{"status":500,"lasts":"1m"}'` + "\n" + chatURL + ` ` + wholeBody, `500 Internal`},
	{"Events in pieces", "A byte goes out at a time, and every character is an escape.",
		chatURL + ` -H 'X-Mock: write=1&escape=true' ` + streamBody, `(?s)^200 .*\\u006f\\u006e\\u0065.*DONE`},
	{"Healthy again", "What was set at run time is taken back.",
		faultsURL + ` -d '{"status":500}'` + "\n" + faultsURL + ` -X DELETE` + "\n" + chatURL + ` ` + wholeBody, `(?s)204 No Content.*200 OK`},
	{"What it received", "With credentials, oldest first.",
		chatURL + ` -H 'Authorization: Bearer sk-planted' ` + wholeBody + "\ncurl -i localhost:8090/mock/requests", `(?s)200 OK.*"Authorization":\["Bearer sk-planted"\]`},
}

func TestSnippetsOfTheReferenceDoWhatTheySay(t *testing.T) {
	for _, s := range snippets {
		t.Run(s.about, func(t *testing.T) {
			t.Parallel()
			p := New(Options{Control: true})
			l, err := p.Listen(t.Context(), "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			server := &http.Server{Handler: p, ReadHeaderTimeout: time.Minute}
			served := make(chan error, 1)
			go func() { served <- server.Serve(l) }()
			t.Cleanup(func() {
				_ = server.Close()
				if err := <-served; !errors.Is(err, http.ErrServerClosed) {
					t.Error(err)
				}
			})
			var out strings.Builder
			for command := range strings.Lines(s.command) {
				out.WriteString(curl(t, strings.ReplaceAll(command, "localhost:8090", l.Addr().String())))
			}
			if !regexp.MustCompile(s.want).MatchString(out.String()) {
				t.Errorf("got\n%q\nwant %q", out.String(), s.want)
			}
		})
	}
}

// curl does what the program does with the few of its options that the snippets use, and says how it went.
func curl(t *testing.T, command string) string {
	t.Helper()
	words := shellWords(command)
	method, url, body, limit := http.MethodGet, "", "", time.Minute
	header := http.Header{}
	for i := 1; i < len(words); i++ {
		switch words[i] {
		case "-i", "-N":
		case "-X":
			i++
			method = words[i]
		case "-H":
			i++
			name, value, _ := strings.Cut(words[i], ": ")
			header.Set(name, value)
		case "-d":
			i++
			method, body = http.MethodPost, words[i]
		case "--max-time":
			i++
			limit, _ = time.ParseDuration(words[i] + "s")
		default:
			url = words[i]
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "http://"+url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	// Without connections that are kept: one that a fault has broken is not what the next request is about.
	transport := &http.Transport{DisableKeepAlives: true, TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}
	began := time.Now()
	response, err := transport.RoundTrip(r)
	if err != nil {
		return "ends with " + ending(err) + "\n"
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	var out strings.Builder
	out.WriteString(response.Status + "\n")
	_ = response.Header.Write(&out)
	content, err := io.ReadAll(response.Body)
	text := strings.ReplaceAll(out.String(), "\r\n", "\n") + "\n" + string(content)
	if err != nil {
		return text + "\nends with " + ending(err) + "\n"
	}
	for d := 100 * time.Millisecond; d <= time.Since(began); d += 100 * time.Millisecond {
		text += fmt.Sprintf("\ntook at least %s", d)
	}
	return text + "\n"
}

// ending is the part of an error that the snippets are about.
func ending(err error) string {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return "timeout"
	}
	for _, known := range []string{"unexpected EOF", "EOF", "connection reset by peer", "connection refused", "malformed HTTP"} {
		if strings.Contains(err.Error(), known) {
			return known
		}
	}
	return err.Error()
}

// shellWords splits a command as a shell does that knows single quotes only.
func shellWords(command string) (all []string) {
	word, quoted := "", false
	for _, c := range strings.TrimSpace(command) + " " {
		switch {
		case c == '\'':
			quoted = !quoted
		case c == ' ' && !quoted:
			if word != "" {
				all = append(all, word)
			}
			word = ""
		default:
			word += string(c)
		}
	}
	return all
}
