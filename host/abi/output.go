package abi

import (
	"bytes"

	"github.com/leash-gateway/leash/host/abi/lastwords"
)

// output is what a module writes to stdout or stderr, as lines of the log: Go's println, and its runtime when it dies, write a line word by word.
type output struct {
	level Level
	rest  []byte // of a line that has not ended, or last words
	last  bool   // rest is what a runtime writes as it dies
}

// maxLine bounds a line that never ends, in bytes.
const maxLine = 64 << 10

// write takes a piece, and logs up to the last line that has ended, without the newline at the end.
func (o *output) write(vm *VM, piece []byte) {
	if o.last {
		o.rest = append(o.rest, piece[:min(len(piece), lastwords.MaxBytes-len(o.rest))]...)
		return
	}
	began := len(o.rest)
	o.rest = append(o.rest, piece...)
	if began == 0 && lastwords.Begin(string(piece[:min(len(piece), 16)])) {
		o.rest, o.last = o.rest[:min(len(piece), lastwords.MaxBytes)], true
		return
	}
	ended := bytes.LastIndexByte(piece, '\n')
	switch {
	case ended >= 0:
		ended += began
		vm.log(o.level, string(o.rest[:ended]))
		o.rest = append(o.rest[:0], o.rest[ended+1:]...)
	case len(o.rest) > maxLine:
		vm.log(o.level, string(o.rest))
		o.rest = o.rest[:0]
	}
}

// end logs what is left when a callback is over. Of what a runtime has written, only a line where it died of it.
func (o *output) end(vm *VM, died bool) {
	if len(o.rest) == 0 {
		return
	}
	text := string(bytes.TrimSuffix(o.rest, []byte("\n")))
	if o.last && died {
		text = lastwords.Line(text)
	}
	o.rest, o.last = o.rest[:0], false
	vm.log(o.level, text)
}
