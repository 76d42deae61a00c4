package conformance

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/host/abi/chain"
)

// hostRunner runs cases on this host.
type hostRunner struct {
	engine *abi.Engine
	call   string // the address of the server for callouts
	grpc   grpcCaller
}

func newHostRunner(t *testing.T, callout, grpc string) *hostRunner {
	t.Helper()
	engine, err := abi.New(context.Background(), abi.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close(context.Background()) })
	return &hostRunner{engine, callout, newGRPCCaller(t, grpc)}
}

func (r *hostRunner) run(t *testing.T, c Case) result {
	t.Helper()
	var lines lineLog
	program, err := r.engine.Compile(context.Background(), c.wasm())
	if err != nil {
		t.Fatal(err)
	}
	var w abi.Worker
	got := make(chan result, 1)
	x := &wire{c: c, done: got, worker: &w}
	var plugin *abi.Plugin
	w.Do(func() {
		vm, err := program.NewVM(context.Background(), &w, abi.VMConfig{
			ID: "vm of " + c.id(), Configuration: []byte(c.VMConfig), Allow: c.Restrict, Env: c.Env,
			Host: abi.Host{Logger: &lines, HTTP: caller{r.call}, GRPC: r.grpc},
		})
		if err != nil {
			t.Fatal(err)
		}
		plugin, err = vm.NewPlugin(abi.PluginConfig{
			Name: c.id(), RootID: "root", Configuration: []byte(c.Config), AllowOnHeadersStopIteration: !c.NoStopIteration,
		})
		if err != nil {
			t.Fatal(err)
		}
		x.chain = chain.New([]*abi.Plugin{plugin}, chain.Config{
			Upstream: (*server)(x), Downstream: (*client)(x), Reset: func() { x.finish(0) }, FailOpen: []bool{c.FailOpen},
			Properties: attributes{"request\x00protocol": "HTTP/1.1"},
		})
		x.send()
	})
	defer w.Do(func() { _ = plugin.VM().Close(context.Background()) })
	var final result
	select {
	case final = <-got:
	case <-time.After(timeout):
		final = result{Status: timedOut}
		w.Do(func() { final.Upstream = x.upstream })
	}
	w.Do(x.chain.Close)
	final.Logs = c.lines(lines.all())
	return final
}

// attributes are what is known of an exchange besides its headers, by path.
type attributes map[string]string

func (a attributes) Property(path string) ([]byte, abi.Status) {
	value, found := a[path]
	if !found {
		return nil, abi.NotFound
	}
	return []byte(value), abi.OK
}

// SetProperty is never asked: the chain keeps what modules set.
func (attributes) SetProperty(string, []byte) abi.Status { return abi.NotFound }

// lineLog collects what modules log.
type lineLog struct {
	mu    sync.Mutex
	lines []string
}

func (l *lineLog) Level() abi.Level { return abi.Info }

func (l *lineLog) Log(r abi.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !strings.HasPrefix(r.Message, "Attempted call to restricted") { // the host's own line, which Envoy does not write as the module's
		l.lines = append(l.lines, r.Message)
	}
}

func (l *lineLog) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lines)
}

// wire is client and server of an exchange on this host. Both speak HTTP/1.1 as Envoy's codec hands it on: the end of a body comes by itself.
type wire struct {
	c        Case
	chain    *chain.Exchange
	worker   *abi.Worker
	done     chan result
	upstream string
	response result
	request  *abi.Headers
	trailers *abi.Headers
	body     bytes.Buffer
}

func (x *wire) send() {
	h := abi.NewHeaders(":authority", "conformance.test", ":path", "/"+x.c.id(), ":method", "GET", ":scheme", "http",
		"user-agent", "conformance", "x-probe", "probe", "x-forwarded-proto", "http")
	if x.c.Header[0] != "" {
		h.Add(x.c.Header[0], x.c.Header[1])
	}
	if x.c.Request != "" {
		h.Set(":method", "POST")
		if x.c.Trailers {
			h.Add("transfer-encoding", "chunked")
		} else {
			h.Add("content-length", strconv.Itoa(len(x.c.Request)))
		}
	}
	x.chain.OnRequestHeaders(h, x.c.Request == "")
	if x.c.Request != "" {
		x.chain.OnRequestData([]byte(x.c.Request), false)
		if x.c.Trailers {
			x.chain.OnRequestTrailers(abi.NewHeaders("x-last", "1"))
			return
		}
		x.chain.OnRequestData(nil, true)
	}
}

func (x *wire) finish(status int) {
	x.response.Upstream = x.upstream
	if status == 0 {
		x.response = result{Status: resetByPeer, Upstream: x.upstream}
	}
	select {
	case x.done <- x.response:
	default:
	}
}

// server answers what has passed the module.
type server wire

func (s *server) Headers(h *abi.Headers, end bool) {
	s.request = h
	if end {
		s.answer()
	}
}

func (s *server) Data(data []byte, end bool) {
	s.body.Write(data)
	if end {
		s.answer()
	}
}

func (s *server) Trailers(h *abi.Headers) {
	if _, known := s.request.Get("content-length"); !known { // else there is no place for them in HTTP/1.1
		s.trailers = h
	}
	s.answer()
}

func (s *server) answer() {
	s.upstream = describe(s.request.Value(":method"), s.request.Value(":path"), headersOf(s.request), s.body.String(), headersOf(s.trailers))
	s.worker.Post(func() {
		h := abi.NewHeaders(":status", "200", "x-server", "server", "content-type", "text/plain")
		s.chain.OnResponseHeaders(h, s.c.Response == "" && !s.c.Trailers)
		if s.c.Response != "" {
			s.chain.OnResponseData([]byte(s.c.Response), false)
		}
		if s.c.Trailers {
			s.chain.OnResponseTrailers(abi.NewHeaders("x-end", "1"))
		} else if s.c.Response != "" {
			s.chain.OnResponseData(nil, true)
		}
	})
}

// client takes what comes back.
type client wire

func (c *client) Headers(h *abi.Headers, end bool) {
	c.response = result{Status: number(h.Value(":status")), Headers: headersOf(h)}
	if end {
		(*wire)(c).finish(c.response.Status)
	}
}

func (c *client) Data(data []byte, end bool) {
	c.response.Body += string(data)
	if end {
		(*wire)(c).finish(c.response.Status)
	}
}

func (c *client) Trailers(h *abi.Headers) {
	c.response.Trailers = headersOf(h)
	(*wire)(c).finish(c.response.Status)
}

func headersOf(h *abi.Headers) http.Header {
	header := http.Header{}
	if h == nil {
		return header
	}
	for name, value := range h.All() {
		header.Add(name, value)
	}
	return header
}

// caller makes callouts as Envoy would: to the server, or to nobody.
type caller struct{ address string }

func (c caller) HTTPCall(ctx context.Context, call *abi.HTTPCall, done func(*abi.HTTPAnswer)) error {
	if call.Cluster == "dead" {
		go done(&abi.HTTPAnswer{Headers: abi.NewHeaders(":status", "503")})
		return nil
	}
	if call.Cluster != "callout" {
		return abi.ErrUnknownCluster
	}
	request, err := http.NewRequestWithContext(context.WithoutCancel(ctx), call.Headers.Value(":method"), "http://"+c.address+call.Headers.Value(":path"), strings.NewReader(""))
	if err != nil {
		return err
	}
	go func() {
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			done(nil)
			return
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		h := abi.NewHeaders(":status", "200", "x-callout", response.Header.Get("x-callout"))
		done(&abi.HTTPAnswer{Headers: h, Body: body})
	}()
	return nil
}
