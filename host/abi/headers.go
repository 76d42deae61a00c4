package abi

import (
	"iter"
	"slices"
	"strings"
)

// Headers are headers, trailers or metadata: an ordered list of names and values in which a name may stand several
// times. Names are lower case. Pseudo headers (":path", ":status") are entries like any other and come first. The zero
// value is empty.
type Headers struct {
	list []pair
}

type pair struct{ name, value string }

// NewHeaders are headers of names and values in turn.
func NewHeaders(namesAndValues ...string) *Headers {
	h := &Headers{list: make([]pair, 0, len(namesAndValues)/2+4)}
	for i := 0; i+1 < len(namesAndValues); i += 2 {
		h.Add(namesAndValues[i], namesAndValues[i+1])
	}
	return h
}

// Len is how many entries there are. A nil Headers has none.
func (h *Headers) Len() int {
	if h == nil {
		return 0
	}
	return len(h.list)
}

// All are the entries in their order.
func (h *Headers) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		if h == nil {
			return
		}
		for _, p := range h.list {
			if !yield(p.name, p.value) {
				return
			}
		}
	}
}

// Get is the first value of a name, and whether there is one.
func (h *Headers) Get(name string) (string, bool) {
	if h == nil {
		return "", false
	}
	for i := range h.list {
		if strings.EqualFold(h.list[i].name, name) {
			return h.list[i].value, true
		}
	}
	return "", false
}

// Value is the first value of a name, or "".
func (h *Headers) Value(name string) string {
	value, _ := h.Get(name)
	return value
}

// Add appends an entry. Of pseudo headers and those that HTTP knows only once (host, content-length, content-type,
// :status and the like) Envoy has one place: a second value is joined to the first.
func (h *Headers) Add(name, value string) {
	name = lower(name)
	if oneOnly(name) {
		for i := range h.list {
			if h.list[i].name == name {
				h.list[i].value += "," + value
				return
			}
		}
	}
	h.append(name, value)
}

// Set replaces the first entry of the name and removes the others; without one, it appends.
func (h *Headers) Set(name, value string) {
	name = lower(name)
	for i := range h.list {
		if h.list[i].name != name {
			continue
		}
		h.list[i].value = value
		rest := slices.DeleteFunc(h.list[i+1:], func(p pair) bool { return p.name == name })
		h.list = h.list[:i+1+len(rest)]
		return
	}
	h.append(name, value)
}

// Remove removes all entries of the name.
func (h *Headers) Remove(name string) {
	name = lower(name)
	h.list = slices.DeleteFunc(h.list, func(p pair) bool { return p.name == name })
}

// Reset removes everything, and keeps the memory for new entries.
func (h *Headers) Reset() { h.list = h.list[:0] }

// Clone is a copy.
func (h *Headers) Clone() *Headers {
	if h == nil {
		return nil
	}
	return &Headers{list: slices.Clone(h.list)}
}

// ByteSize is the length of all names and values, which is what proxy_get_header_map_size answers in Envoy (the
// specification says the number of entries).
func (h *Headers) ByteSize() int {
	n := 0
	for i := range h.list {
		n += len(h.list[i].name) + len(h.list[i].value)
	}
	return n
}

// AppendPairs appends the entries as the ABI writes lists of pairs, which is also how a property that is a map is written.
func (h *Headers) AppendPairs(to []byte) []byte { return appendPairs(to, h.list) }

func (h *Headers) append(name, value string) {
	if !strings.HasPrefix(name, ":") {
		h.list = append(h.list, pair{name, value})
		return
	}
	at := slices.IndexFunc(h.list, func(p pair) bool { return !strings.HasPrefix(p.name, ":") })
	if at < 0 {
		at = len(h.list)
	}
	h.list = slices.Insert(h.list, at, pair{name, value})
}

// oneOnly tells the headers of which Envoy keeps one entry only.
func oneOnly(name string) bool {
	switch name {
	case ":authority", ":method", ":path", ":scheme", ":status", ":protocol", "content-length", "content-type", "host",
		"user-agent", "connection", "te", "transfer-encoding", "upgrade", "grpc-status", "grpc-message",
		"x-request-id", "x-forwarded-proto", "x-forwarded-for", "server", "date", "via":
		return true
	}
	return false
}

func lower(name string) string {
	for i := range len(name) {
		if c := name[i]; 'A' <= c && c <= 'Z' {
			return strings.ToLower(name)
		}
	}
	return name
}
