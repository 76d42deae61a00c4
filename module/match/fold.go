package match

import (
	"unicode"
	"unicode/utf8"
)

// folded is a text as keywords are compared: letters in one case, full-width forms as their plain ones, the ends of lines as spaces,
// characters that nobody sees left out. It knows where each of its bytes stood.
type folded struct {
	text []byte
	// starts and ends are, for each byte, where the character that it comes of begins and ends in the original. They are
	// nil while both are the byte's own place: for ASCII.
	starts, ends []int
}

func (f *folded) start(i int) int {
	if f.starts == nil {
		return i
	}
	return f.starts[i]
}

func (f *folded) end(i int) int {
	if f.ends == nil {
		return i + 1
	}
	return f.ends[i]
}

// fold takes a text.
func (f *folded) fold(text string) {
	f.text = make([]byte, 0, len(text))
	for i := range len(text) {
		c := text[i]
		if c >= utf8.RuneSelf {
			f.foldRest(text, i)
			return
		}
		switch {
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		case isBreak(c):
			c = ' '
		}
		f.text = append(f.text, c)
	}
}

// isBreak tells what stands between words as a space does.
func isBreak(c byte) bool { return c == '\n' || c == '\r' || c == '\t' }

// foldRest goes on where the text stops being ASCII.
func (f *folded) foldRest(text string, from int) {
	f.starts, f.ends = make([]int, from, len(text)), make([]int, from, len(text))
	for i := range from {
		f.starts[i], f.ends[i] = i, i+1
	}
	var buf [utf8.UTFMax]byte
	for i := from; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		if !invisible(r) {
			n := 1
			if r == utf8.RuneError && size == 1 {
				buf[0] = text[i] // a byte that is no UTF-8 stays itself
			} else {
				n = utf8.EncodeRune(buf[:], foldRune(r))
			}
			for _, b := range buf[:n] {
				f.text = append(f.text, b)
				f.starts, f.ends = append(f.starts, i), append(f.ends, i+size)
			}
		}
		i += size
	}
}

// invisible are characters of no width: zero-width spaces and joiners, soft hyphens, marks of direction, variation
// selectors, tags.
func invisible(r rune) bool {
	switch {
	case r == 0xAD, r == 0x34F, r == 0x61C, r == 0x180E, r == 0xFEFF,
		r >= 0x200B && r <= 0x200F, r >= 0x202A && r <= 0x202E, r >= 0x2060 && r <= 0x2064, r >= 0x2066 && r <= 0x206F,
		r >= 0xFE00 && r <= 0xFE0F, r >= 0xE0000 && r <= 0xE0FFF:
		return true
	}
	return false
}

// foldRune is the one that stands for all cases and widths of a character.
func foldRune(r rune) rune {
	switch {
	case r >= 0xFF01 && r <= 0xFF5E: // full-width forms of ASCII
		r -= 0xFF01 - '!'
	case r == '\n', r == '\r', r == '\t', r == 0x85, r == 0x2028, r == 0x2029, r == 0x3000, r == 0xA0, r >= 0x2000 && r <= 0x200A, r == 0x202F, r == 0x205F: // breaks, and spaces of other widths
		return ' '
	}
	least := unicode.ToLower(r)
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		if lower := unicode.ToLower(other); lower < least {
			least = lower
		}
	}
	return least
}
