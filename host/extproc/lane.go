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

// lane is one direction of an exchange: it takes what Envoy sends into the chain, and makes of what comes out of it the
// answers that Envoy waits for, which depends on how Envoy sends the body.
//
//	FULL_DUPLEX_STREAMED  what comes out is sent as it comes: nothing is owed for any single message
//	BUFFERED              an answer for the headers, at once, and one for the body, which then also changes the headers
//	STREAMED              an answer for the headers and for each piece of the body, in this order. Where Envoy keeps the
//	                      body until the headers are answered, a policy that waits for the body waits in vain (stalled)
//	NONE                  an answer for the headers
type lane struct {
	x         *exchange
	direction abi.StreamType
	mode      modes.ProcessingMode_BodySendMode

	phase phase
	// What Envoy has sent.
	sent         *core.HeaderMap // the headers, as Envoy has them
	headers      *abi.Headers    // the same, as the chain works on them
	bodiless     bool            // they are all there is
	sentTrailers *core.HeaderMap
	// What the chain has let go, and Envoy has not got.
	held     []byte
	trailers *abi.Headers
	done     bool // nothing more comes

	answered bool // Envoy has its answer for the headers
	owed     int  // pieces of the body that wait for an answer
}

// phase is how far what Envoy sends has come.
type phase uint8

const (
	beforeHeaders phase = iota
	inBody
	afterBody  // buffered: trailers may come
	afterwards // all has been sent
)

var _ chain.Sink = (*lane)(nil)

func (l *lane) duplex() bool   { return l.mode == modes.ProcessingMode_FULL_DUPLEX_STREAMED }
func (l *lane) buffered() bool { return l.mode == modes.ProcessingMode_BUFFERED }

func (l *lane) outOfOrder(what string) error {
	return status.Errorf(codes.InvalidArgument, "Envoy has sent the %s of a %s out of their order", what, l.direction)
}

// takeHeaders takes the headers that Envoy sends.
func (l *lane) takeHeaders(m *pb.HttpHeaders) error {
	if l.phase != beforeHeaders || l.x.chain == nil && l.direction == abi.Request {
		return l.outOfOrder("headers")
	}
	l.sent, l.bodiless = m.GetHeaders(), m.GetEndOfStream()
	l.headers = fromEnvoy(m.GetHeaders())
	l.phase = inBody
	if l.bodiless {
		l.phase = afterwards
	}
	switch {
	case l.x.chain == nil:
		l.Headers(l.headers, l.bodiless)
	case l.direction == abi.Request:
		l.x.chain.OnRequestHeaders(l.headers, l.bodiless)
	default:
		l.x.chain.OnResponseHeaders(l.headers, l.bodiless)
	}
	return nil
}

// takeBody takes a piece of the body. Buffered, the first is the last, even if there are trailers: Envoy sends those only
// after the body has been answered, so the modules cannot wait for them.
func (l *lane) takeBody(m *pb.HttpBody) error {
	if l.phase != inBody {
		return l.outOfOrder("body")
	}
	l.owed++
	end := m.GetEndOfStream() || l.buffered()
	switch {
	case m.GetEndOfStream():
		l.phase = afterwards
	case end:
		l.phase = afterBody
	}
	body := m.GetBody()
	switch {
	case l.x.chain == nil:
		l.Data(body, end)
	case l.direction == abi.Request:
		l.x.chain.OnRequestData(body, end)
	default:
		for ; len(body) > pieceBytes && !l.buffered(); body = body[pieceBytes:] {
			l.x.chain.OnResponseData(body[:pieceBytes:pieceBytes], false) // with no room behind it, where the next piece is
		}
		l.x.chain.OnResponseData(body, end)
	}
	return nil
}

// pieceBytes is the longest piece that modules are shown of an answer that goes on as it comes, as in the embedded gateway. Envoy sends a megabyte
// at once where a client is slower than the provider; modules would make their copies of it before anything is freed, and their memory never
// shrinks.
const pieceBytes = 32 << 10

// takeTrailers takes the trailers that Envoy sends.
func (l *lane) takeTrailers(m *pb.HttpTrailers) error {
	before := l.phase
	if before != inBody && before != afterBody {
		return l.outOfOrder("trailers")
	}
	l.phase, l.sentTrailers = afterwards, m.GetTrailers()
	trailers := fromEnvoy(m.GetTrailers())
	switch {
	case before == afterBody || l.x.chain == nil:
		l.Trailers(trailers)
	case l.direction == abi.Request:
		l.x.chain.OnRequestTrailers(trailers)
	default:
		l.x.chain.OnResponseTrailers(trailers)
	}
	return nil
}

// Headers are let go by the chain. Others than the server's are those of an answer that a module gives itself.
func (l *lane) Headers(h *abi.Headers, end bool) {
	if l.direction == abi.Response && h != l.headers {
		l.x.answerLocally(h, nil, end)
		return
	}
	l.done = end
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
	case l.x.observing:
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
	case l.duplex():
		l.x.emit(trailersAnswer(l.direction, mutationOf(l.sentTrailers, h)))
	default:
		l.trailers, l.done = h, true
		l.later()
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
	if l.duplex() || l.x.observing || l.phase == beforeHeaders || l.x.isOver() {
		return
	}
	if !l.answered && !l.bodiless {
		l.answerInAdvance()
	}
	if !l.answered || l.phase >= afterBody && !l.done {
		return
	}
	// Of several pieces that wait, the first answer has all there is.
	for ; l.owed > 0; l.owed-- {
		l.x.emit(bodyAnswer(l.direction, l.bodyMutation(), l.held))
		l.held = nil
	}
	switch {
	case l.trailers == nil:
	case len(l.held) > 0:
		l.x.fail(status.Error(codes.FailedPrecondition,
			"a module has held the end of a body until its trailers: that needs the body mode FULL_DUPLEX_STREAMED"))
	default:
		l.x.emit(trailersAnswer(l.direction, mutationOf(l.sentTrailers, l.trailers)))
		l.trailers = nil
	}
}

// answerInAdvance answers the headers before the chain lets them go, where Envoy sends no body before: buffered, what
// the modules will have made of them goes with the body; inspectors are not waited for.
func (l *lane) answerInAdvance() {
	switch {
	case l.buffered():
		l.answerHeaders(nil)
	case !l.x.pipeline.policy && !l.x.early:
		l.answerHeaders(mutationOf(l.sent, l.headers))
	}
}

// stalled tells whether Envoy and a module have waited for each other: the one for an answer to the headers, the other
// for the body.
func (l *lane) stalled() bool {
	return l.mode == modes.ProcessingMode_STREAMED && l.phase == inBody && !l.answered && l.owed == 0 && !l.x.early
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
	if !l.buffered() {
		return nil
	}
	if _, told := l.headers.Get("content-length"); told {
		l.headers.Set("content-length", strconv.Itoa(len(l.held)))
	}
	return mutationOf(l.sent, l.headers)
}
