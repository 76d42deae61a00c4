package extproc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	pb "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/host/extproc"
	"github.com/leash-gateway/leash/host/internal/asm"
	"github.com/leash-gateway/leash/internal/nettest"
)

// says marks requests with a value.
func says(value string) asm.Module {
	return asm.Module{"proxy_on_request_headers": {Do: []asm.Step{add(abi.RequestHeaders, "x-says", value)}}}
}

// ask sends a request without a body and returns the answer.
func (s *server) ask(t testing.TB, pipeline string, more ...string) string {
	t.Helper()
	stream := s.open(t, pipeline)
	if err := stream.Send(first(requestHeaders(true, more...), duplex, duplex)); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	m, err := stream.Recv()
	if err != nil {
		return err.Error()
	}
	_ = stream.CloseSend()
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Fatalf("the end of the stream: %v", err)
	}
	return describe(m)
}

func TestPipelinesAreChosenByName(t *testing.T) {
	other := filters([]asm.Module{says("other")}, true)
	other.Name = "other"
	s := serve(t, extproc.Options{}, extproc.ServiceOptions{}, filters([]asm.Module{says("default")}, true), other)
	for name, want := range map[string]string{
		"": "x-says=default", "default": "x-says=default", "other": "x-says=other",
		"nobody": "code = Unavailable desc = pipeline nobody: no such pipeline",
	} {
		if got := s.ask(t, name); !strings.Contains(got, want) {
			t.Errorf("%q: got %s, want %s", name, got, want)
		}
	}
}

func TestLoadRefusesWhatMakesNoPipeline(t *testing.T) {
	s := serve(t, extproc.Options{}, extproc.ServiceOptions{}, filters([]asm.Module{says("v1")}, true))
	fails := asm.Module{"proxy_on_configure": {Return: 0}}
	for name, tc := range map[string]struct {
		spec extproc.Spec
		want string
	}{
		"no name":         {extproc.Spec{Filters: filters([]asm.Module{says("v2")}, true).Filters}, `the name ""`},
		"a strange name":  {extproc.Spec{Name: "a/b", Filters: filters([]asm.Module{says("v2")}, true).Filters}, `the name "a/b"`},
		"no filters":      {extproc.Spec{Name: "default"}, "no filters"},
		"a nameless one":  {extproc.Spec{Name: "default", Filters: []extproc.Filter{{Wasm: says("v2").Build()}}}, "filter 0 has no name"},
		"two of one name": {extproc.Spec{Name: "default", Filters: []extproc.Filter{{Name: "a", Wasm: says("v2").Build()}, {Name: "a", Wasm: says("v2").Build()}}}, "two filters are called a"},
		"no Wasm":         {extproc.Spec{Name: "default", Filters: []extproc.Filter{{Name: "a", Wasm: []byte("hello")}}}, "filter a: compile module"},
		"a module that refuses its configuration": {extproc.Spec{Name: "default", Filters: []extproc.Filter{{Name: "ok", Wasm: says("v2").Build()}, {Name: "a", Wasm: fails.Build()}}}, "filter a"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.Host.Load(t.Context(), tc.spec)
			if !errors.Is(err, extproc.ErrInvalid) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an ErrInvalid with %q", err, tc.want)
			}
			if got := s.ask(t, ""); !strings.Contains(got, "x-says=v1") {
				t.Errorf("the old pipeline answers %s", got)
			}
		})
	}
}

// TestLoadThatNobodyWaitsForLoadsNothing because it waits for those before it, and would undo what was done since.
func TestLoadThatNobodyWaitsForLoadsNothing(t *testing.T) {
	compiled := filters([]asm.Module{says("v2")}, true) // so that nothing else notices
	compiled.Name = "other"
	s := serve(t, extproc.Options{}, extproc.ServiceOptions{}, filters([]asm.Module{says("v1")}, true), compiled)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Host.Load(ctx, filters([]asm.Module{says("v2")}, true)); !errors.Is(err, context.Canceled) || errors.Is(err, extproc.ErrInvalid) {
		t.Errorf("got %v, want that it was canceled", err)
	}
	if got := s.ask(t, ""); !strings.Contains(got, "x-says=v1") {
		t.Errorf("the old pipeline answers %s", got)
	}
}

