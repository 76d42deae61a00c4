package scenario

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	// maxShown bounds how much of a text is shown, in bytes.
	maxShown = 300
	// around is how much is shown on both sides of the place where two long texts begin to differ.
	around = 60
)

// difference shows two texts that are not equal: lines with - and + where there are several, else one below the other, cut
// around the place where they begin to differ.
func difference(want, got string) string {
	if strings.Count(want, "\n") > 1 || strings.Count(got, "\n") > 1 {
		return lineDifference(strings.Split(want, "\n"), strings.Split(got, "\n"))
	}
	same := 0
	for same < len(want) && same < len(got) && want[same] == got[same] {
		same++
	}
	if len(want) <= maxShown && len(got) <= maxShown {
		mark := ""
		if same > 10 {
			mark = "\n     " + strings.Repeat(" ", utf8.RuneCountInString(fmt.Sprintf("%q", want[:same]))-1) + "^"
		}
		return fmt.Sprintf("want %q\ngot  %q%s", want, got, mark)
	}
	cut := func(text string) string {
		from, to := max(same-around, 0), min(same+around, len(text))
		return fmt.Sprintf("%q", text[from:to])
	}
	return fmt.Sprintf("they differ from byte %d on (want %d bytes, got %d)\nwant …%s…\ngot  …%s…", same, len(want), len(got), cut(want), cut(got))
}

// jsonDifference is difference for values, which have their own quotes.
func jsonDifference(want, got string) string {
	if len(want) > maxShown || len(got) > maxShown {
		return difference(want, got)
	}
	return "want " + want + "\ngot  " + got
}

// lineDifference marks what is only in one of the texts, between the lines that both begin and end with.
func lineDifference(want, got []string) string {
	head := 0
	for head < len(want) && head < len(got) && want[head] == got[head] {
		head++
	}
	tail := 0
	for tail < len(want)-head && tail < len(got)-head && want[len(want)-1-tail] == got[len(got)-1-tail] {
		tail++
	}
	var b strings.Builder
	fmt.Fprintf(&b, "they differ from line %d on (-want +got)", head+1)
	for _, part := range []struct {
		mark  string
		lines []string
	}{
		{" ", want[max(head-2, 0):head]}, {"-", want[head : len(want)-tail]}, {"+", got[head : len(got)-tail]},
		{" ", want[len(want)-tail : min(len(want)-tail+2, len(want))]},
	} {
		for i, line := range part.lines {
			if i == 20 {
				fmt.Fprintf(&b, "\n%s … %d more", part.mark, len(part.lines)-i)
				break
			}
			b.WriteString("\n" + part.mark + " " + line)
		}
	}
	return b.String()
}

// shown is a body in a message, in a line of its own.
func shown(body string) string {
	if body == "" {
		return ""
	}
	if len(body) > maxShown {
		body = body[:maxShown] + fmt.Sprintf("… (%d bytes)", len(body))
	}
	return fmt.Sprintf("\n%q", body)
}
