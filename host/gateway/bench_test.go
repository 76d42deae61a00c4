package gateway

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/host/abi"
)

const completion = `{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"gpt-4o-mini","choices":[{"index":0,` +
	`"message":{"role":"assistant","content":"Hello there, how can I help?"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":8,"total_tokens":17}}`

// discard is a client that reads everything and keeps nothing.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header       { return d.header }
func (*discard) Write(b []byte) (int, error) { return len(b), nil }
func (*discard) WriteHeader(int)             {}
func (*discard) Flush()                      {}

// BenchmarkExchange is a chat through the gateway to a provider on a socket, without a client's: with no module but route, with three more, and
// with these and traces.
func BenchmarkExchange(b *testing.B) {
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, completion)
	}))
	defer provider.Close()
	for name, text := range map[string]string{"route": open, "guarded": guarded, "traced": guarded + "\ntracing: {endpoint: \"http://127.0.0.1:1\"}\n"} {
		b.Run(name, func(b *testing.B) {
			g, err := New(context.Background(), Settings{CacheDir: abi.DefaultCacheDir(), Workers: 1})
			if err != nil {
				b.Fatal(err)
			}
			defer g.Close(context.Background())
			env := func(string) (string, bool) { return providerKey, true }
			c, err := config.Parse("leash.yaml", fmt.Appendf(nil, text, provider.URL+"/v1", ""), env)
			if err != nil {
				b.Fatal(err)
			}
			if err := g.Apply(context.Background(), c, Options{ModulesDir: "../../build/modules"}); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(chat))
				r.Header.Set("Authorization", "Bearer "+demoKey)
				r.Header.Set("Content-Type", "application/json")
				g.ServeHTTP(&discard{http.Header{}}, r)
			}
		})
	}
}
