package extproc_test

import (
	"os"
	"strings"
	"testing"

	modes "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	pb "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/host/extproc"
	"github.com/leash-gateway/leash/host/internal/asm"
)

type exchangeTest struct {
	module asm.Module
	policy bool
	steps  []step
	ends   string // the error of the stream, or a part of it
}

func runExchanges(t *testing.T, tests map[string]exchangeTest) {
	t.Helper()
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := serve(t, extproc.Options{Workers: 1}, extproc.ServiceOptions{}, filters([]asm.Module{tc.module}, tc.policy))
			got := play(t, s.open(t, ""), tc.steps)
			if tc.ends == "" && got != "" || !strings.Contains(got, tc.ends) {
				t.Errorf("the stream ended with %q, want %q", got, tc.ends)
			}
		})
	}
}

func TestFullDuplexAnswersWhenTheModulesLetGo(t *testing.T) {
	const piece = 32 << 10
	runExchanges(t, map[string]exchangeTest{
		"a long piece of an answer in short ones": {marks(), true, []step{
			{first(requestHeaders(true), duplex, duplex), []string{"request headers x-way=there reroute"}},
			{responseHeaders(false), []string{"response headers x-way=back"}},
			{responseBody(strings.Repeat("a", piece)+strings.Repeat("b", piece)+"c", true), []string{
				`response body piece "` + strings.Repeat("a", piece) + `"`, `response body piece "` + strings.Repeat("b", piece) + `"`, `response body piece "c" end`,
			}},
		}, ""},
		"each part as it comes": {marks(), true, []step{
			{first(requestHeaders(false), duplex, duplex), []string{"request headers x-way=there reroute"}},
			{requestBody("ab", false), []string{`request body piece "ab"`}},
			{requestBody("cd", true), []string{`request body piece "cd" end`}},
			{responseHeaders(false), []string{"response headers x-way=back"}},
			{responseBody("ef", false), []string{`response body piece "ef"`}},
			{responseBody("", true), []string{`response body piece "" end`}},
		}, ""},
		"with trailers": {marks(), true, []step{
			{first(requestHeaders(false), duplex, duplex), []string{"request headers x-way=there reroute"}},
			{requestBody("ab", false), []string{`request body piece "ab"`}},
			{requestTrailers("a", "b"), []string{"request trailers x-t=there"}},
			{responseHeaders(false), []string{"response headers x-way=back"}},
			{responseTrailers("c", "d"), []string{"response trailers x-t=back"}},
		}, ""},
		"without bodies": {marks(), true, []step{
			{first(requestHeaders(true), duplex, duplex), []string{"request headers x-way=there reroute"}},
			{responseHeaders(true), []string{"response headers x-way=back"}},
		}, ""},
		"headers and body together after the last piece": {whole(), true, []step{
			{first(requestHeaders(false), duplex, duplex), nil},
			{requestBody("ab", false), nil},
			{requestBody("cd", true), []string{"request headers x-way=there reroute", `request body piece "new question" end`}},
			{responseHeaders(false), nil},
			{responseBody("ef", true), []string{"response headers x-way=back", `response body piece "new answer" end`}},
		}, ""},
		"a response before the request has been sent whole": {marks(), true, []step{
			{first(requestHeaders(false), duplex, duplex), []string{"request headers x-way=there reroute"}},
			{responseHeaders(true), []string{"response headers x-way=back"}},
			{requestBody("late", true), []string{`request body piece "late" end`}},
		}, ""},
	})
}

func TestBufferedBodiesAreAnsweredWithTheHeaders(t *testing.T) {
	runExchanges(t, map[string]exchangeTest{
		"headers and body together": {whole(), true, []step{
			{first(requestHeaders(false, "content-length", "4"), buffered, buffered), []string{"request headers"}},
			{requestBody("abcd", true), []string{`request body content-length=12 x-way=there "new question" reroute`}},
			{responseHeaders(false), []string{"response headers"}},
			{responseBody("efgh", true), []string{`response body x-way=back "new answer"`}},
		}, ""},
		"nothing changed": {marks(), true, []step{
			{first(requestHeaders(false), buffered, buffered), []string{"request headers x-way=there reroute"}},
			{requestBody("abcd", true), []string{`request body x-way=there "abcd" reroute`}},
			{responseHeaders(true), []string{"response headers x-way=back"}},
		}, ""},
		"trailers, which come too late for the modules": {whole(), true, []step{
			{first(requestHeaders(false), buffered, buffered), []string{"request headers"}},
			{requestBody("abcd", false), []string{`request body x-way=there "new question" reroute`}},
			{requestTrailers("a", "b"), []string{"request trailers"}},
		}, ""},
		"no body after all": {whole(), true, []step{
			{first(requestHeaders(false), buffered, buffered), []string{"request headers"}},
			{requestBody("", true), []string{`request body x-way=there "new question" reroute`}},
		}, ""},
	})
}

