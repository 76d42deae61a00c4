package llm

import "strconv"

// MaxDepth is how deeply arrays and objects may be nested.
const MaxDepth = 128

// A SyntaxError says why bytes are not the strict JSON that Check demands.
type SyntaxError struct {
	Offset int // of the byte that was refused
	Reason string
}

// Error is like: invalid JSON at byte 17: key "model" appears twice.
func (e *SyntaxError) Error() string {
	return "invalid JSON at byte " + strconv.Itoa(e.Offset) + ": " + e.Reason
}

// Check returns a *SyntaxError unless body is one JSON value (RFC 8259) that no two parsers can read differently:
//   - no byte-order mark, and nothing but white space around the value;
//   - UTF-8 throughout, and no escape that is half of a surrogate pair;
//   - no object with the same key twice, compared after unescaping (I-JSON, RFC 7493, asks for these three);
//   - no more than MaxDepth arrays and objects inside each other.
//
// It is one pass in linear time whatever the body, and needs no memory but for the keys of the objects that are open.
// BenchmarkCheck measures it.
func Check(body []byte) error {
	var s scanner
	s.start(body)
	if s.value(); s.end() {
		return nil
	}
	return s.err
}
