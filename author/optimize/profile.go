package optimize

import (
	"bytes"
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/leash-gateway/leash/manifest/wasmfile"
	"github.com/leash-gateway/leash/manifest/wasmfile/code"
)

// The profile says which way conditions went while our modules did what they mostly do, so that an engine keeps together what ran
// (docs/decisions/159-conditions-are-profiled.md). A line is a function and its conditions in their order, each a letter, with how many alike follow each other where that is more than one:
//
//	runtime.memequal n3b2.
//
// A function whose number of conditions is another one has changed, and is not known. `go test ./filters -run Profile -update` writes it.
//
//go:embed default.profile
var profile []byte

// What a condition is in a profile.
const (
	unreached = '.' // it was not come to
	never     = 'n' // it hardly ever held
	always    = 'y' // it nearly always held
	both      = 'b'
)

// A Profile is what stands in one: the letters of a function's conditions by its name.
type Profile map[string]string

// Default is the profile that Module takes.
var Default = sync.OnceValue(func() Profile {
	p, err := ParseProfile(profile)
	if err != nil {
		panic(err) // any test of Module
	}
	return p
})

// ParseProfile reads a profile.
func ParseProfile(text []byte) (Profile, error) {
	p := Profile{}
	for n, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		name, conditions, _ := strings.Cut(line, " ")
		letters, ok := expand(conditions)
		if !ok {
			return nil, fmt.Errorf("line %d of the profile: %q is not what conditions do", n+1, conditions)
		}
		p[name] = letters
	}
	return p, nil
}

// expand is a text in which a number ahead of a letter says how often it stands there.
func expand(short string) (letters string, ok bool) {
	var out strings.Builder
	for short != "" {
		i := strings.IndexAny(short, string([]byte{unreached, never, always, both}))
		if i < 0 {
			return "", false
		}
		n := 1
		if i > 0 {
			var err error
			if n, err = strconv.Atoi(short[:i]); err != nil || n < 1 || n > code.MostLocals {
				return "", false
			}
		}
		out.WriteString(strings.Repeat(short[i:i+1], n))
		short = short[i+1:]
	}
	return out.String(), true
}

// Text is the profile as it is written, the functions by name.
func (p Profile) Text() []byte {
	var lines [][]byte
	for name, letters := range p {
		line := append([]byte(name), ' ')
		for letters != "" {
			rest := strings.TrimLeft(letters, letters[:1])
			if n := len(letters) - len(rest); n > 1 {
				line = strconv.AppendInt(line, int64(n), 10)
			}
			line = append(line, letters[0])
			letters = rest
		}
		lines = append(lines, append(line, '\n'))
	}
	slices.SortFunc(lines, bytes.Compare)
	return bytes.Join(lines, nil)
}

// Counts are how often a condition has held, and how often not.
type Counts struct{ Yes, No uint64 }

// rarely is of how many times a condition does once at most what it hardly ever does.
const rarely = 50

// NewProfile is what a module has done, by how often which of its conditions has held: the ifs and br_ifs of all of its functions, as they stand in the file.
func NewProfile(wasm []byte, counts []Counts) (Profile, error) {
	f, err := wasmfile.Parse(wasm)
	if err != nil {
		return nil, err
	}
	p, names, next := Profile{}, f.FunctionNames(), f.ImportedFunctions
	twice := map[string]bool{}
	for _, s := range f.Sections {
		if s.ID != wasmfile.Code {
			continue
		}
		all := code.Reader{Data: f.Body(s)}
		for n := all.U32(); n > 0 && !all.Bad; n-- {
			count := conditions(all.Take(all.U32()))
			if count > len(counts) {
				return nil, fmt.Errorf("%w: it has more conditions than were counted", code.ErrMalformed)
			}
			name, letters := names[next], directions(counts[:count])
			counts, next = counts[count:], next+1
			if name == "" || twice[name] || strings.Trim(letters, string(unreached)) == "" {
				continue
			}
			if _, there := p[name]; there {
				delete(p, name)
				twice[name] = true
				continue
			}
			p[name] = letters
		}
	}
	return p, nil
}

// conditions is how many a function's body has.
func conditions(body []byte) (n int) {
	w := code.Walker{Reader: code.Reader{Data: body}}
	w.Locals()
	for !w.Bad {
		op, last := w.Next()
		if last {
			break
		}
		if op == code.If || op == code.BrIf {
			n++
		}
		w.Skip(op)
	}
	return n
}

// directions are the letters of a function's conditions. What a loop does at its end it does once for each time that the function is called, so that is what rare is measured by: how
// often it comes to its first condition.
func directions(of []Counts) string {
	letters := make([]byte, len(of))
	for i, c := range of {
		all := min(c.Yes+c.No, of[0].Yes+of[0].No)
		switch {
		case c == Counts{}:
			letters[i] = unreached
		case c.Yes*rarely < all:
			letters[i] = never
		case c.No*rarely < all:
			letters[i] = always
		default:
			letters[i] = both
		}
	}
	return string(letters)
}

// learn takes what a profile knows of the function's conditions.
func (f *function) learn(letters string) {
	var all []*instruction
	for i := range f.code {
		if in := &f.code[i]; len(in.bytes) > 0 && (in.op == code.If || in.op == code.BrIf) {
			all = append(all, in)
		}
	}
	if len(all) != len(letters) {
		return
	}
	for i, in := range all {
		switch letters[i] {
		case never:
			in.goes = unlikely
		case always:
			in.goes = likely
		case both:
			in.goes = unknown
		}
	}
}
