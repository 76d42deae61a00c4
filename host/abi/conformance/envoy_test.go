package conformance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leash-gateway/leash/internal/nettest"
)

// envoyRunner runs cases on a real Envoy: one process, a listener per case.
type envoyRunner struct {
	admin    string
	ports    map[string]string // by case
	upstream *recorder
	ended    chan struct{} // closed when Envoy has

	mu    sync.Mutex
	lines map[string][]string // what modules logged, by case
	all   bytes.Buffer
}

// recorder is the server behind Envoy.
type recorder struct {
	mu   sync.Mutex
	c    Case
	last string
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return // broken off, sooner or later: not a request that came to its end
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = describe(request.Method, request.RequestURI, request.Header, string(body), request.Trailer)
	w.Header().Set("x-server", "server")
	w.Header().Set("content-type", "text/plain")
	if r.c.Trailers {
		w.Header().Set(http.TrailerPrefix+"x-end", "1")
	}
	_, _ = io.WriteString(w, r.c.Response)
}

func newEnvoyRunner(t *testing.T, callout, grpc string) *envoyRunner {
	t.Helper()
	upstream := &recorder{}
	r := startEnvoy(t, func(t *testing.T) object {
		t.Helper()
		return resources(t, serve(t, upstream), callout, grpc)
	})
	r.upstream = upstream
	return r
}

// startEnvoy starts an Envoy with static resources and waits until it is ready.
func startEnvoy(t *testing.T, resources func(*testing.T) object) *envoyRunner {
	t.Helper()
	r := &envoyRunner{lines: map[string][]string{}, ports: map[string]string{}}
	dir := t.TempDir()
	config := filepath.Join(dir, "envoy.json")
	adminFile := filepath.Join(dir, "admin")
	text, err := json.Marshal(object{"admin": object{"address": socket("127.0.0.1:0")}, "static_resources": resources(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	command := exec.CommandContext(ctx, nettest.Envoy(t), "-c", config, "--concurrency", "1", "--disable-hot-restart", "--admin-address-path", adminFile, "-l", "info")
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 5 * time.Second
	out, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	r.ended = read
	go func() { defer close(read); r.read(out) }()
	t.Cleanup(func() {
		cancel()
		<-read
		_ = command.Wait()
		if t.Failed() && os.Getenv("VERBOSE_ENVOY") != "" {
			t.Log(r.all.String())
		}
	})
	r.waitReady(t, adminFile)
	return r
}

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func (r *envoyRunner) waitReady(t *testing.T, adminFile string) {
	t.Helper()
	nettest.Succeeds(t, "Envoy to be ready", func() error {
		admin, err := os.ReadFile(adminFile)
		if err != nil {
			return err
		}
		r.admin = strings.TrimSpace(string(admin))
		if ready, err := get200("http://" + r.admin + "/ready"); err != nil {
			return fmt.Errorf("%w %s", err, ready)
		}
		return nil
	})
	text, err := get200("http://" + r.admin + "/listeners?format=json")
	if err != nil {
		t.Fatal(err)
	}
	var listeners struct {
		Status []struct {
			Name    string `json:"name"`
			Address struct {
				Socket struct {
					Port int `json:"port_value"`
				} `json:"socket_address"`
			} `json:"local_address"`
		} `json:"listener_statuses"`
	}
	if err := json.Unmarshal(text, &listeners); err != nil {
		t.Fatal(err)
	}
	for _, l := range listeners.Status {
		r.ports[l.Name] = fmt.Sprint(l.Address.Socket.Port)
	}
}

func get200(url string) ([]byte, error) {
	response, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(response.Status)
	}
	return text, err
}

// logLine is "[date][thread][level][wasm] [source] wasm log NAME root vm of NAME: message"; the first NAME only on streams.
var logLine = regexp.MustCompile(`^\[[^]]*\]\[[^]]*\]\[[^]]*\]\[[^]]*\] \[[^]]*\] wasm log [^:]*vm of (case[0-9]+): (.*)$`)

func (r *envoyRunner) read(out io.Reader) {
	scanner := bufio.NewScanner(out)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		r.mu.Lock()
		r.all.WriteString(scanner.Text() + "\n")
		if found := logLine.FindStringSubmatch(scanner.Text()); found != nil {
			r.lines[found[1]] = append(r.lines[found[1]], found[2])
		}
		r.mu.Unlock()
	}
}

func (r *envoyRunner) run(t *testing.T, c Case) result {
	t.Helper()
	r.upstream.mu.Lock()
	r.upstream.c, r.upstream.last = c, ""
	r.upstream.mu.Unlock()
	select {
	case <-r.ended:
		t.Fatalf("Envoy has died:\n%s", r.about(c))
	default:
	}
	port := r.ports[c.id()]
	if port == "" {
		t.Fatalf("Envoy has no listener for the case: its module or configuration was refused:\n%s", r.about(c))
	}
	final := send(t, "127.0.0.1:"+port, c)
	r.upstream.mu.Lock()
	final.Upstream = r.upstream.last
	r.upstream.mu.Unlock()
	if c.trapped() {
		final.Logs = r.logged(c)
	} else {
		final.Logs = r.finished(t, c)
	}
	return final
}

// finished is what a module has logged when its stream has ended.
func (r *envoyRunner) finished(t *testing.T, c Case) []string {
	t.Helper()
	nettest.Succeeds(t, "the stream's end in Envoy", func() error {
		if lines := r.logged(c); len(lines) == 0 || lines[len(lines)-1] != ended {
			return fmt.Errorf("not yet: %q", lines)
		}
		return nil
	})
	return r.logged(c)
}

func (r *envoyRunner) logged(c Case) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return c.lines(slices.Clone(r.lines[c.id()]))
}

