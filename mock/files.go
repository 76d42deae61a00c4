package mock

import (
	"encoding/base64"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// An image or another file in a message is told as the answer to "look": where it is, or its type, its size and its checksum. So
// a test sees whether it came whole.

// fileAt describes what is at an address, which may be a data URL.
func fileAt(url string) string {
	data, ok := strings.CutPrefix(url, "data:")
	if !ok {
		return url
	}
	kind, encoded, _ := strings.Cut(data, ";base64,")
	return fileOf(kind, encoded)
}

// fileOf describes encoded bytes.
func fileOf(kind, encoded string) string {
	content, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return kind + ", not base64"
	}
	sum := strconv.FormatUint(uint64(crc32.ChecksumIEEE(content)), 16)
	return kind + ", " + strconv.Itoa(len(content)) + " bytes, " + sum
}

// chatFile describes a part of OpenAI's chats and responses; "" is none.
func chatFile(part gjson.Result) string {
	switch part.Get("type").Str {
	case "image_url":
		return fileAt(part.Get("image_url.url").Str)
	case "input_image":
		return fileAt(part.Get("image_url").Str)
	case "file":
		return fileAt(part.Get("file.file_data").Str)
	case "input_file":
		if url := part.Get("file_url").Str; url != "" {
			return url
		}
		return fileAt(part.Get("file_data").Str)
	case "input_audio":
		return fileOf("audio/"+part.Get("input_audio.format").Str, part.Get("input_audio.data").Str)
	}
	return ""
}

// messagesFile describes a block of Anthropic's; "" is none.
func messagesFile(block gjson.Result) string {
	source := block.Get("source")
	switch source.Get("type").Str {
	case "base64":
		return fileOf(source.Get("media_type").Str, source.Get("data").Str)
	case "url":
		return source.Get("url").Str
	}
	return ""
}

// googleFile describes a part of Google's; "" is none.
func googleFile(part gjson.Result) string {
	if inline := field(part, "inlineData"); inline.Exists() {
		// Protocol buffers in JSON may have either alphabet, and Google's own client uses the one for URLs.
		return fileOf(field(inline, "mimeType").Str, strings.NewReplacer("-", "+", "_", "/").Replace(inline.Get("data").Str))
	}
	return field(field(part, "fileData"), "fileUri").Str
}
