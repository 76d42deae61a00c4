package fuzz

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leash-gateway/leash/host/harness"
)

// mutator makes exchanges of others.
type mutator struct {
	*rand.Rand
	steps []Step // parts may come from these
}

var (
	methods = []string{"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "X"}
	paths   = []string{
		"/", "/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/models", "/v1/models/x", "/v1beta/models/m:streamGenerateContent?alt=sse",
		"/v1/chat/completions?a=b&a=c", "/v1/chat/completions/", "//v1//chat", "/%00", "/%2e%2e/", "*", "/" + strings.Repeat("a", 4000),
	}
	names = []string{
		"authorization", "x-api-key", "content-type", "content-encoding", "accept", "x-request-id", "x-forwarded-for", "x-leash-tenant", "x-leash-route",
		"retry-after", "user-agent", "host", "cookie", "te", "x-a", "anthropic-version", "traceparent", "expect",
	}
	values = []string{
		"", " ", "0", "-1", "999999999999999999999", "1e309", "null", "true", "Bearer ", "Bearer sk-leash-demo", "Basic Og==", "application/json", "text/event-stream; charset=utf-8",
		"gzip", "a, b, c", "\xff\xfe", "é", strings.Repeat("v", 9000), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "100-continue", "127.0.0.1, ::1",
	}
	// texts are put into bodies.
	texts = []string{
		"", "null", "true", "0", "-0", "1e400", "9223372036854775808", `""`, `"\u0000"`, `"\ud800"`, "[]", "{}", "[[]]", "{\"a\":{\"a\":{}}}", "\"", "\\", "{", "}", "[", "]", ",", ":",
		"\n\n", "\r\n\r\n", "data: ", "data:\n\n", "data: [DONE]\n\n", "event: error\n", ": ping\n\n", "\x00", "\xff", "\xed\xa0\x80", "\U0001f600", "4111 1111 1111 1111",
	}
	statuses = []int{200, 200, 100, 204, 301, 304, 400, 401, 404, 413, 429, 500, 503, 599}
)

// change makes another step of one: one to six changes.
func (m mutator) change(s Step) Step {
	s.Request.Headers, s.Request.Answer.Headers = slices.Clone(s.Request.Headers), slices.Clone(s.Request.Answer.Headers)
	for range 1 + m.IntN(6) {
		m.once(&s)
	}
	return s
}

func (m mutator) once(s *Step) {
	r, other := &s.Request, m.steps[m.IntN(len(m.steps))].Request
	a := &r.Answer
	switch m.IntN(16) {
	case 0:
		r.Method = pick(m, methods)
	case 1:
		r.Path = pick(m, paths)
	case 2, 3:
		r.Headers = m.headers(r.Headers, other.Headers)
	case 4:
		a.Headers = m.headers(a.Headers, other.Answer.Headers)
	case 5, 6, 7:
		r.Body, r.Chunks, r.ChunkSize = m.body(r.Body, r.Chunks, r.ChunkSize, other.Body), nil, 0
	case 8, 9, 10:
		a.Body, a.Chunks, a.ChunkSize = m.body(a.Body, a.Chunks, a.ChunkSize, strings.Join(other.Answer.Chunks, "")+other.Answer.Body), nil, 0
	case 11:
		r.Body, r.Chunks, r.ChunkSize = "", m.pieces(harness.Pieces(r.Body, r.Chunks, r.ChunkSize)), 0
	case 12:
		a.Body, a.Chunks, a.ChunkSize = "", m.pieces(harness.Pieces(a.Body, a.Chunks, a.ChunkSize)), 0
	case 13:
		a.Status = pick(m, statuses)
	case 14:
		m.surroundings(s, other)
	case 15:
		s.Request.Answer = other.Answer
		s.Request.Answer.Headers = slices.Clone(other.Answer.Headers)
	}
}

// surroundings changes what is neither header nor body.
func (m mutator) surroundings(s *Step, other harness.Request) {
	r := &s.Request
	switch m.IntN(6) {
	case 0:
		r.Leaves = pick(m, []harness.Leaves{harness.Never, harness.InRequest, harness.BeforeAnswer, harness.InAnswer})
	case 1:
		r.Answer.Failure = pick(m, []harness.Failure{"", harness.Unreachable, harness.Timeout, harness.Cut})
	case 2:
		r.Trailers = m.trailers(r.Trailers)
	case 3:
		r.Answer.Trailers = m.trailers(r.Answer.Trailers)
	case 4:
		s.Advance = pick(m, []time.Duration{0, time.Millisecond, time.Second, time.Minute, 24 * time.Hour})
	case 5:
		r.Answer.Delay, r.Answer.Pace = pick(m, []time.Duration{0, time.Second, time.Minute}), pick(m, []time.Duration{0, time.Second})
		r.Method, r.Path = other.Method, other.Path
	}
}

func pick[T any](m mutator, from []T) T { return from[m.IntN(len(from))] }

// headers adds, changes or removes one. Names in foreign are candidates too.
func (m mutator) headers(h, foreign harness.Headers) harness.Headers {
	name, value := pick(m, names), pick(m, values)
	if len(foreign) > 0 && m.IntN(2) == 0 {
		one := pick(m, foreign)
		name, value = one[0], one[1]
	}
	if len(h) > 0 && m.IntN(3) > 0 {
		at := m.IntN(len(h))
		if m.IntN(3) == 0 {
			return slices.Delete(h, at, at+1)
		}
		h[at][1] = m.header(h[at][1], value)
		return h
	}
	for range 1 + m.IntN(2)*m.IntN(40) {
		h = append(h, [2]string{name, value})
	}
	return h
}

// header is another value: no HTTP server lets control characters in, so there are none.
func (m mutator) header(old, other string) string {
	if m.IntN(2) == 0 {
		return other
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '_'
		}
		return r
	}, m.bytes(old))
}

