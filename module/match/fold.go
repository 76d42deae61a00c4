package match

import (
	"slices"
	"unicode"
)

// A form says how else a character may be read: as another one, as itself, or (below 0) as nothing at all.
type form func(rune) rune

// plainRune is the character that others are a spelling of: Latin letters and digits of all widths, scripts and styles, spaces and
// hyphens, but letters keep their case. It leaves out what nobody sees. A letter that only looks like another stays what it is.
func plainRune(r rune) rune {
	if r >= 0xFF01 && r <= 0xFF5E {
		return r - 0xFF01 + '!' // full width
	}
	if r >= 0xC0 && r < 0x305 || r >= 0x370 && r < 0x61C || r >= 0x3003 && r < 0x3164 || r >= 0x3165 && r < 0xA620 || r >= 0xAC00 && r < 0xFE00 {
		return r // what most texts beyond ASCII are made of
	}
	i, _ := slices.BinarySearchFunc(spellings, r, func(s spelling, r rune) int { return int(s.last - r) })
	if i < len(spellings) && spellings[i].first <= r {
		return spellings[i].of(r)
	}
	if unicode.Is(unicode.Nd, r) { // a digit of another script, which are in a row from zero, at XXX0 or XXX6
		zero := r &^ 0xF
		if !unicode.Is(unicode.Nd, zero) {
			zero += 6
		}
		return '0' + r - zero
	}
	return r
}

// spelling is characters in a row and what they stand for: plain and those that follow it, from the beginning again after so many.
type spelling struct{ first, last, plain, many rune }

const (
	nothing = -1
	letters = 52 // A to Z, and then a to z
)

func (s *spelling) of(r rune) rune {
	n := (r - s.first) % s.many
	if s.many == letters && n >= letters/2 {
		n += 'a' - 'Z' - 1
	}
	return s.plain + n
}

