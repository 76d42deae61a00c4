package extproc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	modes "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	pb "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/metadata"

	"github.com/leash-gateway/leash/host/extproc"
	"github.com/leash-gateway/leash/host/internal/asm"
	"github.com/leash-gateway/leash/internal/nettest"
)

// fuzzed are the pipelines of FuzzMessageOrders: one that lets pass, ones that hold, one that answers itself.
func fuzzed() []extproc.Spec {
	kinds := map[string]asm.Module{
		"passes": marks(), "holds": whole(), "refuses": {"proxy_on_request_body": {Return: asm.Pause, Do: []asm.Step{refuse(400, "no")}}},
		"late":  {"proxy_on_response_body": {Return: asm.Pause, Do: []asm.Step{refuse(502, "late")}}},
		"never": {"proxy_on_request_headers": {Return: asm.Pause}, "proxy_on_request_body": {Return: asm.Pause}, "proxy_on_response_headers": {Return: asm.Pause}},
	}
	var specs []extproc.Spec
	for name, m := range kinds {
		for _, policy := range []bool{false, true} {
			spec := filters([]asm.Module{m, marks()}, policy)
			spec.Name, spec.MaxBuffer = fmt.Sprintf("%s-%t", name, policy), 64
			specs = append(specs, spec)
		}
	}
	return specs
}

// FuzzMessageOrders sends what no Envoy should: parts twice, too late, in modes that do not fit. The stream must end, what
// comes back must be in order, and neither host nor VMs may be harmed.
func FuzzMessageOrders(f *testing.F) {
	specs := fuzzed()
	s := serve(f, extproc.Options{Workers: 1}, extproc.ServiceOptions{}, specs...)
	for which := range specs {
		for _, mode := range []byte{1, 2, 4} {
			// Whole exchanges in each mode: headers, two pieces of the body, (the last), trailers.
			f.Add(byte(which), mode, mode, byte(0), []byte{0, 1, 2, 5, 6, 7})
			f.Add(byte(which), mode, mode, byte(1), []byte{0, 1, 3, 5, 8})
			f.Add(byte(which), mode, mode, byte(2), []byte{5, 6, 7})
			f.Add(byte(which), mode, byte(0), byte(0), []byte{0, 5, 1, 0, 2, 2, 9})
		}
	}
	f.Fuzz(func(t *testing.T, which, request, response, flags byte, order []byte) {
		if len(order) > 32 {
			return
		}
		name := specs[int(which)%len(specs)].Name
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		stream, err := pb.NewExternalProcessorClient(s.Client).Process(metadata.AppendToOutgoingContext(ctx, extproc.PipelineHeader, name))
		if err != nil {
			t.Fatal(err)
		}
		answers := make(chan string)
		go func() {
			defer close(answers)
			for {
				m, err := stream.Recv()
				if err != nil {
					if errors.Is(ctx.Err(), context.DeadlineExceeded) {
						answers <- "hangs"
					}
					return
				}
				answers <- describe(m)
			}
		}()
		go func() {
			for i, what := range order {
				m := scripted(what)
				if i == 0 {
					first(m, modes.ProcessingMode_BodySendMode(request%7), modes.ProcessingMode_BodySendMode(response%7)) // 6 is none that there is
					m.ProtocolConfig.SendBodyWithoutWaitingForHeaderResponse = flags&1 != 0
					m.ObservabilityMode = flags&2 != 0
				}
				if stream.Send(m) != nil {
					break
				}
			}
			_ = stream.CloseSend()
		}()
		checkAnswers(t, answers, flags&2 != 0)
	})
	nettest.Eventually(f, "all exchanges to end", func() bool {
		for _, status := range s.Host.List() {
			if status.Exchanges != 0 {
				return false
			}
			if status.Failures != 0 {
				f.Fatalf("VMs of %s have died", status.Name)
			}
		}
		return true
	})
}

// scripted is one of the messages that there are.
func scripted(what byte) *pb.ProcessingRequest {
	switch what % 11 {
	case 0:
		return requestHeaders(false, "content-length", "8")
	case 1:
		return requestBody("some", false)
	case 2:
		return requestBody("last", true)
	case 3:
		return requestTrailers("a", "b")
	case 4:
		return requestHeaders(true)
	case 5:
		return responseHeaders(false)
	case 6:
		return responseBody("some", false)
	case 7:
		return responseBody("last", true)
	case 8:
		return responseTrailers("a", "b")
	case 9:
		return responseHeaders(true, "content-type", "application/grpc")
	}
	return &pb.ProcessingRequest{}
}

// checkAnswers reads answers to their end and looks at their order: headers, body, trailers, each at most once but the
// body, and nothing after an immediate answer.
func checkAnswers(t *testing.T, answers <-chan string, observed bool) {
	t.Helper()
	order := []string{"headers", "body", "trailers"}
	came := map[string]int{"request": -1, "response": -1} // the place of the last in order
	over := false
	for answer := range answers {
		words := strings.SplitN(answer, " ", 3)
		switch {
		case answer == "hangs":
			t.Fatal("the stream does not end")
		case over:
			t.Fatalf("after an immediate answer: %s", answer)
		case observed:
			t.Fatalf("to an Envoy that observes: %s", answer)
		case words[0] == "immediate":
			over = true
			continue
		}
		at := -1
		for i, part := range order {
			if words[1] == part {
				at = i
			}
		}
		if last := came[words[0]]; at < last || at == last && words[1] != "body" || last < 0 && at != 0 {
			t.Fatalf("out of order after %d: %s", last, answer)
		}
		came[words[0]] = at
	}
}