func TestStreamedPiecesAreAnsweredOneByOne(t *testing.T) {
	early := func(m *pb.ProcessingRequest) *pb.ProcessingRequest {
		m.GetProtocolConfig().SendBodyWithoutWaitingForHeaderResponse = true
		return m
	}
	untilTrailers := asm.Module{"proxy_on_request_body": {Return: asm.Pause}, "proxy_on_request_trailers": {}}
	runExchanges(t, map[string]exchangeTest{
		"each part as it comes": {marks(), true, []step{
			{first(requestHeaders(false), streamed, streamed), []string{"request headers x-way=there reroute"}},
			{requestBody("ab", false), []string{`request body "ab"`}},
			{requestBody("cd", false), []string{`request body "cd"`}},
			{requestTrailers("a", "b"), []string{"request trailers x-t=there"}},
			{responseHeaders(false), []string{"response headers x-way=back"}},
			{responseBody("ef", true), []string{`response body "ef"`}},
		}, ""},
		"what is held goes with the last piece": {asm.Module{"proxy_on_request_body": {Do: []asm.Step{asm.PauseUntilEnd()}}}, true, []step{
			{first(requestHeaders(false), streamed, none), []string{"request headers mode STREAMED/SKIP/SKIP/NONE/SKIP"}},
			{requestBody("ab", false), []string{`request body ""`}},
			{requestBody("cd", true), []string{`request body "abcd"`}},
		}, ""},
		"headers that wait for a body that does not wait for them": {whole(), true, []step{
			{early(first(requestHeaders(false), streamed, streamed)), nil},
			{requestBody("ab", false), nil},
			{requestBody("cd", true), []string{"request headers x-way=there reroute", `request body "new question"`, `request body ""`}},
		}, ""},
		"headers that wait for the trailers": {asm.Module{
			"proxy_on_request_headers": {Return: asm.Pause}, "proxy_on_request_body": {Return: asm.Pause}, "proxy_on_request_trailers": {},
		}, true, []step{
			{early(first(requestHeaders(false), streamed, none)), nil},
			{requestBody("ab", false), nil},
			{requestTrailers("a", "b"), []string{"request headers", `request body "ab"`, "request trailers"}},
		}, ""},
		"an end that is held until the trailers cannot be sent any more": {untilTrailers, true, []step{
			{first(requestHeaders(false), streamed, none), []string{"request headers mode STREAMED/SEND/SKIP/NONE/SKIP"}},
			{requestBody("ab", false), []string{`request body ""`}},
			{requestTrailers("a", "b"), nil},
		}, "FULL_DUPLEX_STREAMED"},
		"an inspector that waits for the body is not waited for": {whole(), false, []step{
			{first(requestHeaders(false), streamed, streamed), []string{"request headers"}},
			{requestBody("ab", false), []string{`request body ""`}},
			{requestBody("cd", true), []string{`request body "new question"`}},
		}, ""},
	})
}

func TestEnvoyIsAskedForNoMoreThanThePipelineNeeds(t *testing.T) {
	headersOnly := asm.Module{"proxy_on_request_headers": {}}
	runExchanges(t, map[string]exchangeTest{
		"the request's headers only": {headersOnly, true, []step{
			{first(requestHeaders(false), buffered, streamed), []string{"request headers mode NONE/SKIP/SKIP/NONE/SKIP"}},
		}, ""},
		"nothing that is not sent anyway": {asm.Module{"proxy_on_response_headers": {}}, true, []step{
			{first(requestHeaders(true), none, none), []string{"request headers"}},
			{responseHeaders(false), []string{"response headers"}},
		}, ""},
		"full duplex cannot be changed": {headersOnly, true, []step{
			{first(requestHeaders(false), duplex, duplex), []string{"request headers"}},
			{requestBody("ab", true), []string{`request body piece "ab" end`}},
		}, ""},
		"trailers": {marks(), true, []step{
			{first(requestHeaders(true), streamed, none), nil},
		}, "response_body_mode"},
	})
}

