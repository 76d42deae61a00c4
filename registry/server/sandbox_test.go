package server_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/leash-gateway/leash/registry/server"
)

// sandbox answers what a test wants.
type sandbox struct {
	tried    server.Tried
	err      error
	file     digest.Digest
	measured bool
	done     func() // is called when it has tried
}

func (s *sandbox) Try(_ context.Context, file string, measure bool) (server.Tried, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return server.Tried{}, err
	}
	s.file, s.measured = digest.FromBytes(content), measure
	s.done()
	return s.tried, s.err
}

func TestWhatTheSandboxFindsDecides(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		rule  server.Namespace
		tried server.Tried
		err   error
		want  string // in the refusal; "" is none
	}{
		"scenarios pass":               {server.Namespace{}, server.Tried{Scenarios: 3}, nil, ""},
		"one fails":                    {server.Namespace{}, server.Tried{Scenarios: 3, Failures: []string{"scenarios/a.yaml:2: refuses: status"}}, nil, "scenarios/a.yaml:2: refuses: status"},
		"there is none, none is asked": {server.Namespace{}, server.Tried{}, nil, ""},
		"there is none, one is asked":  {server.Namespace{RequireScenarios: true}, server.Tried{}, nil, "the module brings no scenarios"},
		"within its budget":            {server.Namespace{P95: time.Millisecond}, server.Tried{P95: 900 * time.Microsecond}, nil, ""},
		"beyond its budget":            {server.Namespace{P95: time.Millisecond}, server.Tried{P95: 1100 * time.Microsecond}, nil, "an exchange takes 1.1ms (p95), and modules in team/hello may take 1ms"},
		"the sandbox cannot work":      {server.Namespace{}, server.Tried{}, errors.New("no processes"), "the registry could not do it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			box := &sandbox{tried: tc.tried, err: tc.err, done: func() {}}
			if tc.err != nil {
				box.done = cancel // a client tries again what is not its own fault
			}
			tc.rule.Match = []string{"team/*"}
			r := start(t, func(o *server.Options) {
				o.Sandbox, o.Namespaces, o.Scratch = box, []server.Namespace{tc.rule}, t.TempDir()
			})
			_, err := r.pushFor(ctx, t, "team/hello:1.0.0", module(t, "1.0.0"))
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) && tc.err == nil {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if box.file != digest.FromBytes(module(t, "1.0.0")) || box.measured != (tc.rule.P95 > 0) {
				t.Errorf("it tried %s, measured %v", box.file, box.measured)
			}
			b, err := r.Catalog().Version("team/hello", "1.0.0")
			if (err == nil) != (tc.want == "") {
				t.Errorf("the catalogue has %+v, %v", b, err)
			}
			if tc.rule.P95 > 0 && err == nil && b.Checks["p95"] != "900µs" {
				t.Errorf("remembered are %v", b.Checks)
			}
		})
	}
}
