package sigv4

import (
	"encoding/hex"
	"slices"
	"strings"
)

// canonical is the form of a request that both sides make and sign, and the names of the headers in it.
func (r *Request) canonical(added []Header) (request []byte, names string) {
	headers := make([]Header, 0, 1+len(r.Headers)+len(added))
	headers = append(headers, Header{"host", r.Host})
	for _, h := range r.Headers {
		headers = append(headers, Header{strings.ToLower(h.Name), h.Value})
	}
	headers = append(headers, added...)
	slices.SortStableFunc(headers, func(a, b Header) int { return strings.Compare(a.Name, b.Name) })

	b := make([]byte, 0, 512)
	b = append(b, r.Method...)
	b = append(b, '\n')
	b = appendPath(b, r.Path)
	b = append(b, '\n')
	b = appendQuery(b, r.Query)
	b = append(b, '\n')
	var list []byte
	for i, h := range headers {
		if i > 0 && headers[i-1].Name == h.Name { // one line for all of a name
			b = append(b[:len(b)-1], ',')
		} else {
			if i > 0 {
				list = append(list, ';')
			}
			list = append(list, h.Name...)
			b = append(b, h.Name...)
			b = append(b, ':')
		}
		b = appendValue(b, h.Value)
		b = append(b, '\n')
	}
	b = append(b, '\n')
	b = append(b, list...)
	b = append(b, '\n')
	return hex.AppendEncode(b, r.BodyHash[:]), string(list)
}

// appendValue appends a value without white space around it, and with one space for each run of it inside.
func appendValue(dst []byte, value string) []byte {
	for i, word := range strings.Fields(value) {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = append(dst, word...)
	}
	return dst
}

// appendPath appends a path without empty and dotted segments (RFC 3986 section 5.2.4), and escaped once more than it goes
// over the wire. All services but S3 want both.
func appendPath(dst []byte, path string) []byte {
	var segments []string
	for segment := range strings.SplitSeq(path, "/") {
		switch segment {
		case "", ".":
		case "..":
			segments = segments[:max(0, len(segments)-1)]
		default:
			segments = append(segments, segment)
		}
	}
	for _, segment := range segments {
		dst = append(dst, '/')
		dst = appendEscaped(dst, segment)
	}
	if len(segments) == 0 || strings.HasSuffix(path, "/") {
		dst = append(dst, '/')
	}
	return dst
}

// appendQuery appends the parameters of a query in order, escaped as Amazon does.
func appendQuery(dst []byte, query string) []byte {
	if query == "" {
		return dst
	}
	var parameters []Header
	for parameter := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(parameter, "=")
		parameters = append(parameters, Header{escapedAgain(name), escapedAgain(value)})
	}
	slices.SortFunc(parameters, func(a, b Header) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return strings.Compare(a.Value, b.Value)
	})
	for i, p := range parameters {
		if i > 0 {
			dst = append(dst, '&')
		}
		dst = append(dst, p.Name...)
		dst = append(dst, '=')
		dst = append(dst, p.Value...)
	}
	return dst
}

// escapedAgain is what s means, with the escapes that Amazon wants.
func escapedAgain(s string) string {
	meaning := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, err := hex.DecodeString(s[i+1 : i+3]); err == nil {
				meaning = append(meaning, c[0])
				i += 2
				continue
			}
		}
		meaning = append(meaning, s[i])
	}
	return string(appendEscaped(nil, string(meaning)))
}

// appendEscaped escapes all but what RFC 3986 section 2.3 calls unreserved.
func appendEscaped(dst []byte, s string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		switch c := s[i]; {
		case c|0x20 >= 'a' && c|0x20 <= 'z', c >= '0' && c <= '9', c == '-', c == '.', c == '_', c == '~':
			dst = append(dst, c)
		default:
			dst = append(dst, '%', digits[c>>4], digits[c&15])
		}
	}
	return dst
}
