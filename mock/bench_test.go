package mock

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// discard is the cheapest ResponseWriter.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Flush()                      {}

// The mock is what benchmarks of the gateway are measured against: it has to be much faster than that.
func BenchmarkChat(b *testing.B) {
	for name, fields := range map[string]string{"whole": "", "stream": `,"stream":true`} {
		b.Run(name, func(b *testing.B) {
			p := New(Options{})
			body := message("lorem: 30", `,"padding":"`+strings.Repeat("x", 500)+`"`+fields)
			reader := strings.NewReader(body)
			r := httptest.NewRequestWithContext(b.Context(), "POST", "/v1/chat/completions", reader)
			w := &discard{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				_, _ = reader.Seek(0, io.SeekStart)
				clear(w.header)
				p.ServeHTTP(w, r)
			}
		})
	}
}
