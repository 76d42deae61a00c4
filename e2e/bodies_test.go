package e2e

import (
	"strings"
	"testing"

	"github.com/leash-gateway/leash/mock"
)

var largeBodyTests = []changeTest{{"bodies are bounded by the limits alone, however they come", testLargeBodies}}

// testLargeBodies asks for an echo, so that the answer is as long as the request, and one word, which could become an address at each of its places.
func testLargeBodies(t *testing.T, g *gateway) {
	_, url := startProvider(t, mock.Options{Key: upstreamKey})
	g.change(strings.Replace(policies, "request_bytes: 1MiB", "request_bytes: 4MiB, response_bytes: 4MiB", 1), url)
	long, longer := strings.Repeat("x", 3<<20)+"@x", strings.Repeat("x", 5<<20)
	for _, how := range []string{"HTTP/1.1", "HTTP/2"} {
		for name, stream := range map[string]bool{"whole": false, "streamed": true} {
			for _, d := range []dialect{dialectNamed("chat"), dialectNamed("messages")} {
				within := d.request(g, "gpt-4o-mini", "say: "+long, stream)
				if a := doOver(t, carriers[how](within), within); a.Status != 200 || !strings.Contains(a.Body, long) {
					t.Errorf("%s, %s, %s: got %d and %d bytes, %.200s", how, name, d.name, a.Status, len(a.Body), a.Body)
				}
				above := d.request(g, "gpt-4o-mini", "say: "+longer, stream)
				if a := doOver(t, carriers[how](above), above); a.Status != 413 || !strings.Contains(a.Body, "larger than the 4194304 bytes") {
					t.Errorf("%s, %s, %s, too long: got %d %.200s, want 413 of ours", how, name, d.name, a.Status, a.Body)
				}
			}
		}
	}
}
