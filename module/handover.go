package module

import (
	"strconv"
	"strings"

	"github.com/leash-gateway/leash/llm"
)

// handed is the usage of an exchange, and the error that its answer reports, as one filter tells it to the others.
type handed struct {
	usage     llm.Usage
	estimated bool
	err       string // Exchange.AnswerError
}

// usageFields lists the counts in the order in which they are handed over.
func usageFields(u *llm.Usage) [8]*int64 {
	return [8]*int64{
		&u.Input, &u.CachedInput, &u.CacheWrite, &u.CacheWrite1h, &u.InputAudio, &u.Output, &u.OutputReasoning, &u.OutputAudio,
	}
}

func appendUsage(dst []byte, h handed) []byte {
	dst = strconv.AppendBool(dst, h.estimated)
	for _, n := range usageFields(&h.usage) {
		dst = strconv.AppendInt(append(dst, ' '), *n, 10)
	}
	return append(append(dst, ' '), h.err...)
}

func parseUsage(raw string) (h handed) {
	estimated, rest, _ := strings.Cut(raw, " ")
	h.estimated = estimated == "true"
	for _, n := range usageFields(&h.usage) {
		var number string
		number, rest, _ = strings.Cut(rest, " ")
		*n, _ = strconv.ParseInt(number, 10, 64)
	}
	if rest == llm.ErrorInAnswer || rest == llm.StreamError {
		h.err = rest
	}
	return h
}

// handUsage hands the usage on. A host that does not take it keeps nobody from being told the end.
func (f *Flow) handUsage() {
	c := f.x.common
	c.usage, c.used = (handed{f.x.Usage, f.x.UsageEstimated, f.x.AnswerError}), true
	if !f.p.handover {
		return
	}
	defer func() {
		if cause := recover(); cause != nil {
			f.p.host.Log(Error, "the usage could not be handed on: "+panicError(cause).Error())
		}
	}()
	f.s.SetProperty(usageProperty, appendUsage(nil, c.usage))
}

// handedUsage is what another filter has handed on, the one of the VM that did so last, else one of elsewhere.
func (f *Flow) handedUsage() (handed, bool) {
	if c := f.x.common; c.used || !f.p.handover {
		return c.usage, c.used
	}
	raw, ok := f.s.Property(usageProperty)
	if !ok {
		return handed{}, false
	}
	return parseUsage(string(raw)), true
}
