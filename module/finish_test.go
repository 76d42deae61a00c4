package module_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/moduletest"
)

// patient is a script whose Finish may be late.
type patient struct{ script }

func (patient) FinishesLate() {}

func late(kind module.Kind, s script) string {
	name := fmt.Sprintf("late%d", registered.Add(1))
	module.Register(name, kind, func(struct{}) (patient, error) { return patient{s}, nil })
	return name
}

// travelling is an exchange whose host has nothing but headers and bodies.
type travelling struct {
	module.Stream
	body string
	over bool
}

func (s *travelling) Headers(side module.Side) [][2]string {
	if s.over {
		panic("the exchange is over")
	}
	if side == module.Responses {
		return [][2]string{{":status", "200"}, {"content-type", "application/json"}}
	}
	return [][2]string{{":method", "POST"}, {":path", "/v1/chat/completions"}, {"content-type", "application/json"}, {"content-length", "1"}}
}

func (s *travelling) Body(side module.Side) []byte {
	if side == module.Responses {
		return []byte(answer)
	}
	return []byte(s.body)
}

func (*travelling) RemoveHeader(module.Side, string)      {}
func (s *travelling) Property(...string) ([]byte, bool)   { return []byte("known"), !s.over }
func (*travelling) SetHeader(module.Side, string, string) {}
func (*travelling) SetProperty(string, []byte)            {}
func (*travelling) SetBody(module.Side, []byte)           {}
func (*travelling) Reply(int, [][2]string, []byte)        {}

// travel takes an exchange to its end, without a flush.
func travel(p *module.Pipeline, body string) {
	s := &travelling{body: body}
	flow := p.Start(s)
	flow.OnRequestHeaders(false)
	flow.OnRequestBody(len(body), true)
	flow.OnResponseHeaders(false)
	flow.OnResponseBody(len(answer), true)
	flow.OnDone()
	s.over = true
}

func pipeline(t *testing.T, h module.Host, config string) *module.Pipeline {
	t.Helper()
	p, err := module.NewPipeline([]byte(config), h)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestALateFinishComesAfterTheOthersWithAllThatIsKnown(t *testing.T) {
	h := moduletest.New(t, pipelineOf([]string{policy(script{request: func(*module.Exchange) error { return nil }})}))
	began := h.Clock
	var told []string
	tell := func(who string) func(x *module.Exchange) {
		return func(x *module.Exchange) {
			_, known := x.Property("source", "address")
			told = append(told, fmt.Sprintf("%s: %d %v %d %v, after %v, known to the host %v, header %q and %q", who, x.Status, x.Completed, x.Usage.Total(), x.Request != nil,
				x.Now().Sub(began), known, x.RequestHeader("content-type"), x.ResponseHeader("content-type")))
			x.SetFact("seen", x.Fact("seen")+who)
		}
	}
	p := pipeline(t, h, pipelineOf([]string{
		late(module.Inspector, script{finish: tell("first"), usage: true}),
		inspector(script{finish: tell("second"), usage: true}),
		late(module.Inspector, script{finish: func(x *module.Exchange) { tell("third")(x); told = append(told, x.Fact("seen")) }}),
	}))
	h.Clock = began.Add(time.Second)
	travel(p, chat)
	if len(told) != 1 {
		t.Fatalf("before the flush they were told %q, want the second alone", told)
	}
	h.Clock = began.Add(time.Minute)
	p.Flush()
	p.Flush()
	const known = `: 200 true 11 true, after 1s, known to the host `
	want := []string{
		"second" + known + `true, header "application/json" and "application/json"`,
		"first" + known + `false, header "application/json" and "application/json"`,
		"third" + known + `false, header "application/json" and "application/json"`,
		"secondfirstthird",
	}
	if !slices.Equal(told, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
}

func TestFewExchangesAndFewBytesWaitForTheirFinish(t *testing.T) {
	for _, tc := range []struct {
		name           string
		body           string
		exchanges, got int
	}{
		{"few", chat, 31, 0},
		{"many", chat, 32, 32},
		{"many, and some", chat, 70, 64},
		{"large ones", strings.Replace(chat, "Hello", strings.Repeat("Hello ", 100_000), 1), 3, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ended := 0
			name := late(module.Inspector, script{request: func(*module.Exchange) error { return nil }, finish: func(*module.Exchange) { ended++ }})
			p := pipeline(t, moduletest.New(t, pipelineOf([]string{name})), pipelineOf([]string{name}))
			for range tc.exchanges {
				travel(p, tc.body)
			}
			if ended != tc.got {
				t.Errorf("of %d exchanges %d were told, want %d", tc.exchanges, ended, tc.got)
			}
			if p.Flush(); ended != tc.exchanges {
				t.Errorf("after a flush %d of %d were told", ended, tc.exchanges)
			}
		})
	}
}

func TestALateFinishThatFailsLeavesTheOthersTheirs(t *testing.T) {
	ended := 0
	name := late(module.Inspector, script{finish: func(*module.Exchange) {
		if ended++; ended == 2 {
			panic("of the second")
		}
	}})
	h := moduletest.New(t, pipelineOf([]string{name}))
	p := pipeline(t, h, pipelineOf([]string{name}))
	for range 3 {
		travel(p, chat)
	}
	p.Flush()
	if ended != 3 || len(h.Logs) != 1 || !strings.Contains(h.Logs[0], "of the second") {
		t.Errorf("%d of 3 were told, logs %q", ended, h.Logs)
	}
}

func TestBetweenFiltersNoFinishIsLate(t *testing.T) {
	ended := 0
	name := late(module.Inspector, script{finish: func(*module.Exchange) { ended++ }})
	config := pipelineOf([]string{name}, `"handover":true`)
	p := pipeline(t, moduletest.New(t, config), config)
	if travel(p, chat); ended != 1 {
		t.Error("what it hands on with a fact would come too late for the next filter")
	}
}

func TestAModuleKeepsStatesOfSeveralTypes(t *testing.T) {
	var got []string
	note := func(x *module.Exchange) error {
		*module.Local[int](x)++
		*module.Local[string](x) += "a"
		*module.Local[bool](x) = !*module.Local[bool](x)
		got = append(got, fmt.Sprint(*module.Local[int](x), *module.Local[string](x), *module.Local[bool](x)))
		return nil
	}
	h := run(t, policy(script{request: note, response: note, finish: func(x *module.Exchange) { _ = note(x) }}))
	h.Do(moduletest.Exchange{Request: chat, Answer: answer})
	if want := []string{"1atrue", "2aafalse", "3aaatrue"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
