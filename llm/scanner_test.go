package llm

import (
	"encoding/binary"
	"testing"
)

func TestPlainBytesAreToldApartEightAtOnce(t *testing.T) {
	for at := range 8 {
		for c := range 256 {
			for _, behind := range []byte("a\"\x00\xff!") { // a borrow must not reach back
				eight := []byte("        ")
				for i := at + 1; i < 8; i++ {
					eight[i] = behind
				}
				eight[at] = byte(c)
				want := 0
				for want < 8 && plain[eight[want]] {
					want++
				}
				if got := plainBytes(binary.LittleEndian.Uint64(eight)); got != want {
					t.Fatalf("of %q %d are plain, want %d", eight, got, want)
				}
			}
		}
	}
}
