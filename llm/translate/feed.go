package translate

import (
	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/llm/eventstream"
)

// Feed appends to dst what the next bytes of the provider's stream become, however they are cut and framed: as server-sent events, or
// by Amazon Bedrock. An error has been told to the client, and what comes after it becomes nothing; then End, once the provider's stream has.
func (s *Stream) Feed(dst, chunk []byte) ([]byte, error) {
	if s.ended {
		return dst, nil
	}
	s.out = dst
	var err error
	if s.x.to == Converse {
		err = s.messages.Feed(chunk, s.message)
	} else {
		err = s.frames.Feed(chunk, s.frame)
	}
	return s.told502(err)
}

// told502 tells the client of a stream that cannot be read.
func (s *Stream) told502(err error) ([]byte, error) {
	dst := s.out
	if s.out = nil; err != nil {
		dst = s.Fail(dst, 502, "unreadable_answer", "the provider's stream cannot be read: "+err.Error())
	}
	return dst, err
}

// flush takes what is left at the end of the provider's stream for an event, as clients do.
func (s *Stream) flush(dst []byte) []byte {
	if s.x.to == Converse {
		return dst // what is left is no message: a stream that was cut
	}
	s.out = dst
	dst, _ = s.told502(s.frames.Flush(s.frame))
	return dst
}

func (s *Stream) frame(f llm.Frame) (err error) {
	switch {
	case f.Data != nil:
		s.out, err = s.Event(s.out, f.Data)
	case f.Comment():
		s.out = s.KeepAlive(s.out)
	}
	return err
}

// message translates a message of Bedrock's: an event, or an exception by name.
func (s *Stream) message(m eventstream.Message) (err error) {
	switch {
	case s.ended:
	case m.Type == "event":
		s.out, err = s.Event(s.out, m.Payload)
	default:
		code, message := readError(m.Payload)
		if message == "" {
			message = m.Reason
		}
		if message == "" {
			message = "the provider reported an error and no message"
		}
		if m.Exception != "" {
			code = m.Exception
		}
		s.out = s.Fail(s.out, converseStatus(m.Exception), code, message)
	}
	return err
}

// converseStatus is the HTTP status of an exception in a stream.
func converseStatus(exception string) int {
	switch exception {
	case "validationException":
		return 400
	case "throttlingException":
		return 429
	case "serviceUnavailableException":
		return 503
	default:
		return 502
	}
}
