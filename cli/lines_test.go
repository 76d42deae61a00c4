package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/internal/nettest"
)

func TestWhoWritesLinesDoesNotWaitForWhoReadsThem(t *testing.T) {
	log := &nettest.Log{}
	read, write := io.Pipe()
	l := &lines{w: write, log: slog.New(slog.NewTextHandler(log, nil))}
	line := []byte(strings.Repeat("x", 1<<20-1) + "\n")
	const written = 40
	for range written {
		if n, err := l.Write(line); n != len(line) || err != nil {
			t.Fatalf("wrote %d, %v", n, err)
		}
	}
	got := make(chan int)
	go func() {
		all, _ := io.ReadAll(read)
		got <- bytes.Count(all, newline)
	}()
	l.flush(t.Context())
	_ = write.Close()
	// What was with the reader when the room ran out comes on top of what waited.
	if n := <-got; n < maxWaiting>>20 || n > 2*maxWaiting>>20 {
		t.Errorf("%d lines of 1 MiB were kept for the reader, want between %d and twice as many", n, maxWaiting>>20)
	}
	if !strings.Contains(log.String(), "lines of exchanges were lost") {
		t.Errorf("nobody was told of the others: %s", log)
	}
}

func TestLinesThatCannotBeWrittenAreToldOnceAndTearNoOthers(t *testing.T) {
	log, disk := &nettest.Log{}, &disk{}
	l := &lines{w: disk, log: slog.New(slog.NewTextHandler(log, nil))}
	put := func(line string, room int) {
		disk.room = room
		_, _ = l.Write([]byte(line))
		l.flush(t.Context())
	}
	put("first\n", 100)
	put("second\n", 3)
	put("third\n", 0)
	put("fourth\n", 100)
	put("fifth\n", 100)
	if want := "first\nsec\nfourth\nfifth\n"; disk.String() != want {
		t.Errorf("got %q, want %q", disk.String(), want)
	}
	if told := log.String(); strings.Count(told, "cannot be written") != 1 || strings.Count(told, "lines=2") != 1 {
		t.Errorf("told %s", told)
	}
}

// disk has so much room left.
type disk struct {
	bytes.Buffer
	room int
}

func (d *disk) Write(b []byte) (int, error) {
	n := min(len(b), d.room)
	d.room -= n
	_, _ = d.Buffer.Write(b[:n])
	if n < len(b) {
		return n, errors.New("no space left on device")
	}
	return n, nil
}

func TestNobodyWaitsForEverForLinesThatNobodyReads(t *testing.T) {
	read, write := io.Pipe()
	l := &lines{w: write, log: slog.New(slog.DiscardHandler)}
	_, _ = l.Write([]byte("line\n"))
	limited, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	l.flush(limited)
	_ = read.Close()
	l.flush(t.Context())
}
