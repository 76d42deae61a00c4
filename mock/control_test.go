package mock

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"
)

func TestFaultsSetAtRunTimeLastForTheirTimes(t *testing.T) {
	p := New(Options{Control: true, Behavior: Behavior{OmitUsage: true}})
	statuses := func(n int) (got []int) {
		for range n {
			got = append(got, chat(t, p, message("hi", "")).Code)
		}
		return got
	}
	if w := ask(t, p, "POST", "/mock/faults", `{"status":503,"times":2,"retry_after":"1s"}`); w.Code != 200 {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	if got, want := ask(t, p, "GET", "/mock/faults", "").Body.String(), `{"omit_usage":true,"retry_after":"1s","status":503,"times":2}`; strings.TrimSpace(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := statuses(3); got[0] != 503 || got[1] != 503 || got[2] != 200 {
		t.Errorf("got %v, want 503 twice, then 200", got)
	}
	if got := strings.TrimSpace(ask(t, p, "GET", "/mock/faults", "").Body.String()); got != `{"omit_usage":true}` {
		t.Errorf("got %s, want what the options say", got)
	}

	ask(t, p, "POST", "/mock/faults", `{"status":500}`)
	if got := statuses(2); got[0] != 500 || got[1] != 500 {
		t.Errorf("got %v, want 500 until it is cleared", got)
	}
	ask(t, p, "DELETE", "/mock/faults", "")
	if got := statuses(1); got[0] != 200 {
		t.Errorf("got %v, want 200", got)
	}
	for _, bad := range []string{`{"status":200}`, `{"stat":500}`, `[]`, `{`} {
		if w := ask(t, p, "POST", "/mock/faults", bad); w.Code != 400 || gjson.Get(w.Body.String(), "error").String() == "" {
			t.Errorf("%s: got %d %s, want 400 and a reason", bad, w.Code, w.Body)
		}
	}
}

func TestRequestsAreShownAsTheyCame(t *testing.T) {
	p := New(Options{Control: true, KeepRequests: 2})
	ask(t, p, "GET", "/v1/models", "")
	chat(t, p, message("hi", ""), "Authorization", "Bearer sk-secret")
	ask(t, p, "POST", "/v1//x%2fy?q=1", "\xff")

	got := gjson.Parse(ask(t, p, "GET", "/mock/requests", "").Body.String())
	if got.Get("#").Int() != 2 {
		t.Fatalf("got %s, want the latest two", got.Raw)
	}
	first, second := got.Get("0"), got.Get("1")
	if first.Get("number").Int() != 2 || first.Get("header.Authorization.0").String() != "Bearer sk-secret" || first.Get("body").String() != message("hi", "") {
		t.Errorf("got %s", first.Raw)
	}
	if second.Get("target").String() != "/v1//x%2fy?q=1" || second.Get("body_base64").String() != "/w==" {
		t.Errorf("got %s", second.Raw)
	}
	ask(t, p, "DELETE", "/mock/requests", "")
	if got := strings.TrimSpace(ask(t, p, "GET", "/mock/requests", "").Body.String()); got != "[]" {
		t.Errorf("got %s, want nothing", got)
	}
}

func TestFaultsCanBeForSomeRequestsOrForATime(t *testing.T) {
	now := fixedClock()
	p := New(Options{Now: func() time.Time { return now }})
	statuses := func(n int) (got []int) {
		for range n {
			got = append(got, chat(t, p, message("hi", "")).Code)
		}
		return got
	}
	tests := []struct {
		name, set string
		want      []int
	}{
		{"every third", "status=500&every=3", []int{200, 200, 500, 200, 200, 500}},
		{"every second, once", "status=500&every=2&times=1", []int{200, 500, 200, 200}},
		{"for a second, in it", "status=500&lasts=1s", []int{500, 500}},
		{"so many a second", "per_second=2", []int{200, 200, 429, 429}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			b, err := ParseBehavior(tc.set)
			if err != nil {
				t.Fatal(err)
			}
			p.SetFaults(b)
			if got := statuses(len(tc.want)); !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
			now = now.Add(time.Second)
		})
	}
	t.Run("in the next second", func(t *testing.T) {
		if got := statuses(3); !slices.Equal(got, []int{200, 200, 429}) {
			t.Errorf("got %v", got)
		}
	})
	t.Run("for a second, after it", func(t *testing.T) {
		p.SetFaults(Behavior{Status: 500, Lasts: time.Second})
		now = now.Add(time.Second)
		if got := statuses(1); got[0] != 200 {
			t.Errorf("got %v", got)
		}
	})
}

// TestARetryIsNeverForNow asks in the last instant of a second.
func TestARetryIsNeverForNow(t *testing.T) {
	p := New(Options{Now: func() time.Time { return time.Unix(1, 999_999_999) }})
	for _, want := range []string{"", "1"} {
		if got := chat(t, p, message("hi", ""), "X-Mock", "per_second=1"); got.Header().Get("Retry-After") != want || got.Header().Get("Retry-After-Ms") != want {
			t.Errorf("got %d, Retry-After %q and %q ms, want %q", got.Code, got.Header().Get("Retry-After"), got.Header().Get("Retry-After-Ms"), want)
		}
	}
}
