package conformance

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/host/internal/asm"
)

const (
	timeout = 2 * time.Second
	// Statuses of exchanges that have none.
	timedOut    = -1
	resetByPeer = -2
	// ended is what every module logs at the end of its stream.
	ended = "stream ended"
)

// result is what there is to see of an exchange from outside, and what the module logged.
type result struct {
	Status   int
	Headers  http.Header
	Body     string
	Upstream string
	// Trailers are those of the answer.
	Trailers http.Header
	Logs     []string
}

func TestThisHostDoesWhatEnvoyDoes(t *testing.T) {
	callout := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("x-callout", "yes")
		_, _ = io.WriteString(w, "called")
	}))
	grpc := serveGRPC(t)
	host, envoy := newHostRunner(t, callout, grpc), newEnvoyRunner(t, callout, grpc)
	for _, c := range Cases {
		t.Run(c.Name, func(t *testing.T) {
			got, want := host.run(t, c).clean(), envoy.run(t, c).clean()
			for deadline := time.Now().Add(time.Minute); c.trapped() && len(want.Logs) < len(got.Logs) && time.Now().Before(deadline); <-time.After(10 * time.Millisecond) {
				want.Logs = envoy.logged(c) // no line says that it is the last
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("this host differs from Envoy\nhost:  %s\nEnvoy: %s", got, want)
			}
		})
	}
}

func (r result) String() string {
	var headers []string
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		headers = append(headers, fmt.Sprintf("%s=%q", name, r.Headers[name]))
	}
	return fmt.Sprintf("status %d, headers %s, body %q, trailers %v\n  server got %s\n  %s", r.Status, strings.Join(headers, " "), r.Body, r.Trailers, r.Upstream, strings.Join(quoted(r.Logs), "\n  "))
}

func quoted(lines []string) (quoted []string) {
	for _, line := range lines {
		quoted = append(quoted, strconv.Quote(line))
	}
	return quoted
}

// clean leaves the headers that modules and servers of the cases make.
func (r result) clean() result {
	r.Headers, r.Trailers = interesting(r.Headers), interesting(r.Trailers)
	return r
}

func interesting(h http.Header) http.Header {
	kept := http.Header{}
	for name, values := range h {
		name = strings.ToLower(name)
		if (strings.HasPrefix(name, "x-") || name == "user-agent" || name == "content-type") && name != "x-forwarded-proto" && !strings.HasPrefix(name, "x-envoy") && len(values) > 0 {
			kept[name] = values
		}
	}
	return kept
}

// describe is a request as the server got it.
func describe(method, path string, h http.Header, body string, trailers http.Header) string {
	return fmt.Sprintf("%s %s %q %q %q", method, path, fmt.Sprint(interesting(h)), body, fmt.Sprint(interesting(trailers)))
}

// viaUpstream is what Envoy appends to the message of a gRPC status: where it came from.
var viaUpstream = strings.NewReplacer("{via_upstream}", "", "via_upstream", "")

// lines drops what was logged before, in cases about callbacks of the plugin itself: they run on each of Envoy's threads.
func (c Case) lines(lines []string) (kept []string) {
	for i := range lines {
		lines[i] = viaUpstream.Replace(lines[i])
	}
	if c.Module["proxy_on_configure"].Do == nil && c.Module["proxy_on_context_create"].Do == nil {
		return lines
	}
	for _, line := range lines {
		if !slices.Contains(kept, line) {
			kept = append(kept, line)
		}
	}
	return kept
}

func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// id names a case in places that do not like spaces.
func (c Case) id() string {
	all := slices.Concat(Cases, TCPCases)
	return "case" + strconv.Itoa(slices.IndexFunc(all, func(other Case) bool { return other.Name == c.Name }))
}

func (c Case) wasm() []byte {
	whole := asm.Module{"proxy_on_delete": {Do: []asm.Step{asm.Log(ended)}}}
	maps.Copy(whole, c.Module)
	version := c.ABI
	if version == "" {
		version = "0_2_1"
	}
	return whole.BuildFor(version)
}

// trapped tells whether the module cannot log its end.
func (c Case) trapped() bool { return strings.HasPrefix(c.Name, "a trap") }
