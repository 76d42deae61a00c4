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

// header is one header as modules left it.
type header struct{ name, value string }

// mutationOf is what makes next of the headers that Envoy has; nil if they are equal. It looks from the first difference
// on, and there name by name, which for the few headers of a request is faster than any map (BenchmarkMutation).
func mutationOf(envoys *core.HeaderMap, next *abi.Headers) *pb.HeaderMutation {
	had := envoys.GetHeaders()
	now := make([]header, 0, next.Len())
	for name, value := range next.All() {
		now = append(now, header{name, value})
	}
	same := 0
	for same < len(had) && same < len(now) && had[same].GetKey() == now[same].name && valueIs(had[same], now[same].value) {
		same++
	}
	if same == len(had) && same == len(now) {
		return nil
	}
	m := &pb.HeaderMutation{}
	for i := same; i < len(now); i++ {
		if name := now[i].name; !stands(now[same:i], name) && !sameValues(had, now, name) {
			m.SetHeaders = appendValues(m.GetSetHeaders(), now, name)
		}
	}
	for i := same; i < len(had); i++ {
		switch name := had[i].GetKey(); {
		case stands(now[same:], name) || slices.ContainsFunc(had[same:i], func(one *core.HeaderValue) bool { return one.GetKey() == name }):
		case stands(now[:same], name): // one of several values is gone
			m.SetHeaders = appendValues(m.GetSetHeaders(), now, name)
		default:
			m.RemoveHeaders = append(m.GetRemoveHeaders(), name)
		}
	}
	if len(m.GetSetHeaders())+len(m.GetRemoveHeaders()) == 0 {
		return nil // only the order has changed
	}
	return m
}

// valueIs is valueOf(h) == value, without making a string.
func valueIs(h *core.HeaderValue, value string) bool {
	if raw := h.GetRawValue(); len(raw) > 0 {
		return string(raw) == value
	}
	return h.GetValue() == value
}

func stands(in []header, name string) bool {
	return slices.ContainsFunc(in, func(h header) bool { return h.name == name })
}

func sameValues(had []*core.HeaderValue, now []header, name string) bool {
	at := 0
	for _, h := range now {
		if h.name != name {
			continue
		}
		for at < len(had) && had[at].GetKey() != name {
			at++
		}
		if at == len(had) || !valueIs(had[at], h.value) {
			return false
		}
		at++
	}
	return !slices.ContainsFunc(had[at:], func(one *core.HeaderValue) bool { return one.GetKey() == name })
}

// appendValues sets a header to all its values: the first takes the place of what is there.
func appendValues(set []*core.HeaderValueOption, now []header, name string) []*core.HeaderValueOption {
	action := core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD
	for _, h := range now {
		if h.name == name {
			set = append(set, headerOption(name, h.value, action))
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
	var all []header
	for name, value := range h.All() {
		if !strings.HasPrefix(name, ":") && name != "content-length" {
			all = append(all, header{name, value})
		}
	}
	m := &pb.HeaderMutation{}
	for i, one := range all {
		if !stands(all[:i], one.name) {
			m.SetHeaders = appendValues(m.GetSetHeaders(), all, one.name)
		}
	}
	return m
}
