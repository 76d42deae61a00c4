package module_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/moduletest"
)

// courier carries as it is told: it answers in capitals.
type courier struct{ manner string }

type courierConfig struct {
	Manner string `json:"manner"`
}

func init() {
	module.Register("courier", module.Policy, func(c courierConfig) (*courier, error) { return &courier{c.Manner}, nil })
}

func (c *courier) CarryRequest(x *module.Exchange, body []byte) ([]byte, error) {
	if bytes.Contains(body, []byte("unsayable")) {
		return nil, module.Refuse(400, "not_translatable", "cannot be said")
	}
	x.SetRequestHeader(":path", "/elsewhere")
	return bytes.ToUpper(body), nil
}

func (c *courier) CarryAnswer(x *module.Exchange) (module.Manner, error) {
	if x.Status == 0 {
		return 0, module.Refuse(502, "unreadable_answer", "broken off")
	}
	x.SetResponseHeader("x-carried", c.manner)
	switch c.manner {
	case "whole":
		return module.Whole, nil
	case "pieces":
		return module.Pieces, nil
	case "refused":
		return 0, module.Refuse(502, "unreadable_answer", "refused at its headers")
	default:
		return module.Untouched, nil
	}
}

func (c *courier) CarryBody(x *module.Exchange, body []byte, end bool) ([]byte, bool, error) {
	held := module.Local[struct {
		body []byte
		gone bool
	}](x)
	held.body = append(held.body, body...)
	body = held.body
	switch {
	case bytes.Contains(body, []byte("garbage")):
		return nil, false, module.Refuse(502, "unreadable_answer", "garbage")
	case c.manner == "pieces" && len(body) < 3 && !end && !held.gone:
		return nil, true, nil
	}
	held.body, held.gone = nil, true
	return bytes.ToUpper(body), false, nil
}

func carried(t *testing.T, manner string, e moduletest.Exchange) moduletest.Result {
	t.Helper()
	e.Request = `{"a":1}`
	return moduletest.New(t, `{"modules":[{"name":"courier","config":{"manner":"`+manner+`"}}]}`).Do(e)
}

func TestACarrierMakesBothBodies(t *testing.T) {
	tests := map[string]struct {
		manner string
		chunks []string
		want   string
	}{
		"untouched":           {"untouched", []string{"ab", "cd"}, "abcd"},
		"whole":               {"whole", []string{"ab", "cd"}, "ABCD"},
		"pieces":              {"pieces", []string{"abc", "d"}, "ABCD"},
		"pieces, after a few": {"pieces", []string{"a", "b", "c", "d"}, "ABCD"},
		"pieces, too few":     {"pieces", []string{"a"}, "A"},
	}
	for name, tc := range tests {
		for _, trailers := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				got := carried(t, tc.manner, moduletest.Exchange{AnswerChunks: tc.chunks, Trailers: trailers})
				if got.SentBody != `{"A":1}` || got.SentHeader[":path"] != "/elsewhere" || got.SentHeader["content-length"] != "7" {
					t.Errorf("the provider received %s %v", got.SentBody, got.SentHeader)
				}
				if got.Status != 200 || got.Body != tc.want || got.Header["x-carried"] != tc.manner {
					t.Errorf("got %d %q %v, want %q", got.Status, got.Body, got.Header, tc.want)
				}
			})
		}
	}
}

func TestACarriersErrorTakesThePlaceOfWhatHasNotGoneYet(t *testing.T) {
	tests := map[string]struct {
		manner string
		chunks []string
		status int
		body   string
	}{
		"at the headers":          {"refused", []string{"a"}, 502, "refused at its headers"},
		"of a whole answer":       {"whole", []string{"a", "garbage"}, 502, "garbage"},
		"of the first piece":      {"pieces", []string{"garbage", "b"}, 502, "garbage"},
		"while it waits":          {"pieces", []string{"a", "garbage"}, 502, "garbage"},
		"later it is an event":    {"pieces", []string{"abc", "garbage", "d"}, 200, "ABC"},
		"at the headers, no body": {"refused", []string{}, 502, "refused at its headers"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := carried(t, tc.manner, moduletest.Exchange{AnswerChunks: tc.chunks})
			if got.Status != tc.status || !strings.Contains(got.Body, tc.body) || strings.Contains(got.Body, "D") && tc.status == 200 && strings.HasSuffix(got.Body, "D") {
				t.Errorf("got %d %q, want %d with %q", got.Status, got.Body, tc.status, tc.body)
			}
			if tc.status == 200 && !strings.Contains(got.Body, `"unreadable_answer"`) {
				t.Errorf("the stream does not end with the error: %q", got.Body)
			}
		})
	}
}

func TestACarrierRefusesBeforeTheProviderIsReached(t *testing.T) {
	h := moduletest.New(t, `{"modules":[{"name":"courier"}]}`)
	got := h.Do(moduletest.Exchange{Request: `{"a":"unsayable"}`, Path: "/v1/messages"})
	if got.Sent || got.Status != 400 || !strings.HasPrefix(got.Body, `{"type":"error"`) {
		t.Errorf("sent %t, got %d %s", got.Sent, got.Status, got.Body)
	}
}

func TestACarrierStandsAlone(t *testing.T) {
	for name, tc := range map[string]struct{ config, want string }{
		"with another module":               {`{"modules":[{"name":"courier"},{"name":"courier"}]}`, "stands alone"},
		"with a configuration for a tenant": {`{"modules":[{"name":"courier","tenants":{"a":{}}}]}`, "stands alone"},
		"where headers are not held":        {`{"modules":[{"name":"courier"}],"no_header_pause":true}`, "no_header_pause: modules[0] (courier) sets headers"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := module.NewPipeline([]byte(tc.config), nil); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}
