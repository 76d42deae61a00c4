package server

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// gate is before everything: it counts and logs requests, and refuses those of clients that send too many.
func (s *Server) gate(w http.ResponseWriter, r *http.Request) {
	began := s.options.Now()
	told := &answerWriter{ResponseWriter: w}
	what := subjectOf(r.URL.Path)
	defer func() {
		took := s.options.Now().Sub(began)
		status := told.status
		if status == 0 {
			status = http.StatusOK
		}
		s.metrics.requests.WithLabelValues(what, strconv.Itoa(status)).Inc()
		s.metrics.seconds.WithLabelValues(what).Observe(took.Seconds())
		s.metrics.bytes.WithLabelValues(what).Add(float64(told.bytes))
		s.log.LogAttrs(r.Context(), slog.LevelDebug, "request", slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Int("status", status),
			slog.Int64("bytes", told.bytes), slog.Duration("took", took), slog.String("from", r.RemoteAddr))
	}()
	switch {
	case what != "health" && !s.rates.take(addressOf(r), began):
		told.Header().Set("Retry-After", "1")
		writeFault(told, r, refuse(http.StatusTooManyRequests, codeTooMany, "too many requests come from this address: send fewer, or ask for more (limits in registry.yaml)"))
	case s.options.Access == nil && !s.local(r):
		writeFault(told, r, refuse(http.StatusMisdirectedRequest, codeDenied, "a registry without access control is spoken to by a name of this machine only: name who may do what (access in registry.yaml)"))
	case crossOrigin.Check(r) != nil:
		writeFault(told, r, refuse(http.StatusForbidden, codeDenied, "a web page of another site has a browser send this: pages may only link here"))
	default:
		s.mux.ServeHTTP(told, r)
	}
}

// crossOrigin tells what browsers send for the pages of other sites, which may begin an upload without asking first, with the password that was
// given to the browser for the pages here.
var crossOrigin http.CrossOriginProtection

// local says whether a request names this machine: a web page that has its own name point here, to have a browser write to
// the registry, does not.
func (s *Server) local(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	name, _, _ := strings.Cut(s.options.Name, ":")
	return host == "localhost" || ip != nil && ip.IsLoopback() || host == name
}

func addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// subjectOf is what a request is about, in few words.
func subjectOf(path string) string {
	switch {
	case strings.HasPrefix(path, "/v2/"):
		return map[kind]string{unknown: "other", ping: "ping", manifests: "manifest", content: "blob", upload: "upload", tags: "tags", referrers: "referrers"}[routeOf(path).kind]
	case path == "/token":
		return "token"
	case path == "/healthz", path == "/readyz", path == "/metrics":
		return "health"
	case strings.HasPrefix(path, "/leash."):
		return "api"
	}
	return "page"
}

// answerWriter counts an answer.
type answerWriter struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *answerWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *answerWriter) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// ReadFrom lets a file go to the connection without passing through this process.
func (w *answerWriter) ReadFrom(in io.Reader) (int64, error) {
	n, err := io.Copy(w.ResponseWriter, in)
	w.bytes += n
	return n, err
}

// Flush is for streams.
func (w *answerWriter) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }

// Unwrap is for http.ResponseController.
func (w *answerWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// rates bound how many requests come from an address: each has a bucket that fills with time.
type rates struct {
	perSecond, burst float64

	mu      sync.Mutex
	buckets map[string]*bucket
	swept   time.Time
}

type bucket struct {
	level float64
	at    time.Time
}

// sweepEvery is how often addresses are forgotten whose buckets are full.
const sweepEvery = time.Minute

// take takes one request out of an address's bucket, if there is one.
func (l *rates) take(address string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.swept) > sweepEvery {
		for other, b := range l.buckets {
			if b.level+now.Sub(b.at).Seconds()*l.perSecond >= l.burst {
				delete(l.buckets, other)
			}
		}
		l.swept = now
	}
	b := l.buckets[address]
	if b == nil {
		b = &bucket{level: l.burst, at: now}
		l.buckets[address] = b
	}
	b.level = min(l.burst, b.level+now.Sub(b.at).Seconds()*l.perSecond)
	b.at = now
	if b.level < 1 {
		return false
	}
	b.level--
	return true
}
