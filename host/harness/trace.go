package harness

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/leash-gateway/leash/host/abi"
)

// A Trace writes every host call of modules as a line, below the callback from which it came.
type Trace struct {
	w    io.Writer
	last string
}

var _ abi.Tracer = (*Trace)(nil)

// NewTrace is a Trace that writes to w.
func NewTrace(w io.Writer) *Trace { return &Trace{w: w} }

// HostCall writes a call.
func (t *Trace) HostCall(c abi.HostCall) {
	callback := c.Callback
	if c.Plugin != "" {
		callback = c.Plugin + " " + strconv.Itoa(int(c.Context)) + " " + callback
	}
	if callback != t.last {
		t.last = callback
		_, _ = fmt.Fprintln(t.w, callback)
	}
	result := c.Status.String()
	if c.WASI {
		result = "errno " + strconv.Itoa(int(c.Errno))
	}
	_, _ = fmt.Fprintf(t.w, "  %s(%s) = %s", c.Name, arguments(c.In), result)
	if len(c.Out) > 0 {
		_, _ = fmt.Fprintf(t.w, " (%s)", arguments(c.Out))
	}
	_, _ = fmt.Fprintln(t.w)
}

func arguments(all []abi.Argument) string {
	texts := make([]string, len(all))
	for i, a := range all {
		texts[i] = a.Name + ": " + argument(a.Value)
	}
	return strings.Join(texts, ", ")
}

// maxTraced bounds how much of a value is shown, in bytes.
const maxTraced = 400

func argument(value any) string {
	switch v := value.(type) {
	case string:
		if len(v) > maxTraced {
			return strconv.Quote(v[:maxTraced]) + "… (" + strconv.Itoa(len(v)) + " bytes)"
		}
		return strconv.Quote(v)
	case *abi.Headers:
		var entries []string
		for name, text := range v.All() {
			entries = append(entries, name+": "+text)
		}
		return "{" + strings.Join(entries, ", ") + "}"
	}
	return fmt.Sprint(value)
}
