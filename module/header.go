package module

// headers is what the host has told of one side's headers. They are asked for all at once, because each call out of
// Wasm costs more than looking through them (BenchmarkPipelineChat, docs/benchmarks.md), and nobody else changes them
// while this filter holds them.
type headers struct {
	loaded bool
	pairs  [][2]string
}

func (f *Flow) headersOf(side Side) *headers {
	h := &f.headers[side]
	if !h.loaded {
		h.loaded, h.pairs = true, f.s.Headers(side)
	}
	return h
}

// header returns a header's value, joined with commas when it was sent more than once; "" when it is absent.
func (f *Flow) header(side Side, name string) (value string) {
	found := false
	for _, pair := range f.headersOf(side).pairs {
		switch {
		case pair[0] != name:
		case found:
			value += "," + pair[1]
		default:
			value, found = pair[1], true
		}
	}
	return value
}

// setHeader sets a header, once.
func (f *Flow) setHeader(side Side, name, value string) {
	h := f.headersOf(side)
	kept := h.pairs[:0]
	for _, pair := range h.pairs {
		if pair[0] != name {
			kept = append(kept, pair)
		}
	}
	h.pairs = append(kept, [2]string{name, value})
	f.s.SetHeader(side, name, value)
}

// removeHeader removes a header, if it is there.
func (f *Flow) removeHeader(side Side, name string) {
	h := f.headersOf(side)
	kept := h.pairs[:0]
	for _, pair := range h.pairs {
		if pair[0] != name {
			kept = append(kept, pair)
		}
	}
	if len(kept) < len(h.pairs) {
		h.pairs = kept
		f.s.RemoveHeader(side, name)
	}
}
