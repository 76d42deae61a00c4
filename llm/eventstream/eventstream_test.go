package eventstream_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"testing"
	"time"

	"github.com/leash-gateway/leash/llm/eventstream"
)

func sample() []byte {
	b := eventstream.Append(nil, eventstream.Message{Type: "event", Event: "messageStart", Payload: []byte(`{"role":"assistant"}`)})
	b = eventstream.Append(b, eventstream.Message{Type: "event", Event: "contentBlockDelta", Payload: []byte(`{"contentBlockIndex":0,"delta":{"text":"Hi"}}`)})
	b = eventstream.Append(b, eventstream.Message{Type: "event", Event: "empty"})
	return eventstream.Append(b, eventstream.Message{Type: "exception", Exception: "throttlingException", Payload: []byte(`{"message":"slow down"}`)})
}

// text is a stream as a person reads it.
func text(chunks ...[]byte) (string, error) {
	var out string
	var d eventstream.Decoder
	for _, chunk := range chunks {
		if err := d.Feed(chunk, func(m eventstream.Message) error {
			out += fmt.Sprintf("%s %s%s%s %s\n", m.Type, m.Event, m.Exception, m.Reason, m.Payload)
			return nil
		}); err != nil {
			return out, err
		}
	}
	return out, d.End()
}

const want = `event messageStart {"role":"assistant"}
event contentBlockDelta {"contentBlockIndex":0,"delta":{"text":"Hi"}}
event empty 
exception throttlingException {"message":"slow down"}
`

func TestAnyCutOfAStreamGivesTheSameMessages(t *testing.T) {
	stream := sample()
	for i := range len(stream) + 1 {
		if got, err := text(stream[:i], stream[i:]); err != nil || got != want {
			t.Fatalf("cut at %d: got %v\n%s", i, err, got)
		}
	}
	var bytewise [][]byte
	for i := range stream {
		bytewise = append(bytewise, stream[i:i+1])
	}
	if got, err := text(bytewise...); err != nil || got != want {
		t.Errorf("got %v\n%s", err, got)
	}
}

