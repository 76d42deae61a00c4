package mock

import (
	"encoding/binary"
	"hash/crc32"
)

// appendMessage writes a message of Amazon's event streams: two lengths and a checksum of both, headers, a payload, a checksum of
// all. headers are names and values in turn, all of them strings. https://smithy.io/2.0/aws/amazon-eventstream.html
func appendMessage(dst, payload []byte, headers ...string) []byte {
	const prelude, checksum, stringType = 12, 4, 7
	start := len(dst)
	dst = append(dst, make([]byte, prelude)...)
	for i := 0; i+1 < len(headers); i += 2 {
		name, value := headers[i], headers[i+1]
		dst = append(append(append(dst, byte(len(name))), name...), stringType)        //nolint:gosec // our own names are short
		dst = append(binary.BigEndian.AppendUint16(dst, uint16(len(value))), value...) //nolint:gosec // and so are the values
	}
	message := dst[start:]
	binary.BigEndian.PutUint32(message[4:], uint32(len(message)-prelude)) //nolint:gosec // as above
	dst = append(dst, payload...)
	message = dst[start:]
	binary.BigEndian.PutUint32(message, uint32(len(message)+checksum)) //nolint:gosec // an event is smaller than 4 GB
	binary.BigEndian.PutUint32(message[8:], crc32.ChecksumIEEE(message[:8]))
	return binary.BigEndian.AppendUint32(dst, crc32.ChecksumIEEE(message))
}
