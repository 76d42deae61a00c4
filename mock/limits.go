package mock

import (
	"maps"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// The limits that answers tell, of requests and of tokens a minute. Nothing counts down to them: the setting limit_used says how
// much of them is used.
const (
	requestLimit = 10_000
	tokenLimit   = 30_000_000
)

// Headers that are the same in every answer of OpenAI's.
var openAIHeader = http.Header{
	"Openai-Version":             {"2020-10-01"},
	"Openai-Organization":        {"mock"},
	"X-Ratelimit-Limit-Requests": {strconv.Itoa(requestLimit)},
	"X-Ratelimit-Limit-Tokens":   {strconv.Itoa(tokenLimit)},
}

// The values that they have unless a setting changes them.
var (
	unusedRequests = []string{strconv.Itoa(requestLimit - 1)}
	unusedTokens   = []string{strconv.Itoa(tokenLimit - 10)}
	soonRequests   = []string{"6ms"}
	soonTokens     = []string{"0s"}
)

// setHeader sets the headers that a provider's answers have, those of its limits among them: Google and Bedrock have none.
func (x *exchange) setHeader() {
	h := x.w.Header()
	id := []string{"req_mock_" + strconv.FormatInt(x.number, 10)}
	b := &x.behavior
	switch x.api {
	case openAI, azure:
		h["X-Request-Id"] = id
		if x.api == openAI {
			maps.Copy(h, openAIHeader)
		} else {
			h["Apim-Request-Id"] = id
			h["X-Ms-Region"] = []string{"Mock"}
		}
		requests, tokens, soon, later := unusedRequests, unusedTokens, soonRequests, soonTokens
		if b.LimitUsed > 0 {
			requests, tokens = left(requestLimit, b.LimitUsed), left(tokenLimit, b.LimitUsed)
		}
		if b.LimitReset > 0 {
			soon = []string{b.LimitReset.String()}
			later = soon
		}
		h["X-Ratelimit-Remaining-Requests"], h["X-Ratelimit-Remaining-Tokens"] = requests, tokens
		h["X-Ratelimit-Reset-Requests"], h["X-Ratelimit-Reset-Tokens"] = soon, later
	case anthropic:
		h["Request-Id"] = id
		h["Anthropic-Organization-Id"] = []string{"mock"}
		reset := []string{x.p.options.Now().Add(b.LimitReset).UTC().Format(time.RFC3339)}
		for name, limit := range map[string]int{"Requests": requestLimit, "Tokens": tokenLimit, "Input-Tokens": tokenLimit, "Output-Tokens": tokenLimit} {
			h["Anthropic-Ratelimit-"+name+"-Limit"] = []string{strconv.Itoa(limit)}
			h["Anthropic-Ratelimit-"+name+"-Remaining"] = left(limit, b.LimitUsed)
			h["Anthropic-Ratelimit-"+name+"-Reset"] = reset
		}
	case bedrock:
		h["X-Amzn-Requestid"] = id
	case google, vertex:
		h["Server-Timing"] = []string{"gfet4t7; dur=1"}
	}
}

func left(limit, usedPercent int) []string {
	return []string{strconv.Itoa(limit * (100 - usedPercent) / 100)}
}

// A throttle lets so many requests pass in a second, and no more.
type throttle struct {
	mu     sync.Mutex
	second int64
	passed int
}

// admits tells whether one more request passes, and how long to wait if not.
func (t *throttle) admits(perSecond int, now time.Time) (ok bool, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if second := now.Unix(); second != t.second {
		t.second, t.passed = second, 0
	}
	t.passed++
	return t.passed <= perSecond, time.Second - time.Duration(now.Nanosecond())
}