func TestLoadTakesNewExchangesAndLeavesThoseUnderWay(t *testing.T) {
	spec := filters([]asm.Module{{
		"proxy_on_request_headers":  {Do: []asm.Step{add(abi.RequestHeaders, "x-says", "v1")}},
		"proxy_on_response_headers": {Do: []asm.Step{add(abi.ResponseHeaders, "x-says", "v1")}},
	}}, true)
	s := serve(t, extproc.Options{Workers: 2}, extproc.ServiceOptions{}, spec)
	old := s.begin(t, none)
	status, err := s.Host.Load(t.Context(), filters([]asm.Module{says("v2")}, true))
	if err != nil || status.Generation != 2 || status.Needs != 0 || len(status.Filters) != 1 || len(status.Filters[0].SHA256) != 64 {
		t.Errorf("got %+v, %v", status, err)
	}
	if got := s.ask(t, ""); !strings.Contains(got, "x-says=v2") {
		t.Errorf("a new exchange got %s, want v2", got)
	}
	if got := play(t, old, []step{{responseHeaders(true), []string{"response headers x-says=v1"}}}); got != "" {
		t.Errorf("the old exchange ended with %s", got)
	}
	if _, err := s.Host.Load(t.Context(), spec); err != nil {
		t.Errorf("the same again: %v", err) // Load has not taken the .wasm out of the caller's Spec
	}
}

func TestUnloadedPipelinesEndWithTheirLastExchange(t *testing.T) {
	s := serve(t, extproc.Options{}, extproc.ServiceOptions{}, filters([]asm.Module{marks()}, true))
	stream := s.begin(t, duplex)
	if status, err := s.Host.Status("default"); err != nil || status.Exchanges != 1 || status.Memory == 0 {
		t.Errorf("got %+v, %v", status, err)
	}
	if err := s.Host.Unload("default"); err != nil {
		t.Fatal(err)
	}
	if err := s.Host.Unload("default"); !errors.Is(err, extproc.ErrNotLoaded) {
		t.Errorf("once more: %v", err)
	}
	if err := s.Host.Ready(); err == nil {
		t.Error("the host says that it is ready, and has no pipeline")
	}
	if got := s.ask(t, ""); !strings.Contains(got, "Unavailable") {
		t.Errorf("a new exchange got %s", got)
	}
	if got := play(t, stream, []step{{responseHeaders(true), []string{"response headers x-way=back"}}}); got != "" {
		t.Errorf("the exchange under way ended with %s", got)
	}
}

func TestDeadVMsAreReplacedAndUntilThenPoliciesRefuse(t *testing.T) {
	// It dies at a response, so that what it does with requests shows whether it lives.
	mortal := says("alive")
	mortal["proxy_on_response_headers"] = asm.Callback{Do: []asm.Step{asm.Trap()}}
	for name, tc := range map[string]struct {
		policy bool
		dead   string
	}{
		"policy": {true, "immediate 503"}, "inspector": {false, "request headers"},
	} {
		t.Run(name, func(t *testing.T) {
			const pause = 300 * time.Millisecond
			s := serve(t, extproc.Options{Workers: 1, RevivePause: pause}, extproc.ServiceOptions{}, filters([]asm.Module{mortal}, tc.policy))
			stream := s.open(t, "")
			began := time.Now()
			_ = play(t, stream, []step{
				{first(requestHeaders(true), none, none), []string{"request headers x-says=alive reroute"}},
				{responseHeaders(true), []string{map[bool]string{true: `immediate 503 ""`, false: "response headers"}[tc.policy]}},
			})
			got := s.ask(t, "")
			if time.Since(began) < pause && (!strings.HasPrefix(got, tc.dead) || strings.Contains(got, "alive")) {
				t.Errorf("while the VM is dead: got %s, want %s", got, tc.dead)
			}
			nettest.Eventually(t, "the VM to be replaced", func() bool { return strings.Contains(s.ask(t, ""), "alive") })
			if status, err := s.Host.Status("default"); err != nil || status.Failures == 0 {
				t.Errorf("got %+v, %v, want the failure counted", status, err)
			}
			if got := s.Log.String(); !strings.Contains(got, "a VM has died") || !strings.Contains(got, "run proxy_on_response_headers: ") {
				t.Errorf("the log does not say in which callback:\n%s", got)
			}
		})
	}
}

