package server

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// upload passes the upload of a blob to the store, and counts its bytes.
func (s *Server) upload(w http.ResponseWriter, r *http.Request, c *call) error {
	if c.reference == "" {
		if r.Method != http.MethodPost {
			return refuse(http.StatusMethodNotAllowed, codeUnsupported, "an upload begins with POST")
		}
		mountable(r, c)
	}
	most := s.options.Limits.BlobBytes
	before := s.uploads.of(c.repository, c.reference)
	if left := most - before; r.ContentLength > left {
		return tooLarge(most)
	}
	body := &countedBody{readCloser: http.MaxBytesReader(w, r.Body, most-before), connection: http.NewResponseController(w)}
	r.Body = body
	told := &uploadWriter{ResponseWriter: w, r: r}
	s.store.ServeHTTP(told, r)
	switch {
	case c.reference == "":
	case r.Method == http.MethodPatch && told.status < http.StatusBadRequest:
		s.uploads.add(c.repository, c.reference, body.n, s.options.Now())
	case told.status >= http.StatusInternalServerError:
		s.abandon(r, c)
		s.uploads.end(c.repository, c.reference)
	case r.Method == http.MethodPut, r.Method == http.MethodDelete:
		s.uploads.end(c.repository, c.reference)
	}
	return nil
}

func tooLarge(most int64) *fault {
	return refuse(http.StatusRequestEntityTooLarge, codeSizeInvalid, fmt.Sprintf("a blob may have %d bytes", most))
}

// abandon gives back what an upload takes that the store could not write, as when its disk is full.
func (s *Server) abandon(r *http.Request, c *call) {
	ended, err := http.NewRequestWithContext(r.Context(), http.MethodDelete, "/v2/"+c.repository+"/blobs/uploads/"+c.reference, http.NoBody)
	if err != nil {
		return
	}
	ended.RequestURI = ended.URL.RequestURI()
	s.store.ServeHTTP(discard{http.Header{}}, ended)
}

// discard is an answer that nobody reads.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

// stillTime is how long an upload may stand still.
const stillTime = time.Minute

// countedBody counts what is read of a body, and ends one that stands still.
type countedBody struct {
	readCloser
	connection *http.ResponseController
	n          int64
}

type readCloser interface {
	Read(b []byte) (int, error)
	Close() error
}

func (b *countedBody) Read(p []byte) (int, error) {
	_ = b.connection.SetReadDeadline(time.Now().Add(stillTime)) // one in this process has none
	n, err := b.readCloser.Read(p)
	b.n += int64(n)
	return n, err
}

// uploads are those that come in several pieces, by repository and id, and how many bytes of each have come.
type uploads struct {
	mu   sync.Mutex
	came map[[2]string]piece
}

type piece struct {
	bytes int64
	last  time.Time
}

// forgotten is how long an upload is remembered after its last piece; the store forgets it then too.
const forgotten = time.Hour

func (u *uploads) of(repository, id string) int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.came[[2]string{repository, id}].bytes
}

func (u *uploads) add(repository, id string, n int64, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.came == nil {
		u.came = map[[2]string]piece{}
	}
	key := [2]string{repository, id}
	u.came[key] = piece{u.came[key].bytes + n, now}
	for other, p := range u.came {
		if now.Sub(p.last) > forgotten {
			delete(u.came, other)
		}
	}
}

func (u *uploads) end(repository, id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.came, [2]string{repository, id})
}

// uploadWriter remembers the status of a store's answer, and adds what olareg leaves out of it.
type uploadWriter struct {
	http.ResponseWriter
	r      *http.Request
	status int
}

func (w *uploadWriter) WriteHeader(status int) {
	if w.status != 0 {
		return
	}
	if status == http.StatusAccepted && w.r.Method == http.MethodDelete {
		status = http.StatusNoContent
	}
	if status == http.StatusInternalServerError { // the store has logged what it could not write, and says nothing
		w.status = http.StatusInsufficientStorage
		w.Header().Del("Content-Length")
		writeFault(w.ResponseWriter, w.r, refuse(w.status, codeUnknown, "the registry could not keep it, as when its disk is full; its log says why"))
		return
	}
	w.status = status
	switch query := w.r.URL.Query(); {
	case status >= http.StatusBadRequest:
		w.Header().Set("Content-Type", "application/json")
	case status == http.StatusCreated && query.Get("digest") != "":
		w.Header().Set(digestHeader, query.Get("digest"))
	case status == http.StatusCreated:
		w.Header().Set(digestHeader, query.Get("mount"))
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *uploadWriter) Write(b []byte) (int, error) {
	if w.WriteHeader(http.StatusOK); w.status == http.StatusInsufficientStorage {
		return len(b), nil
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *uploadWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// locks are held by what they are about.
type locks struct {
	mu   sync.Mutex
	held map[string]*lock
}

type lock struct {
	sync.Mutex
	waiting int
}

// hold waits for a lock, and returns what gives it back.
func (l *locks) hold(name string) func() {
	l.mu.Lock()
	if l.held == nil {
		l.held = map[string]*lock{}
	}
	one := l.held[name]
	if one == nil {
		one = &lock{}
		l.held[name] = one
	}
	one.waiting++
	l.mu.Unlock()
	one.Lock()
	return func() {
		one.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		if one.waiting--; one.waiting == 0 {
			delete(l.held, name)
		}
	}
}