// spellings are in order.
var spellings = []spelling{
	{0x00, 0x08, nothing, 1}, {0x0E, 0x1F, nothing, 1}, {0x7F, 0x84, nothing, 1}, {0x86, 0x9F, nothing, 1}, // controls
	{0xA0, 0xA0, ' ', 1}, {0xAD, 0xAD, nothing, 1}, // the soft hyphen
	{0xB2, 0xB3, '2', 10}, {0xB9, 0xB9, '1', 1}, // superscripts
	{0x305, 0x305, nothing, 1}, {0x332, 0x338, nothing, 1}, // lines above, below and through; no language writes its letters with these
	{0x34F, 0x34F, nothing, 1}, {0x61C, 0x61C, nothing, 1}, {0x115F, 0x1160, nothing, 1},
	{0x1680, 0x1680, ' ', 1}, {0x17B4, 0x17B5, nothing, 1}, {0x180B, 0x180F, nothing, 1},
	{0x2000, 0x200A, ' ', 1}, {0x200B, 0x200F, nothing, 1}, {0x2010, 0x2013, '-', 1}, {0x2024, 0x2024, '.', 1}, {0x202A, 0x202E, nothing, 1}, {0x202F, 0x202F, ' ', 1}, {0x205F, 0x205F, ' ', 1}, {0x2060, 0x206F, nothing, 1},
	{0x2070, 0x2070, '0', 1}, {0x2074, 0x2079, '4', 10}, {0x2080, 0x2089, '0', 10}, // superscripts and subscripts
	{0x20D0, 0x20F0, nothing, 1}, // marks around symbols, as that of keycaps
	// letters of mathematics, which the alphabets further below leave out
	{0x2102, 0x2102, 'C', 1}, {0x210A, 0x210A, 'g', 1}, {0x210B, 0x210D, 'H', 1}, {0x210E, 0x210E, 'h', 1}, {0x2110, 0x2111, 'I', 1}, {0x2112, 0x2112, 'L', 1}, {0x2113, 0x2113, 'l', 1}, {0x2115, 0x2115, 'N', 1},
	{0x2119, 0x211A, 'P', 26}, {0x211B, 0x211D, 'R', 1}, {0x2124, 0x2124, 'Z', 1}, {0x2128, 0x2128, 'Z', 1}, {0x212A, 0x212A, 'K', 1}, {0x212C, 0x212D, 'B', 26}, {0x212F, 0x212F, 'e', 1}, {0x2130, 0x2131, 'E', 26},
	{0x2133, 0x2133, 'M', 1}, {0x2134, 0x2134, 'o', 1}, {0x2139, 0x2139, 'i', 1}, {0x2145, 0x2145, 'D', 1}, {0x2146, 0x2147, 'd', 26}, {0x2148, 0x2149, 'i', 26},
	{0x2212, 0x2212, '-', 1},
	// in circles and brackets, and with a full stop
	{0x2460, 0x2468, '1', 10}, {0x2474, 0x247C, '1', 10}, {0x2488, 0x2490, '1', 10}, {0x249C, 0x24B5, 'a', 26}, {0x24B6, 0x24CF, 'A', 26}, {0x24D0, 0x24E9, 'a', 26}, {0x24EA, 0x24EA, '0', 1}, {0x24F5, 0x24FD, '1', 10}, {0x24FF, 0x24FF, '0', 1},
	{0x2776, 0x277E, '1', 10}, {0x2780, 0x2788, '1', 10}, {0x278A, 0x2792, '1', 10},
	{0x2800, 0x2800, ' ', 1}, {0x3000, 0x3000, ' ', 1}, {0x3002, 0x3002, '.', 1}, {0x3164, 0x3164, nothing, 1},
	{0xFE00, 0xFE0F, nothing, 1}, {0xFE52, 0xFE52, '.', 1}, {0xFE58, 0xFE58, '-', 1}, {0xFE63, 0xFE63, '-', 1}, {0xFE6B, 0xFE6B, '@', 1}, {0xFEFF, 0xFEFF, nothing, 1},
	{0xFF61, 0xFF61, '.', 1}, {0xFFA0, 0xFFA0, nothing, 1}, {0xFFF0, 0xFFFB, nothing, 1},
	{0x1BCA0, 0x1BCA3, nothing, 1}, {0x1D173, 0x1D17A, nothing, 1},
	{0x1D400, 0x1D6A3, 'A', letters}, {0x1D7CE, 0x1D7FF, '0', 10}, // mathematics
	{0x1F100, 0x1F100, '0', 1}, {0x1F101, 0x1F10A, '0', 10}, {0x1F110, 0x1F129, 'A', 26}, // with a full stop or a comma, and in brackets
	{0x1F130, 0x1F149, 'A', 26}, {0x1F150, 0x1F169, 'A', 26}, {0x1F170, 0x1F189, 'A', 26}, {0x1F1E6, 0x1F1FF, 'A', 26}, // in squares and circles, and of flags
	{0xE0000, 0xE0FFF, nothing, 1}, // tags, and what else is kept for characters without a look
}

// ligatures are what the characters from U+FB00 on are: texts that were copied from a PDF have them.
var ligatures = [...]string{"ff", "fi", "fl", "ffi", "ffl", "st", "st"}

func ligature(r rune) string {
	if n := r - 0xFB00; n >= 0 && int(n) < len(ligatures) {
		return ligatures[n]
	}
	return ""
}

// foldRune is a character as keywords are compared: plain, in one case, quotes straight, breaks as spaces.
func foldRune(r rune) rune {
	switch r = plainRune(r); {
	case r < 0, r == ' ', r >= 0x2E80 && r < 0xA640, r >= 0xAC00 && r < 0xFB00: // the scripts of East Asia have no cases
		return r
	case r == '\n', r == '\r', r == '\t', r == '\v', r == '\f', r == 0x85, r == 0x2028, r == 0x2029:
		return ' '
	case r == 0x2BC, r == 0x2018, r == 0x2019, r == 0x201B:
		return '\''
	case r == 0x201C, r == 0x201D:
		return '"'
	}
	least := unicode.ToLower(r)
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		if lower := unicode.ToLower(other); lower < least {
			least = lower
		}
	}
	return least
}
