package module_test

import (
	"strings"
	"testing"

	"github.com/leash-gateway/leash/module/moduletest"
)

// wired takes an exchange through a courier whose host takes and gives bytes.
func wired(t *testing.T, manner string, e moduletest.Exchange) moduletest.Result {
	t.Helper()
	e.Request = `{"a":1}`
	header := map[string]string{"content-length": "7", "x-own": "yes", "connection": "close"}
	for name, value := range e.Header {
		header[name] = value
	}
	e.Header = header
	return moduletest.New(t, `{"wire":true,"modules":[{"name":"courier","config":{"manner":"`+manner+`"}}]}`).Do(e)
}

func TestARequestGoesOnAsBytes(t *testing.T) {
	got := wired(t, "whole", moduletest.Exchange{Header: map[string]string{":authority": "gateway.test"}, Answer: "HTTP/1.0 200 OK\r\n\r\n"})
	const want = "POST /elsewhere HTTP/1.0\r\nhost: gateway.test\r\nx-own: yes\r\nx-request-id: test-request\r\ncontent-length: 7\r\n\r\n{\"A\":1}"
	if got.SentBody != want {
		t.Errorf("got %q, want %q", got.SentBody, want)
	}
}

func TestNoLineBreakGetsIntoTheHeadOfARequest(t *testing.T) {
	for name, header := range map[string]map[string]string{
		"in a value": {"x-own": "a\r\nx-forged: 1"}, "in a name": {"x-own\r\nx-forged": "1"}, "a blank in a name": {"x own": "1"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := wired(t, "whole", moduletest.Exchange{Header: header}); got.Status != 400 || got.Sent {
				t.Errorf("got %d %q, sent %t", got.Status, got.Body, got.Sent)
			}
		})
	}
}

func TestARequestOfUnknownLengthIsRefused(t *testing.T) {
	for _, length := range []string{"", "x", "0", "8"} {
		if got := wired(t, "whole", moduletest.Exchange{Header: map[string]string{"content-length": length}}); got.Status != 411 {
			t.Errorf("%q: got %d %s", length, got.Status, got.Body)
		}
	}
}

// TestAnAnswerComesAsBytes cuts an answer in two at every byte.
func TestAnAnswerComesAsBytes(t *testing.T) {
	const head = "HTTP/1.1 203 Non-Authoritative\r\nContent-Type: text/plain\r\nX-Many: 1\r\nx-many:2 \r\nConnection: close\r\ncontent-length: 4\r\n\r\n"
	for manner, want := range map[string]string{"untouched": "abcd", "whole": "ABCD", "pieces": "ABCD"} {
		for cut := range len(head) + 4 {
			answer := head + "abcd"
			got := wired(t, manner, moduletest.Exchange{AnswerChunks: []string{answer[:cut], answer[cut:]}})
			if got.Status != 203 || got.Body != want || got.Header["x-many"] != "1,2" || got.Header["content-type"] != "text/plain" ||
				got.Header["x-carried"] != manner || got.Header["connection"] != "" {
				t.Fatalf("%s, cut at %d: got %d %v %q", manner, cut, got.Status, got.Header, got.Body)
			}
		}
	}
}

func TestAnAnswerWithoutAHeadIsAnError(t *testing.T) {
	for name, tc := range map[string]struct {
		answer []string
		status int
	}{
		"none": {[]string{"", ""}, 502}, "half of one": {[]string{"HTTP/1.1 200 OK\r\n", "a: b"}, 502}, "no HTTP": {[]string{"hello\r\n\r\n"}, 502},
		"no status": {[]string{"HTTP/1.1 20x OK\r\n\r\n"}, 502}, "no name": {[]string{"HTTP/1.1 200 OK\r\n: b\r\n\r\n"}, 502},
		"too long": {[]string{"HTTP/1.1 200 OK\r\na: " + strings.Repeat("b", 200_000)}, 502},
	} {
		t.Run(name, func(t *testing.T) {
			if got := wired(t, "headless", moduletest.Exchange{AnswerChunks: tc.answer}); got.Status != tc.status {
				t.Errorf("got %d %v %q", got.Status, got.Header, got.Body)
			}
		})
	}
}

// TestAnErrorOfTheHostsIsNoBytes: what the host says itself has its headers where they belong.
func TestAnErrorOfTheHostsIsNoBytes(t *testing.T) {
	got := wired(t, "whole", moduletest.Exchange{Status: 503, Answer: "no"})
	if got.Status != 503 || got.Body != "NO" {
		t.Errorf("got %d %q", got.Status, got.Body)
	}
}
