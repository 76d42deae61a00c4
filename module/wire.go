package module

import (
	"bytes"
	"strconv"
	"strings"
)

// A host's HTTP tells a filter nothing of an answer that breaks off: it ends the exchange, and the client is left with half of one. So
// where the configuration says wire, a carrier speaks HTTP/1.0 with its provider's side itself, within the bodies: the request that goes on is a body
// that holds head and body, and of the answer comes one that does. The end of an HTTP/1.0 answer is the end of its connection, however that
// came about, and the carrier is told of it (docs/decisions/105-answers-that-break-off.md).
//
// https://www.rfc-editor.org/rfc/rfc1945

// maxHead bounds the head of an answer, in bytes.
const maxHead = 128 << 10

// wireWhole tells that all of a request is there, of which the host has so many bytes. Nothing tells so but its length: with the request's
// own end the connection would be closed that its answer is to come on.
func (f *Flow) wireWhole(size int) bool {
	n, err := strconv.ParseInt(f.header(Requests, "content-length"), 10, 64)
	return err == nil && n > 0 && n <= int64(size)
}

// sendWire lets a request go on as bytes.
func (f *Flow) sendWire(body []byte) Action {
	head, err := appendHead(make([]byte, 0, 2048+len(body)), f.headersOf(Requests).pairs, len(body))
	if err != nil {
		f.fail(0, err)
		return Pause
	}
	h := &f.x.common.headers[Requests]
	h.changes = h.changes[:0] // they are in the head
	f.s.SetBody(Requests, append(head, body...))
	f.request = forwarded
	return Continue
}

// appendHead writes a request up to its body.
func appendHead(dst []byte, headers [][2]string, length int) ([]byte, error) {
	var method, path, authority string
	for _, h := range headers {
		if strings.ContainsAny(strings.TrimPrefix(h[0], ":"), "\r\n\x00: ") || strings.ContainsAny(h[1], "\r\n\x00") {
			return nil, Refuse(400, "invalid_request", "a header of the request holds a line break, or its name a blank")
		}
		switch h[0] {
		case ":method":
			method = h[1]
		case ":path":
			path = h[1]
		case ":authority":
			authority = h[1]
		}
	}
	if method == "" || path == "" || strings.ContainsAny(method+path, " \t") {
		return nil, Refuse(400, "invalid_request", "the path of the request holds a blank")
	}
	dst = append(dst, method...)
	dst = append(dst, ' ')
	dst = append(dst, path...)
	dst = append(dst, " HTTP/1.0\r\nhost: "...)
	dst = append(dst, authority...)
	for _, h := range headers {
		if h[0] == "" || h[0][0] == ':' || ofTheConnection(h[0]) {
			continue
		}
		dst = append(dst, "\r\n"...)
		dst = append(dst, h[0]...)
		dst = append(dst, ": "...)
		dst = append(dst, h[1]...)
	}
	dst = append(dst, "\r\ncontent-length: "...)
	dst = strconv.AppendInt(dst, int64(length), 10)
	return append(dst, "\r\n\r\n"...), nil
}

// ofTheConnection are headers that tell of the connection, or of the body's length on it: https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1
func ofTheConnection(name string) bool {
	switch name {
	case "host", "content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade", "expect":
		return true
	}
	return false
}

// readHead reads the head of an answer, and says how long it is; 0 as long as it is not complete, or where it cannot be read. Its headers
// are the answer's from then on.
func (f *Flow) readHead(b []byte) (size int, readable bool) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		return 0, len(b) <= maxHead
	}
	lines := strings.Split(string(b[:end]), "\r\n")
	protocol, rest, _ := strings.Cut(lines[0], " ")
	code, _, _ := strings.Cut(rest, " ")
	status, err := strconv.Atoi(code)
	if err != nil || len(code) != 3 || !strings.HasPrefix(protocol, "HTTP/1.") {
		return 0, false
	}
	f.x.Status = status
	pairs := append(make([][2]string, 0, len(lines)), [2]string{":status", code})
	for _, line := range lines[1:] {
		name, value, found := strings.Cut(line, ":")
		if name = strings.ToLower(name); !found || name == "" {
			return 0, false
		}
		if value = strings.Trim(value, " \t"); !ofTheConnection(name) {
			pairs = append(pairs, [2]string{name, value})
		}
	}
	h := &f.x.common.headers[Responses]
	h.loaded, h.replaced, h.pairs = true, true, pairs
	return end + len("\r\n\r\n"), true
}