// The messages are those of Amazon's own tests: https://github.com/awslabs/aws-c-event-stream, tests/message_deserializer_test.c.
func TestAmazonsOwnMessagesAreRead(t *testing.T) {
	for name, c := range map[string]struct {
		message, payload string
		err              error
	}{
		"nothing":      {"000000100000000005c248eb7d98c8ff", "", nil},
		"no headers":   {"0000001d00000000fd528c5a7b27666f6f273a27626172277dc3653936", "{'foo':'bar'}", nil},
		"one header":   {"0000003d0000002007fd83960c636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e7b27666f6f273a27626172277d8d9c08b1", "{'foo':'bar'}", nil},
		"changed byte": {"0000001d00000000fd528c5a5b27666f6f273a27626172277dc3653936", "", eventstream.ErrChecksum},
	} {
		t.Run(name, func(t *testing.T) {
			message, err := hex.DecodeString(c.message)
			if err != nil {
				t.Fatal(err)
			}
			var d eventstream.Decoder
			got := "none"
			err = d.Feed(message, func(m eventstream.Message) error { got = string(m.Payload); return nil })
			if !errors.Is(err, c.err) || err == nil && got != c.payload {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// header is a message whose headers are as they are given.
func header(headers string) []byte {
	b := append([]byte{0, 0, 0, byte(16 + len(headers)), 0, 0, 0, byte(len(headers))}, 0, 0, 0, 0)
	binary.BigEndian.PutUint32(b[8:], crc32.ChecksumIEEE(b[:8]))
	b = append(b, headers...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

func TestHeadersOfAllTypesArePassedOver(t *testing.T) {
	all := "\x01a\x00" + "\x01b\x01" + "\x01c\x021" + "\x01d\x0312" + "\x01e\x041234" + "\x01f\x0512345678" + "\x01g\x06\x00\x02ab" + "\x01h\x0812345678" + "\x01i\x09" + "1234567812345678"
	got, err := text(header(all + "\x0d:message-type\x07\x00\x05event"))
	if err != nil || got != "event  \n" {
		t.Errorf("got %q, %v", got, err)
	}
	for name, headers := range map[string]string{
		"no name":               "\x00\x00",
		"a type that is none":   "\x01a\x0a",
		"a name beyond the end": "\x05a\x00",
		"no type":               "\x01a",
		"half a length":         "\x01a\x07\x00",
		"a value beyond":        "\x01a\x07\x00\x05a",
		"a number beyond":       "\x01a\x04123",
	} {
		if got, err := text(header(headers)); !errors.Is(err, eventstream.ErrFormat) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

func TestWhatIsNoStreamIsAnError(t *testing.T) {
	stream := sample()
	flipped := func(at int) []byte {
		b := bytes.Clone(stream)
		b[at] ^= 1
		return b
	}
	for name, c := range map[string]struct {
		stream []byte
		want   error
	}{
		"a length that was changed":  {flipped(3), eventstream.ErrChecksum},
		"a header that was changed":  {flipped(20), eventstream.ErrChecksum},
		"a payload that was changed": {flipped(80), eventstream.ErrChecksum},
		"cut inside a message":       {stream[:len(stream)-1], eventstream.ErrCut},
		"server-sent events":         {[]byte("data: {}\n\ndata: {}\n\n"), eventstream.ErrChecksum},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := text(c.stream); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestAMessageThatComesByteByByteTakesLinearTime(t *testing.T) {
	big := eventstream.Append(nil, eventstream.Message{Type: "event", Payload: make([]byte, 1<<20-100)})
	var d eventstream.Decoder
	start, messages := time.Now(), 0
	for i := range big {
		if err := d.Feed(big[i:i+1], func(eventstream.Message) error { messages++; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(start); messages != 1 || took > 8*time.Second {
		t.Errorf("%d messages took %v", messages, took)
	}
}

func TestAMessageBeyondTheBoundIsAnErrorBeforeItHasCome(t *testing.T) {
	big := eventstream.Append(nil, eventstream.Message{Type: "event", Payload: make([]byte, 1000)})
	d := eventstream.Decoder{MaxMessage: 1000}
	if err := d.Feed(big[:12], nil); !errors.Is(err, eventstream.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	if err := d.Feed(big[12:], nil); !errors.Is(err, eventstream.ErrTooLarge) {
		t.Errorf("the second time got %v", err)
	}
}

// FuzzDecoder looks for streams that panic, or that give other messages when they are cut elsewhere.
func FuzzDecoder(f *testing.F) {
	f.Add(sample(), uint16(20))
	f.Add(header("\x01a\x07\x00\x05a"), uint16(3))
	f.Fuzz(func(t *testing.T, stream []byte, at uint16) {
		cut := min(int(at), len(stream))
		whole, err := text(stream)
		halves, err2 := text(stream[:cut], stream[cut:])
		if whole != halves || !errors.Is(err2, err) {
			t.Errorf("got %q, %v and cut at %d %q, %v", whole, err, cut, halves, err2)
		}
	})
}

func BenchmarkDecoder(b *testing.B) {
	message := eventstream.Append(nil, eventstream.Message{Type: "event", Event: "contentBlockDelta", Payload: []byte(`{"contentBlockIndex":0,"delta":{"text":"Hi"}}`)})
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	var d eventstream.Decoder
	for b.Loop() {
		if err := d.Feed(message, func(eventstream.Message) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

// A stream of Bedrock's, whose messages come in whatever pieces the network made of it.
func ExampleDecoder() {
	stream := eventstream.Append(nil, eventstream.Message{Type: "event", Event: "contentBlockDelta", Payload: []byte(`{"delta":{"text":"Hi"}}`)})
	var d eventstream.Decoder
	for _, chunk := range [][]byte{stream[:7], stream[7:]} {
		err := d.Feed(chunk, func(m eventstream.Message) error {
			fmt.Println(m.Event, string(m.Payload))
			return nil
		})
		if err != nil {
			fmt.Println(err)
		}
	}
	// Output: contentBlockDelta {"delta":{"text":"Hi"}}
}
