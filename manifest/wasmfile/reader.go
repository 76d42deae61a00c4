package wasmfile

import "fmt"

// reader reads the binary format; where it cannot go on it panics with a broken, which Parse returns as its error.
type reader struct {
	data []byte
	at   int
}

type broken string

func (r *reader) byte() byte {
	if r.at >= len(r.data) {
		panic(broken(fmt.Sprintf("it ends at byte %d, in the middle of something", r.at)))
	}
	r.at++
	return r.data[r.at-1]
}

// number is an unsigned LEB128 of up to 64 bits.
func (r *reader) number() (n uint64) {
	for shift := 0; ; shift += 7 {
		b := r.byte()
		if shift == 63 && b > 1 {
			panic(broken(fmt.Sprintf("the number at byte %d is too large", r.at)))
		}
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return n
		}
	}
}

// length is a number of bytes that follow.
func (r *reader) length() int {
	n := r.number()
	if n > uint64(len(r.data)-r.at) { //nolint:gosec // at is never past the end
		panic(broken(fmt.Sprintf("it ends in the middle of the %d bytes from byte %d", n, r.at)))
	}
	return int(n) //nolint:gosec // bounded above
}

// count is a number of entries, each of which takes a byte at least.
func (r *reader) count() int { return r.length() }

func (r *reader) bytes() []byte {
	n := r.length()
	r.at += n
	return r.data[r.at-n : r.at]
}

func (r *reader) name() string { return string(r.bytes()) }

// limits are those of a memory or table.
func (r *reader) limits() (m Memory) {
	flags := r.byte()
	m.Min = r.number()
	m.Bounded = flags&1 != 0
	if m.Bounded {
		m.Max = r.number()
	}
	return m
}

// importType reads what kind of thing is imported.
func (r *reader) importType(f *File) {
	switch kind := r.byte(); kind {
	case 0: // function: its type
		r.number()
		f.ImportedFunctions++
	case 1: // table
		r.byte()
		r.limits()
	case 2:
		f.addMemory(r.limits())
	case 3: // global: its type, and whether it changes
		r.byte()
		r.byte()
	case 4: // tag
		r.byte()
		r.number()
	default:
		panic(broken(fmt.Sprintf("there is no kind of import %d", kind)))
	}
}
