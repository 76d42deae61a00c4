package module_test

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/moduletest"
)

func TestHeadersAreReadAndChangedInAnyCaseAndNumber(t *testing.T) {
	for _, changes := range []int{1, 3, 8, 9, 20} { // few are told to the host one by one, many all at once
		t.Run(fmt.Sprint(changes, " changes"), func(t *testing.T) {
			var read []string
			change := func(get func(string) string, set func(string, string), remove func(string)) {
				read = append(read, get("X-Twice"), get("x-absent"))
				remove("AUTHORIZATION")
				remove("x-absent")
				for i := 1; i < changes; i++ {
					set(fmt.Sprint("X-New-", i), "old")
					set(fmt.Sprint("x-new-", i), fmt.Sprint(i))
				}
				read = append(read, get("authorization"), get("x-new-1"))
			}
			h := run(t, policy(script{
				requestHeader: func(x *module.Exchange) error {
					change(x.RequestHeader, x.SetRequestHeader, x.RemoveRequestHeader)
					return nil
				},
				responseHeader: func(x *module.Exchange) error {
					change(x.ResponseHeader, x.SetResponseHeader, x.RemoveResponseHeader)
					return nil
				},
			}))
			got := h.Do(moduletest.Exchange{
				HeaderList: [][2]string{{"x-twice", "a"}, {"authorization", "Bearer sk-1"}, {"x-twice", "b"}, {"authorization", "Bearer sk-2"}},
				Request:    chat, Answer: answer,
				AnswerHeader: map[string]string{"X-Twice": "a,b", "Authorization": "x"},
			})
			want := map[string]string{"x-twice": "a,b"}
			for i := 1; i < changes; i++ {
				want[fmt.Sprint("x-new-", i)] = fmt.Sprint(i)
			}
			for side, header := range map[string]map[string]string{"request": got.SentHeader, "response": got.Header} {
				kept := maps.Clone(header)
				maps.DeleteFunc(kept, func(name, _ string) bool { return name[0] == ':' || name == "x-request-id" || name == "content-type" })
				if !maps.Equal(kept, want) {
					t.Errorf("%s: got %v, want %v", side, kept, want)
				}
			}
			first := "1"
			if changes == 1 {
				first = ""
			}
			wantText(t, "read", fmt.Sprint(read), fmt.Sprint([]string{"a,b", "", "", first, "a,b", "", "", first}))
		})
	}
}

func TestAChangedRequestHasTheLengthThatItHas(t *testing.T) {
	h := run(t, policy(script{request: func(x *module.Exchange) error {
		x.Request.SetText(0, "a longer text than before")
		return nil
	}}))
	got := h.Do(moduletest.Exchange{Request: chat, Header: map[string]string{"content-length": fmt.Sprint(len(chat))}, Answer: answer})
	wantText(t, "content length", got.SentHeader["content-length"], fmt.Sprint(len(got.SentBody)))
	if len(got.SentBody) <= len(chat) {
		t.Errorf("got %s, want a longer text", got.SentBody)
	}
}

func TestTheSurroundingsOfAnExchange(t *testing.T) {
	var got []string
	h := run(t, policy(script{request: func(x *module.Exchange) error {
		region, ok := x.Property("node", "region")
		_, none := x.Property("nothing")
		got = append(got, x.ID, x.Method, x.Path, x.ClientAddress(), string(region), fmt.Sprint(ok, none), x.Now().Format(time.RFC3339))
		_, version := x.Shared().Get("n")
		for range 2 {
			if !x.Shared().Set("n", []byte("1"), version) {
				t.Error("a value of its own version was not written")
			}
			_, version = x.Shared().Get("n")
		}
		for _, old := range []uint32{0, 1} {
			if x.Shared().Set("n", []byte("2"), old) {
				t.Errorf("version %d was written over a newer one", old)
			}
		}
		x.Log(module.Info, "hello")
		return nil
	}}))
	for _, address := range []string{"192.0.2.7:80", "[2001:db8::1]:80", "[::ffff:192.0.2.7]:0", "192.0.2.7", "2001:db8::1", "/run/socket", ""} {
		h.Do(moduletest.Exchange{Request: chat, Properties: map[string]string{"source.address": address, "node.region": "eu"}})
	}
	want := ""
	for i, address := range []string{"192.0.2.7", "2001:db8::1", "192.0.2.7", "192.0.2.7", "2001:db8::1", "/run/socket", ""} {
		if i > 0 {
			want += " "
		}
		want += "test-request POST /v1/chat/completions " + address + " eu true false 2026-11-01T12:00:00Z"
	}
	wantText(t, "surroundings", fmt.Sprint(got), "["+want+"]")
	wantText(t, "logs", fmt.Sprint(h.Logs), "[hello hello hello hello hello hello hello]")
}
