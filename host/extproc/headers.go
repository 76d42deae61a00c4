package extproc

import (
	"slices"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	pb "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/leash-gateway/leash/host/abi"
)

// fromEnvoy are headers as Envoy sends them.
func fromEnvoy(m *core.HeaderMap) *abi.Headers {
	h := &abi.Headers{}
	for _, one := range m.GetHeaders() {
		h.Add(one.GetKey(), valueOf(one))
	}
	return h
}

// valueOf is a header's value: Envoy sends bytes, older ones text.
func valueOf(h *core.HeaderValue) string {
	if raw := h.GetRawValue(); len(raw) > 0 {
		return string(raw)
	}
	return h.GetValue()
}

// mutationOf is what makes next of the headers that Envoy has; nil if they are equal. It compares name by name, which
// for the few headers of a request is faster than any map (BenchmarkMutation).
func mutationOf(envoys *core.HeaderMap, next *abi.Headers) *pb.HeaderMutation {
	m := &pb.HeaderMutation{}
	var done []string
	for name := range next.All() {
		if slices.Contains(done, name) {
			continue
		}
		done = append(done, name)
		if !sameValues(envoys, next, name) {
			m.SetHeaders = appendValues(m.GetSetHeaders(), next, name)
		}
	}
	for _, one := range envoys.GetHeaders() {
		if name := one.GetKey(); !slices.Contains(done, name) {
			done = append(done, name)
			m.RemoveHeaders = append(m.GetRemoveHeaders(), name)
		}
	}
	if len(m.GetSetHeaders())+len(m.GetRemoveHeaders()) == 0 {
		return nil
	}
	return m
}

func sameValues(envoys *core.HeaderMap, next *abi.Headers, name string) bool {
	at := 0
	had := envoys.GetHeaders()
	for other, value := range next.All() {
		if other != name {
			continue
		}
		for at < len(had) && had[at].GetKey() != name {
			at++
		}
		if at == len(had) || valueOf(had[at]) != value {
			return false
		}
		at++
	}
	return !slices.ContainsFunc(had[at:], func(one *core.HeaderValue) bool { return one.GetKey() == name })
}

// appendValues sets a header to all its values: the first takes the place of what is there.
func appendValues(set []*core.HeaderValueOption, h *abi.Headers, name string) []*core.HeaderValueOption {
	action := core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD
	for other, value := range h.All() {
		if other == name {
			set = append(set, headerOption(name, value, action))
			action = core.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD
		}
	}
	return set
}

func headerOption(name, value string, action core.HeaderValueOption_HeaderAppendAction) *core.HeaderValueOption {
	return &core.HeaderValueOption{Header: &core.HeaderValue{Key: name, RawValue: []byte(value)}, AppendAction: action, KeepEmptyValue: value == ""}
}

// immediateHeaders are the headers of an answer that a module gives; Envoy itself sets status and length.
func immediateHeaders(h *abi.Headers) *pb.HeaderMutation {
	m := &pb.HeaderMutation{}
	var done []string
	for name := range h.All() {
		if strings.HasPrefix(name, ":") || name == "content-length" || slices.Contains(done, name) {
			continue
		}
		done = append(done, name)
		m.SetHeaders = appendValues(m.GetSetHeaders(), h, name)
	}
	return m
}
