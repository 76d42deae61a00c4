package match

import "math"

// automaton finds keywords: Aho and Corasick's, over bytes in groups that no keyword tells apart. It is our own because
// a stream needs the state at the end of a text (how much of it may still become a keyword), which libraries keep to
// themselves (docs/decisions/016-own-matcher.md).
type automaton struct {
	class [256]uint8 // of upper case that of lower case, of breaks that of a space, so that ASCII need not be folded first
	// skip is how many places further on the next keyword begins at the earliest, where a byte stands at the end of as many bytes as the
	// shortest keyword has: most of a text is passed over by it alone. https://doi.org/10.1002/spe.4380100608 is Horspool's for one word.
	skip     [256]uint8
	shortest int
	width    int
	next     []int32   // of state*width+class
	depth    []int32   // of a state: how many bytes of a keyword have been seen, of several blanks the first
	blank    []bool    // of a state: the last of these is a blank
	found    [][]int32 // of a state: the patterns that end here
	used     bool
}

func newAutomaton(words [][]byte, patterns []int) *automaton {
	a := &automaton{width: 1, used: len(words) > 0, shortest: math.MaxUint8}
	for _, word := range words {
		a.shortest = min(a.shortest, len(word))
		for _, b := range word {
			if a.class[b] == 0 {
				a.class[b] = uint8(a.width) //nolint:gosec // at most 255 bytes have a class of their own, see fold
				a.width++
			}
		}
	}
	a.add()
	for i, word := range words {
		state := int32(0)
		for _, b := range word {
			at := int(state)*a.width + int(a.class[b])
			if a.next[at] == 0 {
				n := a.add()
				a.next[at] = n
				a.depth[n], a.blank[n] = a.depth[state]+1, isBlank(b)
			}
			state = a.next[at]
		}
		a.found[state] = append(a.found[state], int32(patterns[i])) //nolint:gosec // a count of patterns
	}
	a.link()
	for state, blank := range a.blank {
		if blank { // more of them change nothing
			a.next[state*a.width+int(a.class[' '])] = int32(state) //nolint:gosec // as in add
		}
	}
	for c := 'A'; c <= 'Z'; c++ {
		a.class[c] = a.class[c+'a'-'A']
	}
	for _, c := range "\t\n\v\f\r" {
		a.class[c] = a.class[' ']
	}
	a.skips(words)
	return a
}

// skips fills skip. Behind a blank a keyword may be as long as it likes, since there may be several.
func (a *automaton) skips(words [][]byte) {
	of := make([]uint8, a.width)
	for class := range of {
		of[class] = uint8(a.shortest) //nolint:gosec // newAutomaton bounds it
	}
	for _, word := range words {
		blank := false
		for i, b := range word[:a.shortest] {
			further := uint8(a.shortest - 1 - i) //nolint:gosec // as above
			if blank = blank || isBlank(b); blank {
				further = 0
			}
			of[a.class[b]] = min(of[a.class[b]], further)
		}
	}
	for c := range a.skip {
		a.skip[c] = of[a.class[c]]
	}
}

func (a *automaton) add() int32 {
	a.next = append(a.next, make([]int32, a.width)...)
	a.depth, a.blank = append(a.depth, 0), append(a.blank, false)
	a.found = append(a.found, nil)
	return int32(len(a.depth) - 1) //nolint:gosec // bounded by the keywords' length
}

// link completes the transitions, breadth first: where a state has none it goes on as its longest proper suffix does.
func (a *automaton) link() {
	suffix := make([]int32, len(a.depth))
	var queue []int32
	for c := range a.width {
		if s := a.next[c]; s != 0 {
			queue = append(queue, s)
		}
	}
	for len(queue) > 0 {
		state := queue[0]
		queue = queue[1:]
		a.found[state] = append(a.found[state], a.found[suffix[state]]...)
		for c := range a.width {
			at := int(state)*a.width + c
			fall := a.next[int(suffix[state])*a.width+c]
			if s := a.next[at]; s != 0 {
				suffix[s] = fall
				queue = append(queue, s)
			} else {
				a.next[at] = fall
			}
		}
	}
}

// isBlank tells a space and what stands for one: tabs and the ends of lines.
func isBlank(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// back is where that many bytes of a keyword begin in a text, that end at a place and not ahead of another.
func back(text string, from, end, depth int) int {
	for ; depth > 0; depth-- {
		end--
		for isBlank(text[end]) && end > from && isBlank(text[end-1]) {
			end--
		}
	}
	return end
}

// scan takes a text from a state and a place on to where a keyword ends (found is then not nil), or to the end. It calls nothing, so that its loops
// are loops in WebAssembly too (docs/decisions/132-what-engines-are-told-of-gos-code.md). BenchmarkFindInCleanText measures it.
//
//go:noinline
func (a *automaton) scan(text string, state int32, at int) (next int32, end int, found []int32) {
	last := a.shortest - 1
	for at < len(text) {
		if state == 0 {
			for at+last < len(text) {
				n := int(a.skip[text[at+last]])
				if n == 0 {
					break
				}
				at += n
			}
			if at >= len(text) {
				break
			}
		}
		state = a.next[int(state)*a.width+int(a.class[text[at]])]
		at++
		if found := a.found[state]; found != nil {
			return state, at, found
		}
	}
	return state, at, nil
}
