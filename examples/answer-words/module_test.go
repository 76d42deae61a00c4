package main

import (
	"testing"

	"github.com/leash-gateway/leash/module/moduletest"
)

func TestWordsAreCounted(t *testing.T) {
	h := moduletest.New(t, `{"modules":[{"name":"answer-words"}]}`)
	h.Do(moduletest.Exchange{
		Request: `{"model":"m","messages":[{"role":"user","content":"Hi"}]}`,
		Answer:  `{"choices":[{"message":{"content":"Good morning to you"}}]}`,
	})
	if got := h.Metrics["leash_answer_words_total.[tenant=none].[model=m]"]; got != 4 {
		t.Errorf("got %d words (%v), want 4", got, h.Metrics)
	}
}
