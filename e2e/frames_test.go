package e2e

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/leash-gateway/leash/mock"
)

// A header is a name and a value, as HTTP/2 sends them.
type header [2]string

// frames sends a request over HTTP/2 by hand, in pieces of the body, and returns what comes of it: the status and the
// answer, or how it was ended.
func (g *gateway) frames(headers []header, pieces ...string) string {
	g.t.Helper()
	c := g.dial()
	defer c.Close() //nolint:errcheck // read to its end or deadline
	_, _ = io.WriteString(c, http2.ClientPreface)
	f := http2.NewFramer(c, c)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_ = f.WriteSettings()
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, h := range headers {
		_ = encoder.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
	}
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: len(pieces) == 0})
	for i, piece := range pieces {
		_ = f.WriteData(1, i == len(pieces)-1, []byte(piece))
	}
	got := ""
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return got + " " + err.Error()
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			got += frame.PseudoValue("status") + " "
			if frame.StreamEnded() {
				return got
			}
		case *http2.DataFrame:
			got += string(frame.Data())
			if frame.StreamEnded() {
				return got
			}
		case *http2.RSTStreamFrame:
			return got + "reset " + frame.ErrCode.String()
		case *http2.GoAwayFrame:
			return got + "goaway " + frame.ErrCode.String()
		}
	}
}

func bypassFrames(t *testing.T, g *gateway, _ *mock.Provider) {
	body := chatBody(forbidden, false)
	short := fmt.Sprint(len(body) / 2)
	asked := func(more ...header) []header {
		return append([]header{
			{":method", "POST"}, {":scheme", "http"}, {":authority", "leash"}, {":path", "/v1/chat/completions"},
			{"authorization", "Bearer " + demoKey}, {"content-type", "application/json"},
		}, more...)
	}
	pathTwice := append([]header{{":path", "/v1/models"}}, asked()...)
	for name, tc := range map[string]struct {
		headers []header
		pieces  []string
	}{
		"a length that is too short":  {asked(header{"content-length", short}), []string{body}},
		"a length that is too long":   {asked(header{"content-length", "100000"}), []string{body}},
		"two lengths":                 {asked(header{"content-length", short}, header{"content-length", fmt.Sprint(len(body))}), []string{body}},
		"chunked as in HTTP/1.1":      {asked(header{"transfer-encoding", "chunked"}), []string{body}},
		"a connection header":         {asked(header{"connection", "x-leash-route"}), []string{body}},
		"a header in another case":    {asked(header{"X-Leash-Route", "openai"}), []string{body}},
		"a header with a line break":  {asked(header{"x-a", "b\r\nx-leash-route: openai"}), []string{body}},
		"two paths":                   {pathTwice, []string{body}},
		"a path in the end":           {asked(header{":path", "/v1/models"}), []string{body}},
		"a path that is a whole URL":  {replaced(asked(), ":path", "http://leash/v1/chat/completions"), []string{body}},
		"a path without a slash":      {replaced(asked(), ":path", "v1/chat/completions"), []string{body}},
		"empty frames in between":     {asked(), []string{"", body[:20], "", "", body[20:], ""}},
		"a request for a tunnel":      {replaced(asked(), ":method", "CONNECT"), []string{body}},
		"a method in another case":    {replaced(asked(), ":method", "post"), []string{body}},
		"another scheme":              {replaced(asked(), ":scheme", "file"), []string{body}},
		"no body, but a length of it": {asked(header{"content-length", fmt.Sprint(len(body))}), nil},
	} {
		if got := g.with(t).frames(tc.headers, tc.pieces...); strings.HasPrefix(got, "2") {
			t.Errorf("%s: got %.300q, want it refused", name, got)
		}
	}
	if got := received(t, g.ports.Provider); strings.Contains(got, "bluebird") {
		t.Error("a blocked request reached the provider")
	}
	for name, headers := range map[string][]header{
		"an empty host":              replaced(asked(), ":authority", ""),
		"a host with a blank":        replaced(asked(), ":authority", "le ash"),
		"a host with a path":         replaced(asked(), ":authority", "leash/v1"),
		"a path that is a whole URL": replaced(asked(), ":path", "http://leash/v1/chat/completions"),
		"a path with a blank":        replaced(asked(), ":path", "/v1/x /../chat/completions"),
		"a query with a blank":       replaced(asked(), ":path", "/v1/chat/completions?x HTTP/1.1"),
		"101 headers":                asked(slices.Repeat([]header{{"x-a", "b"}}, 95)...),
	} {
		if got := g.with(t).frames(headers, chatBody("say: hi", false)); strings.HasPrefix(got, "2") {
			t.Errorf("%s, and harmless: got %.300q, want it refused", name, got)
		}
	}
	if got := g.frames(asked(), chatBody("say: by hand", false)); !strings.HasPrefix(got, "200 ") || !strings.Contains(got, "by hand") {
		t.Errorf("a request without tricks: got %q, want it answered", got)
	}
}

// replaced is a list of headers in which one has another value.
func replaced(headers []header, name, value string) []header {
	for i := range headers {
		if headers[i][0] == name {
			headers[i][1] = value
		}
	}
	return headers
}
