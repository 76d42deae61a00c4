package abi

import (
	"encoding/binary"
	"strings"
)

// What a list of pairs from a module may measure, as in Envoy. A larger one counts as empty.
const (
	maxPairsBytes = 1 << 20
	maxPairs      = 1024
)

// appendPairs writes pairs as the ABI does: their number, the lengths of each name and value, then each name and value
// with a zero byte behind. All numbers are little-endian 32 bits.
//
//	┌───────┬──────────┬──────────┬ ─ ─ ┬────────┬───┬────────┬───┬ ─ ─
//	│ count │ len name │ len val. │     │ name   │ 0 │ value  │ 0 │
//	└───────┴──────────┴──────────┴ ─ ─ ┴────────┴───┴────────┴───┴ ─ ─
func appendPairs(to []byte, list []pair) []byte {
	to = binary.LittleEndian.AppendUint32(to, uint32(len(list))) //nolint:gosec // far below 4 G
	for i := range list {
		to = binary.LittleEndian.AppendUint32(to, uint32(len(list[i].name)))  //nolint:gosec // likewise
		to = binary.LittleEndian.AppendUint32(to, uint32(len(list[i].value))) //nolint:gosec // likewise
	}
	for i := range list {
		to = append(append(to, list[i].name...), 0)
		to = append(append(to, list[i].value...), 0)
	}
	return to
}

func pairsSize(list []pair) int {
	n := 4 + 10*len(list)
	for i := range list {
		n += len(list[i].name) + len(list[i].value)
	}
	return n
}

// parsePairs reads what appendPairs writes. Like Envoy it takes anything that is not exactly that as an empty list. The
// text is copied once; names and values are parts of that copy.
func parsePairs(data []byte) []pair {
	if len(data) < 4 || len(data) > maxPairsBytes {
		return nil
	}
	count := binary.LittleEndian.Uint32(data)
	head := 4 + 8*int(count)
	if count > maxPairs || head > len(data) {
		return nil
	}
	list := make([]pair, count)
	text := string(data[head:])
	cut := func(n uint32) (part string, ok bool) {
		if uint64(n)+1 > uint64(len(text)) || text[n] != 0 {
			return "", false
		}
		part, text = text[:n], text[n+1:]
		return part, true
	}
	for i := range list {
		var ok bool
		sizes := data[4+8*i:]
		if list[i].name, ok = cut(binary.LittleEndian.Uint32(sizes)); !ok {
			return nil
		}
		if list[i].value, ok = cut(binary.LittleEndian.Uint32(sizes[4:])); !ok {
			return nil
		}
	}
	if text != "" {
		return nil
	}
	return list
}

// fromPairs makes headers of what a module sent.
func fromPairs(list []pair) *Headers {
	h := &Headers{list: make([]pair, 0, len(list))}
	for _, p := range list {
		h.Add(strings.Clone(p.name), strings.Clone(p.value))
	}
	return h
}
