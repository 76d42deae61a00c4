package gateway

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/leash-gateway/leash/config"
)

// redact takes a credential out of an answer's headers, and out of one that is no success, where some providers repeat it: in what it says and
// in its trailers. One that is longer than most bytes breaks off. (In Envoy a script does this: envoy/credential.lua.)
func redact(r *http.Response, credential string, most int64) {
	if len(credential) < config.MinSecret {
		return
	}
	escaped := strings.ReplaceAll(credential, "/", `\/`) // as some write it in JSON
	replacer := strings.NewReplacer(credential, config.Redacted, escaped, config.Redacted)
	clean := func(text string) string {
		if !strings.Contains(text, credential) && !strings.Contains(text, escaped) { // a replacer takes longer, above all the first time
			return text
		}
		return replacer.Replace(text)
	}
	cleanHeaders(r.Header, clean)
	r.Body = &ending{ReadCloser: r.Body, at: func() { cleanHeaders(r.Trailer, clean) }}
	if r.StatusCode < http.StatusMultipleChoices || r.ContentLength == 0 {
		return
	}
	body := &redacted{ReadCloser: r.Body, clean: clean, most: most}
	// In as many lines as it may say so: gzip can stand behind identity.
	if encodings := r.Header["Content-Encoding"]; len(encodings) > 0 && !strings.EqualFold(strings.Join(encodings, ","), "identity") {
		r.Header.Del("Content-Encoding")
		r.Header.Set("Content-Type", "application/json")
		body.clean = func(string) string { return config.WithheldError }
	}
	r.Header.Del("Content-Length")
	r.Body, r.ContentLength = body, -1
}

func cleanHeaders(h http.Header, clean func(string) string) {
	for _, values := range h {
		for i := range values {
			values[i] = clean(values[i])
		}
	}
}

// ending is a body at whose end something is done.
type ending struct {
	io.ReadCloser
	at func()
}

func (e *ending) Read(p []byte) (int, error) {
	n, err := e.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		e.at()
	}
	return n, err
}

// redacted is the body of an error, which is read as a whole before anything of it goes on.
type redacted struct {
	io.ReadCloser
	clean func(string) string
	most  int64
	rest  *strings.Reader // nil until then
}

// Read gives what is left.
func (r *redacted) Read(p []byte) (int, error) {
	if r.rest == nil {
		var all bytes.Buffer
		n, err := all.ReadFrom(io.LimitReader(r.ReadCloser, r.most+1))
		switch {
		case err != nil:
			return 0, err
		case n > r.most:
			return 0, io.ErrUnexpectedEOF
		}
		r.rest = strings.NewReader(r.clean(all.String()))
	}
	return r.rest.Read(p)
}
