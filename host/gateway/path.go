package gateway

import (
	"errors"
	"strings"
)

// errPath says that a request's target is one that a gateway and a provider could read differently.
var errPath = errors.New("ambiguous path")

// normalize gives a request's target the one spelling that modules and routes compare, as Envoy does with normalize_path,
// merge_slashes and path_with_escaped_slashes_action REJECT_REQUEST. The query stays as it is.
//
// https://www.rfc-editor.org/rfc/rfc3986#section-6.2.2
func normalize(target string) (string, error) {
	path, query, found := strings.Cut(target, "?")
	if !strings.HasPrefix(path, "/") || strings.IndexFunc(target, neverInTarget) >= 0 {
		return "", errPath
	}
	if !plain(path) {
		var err error
		if path, err = canonical(path); err != nil {
			return "", err
		}
	}
	if !found {
		return path, nil
	}
	return path + "?" + query, nil
}

// neverInTarget tells what no request's target holds: a fragment, what is not ASCII, and blanks, which HTTP/2 could bring into the line with which
// HTTP/1.1 asks the provider.
func neverInTarget(r rune) bool { return r == '#' || r <= ' ' || r >= 0x7f }

// plain tells a path that is its own canonical form, which nearly all are.
func plain(path string) bool {
	for i := range len(path) {
		switch c := path[i]; {
		case c == '%', c == '\\', neverPlain(c):
			return false
		case (c == '/' || c == '.') && i > 0 && path[i-1] == '/':
			return false
		}
	}
	return true
}

func canonical(path string) (string, error) {
	decoded, err := unescapeUnreserved(path)
	if err != nil {
		return "", err
	}
	segments := strings.Split(decoded, "/")[1:]
	kept := make([]string, 0, len(segments))
	for i, s := range segments {
		last := i == len(segments)-1
		switch {
		case s == "..":
			if len(kept) > 0 {
				kept = kept[:len(kept)-1]
			}
			if last {
				kept = append(kept, "")
			}
		case s == "." && last:
			kept = append(kept, "")
		case s == ".", s == "" && !last: // "//" is "/"
		default:
			kept = append(kept, s)
		}
	}
	return "/" + strings.Join(kept, "/"), nil
}

// unescapeUnreserved decodes what needs no escape, refuses what hides a slash or ends a string, and takes \ for /.
func unescapeUnreserved(path string) (string, error) {
	const upper = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		c := path[i]
		switch {
		case c == '\\':
			b.WriteByte('/')
		case c == '%' && i+2 < len(path) && digit(path[i+1]) >= 0 && digit(path[i+2]) >= 0:
			value := byte(digit(path[i+1])<<4 | digit(path[i+2])) //nolint:gosec // two digits
			switch {
			case value == '/' || value == '\\' || value == 0:
				return "", errPath
			case unreserved(value):
				b.WriteByte(value)
			default:
				b.WriteString(path[i : i+3])
			}
			i += 2
		case neverPlain(c):
			b.Write([]byte{'%', upper[c>>4], upper[c&15]})
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}

// neverPlain tells what stands in a path only as an escape: what a URL does not hold, and neither does Envoy let pass.
func neverPlain(c byte) bool {
	switch c {
	case '"', '<', '>', '^', '`', '{', '|', '}':
		return true
	}
	return false
}

func digit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// unreserved characters mean the same escaped or not: https://www.rfc-editor.org/rfc/rfc3986#section-2.3
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}