func TestAVMThatDiesBetweenExchangesIsReplacedBeforeTheNext(t *testing.T) {
	mortal := says("alive")
	mortal["proxy_on_configure"] = asm.Callback{Return: 1, Do: []asm.Step{asm.Drop("proxy_set_tick_period_milliseconds", asm.Word(100))}}
	mortal["proxy_on_tick"] = asm.Callback{Do: []asm.Step{asm.Trap()}}
	s := serve(t, extproc.Options{Workers: 1, RevivePause: time.Millisecond}, extproc.ServiceOptions{}, filters([]asm.Module{mortal}, true))
	nettest.Eventually(t, "a VM to die in two ticks, with no exchange", func() bool {
		status, err := s.Host.Status("default")
		return err == nil && status.Failures >= 2
	})
	if got := s.Log.String(); !strings.Contains(got, "a VM has died") || !strings.Contains(got, "run proxy_on_tick: ") {
		t.Errorf("the log does not say in which callback:\n%s", got)
	}
	nettest.Eventually(t, "an exchange in a VM that lives", func() bool { return strings.Contains(s.ask(t, ""), "alive") })
}

// waits lets headers go after a tick.
func waits() asm.Module {
	return asm.Module{
		"proxy_on_configure":       {Return: 1, Do: []asm.Step{asm.Drop("proxy_set_tick_period_milliseconds", asm.Word(50))}},
		"proxy_on_request_headers": {Return: asm.Pause, Do: []asm.Step{asm.Save(0, asm.Param(0))}},
		"proxy_on_request_body":    {Return: asm.Pause},
		"proxy_on_tick": {Do: []asm.Step{
			asm.Drop("proxy_set_effective_context", asm.Slot(0)),
			asm.Drop("proxy_continue_stream", asm.Word(uint32(abi.Request))),
		}},
	}
}

func TestModulesMayWaitForSomethingElseThanEnvoy(t *testing.T) {
	late := waits()
	late["proxy_on_tick"] = asm.Callback{Do: []asm.Step{asm.Drop("proxy_set_effective_context", asm.Slot(0)), refuse(403, "after some thought")}}
	closes := waits()
	closes["proxy_on_tick"] = asm.Callback{Do: []asm.Step{
		asm.Drop("proxy_set_effective_context", asm.Slot(0)), asm.Drop("proxy_close_stream", asm.Word(uint32(abi.Request))),
	}}
	runExchanges(t, map[string]exchangeTest{
		"full duplex": {waits(), true, []step{
			{first(requestHeaders(false), duplex, none), nil},
			{requestBody("ab", true), []string{"request headers", `request body piece "ab" end`}},
		}, ""},
		"buffered": {waits(), true, []step{
			{first(requestHeaders(false), buffered, none), []string{"request headers mode BUFFERED/SKIP/SKIP/NONE/SKIP"}},
			{requestBody("ab", true), []string{`request body "ab"`}},
		}, ""},
		"streamed": {waits(), true, []step{
			{first(requestHeaders(false), streamed, none), []string{"request headers mode STREAMED/SKIP/SKIP/NONE/SKIP"}},
		}, ""},
		"and then refuse": {late, true, []step{
			{first(requestHeaders(true), duplex, none), []string{`immediate 403 x-why=policy content-type=text/plain "after some thought"`}},
		}, ""},
		"and then close": {closes, true, []step{
			{first(requestHeaders(true), duplex, none), []string{`immediate 500 ""`}},
		}, ""},
	})
}

func TestEnvoyAndModuleThatWaitForEachOtherAreTold(t *testing.T) {
	s := serve(t, extproc.Options{}, extproc.ServiceOptions{}, filters([]asm.Module{whole()}, true))
	if got := play(t, s.open(t, ""), []step{{first(requestHeaders(false), streamed, streamed), nil}}); got != "" { // as if message_timeout had passed
		t.Errorf("the stream ended with %s", got)
	}
	if !strings.Contains(s.Log.String(), "in the body mode STREAMED it waits for an answer to the headers") {
		t.Errorf("the log does not tell why:\n%s", s.Log)
	}
}

