package match

import "strings"

// Redacted is a text without what matches, and cut to so many bytes before. What stands behind the bound only helps to see what begins before
// it, so it takes a text that is somewhat longer to leave no half of something.
func (s *Set) Redacted(text string, most int) string {
	var b strings.Builder
	from, end := 0, min(len(text), most)
	for _, m := range s.Find(text) {
		if m.Start >= end {
			break
		}
		b.WriteString(text[from:m.Start])
		b.WriteString("[redacted]")
		from = m.End
	}
	if from < end {
		b.WriteString(strings.ToValidUTF8(text[from:end], "")) // a character is not cut in half
	}
	if len(text) > end {
		b.WriteString("…")
	}
	return b.String()
}