func TestPoliciesThatCannotSeeWhatTheyLookAtRefuse(t *testing.T) {
	observed := func(m *pb.ProcessingRequest) *pb.ProcessingRequest { m.ObservabilityMode = true; return m }
	refusal := func(mode, part string) string {
		return "FailedPrecondition: Envoy sends " + part + " in mode " + mode
	}
	opening := func(request, response modes.ProcessingMode_BodySendMode) []step {
		return []step{{first(requestHeaders(false), request, response), nil}}
	}
	runExchanges(t, map[string]exchangeTest{
		"no request body":             {marks(), true, opening(none, duplex), refusal("NONE", "request_body")},
		"no response body":            {marks(), true, opening(duplex, none), refusal("NONE", "response_body")},
		"the start of a body only":    {marks(), true, opening(partial, duplex), refusal("BUFFERED_PARTIAL", "request_body")},
		"an Envoy that only tells":    {marks(), true, []step{{observed(first(requestHeaders(false), streamed, streamed)), nil}}, "observability_mode"},
		"an Envoy that tells no mode": {marks(), true, []step{{requestHeaders(false), nil}}, refusal("NONE", "request_body")},
		"no request at all":           {marks(), true, []step{{first(responseHeaders(false), duplex, duplex), nil}}, "request_header_mode SEND"},
		"an inspector goes without": {marks(), false, []step{
			{first(requestHeaders(false), none, none), []string{"request headers x-way=there reroute"}},
			{responseHeaders(false), []string{"response headers x-way=back"}},
		}, ""},
	})
}

func TestAnswersOfOtherFiltersPassUnseen(t *testing.T) {
	answered := func(m *pb.ProcessingRequest, by string) *pb.ProcessingRequest {
		m.Attributes = attributes(t, map[string]any{"response.code_details": by})
		return m
	}
	runExchanges(t, map[string]exchangeTest{
		"an answer of another filter": {marks(), true, []step{
			{answered(first(responseHeaders(false), duplex, duplex), "rate_limited"), []string{"response headers"}},
			{responseBody("ab", true), []string{`response body piece "ab" end`}},
		}, ""},
		"buffered": {marks(), true, []step{
			{answered(first(responseHeaders(false), buffered, buffered), "jwt_denied"), []string{"response headers"}},
			{responseBody("ab", true), []string{`response body "ab"`}},
		}, ""},
		"one of the provider, to a request that no policy has seen": {marks(), true, []step{
			{answered(first(responseHeaders(false), duplex, duplex), "via_upstream"), nil},
		}, "FailedPrecondition"},
		"a request after it": {marks(), true, []step{
			{answered(first(responseHeaders(true), duplex, duplex), "rate_limited"), []string{"response headers"}},
			{requestHeaders(true), nil},
		}, "InvalidArgument"},
		"for inspectors, always": {marks(), false, []step{
			{first(responseHeaders(true), streamed, streamed), []string{"response headers"}},
		}, ""},
	})
}

