package conformance

import (
	"context"
	"errors"
	"io"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/internal/nettest"
)

func TestThisHostDoesWithConnectionsWhatEnvoyDoes(t *testing.T) {
	engine, err := abi.New(context.Background(), abi.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close(context.Background()) })
	echo := nettest.Serve(t, func(c net.Conn) { _, _ = io.Copy(c, c) })
	envoy := startEnvoy(t, func(t *testing.T) object {
		t.Helper()
		var listeners []any
		for _, c := range TCPCases {
			listeners = append(listeners, object{"name": c.id(), "address": socket("127.0.0.1:0"), "filter_chains": []any{object{"filters": []any{
				object{"name": c.id(), "typed_config": object{"@type": "type.googleapis.com/envoy.extensions.filters.network.wasm.v3.Wasm", "config": pluginOf(c)}},
				object{"name": "tcp", "typed_config": object{"@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "tcp", "cluster": "echo"}},
			}}}})
		}
		return object{"listeners": listeners, "clusters": []any{cluster("echo", echo)}}
	})
	for _, c := range TCPCases {
		t.Run(c.Name, func(t *testing.T) {
			got, want := runConnection(t, engine, c), result{Body: ping(t, "127.0.0.1:"+envoy.ports[c.id()])}
			want.Logs = envoy.finished(t, c)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("this host differs from Envoy\nhost:  %s\nEnvoy: %s", got, want)
			}
		})
	}
}

// ping sends "ping" and returns what comes back at once.
func ping(t *testing.T, address string) string {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // ends with a reset: Envoy then brings no empty end of data first
	}
	_, _ = io.WriteString(c, "ping")
	_ = c.SetReadDeadline(time.Now().Add(timeout))
	answer := make([]byte, 100)
	n, err := c.Read(answer)
	if err != nil && !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") {
		return "no answer"
	}
	return string(answer[:n])
}

// connection is client, server and proxy of a connection on this host, in memory.
type connection struct {
	conn         *abi.Conn
	state        map[string]string
	open         bool // the module lets the connection begin
	held         abi.Buffer
	answer       string
	continuing   bool
	closedByItem bool
}

func (x *connection) Property(path string) ([]byte, abi.Status) {
	if value, found := x.state[path]; found {
		return []byte(value), abi.OK
	}
	return nil, abi.NotFound
}

func (x *connection) SetProperty(path string, value []byte) abi.Status {
	x.state[path] = string(value)
	return abi.OK
}

func (x *connection) Continue(abi.StreamType)          { x.continuing = true }
func (x *connection) LocalResponse(*abi.LocalResponse) {}
func (x *connection) Failed(error)                     {}
func (x *connection) CloseStream(abi.StreamType)       { x.closedByItem = true }

func runConnection(t *testing.T, engine *abi.Engine, c Case) result {
	t.Helper()
	var lines lineLog
	program, err := engine.Compile(context.Background(), c.wasm())
	if err != nil {
		t.Fatal(err)
	}
	var w abi.Worker
	x := &connection{state: map[string]string{}, answer: "no answer"}
	w.Do(func() {
		vm, err := program.NewVM(context.Background(), &w, abi.VMConfig{Host: abi.Host{Logger: &lines}})
		if err != nil {
			t.Fatal(err)
		}
		defer vm.Close(context.Background())
		p, err := vm.NewPlugin(abi.PluginConfig{RootID: "root"})
		if err != nil {
			t.Fatal(err)
		}
		if x.conn, err = p.NewConn(x); err != nil {
			t.Fatal(err)
		}
		if err := x.run(); err != nil {
			t.Fatal(err)
		}
	})
	return result{Body: x.answer, Logs: slices.Clone(lines.all())}
}

// run is what happens on a connection of ping.
func (x *connection) run() error {
	action, err := x.conn.OnNewConnection()
	if err != nil {
		return err
	}
	if x.open = action == abi.Continue || x.continuing; x.open {
		x.held.Append([]byte("ping"))
		x.continuing = false
		if action, err = x.conn.OnDownstreamData(&x.held, false); err != nil {
			return err
		}
		if x.closedByItem {
			x.answer = ""
			return x.conn.OnDownstreamClose(abi.Local)
		}
		if action == abi.Continue || x.continuing {
			echoed := abi.NewBuffer(x.held.Take())
			if _, err = x.conn.OnUpstreamData(echoed, false); err != nil {
				return err
			}
			x.answer = string(echoed.Bytes())
		}
	}
	return x.conn.OnDownstreamClose(abi.Remote)
}
