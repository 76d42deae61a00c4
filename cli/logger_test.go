package cli

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"
)

// TestWhatAServerSaysUnaskedIsNotLogged holds the cut of a line against the net/http that writes it.
func TestWhatAServerSaysUnaskedIsNotLogged(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = http.ReadRequest(bufio.NewReader(c))
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\nof somebody else")
	}()
	written := make(told, 16)
	defer slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	logger(cli.NewContext(newApp("", io.Discard, written), nil, nil), slog.LevelInfo)
	client := &http.Client{Transport: &http.Transport{}}
	answer, err := client.Get("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	select {
	case line := <-written:
		if !strings.HasPrefix(line, "time=") || !strings.HasSuffix(line, " level=INFO msg=\"Unsolicited response received on idle HTTP channel\"\n") {
			t.Errorf("got %s", line)
		}
	case <-time.After(3 * time.Minute):
		t.Error("nothing was logged")
	}
}
