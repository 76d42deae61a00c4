package module

import (
	"cmp"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/leash-gateway/leash/module/printf"
)

// headers is what the host has told of one side's headers. They are asked for all at once, because each call out of
// Wasm costs more than looking through them (BenchmarkPipelineChat, docs/benchmarks.md), and nobody else changes them
// while this filter holds them.
type headers struct {
	loaded   bool
	pairs    [][2]string
	changes  []change // that the host has not been told of yet
	few      [fewChanges]change
	replaced bool // the host has others
}

// change is a header that is set or removed.
type change struct {
	name, value string
	remove      bool
}

func (f *Flow) headersOf(side Side) *headers {
	h := &f.x.common.headers[side]
	if !h.loaded {
		h.loaded, h.pairs, h.changes = true, f.s.Headers(side), h.few[:0]
	}
	return h
}

// header returns a header's value, joined with commas when it was sent more than once; "" when it is absent.
func (f *Flow) header(side Side, name string) string {
	pairs := f.headersOf(side).pairs
	i := find(pairs, name, 0)
	if i == len(pairs) {
		return ""
	}
	value := pairs[i][1]
	for i = find(pairs, name, i+1); i < len(pairs); i = find(pairs, name, i+1) {
		value += "," + pairs[i][1]
	}
	return value
}

// find is where the next header of a name is, from a place on; the end if there is none.
func find(pairs [][2]string, name string, from int) int {
	for i := similar(pairs, name, from); i < len(pairs); i = similar(pairs, name, i+1) {
		if pairs[i][0] == name {
			return i
		}
	}
	return len(pairs)
}

// similar is where the next header is whose name is as long and begins alike. It calls nothing, so that its loop is one in WebAssembly too
// (docs/decisions/132-what-engines-are-told-of-gos-code.md).
func similar(pairs [][2]string, name string, from int) int {
	for i := from; i < len(pairs); i++ {
		if other := pairs[i][0]; len(other) == len(name) && (name == "" || other[0] == name[0]) {
			return i
		}
	}
	return len(pairs)
}

// setHeader sets a header, once. The host is told by flushHeaders.
func (f *Flow) setHeader(side Side, name, value string) {
	h := f.headersOf(side)
	h.without(name)
	h.pairs = append(h.pairs, [2]string{name, value})
	h.changes = append(h.changes, change{name: name, value: value})
}

// removeHeader removes a header, if it is there.
func (f *Flow) removeHeader(side Side, name string) {
	if h := f.headersOf(side); h.without(name) {
		h.changes = append(h.changes, change{name: name, remove: true})
	}
}

// removeHeaders removes all headers whose names begin so.
func (f *Flow) removeHeaders(side Side, prefix string) {
	h := f.headersOf(side)
	for i := beginning(h.pairs, prefix, 0); i < len(h.pairs); {
		if name := h.pairs[i][0]; strings.HasPrefix(name, prefix) {
			f.removeHeader(side, name)
			i = beginning(h.pairs, prefix, i)
		} else {
			i = beginning(h.pairs, prefix, i+1)
		}
	}
}

// beginning is where the next header is whose name may begin with prefix, which has something. It calls nothing, as similar does.
//
//go:noinline
func beginning(pairs [][2]string, prefix string, from int) int {
	for i := from; i < len(pairs); i++ {
		if name := pairs[i][0]; len(name) >= len(prefix) && prefix != "" && name[0] == prefix[0] {
			return i
		}
	}
	return len(pairs)
}

// mayChange says whether the headers of a side can be changed in this phase. A module that tries to all the same has misunderstood something, of which
// its author is told once.
func (f *Flow) mayChange(side Side, name string) bool {
	kind, when := "request", "before the request has left"
	may := f.phase <= PhaseBody
	if side == Responses {
		kind, when = "response", "in the response header phase and the response phase"
		may = f.phase == PhaseResponseHeader || f.phase == PhaseResponse
	}
	if may && f.headersGone[side] {
		f.tell("changes the " + kind + " header " + strconv.Quote(bounded(name)) + " in the " + f.phase.String() +
			" phase, which has no effect under no_header_pause: headers have left before the body has been looked at")
		return false
	}
	if !may {
		f.tell("changes the " + kind + " header " + strconv.Quote(bounded(name)) + " in the " + f.phase.String() + " phase, which has no effect: it can be changed " + when)
	}
	return may
}