func TestModulesAnswerInTheServersPlace(t *testing.T) {
	atHeaders := asm.Module{"proxy_on_request_headers": {Return: asm.Pause, Do: []asm.Step{refuse(403, "no")}}}
	atBody := asm.Module{"proxy_on_request_headers": {Return: asm.Pause}, "proxy_on_request_body": {Return: asm.Pause, Do: []asm.Step{refuse(400, "bad")}}}
	atAnswer := asm.Module{"proxy_on_response_headers": {Return: asm.Pause}, "proxy_on_response_body": {Return: asm.Pause, Do: []asm.Step{refuse(502, "unreadable")}}}
	late := asm.Module{"proxy_on_response_body": {Return: asm.Pause, Do: []asm.Step{refuse(502, "too late")}}}
	closes := asm.Module{"proxy_on_request_headers": {Return: asm.Pause, Do: []asm.Step{asm.Drop("proxy_close_stream", asm.Word(uint32(abi.Request)))}}}
	runExchanges(t, map[string]exchangeTest{
		"at the headers": {atHeaders, true, []step{
			{first(requestHeaders(false), duplex, duplex), []string{`immediate 403 x-why=policy content-type=text/plain "no"`}},
		}, ""},
		"at the body, buffered": {atBody, true, []step{
			{first(requestHeaders(false), buffered, none), []string{"request headers mode BUFFERED/SKIP/SKIP/NONE/SKIP"}},
			{requestBody("ab", true), []string{`immediate 400 x-why=policy content-type=text/plain "bad"`}},
		}, ""},
		"at the answer": {atAnswer, true, []step{
			{first(requestHeaders(true), duplex, duplex), []string{"request headers"}},
			{responseHeaders(false), nil},
			{responseBody("ab", true), []string{`immediate 502 x-why=policy content-type=text/plain "unreadable"`}},
		}, ""},
		"when the answer has begun it is broken off": {late, true, []step{
			{first(requestHeaders(true), duplex, duplex), []string{"request headers"}},
			{responseHeaders(false), []string{"response headers"}},
			{responseBody("ab", true), nil},
		}, "Aborted"},
		"to a gRPC client": {atHeaders, true, []step{
			{first(requestHeaders(false, "content-type", "application/grpc"), duplex, duplex), []string{`immediate 200 x-why=policy content-type=application/grpc grpc-status=7 grpc-message=no "" grpc 7`}},
		}, ""},
		"a module that closes the exchange": {closes, true, []step{
			{first(requestHeaders(false), duplex, duplex), nil},
		}, "Aborted: a module closed the exchange"},
	})
}

func TestPoliciesFailClosedAndInspectorsOpen(t *testing.T) {
	traps := asm.Module{"proxy_on_request_body": {Do: []asm.Step{asm.Trap()}}}
	trapsAtAnswer := asm.Module{"proxy_on_response_body": {Do: []asm.Step{asm.Trap()}}}
	runExchanges(t, map[string]exchangeTest{
		"a policy": {traps, true, []step{
			{first(requestHeaders(false), buffered, none), []string{"request headers mode BUFFERED/SKIP/SKIP/NONE/SKIP"}},
			{requestBody("ab", true), []string{`immediate 503 ""`}},
		}, ""},
		"an inspector": {traps, false, []step{
			{first(requestHeaders(false), duplex, duplex), []string{"request headers"}},
			{requestBody("ab", false), []string{`request body piece "ab"`}},
			{requestBody("cd", true), []string{`request body piece "cd" end`}},
			{responseHeaders(true), []string{"response headers"}},
		}, ""},
		"a policy, when the answer has begun": {trapsAtAnswer, true, []step{
			{first(requestHeaders(true), duplex, duplex), []string{"request headers"}},
			{responseHeaders(false), []string{"response headers"}},
			{responseBody("ab", false), nil},
		}, "Aborted"},
		"an inspector, in the answer": {trapsAtAnswer, false, []step{
			{first(requestHeaders(true), duplex, duplex), []string{"request headers"}},
			{responseHeaders(false), []string{"response headers"}},
			{responseBody("ab", true), []string{`response body piece "ab" end`}},
		}, ""},
	})
}

func TestObservedExchangesAreSeenAndNotAnswered(t *testing.T) {
	logs := asm.Module{
		"proxy_on_request_headers":  {Do: []asm.Step{asm.Log("saw the request")}},
		"proxy_on_request_body":     {Return: asm.Pause, Do: []asm.Step{asm.Log("saw a piece")}},
		"proxy_on_response_headers": {Do: []asm.Step{asm.Log("saw the answer")}},
		"proxy_on_log":              {Do: []asm.Step{asm.Log("saw the end")}},
	}
	s := serve(t, extproc.Options{}, extproc.ServiceOptions{}, filters([]asm.Module{logs}, false))
	opening := first(requestHeaders(false), streamed, streamed)
	opening.ObservabilityMode = true
	got := play(t, s.open(t, ""), []step{
		{opening, nil}, {requestBody("ab", false), nil}, {requestBody("cd", true), nil},
		{responseHeaders(false), nil}, {responseBody("ef", true), nil},
	})
	if got != "" {
		t.Errorf("the stream ended with %s", got)
	}
	for _, want := range []string{"saw the request", "saw a piece", "saw the answer", "saw the end"} {
		if !strings.Contains(s.Log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, s.Log)
		}
	}
}

