// Package trace is where an exchange stands in a trace that may have begun at the client: W3C's trace context, as modules hand it on.
//
// https://www.w3.org/TR/trace-context/
package trace

import (
	"strconv"
	"strings"
)

// Header is the name of the header in which a Context travels, and StateHeader of the one with what others add to it.
const (
	Header      = "traceparent"
	StateHeader = "tracestate"
)

// SpanHeader is in the answer that the module provider passes on: the span of the attempt (see [Attempt]).
const SpanHeader = "x-leash-span"

// A Context says which span of which trace the receiver's spans are children of.
type Context struct {
	High, Low uint64 // of the trace's id
	Span      uint64
	Sampled   bool // the trace is recorded
}

// Parse reads a header. Of a version that is to come it reads what this one has.
func Parse(header string) (c Context, ok bool) {
	const length = len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if len(header) < length || header[2] != '-' || header[35] != '-' || header[52] != '-' {
		return Context{}, false
	}
	version, ok := digits(header[:2])
	if !ok || version == 0xff || version == 0 && len(header) != length || len(header) > length && header[length] != '-' {
		return Context{}, false
	}
	high, ok1 := digits(header[3:19])
	low, ok2 := digits(header[19:35])
	span, ok3 := digits(header[36:52])
	flags, ok4 := digits(header[53:55])
	if !ok1 || !ok2 || !ok3 || !ok4 || high|low == 0 || span == 0 {
		return Context{}, false
	}
	return Context{High: high, Low: low, Span: span, Sampled: flags&1 != 0}, true
}

// digits reads hexadecimal digits, of which only the small letters are any.
func digits(s string) (n uint64, ok bool) {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			n = n<<4 | uint64(c-'0')
		case c >= 'a' && c <= 'f':
			n = n<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return n, true
}

// String is the header.
func (c Context) String() string {
	b := append(make([]byte, 0, 55), "00-"...)
	b = appendDigits(appendDigits(b, c.High), c.Low)
	b = append(appendDigits(append(b, '-'), c.Span), "-00"...)
	if c.Sampled {
		b[len(b)-1] = '1'
	}
	return string(b)
}

// Trace is the trace's id.
func (c Context) Trace() string {
	return string(appendDigits(appendDigits(make([]byte, 0, 32), c.High), c.Low))
}

// Digits is the id of a span.
func Digits(span uint64) string { return string(appendDigits(make([]byte, 0, 16), span)) }

func appendDigits(b []byte, n uint64) []byte {
	const hex = "0123456789abcdef"
	for shift := 60; shift >= 0; shift -= 4 {
		b = append(b, hex[n>>shift&15])
	}
	return b
}

// Exchange is the id of the exchange's span where Span is that of its first attempt. Both are known before it is known who makes the attempt,
// so that the header that leaves is right when nobody changes it any more. They differ in the last bit; who chooses Span takes neither 0 nor 1.
func (c Context) Exchange() uint64 { return c.Span ^ 1 }

// An Attempt is the span of an attempt, and when that began, in nanoseconds since 1970.
type Attempt struct {
	Span   uint64
	Began  int64
	Number int
}

// String is the value of SpanHeader.
func (a Attempt) String() string {
	return Digits(a.Span) + "-" + strconv.FormatInt(a.Began, 10) + "-" + strconv.Itoa(a.Number)
}

// ParseAttempt reads the value of SpanHeader.
func ParseAttempt(value string) (a Attempt, ok bool) {
	span, rest, _ := strings.Cut(value, "-")
	began, number, _ := strings.Cut(rest, "-")
	a.Span, ok = digits(span)
	var err1, err2 error
	a.Began, err1 = strconv.ParseInt(began, 10, 64)
	a.Number, err2 = strconv.Atoi(number)
	if !ok || len(span) != 16 || a.Span == 0 || err1 != nil || err2 != nil {
		return Attempt{}, false
	}
	return a, true
}