func (m mutator) trailers(h harness.Headers) harness.Headers {
	if len(h) > 0 {
		return nil
	}
	return harness.Headers{{"x-trailer", pick(m, values)}}
}

// body is a body with something changed, or another one, with which it may be mixed.
func (m mutator) body(body string, chunks []string, size int, other string) string {
	body = strings.Join(harness.Pieces(body, chunks, size), "")
	switch m.IntN(8) {
	case 0:
		return other
	case 1:
		return body[:m.upTo(len(body))] + other[m.upTo(len(other)):]
	case 2:
		return body[:m.upTo(len(body))]
	case 3, 4, 5:
		return m.value(body)
	}
	return m.bytes(body)
}

func (m mutator) upTo(n int) int { return m.IntN(n + 1) }

// bytes puts something into a text, takes something out, doubles or turns a part.
func (m mutator) bytes(text string) string {
	from := m.upTo(len(text))
	to := min(from+m.upTo(8), len(text))
	switch m.IntN(5) {
	case 0:
		return text[:from] + pick(m, texts) + text[from:]
	case 1:
		return text[:from] + text[to:]
	case 2:
		return text[:to] + strings.Repeat(text[from:to], 1+m.IntN(300)) + text[to:]
	case 3:
		if from < len(text) {
			return text[:from] + string([]byte{text[from] ^ 1<<m.IntN(8)}) + text[from+1:]
		}
	}
	return text[:from] + strings.Repeat(pick(m, texts), 1+m.IntN(4)) + text[to:]
}

// value puts another value into JSON in the place of one: a string, a number, a list or an object.
func (m mutator) value(text string) string {
	var starts []int
	for i := 1; i < len(text); i++ {
		if text[i-1] == ':' || text[i-1] == '[' || text[i-1] == ',' {
			starts = append(starts, i)
		}
	}
	if len(starts) == 0 {
		return m.bytes(text)
	}
	from := pick(m, starts)
	value := pick(m, texts)
	switch m.IntN(6) {
	case 0:
		value = strings.Repeat("[", 1+m.IntN(3000)) + "1"
	case 1:
		value = `"` + strings.Repeat(pick(m, []string{"a", "é", `\n`, `\u00e9`, "\U0001f600", "1234 "}), 1+m.IntN(2000)) + `"`
	case 2:
		value = strconv.FormatInt(m.Int64()>>m.IntN(64), 10)
	}
	return text[:from] + value + text[endOfValue(text, from):]
}

// endOfValue is where the JSON value that begins somewhere ends, roughly.
func endOfValue(text string, from int) int {
	depth, quoted := 0, false
	for i := from; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			if depth == 0 {
				return i
			}
			depth--
		case c == ',' && depth == 0:
			return i
		}
	}
	return len(text)
}

// pieces are the same bytes cut elsewhere: into single bytes, few large ones, or at random, empty ones among them.
func (m mutator) pieces(old []string) []string {
	text := strings.Join(old, "")
	const most = 400 // pieces
	if text == "" {
		return nil
	}
	least := len(text)/most + 1
	longest := least
	if m.IntN(3) > 0 {
		longest += m.IntN(64)
	}
	var pieces []string
	for text != "" {
		n := min(least+m.upTo(longest-least), len(text))
		pieces = append(pieces, text[:n])
		text = text[n:]
		if m.IntN(20) == 0 {
			pieces = append(pieces, "")
		}
	}
	return pieces
}