// about is what Envoy wrote that may be about a case.
func (r *envoyRunner) about(c Case) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var lines []string
	for line := range strings.Lines(r.all.String()) {
		if strings.Contains(line, c.id()) || strings.Contains(line, "rror") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

func send(t *testing.T, address string, c Case) result {
	t.Helper()
	method := http.MethodGet
	var body io.Reader
	if c.Request != "" {
		method, body = http.MethodPost, strings.NewReader(c.Request)
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, "http://"+address+"/"+c.id(), body)
	if err != nil {
		t.Fatal(err)
	}
	if c.Trailers && c.Request != "" {
		request.ContentLength, request.Trailer = -1, http.Header{"X-Last": {"1"}}
	}
	request.Host = "conformance.test"
	request.Header = http.Header{"User-Agent": {"conformance"}, "X-Probe": {"probe"}}
	if c.Header[0] != "" {
		request.Header.Add(c.Header[0], c.Header[1])
	}
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}).Do(request)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return result{Status: timedOut}
	case err != nil:
		return result{Status: resetByPeer}
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	return result{Status: response.StatusCode, Headers: response.Header, Body: string(text), Trailers: response.Trailer}
}

type object = map[string]any

func resources(t *testing.T, upstream, callout, grpc string) object {
	t.Helper()
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer dead.Close()
	var listeners []any
	for _, c := range Cases {
		listeners = append(listeners, listener(c))
	}
	return object{
		"listeners": listeners,
		"clusters":  []any{withTrailers(cluster("upstream", upstream)), cluster("callout", callout), cluster("dead", dead.Addr().String()), http2(cluster("grpc", grpc))},
	}
}

// pluginOf is the PluginConfig of a case.
func pluginOf(c Case) object {
	plugin := object{
		"name": c.id(), "root_id": "root", "fail_open": c.FailOpen, "allow_on_headers_stop_iteration": !c.NoStopIteration,
		"configuration": object{"@type": "type.googleapis.com/google.protobuf.StringValue", "value": c.Config},
		"vm_config": object{
			"vm_id": "vm of " + c.id(), "runtime": "envoy.wasm.runtime.v8",
			"configuration": object{"@type": "type.googleapis.com/google.protobuf.StringValue", "value": c.VMConfig},
			"code":          object{"local": object{"inline_bytes": base64.StdEncoding.EncodeToString(c.wasm())}},
		},
	}
	if len(c.Env) > 0 {
		plugin["vm_config"].(object)["environment_variables"] = object{"key_values": c.Env}
	}
	if len(c.Restrict) > 0 {
		allowed := object{}
		for _, name := range c.Restrict {
			allowed[name] = object{}
		}
		plugin["capability_restriction_config"] = object{"allowed_capabilities": allowed}
	}
	return plugin
}

func listener(c Case) object {
	return object{
		"name": c.id(), "address": socket("127.0.0.1:0"),
		"filter_chains": []any{object{"filters": []any{object{
			"name": "hcm", "typed_config": object{
				"@type":       "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
				"stat_prefix": "x", "generate_request_id": false, "http_protocol_options": object{"enable_trailers": true}, "server_header_transformation": "PASS_THROUGH", "skip_xff_append": true, "use_remote_address": false,
				"route_config": object{"virtual_hosts": []any{object{"name": "all", "domains": []any{"*"}, "routes": []any{object{"match": object{"prefix": "/"}, "route": object{"cluster": "upstream"}}}}}},
				"http_filters": []any{
					object{"name": c.id(), "typed_config": object{"@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm", "config": pluginOf(c)}},
					object{"name": "router", "typed_config": object{"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router", "suppress_envoy_headers": true}},
				},
			},
		}}}},
	}
}

func cluster(name, address string) object {
	return object{"name": name, "connect_timeout": "1s", "type": "STATIC", "load_assignment": object{"cluster_name": name, "endpoints": []any{object{
		"lb_endpoints": []any{object{"endpoint": object{"address": socket(address)}}}}}}}
}

func withTrailers(c object) object {
	c["typed_extension_protocol_options"] = object{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": object{
		"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": object{"http_protocol_options": object{"enable_trailers": true}},
	}}
	return c
}

func http2(c object) object {
	c["typed_extension_protocol_options"] = object{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": object{
		"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": object{"http2_protocol_options": object{}},
	}}
	return c
}

func socket(address string) object {
	host, port, _ := net.SplitHostPort(address)
	return object{"socket_address": object{"address": host, "port_value": number(port)}}
}
