package cli

import (
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/leash-gateway/leash/internal/nettest"
)

// TestWhatAServerSaysUnaskedIsNotLogged holds the cut of a line against the net/http that writes it.
func TestWhatAServerSaysUnaskedIsNotLogged(t *testing.T) {
	url := nettest.ServeRaw(t, func(w io.Writer, _ *http.Request) {
		_, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\nof somebody else")
	})
	written := make(told, 16)
	defer slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	logger(cli.NewContext(newApp("", io.Discard, written), nil, nil), slog.LevelInfo)
	client := &http.Client{Transport: &http.Transport{}}
	answer, err := client.Get(url)
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
