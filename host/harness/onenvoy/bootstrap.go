package onenvoy

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/leash-gateway/leash/host/harness"
	"github.com/leash-gateway/leash/manifest/wasmfile"
)

type object = map[string]any

// routeTimeout is after how long a provider that says nothing is given up.
const routeTimeout = "2s"

// bootstrap is what Envoy is started with: everything but the listeners, which it reads from a file.
func (p *process) bootstrap() ([]byte, error) {
	clusters := []any{cluster("harness.provider", p.provider.address)}
	for _, name := range slices.Sorted(maps.Keys(p.upstream)) {
		clusters = append(clusters, cluster(name, p.upstream[name].address))
	}
	return json.Marshal(object{
		"admin": object{"address": socket("127.0.0.1:0")}, "stats_flush_interval": "0.1s", "node": object{"id": "harness", "cluster": "harness"},
		"static_resources":  object{"clusters": clusters},
		"dynamic_resources": object{"lds_config": object{"resource_api_version": "V3", "path_config_source": object{"path": p.listeners}}},
	})
}

// writeListeners gives Envoy its listeners, whole or not at all. Where it refuses one it takes the others.
func (p *process) writeListeners(all []harness.Setup) error {
	var resources []any
	for i, s := range all {
		one, err := listener(s, i)
		if err != nil {
			return err
		}
		one["@type"] = "type.googleapis.com/envoy.config.listener.v3.Listener"
		resources = append(resources, one)
	}
	text, err := json.Marshal(object{"resources": resources})
	if err != nil {
		return err
	}
	if err := os.WriteFile(p.listeners+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(p.listeners+".new", p.listeners)
}

func listener(s harness.Setup, i int) (object, error) {
	var filters []any
	for k, m := range s.Modules {
		file, err := filepath.Abs(m.File)
		if err != nil {
			return nil, err
		}
		wasm, err := os.ReadFile(file) //nolint:gosec // the author names it
		if err != nil {
			return nil, fmt.Errorf("read module: %w", err)
		}
		what, err := wasmfile.Parse(wasm)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		// The VM is this pipeline's own, so that its shared data is too.
		id := fmt.Sprintf("%d.%d.%s", i, k, m.Name)
		vm := object{
			"vm_id": id, "runtime": "envoy.wasm.runtime.v8", "code": object{"local": object{"filename": file}}, "configuration": text(m.VMConfig),
		}
		if len(m.Env) > 0 {
			vm["environment_variables"] = object{"key_values": m.Env}
		}
		plugin := object{
			"name": m.Name, "root_id": m.RootID, "allow_on_headers_stop_iteration": what.Kit(), "configuration": text(m.Config), "vm_config": vm,
		}
		if len(m.Allow) > 0 {
			allowed := object{}
			for _, name := range m.Allow {
				allowed[name] = object{}
			}
			plugin["capability_restriction_config"] = object{"allowed_capabilities": allowed}
		}
		if m.Inspector {
			plugin["fail_open"] = true
		} else {
			plugin["failure_policy"] = "FAIL_RELOAD"
		}
		filters = append(filters, object{
			"name": m.Name, "typed_config": object{"@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm", "config": plugin},
		})
	}
	filters = append(filters, object{"name": "router", "typed_config": object{
		"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router", "suppress_envoy_headers": true,
	}})
	limit := s.MaxBuffer
	if limit == 0 {
		limit = 64 << 20
	}
	return object{
		"name": s.Name, "address": socket("127.0.0.1:0"), "per_connection_buffer_limit_bytes": limit,
		"filter_chains": []any{object{"filters": []any{object{"name": "hcm", "typed_config": object{
			"@type":       "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
			"stat_prefix": "harness", "generate_request_id": false, "server_header_transformation": "PASS_THROUGH",
			"skip_xff_append": true, "use_remote_address": false, "http_filters": filters,
			"route_config": object{"virtual_hosts": []any{object{"name": "all", "domains": []any{"*"}, "routes": []any{
				object{"match": object{"prefix": "/"}, "route": object{"cluster": "harness.provider", "timeout": routeTimeout}},
			}}}},
		}}}}},
	}, nil
}

func text(value string) object {
	return object{"@type": "type.googleapis.com/google.protobuf.StringValue", "value": value}
}

func cluster(name, address string) object {
	return object{"name": name, "connect_timeout": "1s", "type": "STATIC", "load_assignment": object{
		"cluster_name": name, "endpoints": []any{object{"lb_endpoints": []any{object{"endpoint": object{"address": socket(address)}}}}},
	}}
}

func socket(address string) object {
	host, port, _ := net.SplitHostPort(address) // our own
	number, _ := strconv.Atoi(port)
	return object{"socket_address": object{"address": host, "port_value": number}}
}

// findPorts asks Envoy on which ports it listens.
func (p *process) findPorts(ctx context.Context) error {
	text, err := p.get(ctx, "/listeners?format=json")
	if err != nil {
		return err
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
		return fmt.Errorf("read envoy's listeners: %w", err)
	}
	for _, l := range listeners.Status {
		p.ports[l.Name] = strconv.Itoa(l.Address.Socket.Port)
	}
	return nil
}