func TestTooManyExchangesAreRefused(t *testing.T) {
	s := serve(t, extproc.Options{MaxExchanges: 1}, extproc.ServiceOptions{}, filters([]asm.Module{says("hello")}, true))
	held := s.begin(t, none)
	if got := s.ask(t, ""); !strings.Contains(got, "ResourceExhausted") {
		t.Errorf("the second got %s", got)
	}
	if err := held.CloseSend(); err != nil {
		t.Fatal(err)
	}
	nettest.Eventually(t, "room for another", func() bool { return strings.Contains(s.ask(t, ""), "x-says=hello") })
}

func TestBodiesLongerThanModulesMayHoldAreRefused(t *testing.T) {
	spec := filters([]asm.Module{{
		"proxy_on_request_headers": {Return: asm.Pause}, "proxy_on_request_body": {Do: []asm.Step{asm.PauseUntilEnd()}},
	}}, true)
	spec.MaxBuffer = 10
	s := serve(t, extproc.Options{}, extproc.ServiceOptions{}, spec)
	if got := play(t, s.open(t, ""), []step{
		{first(requestHeaders(false), duplex, duplex), nil},
		{requestBody("0123456", false), nil},
		{requestBody("0123456", false), []string{`immediate 413 content-type=text/plain "Payload Too Large"`}},
	}); got != "" {
		t.Errorf("the stream ended with %s", got)
	}
}

func TestExchangesOfAnEnvoyThatReadsSlowlyDoNotHoldOthers(t *testing.T) {
	s := serve(t, extproc.Options{Workers: 1}, extproc.ServiceOptions{}, filters([]asm.Module{marks()}, true))
	slow := s.open(t, "")
	if err := slow.Send(first(requestHeaders(false), duplex, duplex)); err != nil {
		t.Fatal(err)
	}
	// Nothing is read, so the windows fill, and then the host takes no more of this one.
	sent := make(chan int, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	go func() {
		n := 0
		for ctx.Err() == nil && slow.Send(requestBody(strings.Repeat("x", 64<<10), false)) == nil {
			n++
		}
		sent <- n
	}()
	for range 50 {
		if got := s.ask(t, ""); !strings.HasPrefix(got, "request headers") {
			t.Fatalf("another exchange got %s", got)
		}
	}
	<-ctx.Done()
	for { // what was held comes in the end, in order
		m, err := slow.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(describe(m), "request body") {
			break
		}
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for {
			if _, err := slow.Recv(); err != nil {
				return
			}
		}
	}()
	if n := <-sent; n > 400 {
		t.Errorf("the host took %d pieces of 64 KiB of which nobody read the answers", n)
	}
	if err := slow.CloseSend(); err != nil {
		t.Fatal(err)
	}
	<-drained
}

func TestManyExchangesAtOnceAreNotMixedUp(t *testing.T) {
	echo := asm.Module{"proxy_on_request_headers": {}, "proxy_on_request_body": {Do: []asm.Step{asm.PauseUntilEnd()}}}
	s := serve(t, extproc.Options{}, extproc.ServiceOptions{}, filters([]asm.Module{echo}, true))
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			text := fmt.Sprintf("exchange %d", i)
			stream, err := pb.NewExternalProcessorClient(s.Client).Process(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			for _, m := range []*pb.ProcessingRequest{first(requestHeaders(false), duplex, duplex), requestBody(text[:4], false), requestBody(text[4:], true)} {
				if err := stream.Send(m); err != nil {
					t.Error(err)
				}
			}
			for _, want := range []string{"request headers", fmt.Sprintf("request body piece %q end", text)} {
				m, err := stream.Recv()
				if err != nil || describe(m) != want {
					t.Errorf("%s: got %s, %v, want %s", text, describe(m), err, want)
				}
			}
			_ = stream.CloseSend()
			if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
				t.Errorf("%s: ended with %v", text, err)
			}
		})
	}
	all.Wait()
	if status, err := s.Host.Status("default"); err != nil || status.Exchanges != 0 {
		t.Errorf("got %+v, %v, want no exchange left", status, err)
	}
}
