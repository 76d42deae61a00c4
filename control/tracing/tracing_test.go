package tracing

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/leash-gateway/leash/config"
)

// configured is a configuration whose collector is at a URL.
func configured(t *testing.T, endpoint string) *config.Config {
	t.Helper()
	c, err := config.Parse("leash.yaml", []byte(`
allow_anonymous: true
providers:
  openai: {base_url: "https://api.openai.example/v1"}
  gemini: {kind: google, base_url: "http://127.0.0.1:7"}
routes: [{model: m, provider: openai}]
tracing: {endpoint: "`+endpoint+`", protocol: http, headers: {x-key: {env: KEY}}, percent: 10}
`), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// spans are what a collector has received, as texts.
type spans struct {
	mu   sync.Mutex
	all  []string
	keys []string
}

// collect is a collector that answers with a status.
func collect(t *testing.T, status int) (*spans, string) {
	t.Helper()
	got := &spans{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got.mu.Lock()
		defer got.mu.Unlock()
		body, _ := io.ReadAll(r.Body)
		var request collector.ExportTraceServiceRequest
		if err := proto.Unmarshal(body, &request); err != nil {
			t.Error(err)
		}
		for _, of := range request.GetResourceSpans() {
			for _, scope := range of.GetScopeSpans() {
				for _, span := range scope.GetSpans() {
					got.all = append(got.all, strings.Join(strings.Fields(span.String()), " "))
				}
			}
		}
		got.keys = append(got.keys, r.Header.Get("X-Key"))
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	return got, server.URL
}

// started is a tracer that sends to an endpoint, and what it has counted.
func started(t *testing.T, endpoint string) (*Tracer, map[string]int, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	counted := map[string]int{}
	var mu sync.Mutex
	tracer := &Tracer{Log: slog.New(slog.NewTextHandler(&log, nil)), Count: func(result string, n int) {
		mu.Lock()
		defer mu.Unlock()
		counted[result] += n
	}}
	c := configured(t, endpoint)
	headers, err := Resolve(c, func(string) (string, bool) { return "of-the-collector", true })
	if err != nil {
		t.Fatal(err)
	}
	sender, err := tracer.Prepare(t.Context(), c, Options{Headers: headers, Mock: map[string]*url.URL{"gemini": {Scheme: "http", Host: "127.0.0.1:9"}}})
	if err != nil {
		t.Fatal(err)
	}
	tracer.Use(sender)
	return tracer, counted, &log
}

const (
	exchangeRecord = `{"event":"span.exchange","trace":"4bf92f3577b34da6a3ce929d0e0e4736","span":"00000000000000aa","parent":"00f067aa0ba902b7","start":1000,"end":9000,` +
		`"method":"POST","path":"/v1/chat/completions","format":"openai-chat","status":200,"attempt":"00000000000000ab","attempt_start":2000,"number":2,"provider":"openai",` +
		`"asked_model":"gpt-4o","input":0,"output":3,"finish":["stop","length"],"first":3000}`
	attemptRecord = `{"event":"span.attempt","trace":"4bf92f3577b34da6a3ce929d0e0e4736","parent":"00000000000000aa","attempt":"00000000000000ac","attempt_start":1500,"end":1800,` +
		`"number":1,"provider":"gemini","format":"google-embed","status":503,"attempt_error":"503"}`
)

func TestRecordsBecomeSpans(t *testing.T) {
	got, endpoint := collect(t, http.StatusOK)
	tracer, counted, _ := started(t, endpoint)
	_, _ = tracer.Write([]byte(attemptRecord + "\n" + exchangeRecord + "\n"))
	tracer.Close(t.Context())
	if len(got.all) != 3 || counted[Taken] != 3 || counted[Sent] != 3 || got.keys[0] != "of-the-collector" {
		t.Fatalf("got %d spans, counted %v, with the keys %v", len(got.all), counted, got.keys)
	}
	for i, want := range [][]string{
		{`name:"embeddings"`, `key:"gen_ai.provider.name" value:{string_value:"gcp.gemini"}`, `key:"server.address" value:{string_value:"127.0.0.1"}`,
			`key:"server.port" value:{int_value:9}`, `code:STATUS_CODE_ERROR`, `start_time_unix_nano:1500`, `SPAN_KIND_CLIENT`},
		{`name:"chat gpt-4o"`, `key:"gen_ai.provider.name" value:{string_value:"openai"}`, `key:"server.address" value:{string_value:"api.openai.example"}`,
			`key:"server.port" value:{int_value:443}`, `key:"gen_ai.usage.input_tokens" value:{int_value:0}`, `{string_value:"stop"} values:{string_value:"length"}`,
			`key:"gen_ai.response.time_to_first_chunk" value:{double_value:1e-06}`, `start_time_unix_nano:2000`, `end_time_unix_nano:9000`},
		{`name:"POST /v1/chat/completions"`, `SPAN_KIND_SERVER`, `start_time_unix_nano:1000`},
	} {
		for _, piece := range want {
			if !strings.Contains(got.all[i], piece) {
				t.Errorf("span %d has no %s: %s", i, piece, got.all[i])
			}
		}
	}
}

// A server's span is an error from 500 on, whoever has said so: https://opentelemetry.io/docs/specs/semconv/http/http-spans/#status
func TestWhichExchangesAreErrorsOfTheGateway(t *testing.T) {
	got, endpoint := collect(t, http.StatusOK)
	tracer, _, _ := started(t, endpoint)
	tests := []struct {
		status, more string
		failed       bool
	}{
		{"200", ``, false},
		{"200", `,"error":"stream_error"`, true},
		{"200", `,"error":"content_blocked","refused_by":"contentfilter"`, false},
		{"429", `,"error":"429"`, false},
		{"401", `,"error":"invalid_api_key","refused_by":"auth"`, false},
		{"503", `,"error":"503"`, true},
		{"502", `,"error":"unreadable_answer","refused_by":"border"`, true},
	}
	for _, tc := range tests {
		line := strings.Replace(exchangeRecord, `"status":200,"attempt":"00000000000000ab"`, `"status":`+tc.status+tc.more, 1)
		_, _ = tracer.Write([]byte(line + "\n"))
	}
	tracer.Close(t.Context())
	if len(got.all) != len(tests) {
		t.Fatalf("got %d spans, want %d", len(got.all), len(tests))
	}
	for i, tc := range tests {
		if failed := strings.Contains(got.all[i], "STATUS_CODE_ERROR"); failed != tc.failed {
			t.Errorf("%s%s: an error %v, want %v", tc.status, tc.more, failed, tc.failed)
		}
	}
}

func TestWhatIsNoRecordIsToldAndLeftOut(t *testing.T) {
	got, endpoint := collect(t, http.StatusOK)
	tracer, counted, log := started(t, endpoint)
	for _, line := range []string{
		"{", `{"event":"span.exchange"}`, strings.Replace(exchangeRecord, "4bf92f3577b34da6a3ce929d0e0e4736", strings.Repeat("0", 32), 1),
		strings.Replace(exchangeRecord, `"end":9000`, `"end":1`, 1), strings.Replace(attemptRecord, "00000000000000ac", "xx", 1),
		strings.Replace(attemptRecord, `"parent":"00000000000000aa"`, `"parent":"none"`, 1),
	} {
		before := log.Len()
		if n, err := tracer.Write([]byte(line + "\n")); n != len(line)+1 || err != nil {
			t.Errorf("write: %d, %v", n, err)
		}
		if log.Len() == before {
			t.Errorf("nobody is told of %s", line)
		}
	}
	tracer.Close(t.Context())
	if len(got.all) > 0 || counted[Taken] > 0 {
		t.Errorf("got %v, counted %v", got.all, counted)
	}
}

func TestACollectorThatTakesNothingHoldsNobodyUp(t *testing.T) {
	written := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-written
		w.WriteHeader(http.StatusForbidden)
	}))
	defer server.Close()
	tracer, counted, log := started(t, server.URL)
	for range 3 * maxWaiting {
		_, _ = tracer.Write([]byte(exchangeRecord + "\n")) // which would never return if it waited
	}
	close(written)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tracer.Close(ctx)
	if counted[Sent] > 0 || counted[Failed] == 0 || counted[Failed] > counted[Taken] {
		t.Errorf("counted %v", counted)
	}
	if n := strings.Count(log.String(), "does not take spans"); n != 1 {
		t.Errorf("it is told %d times, want once a minute:\n%s", n, log)
	}
	if strings.Contains(log.String(), "of-the-collector") {
		t.Error("the collector's key stands in the log")
	}
}