func TestDynamicMetadataGoesBothWays(t *testing.T) {
	reads := asm.Module{
		"proxy_on_request_headers": {Do: []asm.Step{
			asm.Call("proxy_get_property", asm.Text("metadata\x00filter_metadata\x00jwt\x00claims\x00sub"), asm.OutBytes()),
			asm.Call("proxy_get_property", asm.Text("source\x00address"), asm.OutBytes()),
			asm.Call("proxy_get_property", asm.Text("metadata\x00filter_metadata\x00jwt\x00nobody"), asm.OutBytes()),
			asm.Drop("proxy_set_property", asm.Text("tenant"), asm.Text("demo")),
			asm.Drop("proxy_set_property", asm.Text("bytes"), asm.Text("\xff\x00")),
		}},
		"proxy_on_response_headers": {Do: []asm.Step{asm.Drop("proxy_set_property", asm.Text("cost"), asm.Text("12"))}},
	}
	s := serve(t, extproc.Options{}, extproc.ServiceOptions{}, filters([]asm.Module{reads}, true))
	opening := first(requestHeaders(true), none, none)
	opening.MetadataContext = metadataOf(t, "jwt", map[string]any{"claims": map[string]any{"sub": "alice"}})
	opening.Attributes = attributes(t, map[string]any{"source.address": "10.0.0.9:1234"})
	if got := play(t, s.open(t, ""), []step{
		{opening, []string{"request headers metadata leash.tenant=demo"}},
		{responseHeaders(true), []string{"response headers metadata leash.cost=12"}},
	}); got != "" {
		t.Errorf("the stream ended with %s", got)
	}
	for _, want := range []string{"> alice", "> 10.0.0.9:1234", "proxy_get_property = 00000001"} {
		if !strings.Contains(s.Log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, s.Log)
		}
	}
}

func TestMessagesOutOfOrderEndTheStream(t *testing.T) {
	runExchanges(t, map[string]exchangeTest{
		"a body first":          {marks(), false, []step{{requestBody("x", true), nil}}, "InvalidArgument: Envoy has sent the body of a request"},
		"trailers first":        {marks(), false, []step{{responseTrailers(), nil}}, "InvalidArgument: Envoy has sent the trailers of a response"},
		"headers twice":         {marks(), false, []step{{first(requestHeaders(false), duplex, duplex), []string{"request headers x-way=there reroute"}}, {requestHeaders(false), nil}}, "InvalidArgument"},
		"a body after the end":  {marks(), false, []step{{first(requestHeaders(true), duplex, duplex), []string{"request headers x-way=there reroute"}}, {requestBody("x", true), nil}}, "InvalidArgument"},
		"an answer's body only": {marks(), false, []step{{first(requestHeaders(true), duplex, duplex), []string{"request headers x-way=there reroute"}}, {responseBody("x", true), nil}}, "InvalidArgument"},
	})
}

// TestBodyTakesNoHeldRequestPastAForeignModule has a module that is not made with the kit (host/abi/testdata/wat): it holds headers until its tick, and
// lets bodies pass.
func TestBodyTakesNoHeldRequestPastAForeignModule(t *testing.T) {
	wasm, err := os.ReadFile("../abi/testdata/wat.wasm")
	if err != nil {
		t.Fatal(err)
	}
	spec := extproc.Spec{Name: extproc.DefaultPipeline, Filters: []extproc.Filter{{Name: "asks", Wasm: wasm, Policy: true}}}
	refused := []string{`immediate 403 content-type=text/plain "refused"`}
	for name, steps := range map[string][]step{
		"in full duplex": {{first(requestHeaders(false), duplex, duplex), nil}, {requestBody("ab", true), refused}},
		"buffered":       {{first(requestHeaders(false), buffered, none), []string{"request headers mode BUFFERED/SKIP/SKIP/NONE/SKIP"}}, {requestBody("ab", true), refused}},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, extproc.Options{Workers: 1}, extproc.ServiceOptions{}, spec)
			if got := play(t, s.open(t, ""), steps); got != "" {
				t.Errorf("the stream ended with %q", got)
			}
		})
	}
}
