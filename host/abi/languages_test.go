package abi_test

import (
	"context"
	"os"
	"testing"

	"github.com/leash-gateway/leash/host/abi"
)

// TestModulesOfOtherLanguages: the sources and how they are built are in testdata.
func TestModulesOfOtherLanguages(t *testing.T) {
	e := newEngine(t, abi.Options{})
	for _, language := range []string{"rust", "assemblyscript"} {
		t.Run(language, func(t *testing.T) {
			wasm, err := os.ReadFile("testdata/" + language + ".wasm")
			if err != nil {
				t.Fatal(err)
			}
			program, err := e.Compile(context.Background(), wasm)
			if err != nil {
				t.Fatal(err)
			}
			var lines logs
			var w abi.Worker
			p := newPlugin(t, program, &w, abi.VMConfig{Host: abi.Host{Logger: &lines}}, abi.PluginConfig{RootID: "root", Configuration: []byte("world")})
			w.Do(func() { greets(t, p); refuses(t, p, language) })
			if t.Failed() {
				t.Log(lines.String())
			}
		})
	}
}

func greets(t *testing.T, p *abi.Plugin) {
	t.Helper()
	s, err := p.NewStream(&exchange{})
	if err != nil {
		t.Fatal(err)
	}
	h := abi.NewHeaders(":path", "/", ":method", "GET")
	if action, err := s.OnRequestHeaders(h, true); action != abi.Continue || err != nil {
		t.Errorf("got %v, %v", action, err)
	}
	if got := h.Value("x-greeting"); got != "world" {
		t.Errorf("x-greeting is %q, want the configuration", got)
	}
	answer, body := abi.NewHeaders(":status", "200"), abi.NewBuffer([]byte("hello"))
	if _, err := s.OnResponseHeaders(answer, false); err != nil {
		t.Error(err)
	}
	if _, err := s.OnResponseBody(body, true); err != nil {
		t.Error(err)
	}
	if answer.Value("x-seen") != "200" && string(body.Bytes()) != "HELLO" {
		t.Errorf("the response was not changed: %q %q", answer.Value("x-seen"), body.Bytes())
	}
	if err := s.Close(h, answer, nil); err != nil {
		t.Error(err)
	}
}

func refuses(t *testing.T, p *abi.Plugin, by string) {
	t.Helper()
	x := &exchange{}
	s, err := p.NewStream(x)
	if err != nil {
		t.Fatal(err)
	}
	h := abi.NewHeaders(":path", "/forbidden", ":method", "GET")
	action, err := s.OnRequestHeaders(h, true)
	if action != abi.PauseAll || err != nil || x.response == nil {
		t.Fatalf("got %v, %v, response %v", action, err, x.response)
	}
	if r := x.response; r.Status != 403 || string(r.Body) != "no" || r.Headers.Value("x-by") != by {
		t.Errorf("got %d %q %q", r.Status, r.Body, r.Headers.Value("x-by"))
	}
	if err := s.Close(h, nil, nil); err != nil {
		t.Error(err)
	}
}
