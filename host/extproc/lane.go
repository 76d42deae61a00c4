package extproc

import (
	"strconv"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	modes "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	pb "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/host/abi/chain"
)

// lane is one direction of an exchange: it takes what comes out of the chain and makes of it the answers that Envoy
// waits for, which depends on how Envoy sends the body.
//
//	FULL_DUPLEX_STREAMED  what comes out is sent as it comes: nothing is owed for any single message
//	BUFFERED              an answer for the headers, at once, and one for the body, which then also changes the headers
//	STREAMED              an answer for the headers and for each piece of the body, in this order
//	NONE                  an answer for the headers
type lane struct {
	x         *exchange
	direction abi.StreamType
	mode      bodyMode

	sent         *core.HeaderMap // the headers as Envoy has them
	headers      *abi.Headers    // as the chain works on them
	bodiless     bool            // they are all there is
	passed       bool            // the chain has let them go
	answered     bool            // Envoy has its answer for them
	sentTrailers *core.HeaderMap // the trailers as Envoy has them, nil: none have come
	owed         int             // pieces of the body that wait for an answer
	ended        bool            // Envoy has sent the last piece
	done         bool            // the chain has let the last piece go
	held         []byte          // what the chain has let go and Envoy has not got
}

var _ chain.Sink = (*lane)(nil)

// bodyMode is how Envoy sends bodies.
type bodyMode = modes.ProcessingMode_BodySendMode

func (l *lane) duplex() bool   { return l.mode == modes.ProcessingMode_FULL_DUPLEX_STREAMED }
func (l *lane) buffered() bool { return l.mode == modes.ProcessingMode_BUFFERED }

// open takes the headers that Envoy sends.
func (l *lane) open(m *pb.HttpHeaders) (h *abi.Headers, end bool) {
	l.sent, l.bodiless = m.GetHeaders(), m.GetEndOfStream()
	l.headers = fromEnvoy(m.GetHeaders())
	return l.headers, l.bodiless
}

// body takes a piece of the body. Buffered, the first is the last, even if there are trailers: Envoy sends those only
// after the body has been answered, so the modules cannot wait for them.
func (l *lane) body(m *pb.HttpBody) (data []byte, end bool) {
	l.owed++
	l.ended = m.GetEndOfStream() || l.buffered()
	return m.GetBody(), l.ended
}

// trail takes trailers. It tells whether the modules are to see them.
func (l *lane) trail(m *pb.HttpTrailers) (h *abi.Headers, visible bool) {
	l.sentTrailers = m.GetTrailers()
	if l.buffered() && l.ended {
		l.x.emit(trailersAnswer(l.direction, nil))
		return nil, false
	}
	return fromEnvoy(m.GetTrailers()), true
}

// Headers are let go by the chain. Others than the server's are those of an answer that a module gives itself.
func (l *lane) Headers(h *abi.Headers, end bool) {
	if l.direction == abi.Response && h != l.headers {
		l.x.answerLocally(h, nil, end)
		return
	}
	l.passed = true
	if !l.answered {
		l.answerHeaders(mutationOf(l.sent, h))
	}
	l.later()
}

// Data is let go by the chain.
func (l *lane) Data(data []byte, end bool) {
	switch {
	case l.direction == abi.Response && l.x.local != nil:
		l.x.answerLocally(l.x.local, data, end)
	case l.duplex():
		l.x.emit(streamedAnswer(l.direction, data, end))
	default:
		l.held, l.done = append(l.held, data...), end
		l.later()
	}
}

// Trailers are let go by the chain. Those that a module adds where the exchange has none cannot be said in the protocol.
func (l *lane) Trailers(h *abi.Headers) {
	switch {
	case l.direction == abi.Response && l.x.local != nil:
		l.x.answerLocally(l.x.local, nil, true)
	case l.sentTrailers == nil:
		l.Data(nil, true)
	case len(l.held) > 0:
		l.x.fail(status.Error(codes.FailedPrecondition,
			"a module has held the end of a body up to its trailers: that needs the body mode FULL_DUPLEX_STREAMED"))
	default:
		l.x.emit(trailersAnswer(l.direction, mutationOf(l.sentTrailers, h)))
	}
}

// later settles what a module lets go after it has waited for something else than a message of Envoy.
func (l *lane) later() {
	if !l.x.handling {
		l.settle()
	}
}

// settle gives the answers that are owed, as far as that can be done now.
func (l *lane) settle() {
	if l.duplex() || l.x.isOver() {
		return
	}
	if l.buffered() && l.headers != nil && !l.answered && !l.bodiless {
		l.answerHeaders(nil) // what the modules will have made of them goes with the body
	}
	if !l.answered || l.owed == 0 || l.ended && !l.done {
		return
	}
	// Of several pieces that wait, the first answer has all there is.
	for ; l.owed > 0; l.owed-- {
		l.x.emit(bodyAnswer(l.direction, l.bodyMutation(), l.held))
		l.held = nil
	}
}

func (l *lane) answerHeaders(m *pb.HeaderMutation) {
	l.answered = true
	answer := headersAnswer(l.direction, m)
	if l.direction == abi.Request {
		answer.ModeOverride = l.x.override()
	}
	l.x.emit(answer)
}

// bodyMutation is what the body's answer changes in the headers, which Envoy allows where it has buffered both. It
// refuses a content-length that is wrong.
func (l *lane) bodyMutation() *pb.HeaderMutation {
	if !l.buffered() || l.headers == nil {
		return nil
	}
	if _, told := l.headers.Get("content-length"); told {
		l.headers.Set("content-length", strconv.Itoa(len(l.held)))
	}
	return mutationOf(l.sent, l.headers)
}