// tell writes a line about the module that runs, the first time that there is something to say of it.
func (f *Flow) tell(what string) {
	if s := &f.p.slots[f.x.slot]; !s.told {
		s.told = true
		f.p.host.Log(Warn, "module "+s.name+" "+what)
	}
}

// setOwnHeader sets a header that a module wants.
func (f *Flow) setOwnHeader(side Side, name, value string) {
	if !f.mayChange(side, name) {
		return
	}
	name, err := checkHeader(name, value)
	if err != nil {
		panic(err.Error())
	}
	f.setHeader(side, name, value)
}

// What a character of a header is. A table, because the module ratelimit alone sets six headers of each answer.
const (
	unnamed = 1 << iota // no character of a name (RFC 9110, 5.6.2)
	colon               // which only pseudo headers begin with
	capital
	control // no character of a value
)

var kinds = func() (table [256]uint8) {
	for i := range table {
		c := byte(i)
		switch {
		case c == ':':
			table[c] = colon
		case c >= 'A' && c <= 'Z':
			table[c] = capital
		case c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/;<=>?@[\]{}`, c) >= 0:
			table[c] = unnamed
		}
		if c < ' ' && c != '\t' || c == 0x7f {
			table[c] |= control
		}
	}
	return table
}()

// kindsIn are the kinds of all characters of a text.
func kindsIn(text string) (all uint8) {
	for i := range len(text) {
		all |= kinds[text[i]]
	}
	return all
}

// lower is a header's name in small letters, as most are written.
func lower(name string) string {
	if kindsIn(name)&capital == 0 {
		return name
	}
	return strings.ToLower(name)
}

// checkHeader returns a header's name in small letters, or says why it could not be sent, or would tear its message apart. That is the module's
// mistake: hosts would answer the client with an error that names no module.
func checkHeader(name, value string) (string, error) {
	if name == "" {
		return "", errors.New("a header needs a name")
	}
	in := kindsIn(name[1:])
	if (kinds[name[0]]|in)&unnamed != 0 || in&colon != 0 {
		return "", printf.Errorf("a header cannot be named %q", bounded(name))
	}
	if kindsIn(value)&control != 0 {
		i := strings.IndexFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
		return "", printf.Errorf("the value of the header %s has a character that cannot be sent: %s", name, strconv.QuoteRune(rune(value[i])))
	}
	if (kinds[name[0]]|in)&capital != 0 {
		name = strings.ToLower(name)
	}
	return name, nil
}

func checkHeaders(all [][2]string) error {
	for _, h := range all {
		if _, err := checkHeader(h[0], h[1]); err != nil {
			return err
		}
	}
	return nil
}

// prepare sets what a call does not say, and says why it could not be sent.
func (c *Call) prepare() error {
	c.Method, c.Timeout = cmp.Or(c.Method, "GET"), cmp.Or(c.Timeout, 5*time.Second)
	c.Path = cmp.Or(c.Path, "/")
	if err := checkHeaders(append([][2]string{{":method", c.Method}, {":authority", c.Authority}}, c.Header...)); err != nil {
		return printf.Errorf("call %s: %w", c.Upstream, err)
	}
	for i := range len(c.Path) {
		if b := c.Path[i]; b <= ' ' || b >= 0x7f || c.Path[0] != '/' {
			return printf.Errorf("call %s: %q is not a path: escape what stands in it", c.Upstream, bounded(c.Path))
		}
	}
	return nil
}

// without takes a header out of the pairs, and says whether it was there.
func (h *headers) without(name string) bool {
	first := find(h.pairs, name, 0)
	if first == len(h.pairs) {
		return false
	}
	kept := h.pairs[:first]
	for _, pair := range h.pairs[first+1:] {
		if pair[0] != name {
			kept = append(kept, pair)
		}
	}
	h.pairs = kept
	return true
}

// fewChanges are told to the host one by one; for more it is cheaper to give it all headers anew: a call takes Envoy 4,700 instructions.
const fewChanges = 3

// flushHeaders tells the host what has been changed. It is called before a side goes on.
func (f *Flow) flushHeaders(side Side) {
	h := &f.x.common.headers[side]
	if len(h.changes) > fewChanges || h.replaced {
		f.s.ReplaceHeaders(side, h.pairs)
		h.replaced = false
	} else {
		for _, c := range h.changes {
			if c.remove {
				f.s.RemoveHeader(side, c.name)
			} else {
				f.s.SetHeader(side, c.name, c.value)
			}
		}
	}
	h.changes = h.changes[:0]
}