func TestWithoutAnEndpointNothingIsTraced(t *testing.T) {
	tracer := &Tracer{}
	sender, err := tracer.Prepare(t.Context(), &config.Config{}, Options{})
	if sender != nil || err != nil {
		t.Fatalf("got %v, %v", sender, err)
	}
	tracer.Use(sender).Close(t.Context())
	if n, err := tracer.Write([]byte(exchangeRecord)); n != len(exchangeRecord) || err != nil {
		t.Errorf("write: %d, %v", n, err)
	}
	tracer.Close(t.Context())
}

func TestAHeaderWithoutItsValueIsRefusedWithItsPlace(t *testing.T) {
	_, err := Resolve(configured(t, "http://127.0.0.1:1"), func(string) (string, bool) { return "", false })
	if err == nil || !strings.Contains(err.Error(), "leash.yaml:7:") || !strings.Contains(err.Error(), "tracing.headers.x-key") {
		t.Errorf("got %v", err)
	}
}

func FuzzRecords(f *testing.F) {
	for _, line := range []string{exchangeRecord, attemptRecord, "{}", `{"event":"span.exchange","trace":1}`} {
		f.Add([]byte(line))
	}
	tracer := &Tracer{}
	sender, err := tracer.Prepare(context.Background(), &config.Config{Tracing: config.Tracing{Endpoint: config.URL{URL: url.URL{Scheme: "http", Host: "127.0.0.1:1"}}}}, Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		if n, err := sender.record(line); err == nil && n == 0 && json.Valid(line) {
			var r record
			_ = json.Unmarshal(line, &r)
			if r.Event == ofExchange {
				t.Errorf("%s is an exchange without a span", line)
			}
		}
	})
}
