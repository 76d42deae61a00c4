package main

import (
	"testing"
	"time"

	"github.com/leash-gateway/leash/module/moduletest"
)

func TestTheModelIsUsedInItsHoursOnly(t *testing.T) {
	h := moduletest.New(t, `{"modules":[{"name":"office-hours","config":{"models":["large"],"from":9,"to":17}}]}`)
	for name, tc := range map[string]struct {
		at, model string
		status    int
		retry     string
	}{
		"in the morning":         {"08:59", "large", 403, "60"},
		"when it opens":          {"09:00", "large", 200, ""},
		"before it closes":       {"16:59", "large", 200, ""},
		"when it closes":         {"17:00", "large", 403, "57600"},
		"another model at night": {"23:00", "small", 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			clock, err := time.Parse("15:04", tc.at)
			if err != nil {
				t.Fatal(err)
			}
			h.Clock = clock
			got := h.Do(moduletest.Exchange{Request: `{"model":"` + tc.model + `","messages":[{"role":"user","content":"Hi"}]}`})
			if got.Status != tc.status || got.Header["retry-after"] != tc.retry {
				t.Errorf("got %d, retry after %q", got.Status, got.Header["retry-after"])
			}
		})
	}
}

func TestHoursThatMakeNoSenseAreRefused(t *testing.T) {
	if moduletest.Check(`{"modules":[{"name":"office-hours","config":{"from":18,"to":8}}]}`) == nil {
		t.Error("they were taken")
	}
}
