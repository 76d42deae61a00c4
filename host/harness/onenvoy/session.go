package onenvoy

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leash-gateway/leash/host/harness"
	"github.com/leash-gateway/leash/host/scenario"
)

const (
	// answerWithin is how long an exchange may take before it counts as held for ever.
	answerWithin = 10 * time.Second
	// collected is how long modules may collect lines and counts.
	collected = 200 * time.Millisecond
	// lateness is how long lines and counts may take until they are seen.
	lateness = 2 * time.Second
)

// session is a scenario on one listener.
type session struct {
	p       *process
	setup   harness.Setup
	port    string
	own     bool // the process is this session's
	metrics map[string]int64
	logged  int            // before the last exchange
	called  map[string]int // by upstream, before the last exchange
	ended   time.Time
}

var _ scenario.Session = (*session)(nil)

func newSession(ctx context.Context, p *process, s harness.Setup, port string, own bool) (*session, error) {
	x := &session{p: p, setup: s, port: port, own: own}
	if x.port == "" {
		if own {
			p.stop()
		}
		return nil, errors.New("start envoy: it refused the modules" + p.lastWords())
	}
	pause(ctx, collected) // what the scenario before has left
	x.metrics = p.readMetrics(ctx)
	for name, server := range p.upstream {
		server.expect(s.Callouts[name]...)
	}
	return x, nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// Close ends the session.
func (x *session) Close(context.Context) {
	if x.own {
		x.p.stop()
	}
}

// Advance is never called: scenarios that move the clock are skipped.
func (*session) Advance(time.Duration) {}

// Shared cannot be looked at.
func (*session) Shared(string) (string, bool) { return "", false }

// SharedKeys cannot be looked at.
func (*session) SharedKeys() []string { return nil }

// Metrics are what has changed since the session began.
func (x *session) Metrics() map[string]int64 {
	got := x.p.readMetrics(context.Background())
	for name, before := range x.metrics {
		got[name] -= before
	}
	maps.DeleteFunc(got, func(name string, value int64) bool { _, before := x.metrics[name]; return before && value == 0 })
	return got
}

// Exchange takes a request through Envoy.
func (x *session) Exchange(ctx context.Context, r harness.Request) (*harness.Result, error) {
	began := time.Now()
	got := &harness.Result{}
	if r.ChunkSize > 0 || r.Chunks != nil || r.Answer.ChunkSize > 0 || len(r.Answer.Chunks) > 1 {
		got.Notes = append(got.Notes, "pieces of bodies may be joined on their way through Envoy")
	}
	x.p.provider.expect(r.Answer)
	x.called = map[string]int{}
	for name, server := range x.p.upstream {
		x.called[name] = len(server.seen())
	}
	x.p.mu.Lock()
	x.logged = len(x.p.logs)
	crashed := len(x.p.crashes)
	x.p.mu.Unlock()
	limited, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	if r.Leaves == harness.BeforeAnswer {
		go func() {
			select {
			case <-x.p.provider.arrived:
				cancel()
			case <-limited.Done():
			}
		}()
	}
	x.send(limited, r, got)
	if seen := x.p.provider.seen(); len(seen) > 0 {
		got.Provider = &seen[0]
	}
	x.ended, got.Took = time.Now(), time.Since(began)
	x.refresh(got, crashed)
	return got, ctx.Err()
}

func (x *session) refresh(got *harness.Result, crashed int) {
	got.Callouts = nil
	for _, name := range slices.Sorted(maps.Keys(x.called)) {
		for _, message := range x.p.upstream[name].seen()[x.called[name]:] {
			got.Callouts = append(got.Callouts, harness.Callout{Upstream: name, Message: message})
		}
	}
	x.p.mu.Lock()
	defer x.p.mu.Unlock()
	got.Logs = slices.Clone(x.p.logs[x.logged:])
	if crashed >= 0 {
		got.Crashes = slices.Clone(x.p.crashes[crashed:])
	}
}

// Later waits for lines, counts and callouts that are still on their way, and brings them; false: none can come any more.
func (x *session) Later(ctx context.Context, got *harness.Result) bool {
	since := time.Since(x.ended)
	if since > lateness || ctx.Err() != nil {
		return false
	}
	pause(ctx, max(collected-since, 20*time.Millisecond))
	x.refresh(got, -1)
	return true
}

func (x *session) send(ctx context.Context, r harness.Request, got *harness.Result) {
	request, err := x.request(ctx, r)
	if err != nil {
		got.Outcome = harness.Reset
		got.Notes = append(got.Notes, err.Error())
		return
	}
	response, err := x.p.client.Do(request)
	if err != nil {
		got.Outcome = x.broken(ctx, r)
		return
	}
	defer response.Body.Close() //nolint:errcheck // read as far as it goes
	got.Status = response.StatusCode
	got.Headers = append(harness.Headers{{":status", strconv.Itoa(got.Status)}}, fromHTTP(response.Header)...)
	if response.ContentLength >= 0 {
		if _, there := got.Headers.Lookup("content-length"); !there {
			got.Headers = append(got.Headers, [2]string{"content-length", strconv.FormatInt(response.ContentLength, 10)})
		}
	}
	buffer := make([]byte, 32<<10)
	for {
		n, err := response.Body.Read(buffer)
		if n > 0 {
			got.Body += string(buffer[:n])
			got.Chunks = append(got.Chunks, string(buffer[:n]))
		}
		if n > 0 && r.Leaves == harness.InAnswer {
			got.Outcome = harness.Left
			return
		}
		if errors.Is(err, io.EOF) {
			got.Outcome, got.Ended, got.Trailers = harness.Answered, true, fromHTTP(response.Trailer)
			return
		}
		if err != nil {
			got.Outcome = x.broken(ctx, r)
			return
		}
	}
}

// broken is how an exchange ended that did not come to its end.
func (x *session) broken(ctx context.Context, r harness.Request) harness.Outcome {
	switch {
	case r.Leaves != harness.Never:
		return harness.Left
	case ctx.Err() != nil:
		return harness.Held
	case r.Answer.Failure == harness.Cut:
		return harness.BrokenOff
	}
	return harness.Reset
}

func (x *session) request(ctx context.Context, r harness.Request) (*http.Request, error) {
	pieces := harness.Pieces(r.Body, r.Chunks, r.ChunkSize)
	h := harness.RequestHeaders(r)
	request, err := http.NewRequestWithContext(ctx, h.Get(":method"), "http://127.0.0.1:"+x.port, nil)
	if err != nil {
		return nil, err
	}
	request.URL.Opaque = h.Get(":path") // as it is
	request.Host = h.Get(":authority")
	request.Header = http.Header{"User-Agent": {""}}
	for _, entry := range h {
		if !strings.HasPrefix(entry[0], ":") && entry[0] != "content-length" {
			request.Header.Add(entry[0], entry[1])
		}
	}
	if len(pieces) > 0 {
		request.Body, request.ContentLength = io.NopCloser(&reader{pieces: pieces, leaves: r.Leaves == harness.InRequest}), -1
		if length, err := strconv.ParseInt(h.Get("content-length"), 10, 64); err == nil {
			request.ContentLength = length
		}
	}
	if len(r.Trailers) > 0 {
		request.Trailer = http.Header{}
		for _, entry := range r.Trailers {
			request.Trailer.Add(entry[0], entry[1])
		}
	}
	return request, nil
}

// reader gives a body piece by piece.
type reader struct {
	pieces []string
	read   int
	leaves bool
}

// Read gives a piece.
func (r *reader) Read(b []byte) (int, error) {
	switch {
	case r.leaves && r.read >= (len(r.pieces)+1)/2:
		return 0, errors.New("the client leaves")
	case r.read == len(r.pieces):
		return 0, io.EOF
	}
	n := copy(b, r.pieces[r.read])
	r.pieces[r.read] = r.pieces[r.read][n:]
	if r.pieces[r.read] == "" {
		r.read++
	}
	return n, nil
}

var lastCount = regexp.MustCompile(`\(\d+,(\d+)\)[^(]*$`)

// readMetrics asks Envoy for the metrics of modules.
func (p *process) readMetrics(ctx context.Context) map[string]int64 {
	all := map[string]int64{}
	text, err := p.get(ctx, "/stats?filter=^wasmcustom%5C.&histogram_buckets=cumulative")
	if err != nil {
		return all
	}
	for line := range strings.Lines(string(text)) {
		name, value, found := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, "wasmcustom.")), ": ")
		if !found {
			continue
		}
		if number, err := strconv.ParseInt(value, 10, 64); err == nil {
			all[name] = number
		} else if count := lastCount.FindStringSubmatch(value); count != nil {
			all[name], _ = strconv.ParseInt(count[1], 10, 64) // digits
		}
	}
	return all
}
