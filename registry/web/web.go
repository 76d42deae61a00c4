// Package web is the registry's pages for people: which modules there are, their versions, what they say of themselves, who
// signed them. They only read, need no scripts, and show nobody more than the APIs do.
package web

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"

	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/registry/access"
	"github.com/leash-gateway/leash/registry/catalog"
)

//go:embed page.html style.css
var files embed.FS

// Options are what pages are made of.
type Options struct {
	Catalog *catalog.Catalog
	// Access says who may see what; nil: everybody everything.
	Access *access.Control
	// Name is what clients call the registry.
	Name string
	Log  *slog.Logger
}

// Paths of the pages.
const (
	listPath   = "/"
	modulePath = "/modules/"
	stylePath  = "/style.css"
)

// pages serves them.
type pages struct {
	Options
	template *template.Template
	markdown goldmark.Markdown

	mu   sync.Mutex
	read map[digest.Digest]about
}

// Register adds the pages to a mux.
func Register(mux *http.ServeMux, o Options) error {
	p := &pages{Options: o, markdown: goldmark.New(goldmark.WithExtensions(extension.GFM)), read: map[digest.Digest]about{}}
	var err error
	p.template, err = template.New("page.html").Funcs(template.FuncMap{"short": short, "day": day, "size": size}).ParseFS(files, "page.html")
	if err != nil {
		return err
	}
	mux.HandleFunc("GET "+listPath+"{$}", p.guarded(p.list))
	mux.HandleFunc("GET "+modulePath, p.guarded(p.module))
	mux.HandleFunc("GET "+stylePath, func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, files, "style.css")
	})
	return nil
}

// page is what the template shows.
type page struct {
	Title string
	// Registry is its name, Query what was searched for.
	Registry, Query string
	Found           []catalog.Found
	Module          *moduleView
}

// moduleView is one version of a module, and the others.
type moduleView struct {
	Name     string
	Versions []versionView
	Channels []catalog.Channel
	Shown    versionView
	about
}

type versionView struct {
	catalog.Build
	Downloads uint64
	Channels  []string
}

// about is what a module says of itself and who signed it.
type about struct {
	Readme     template.HTML
	Manifest   *manifest.Manifest
	Signatures []signature
	// Fault says why it cannot be had.
	Fault string
	until time.Time
}

type signature struct{ By, Subject, Expires string }

// guarded lets somebody see what they may; browsers ask for a token as the password.
func (p *pages) guarded(show func(w http.ResponseWriter, r *http.Request, who *access.Principal)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		who, err := p.Access.Authenticate(r)
		switch {
		case errors.Is(err, access.ErrUnknown):
			p.login(w)
		case err != nil:
			p.Log.Error("request failed", "path", r.URL.Path, "error", err.Error())
			http.Error(w, "It cannot be found out now who you are: try again later.", http.StatusServiceUnavailable)
		default:
			show(w, r, who)
		}
	}
}

// login has the browser ask for a token.
func (p *pages) login(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Basic realm="the password is a token of the registry", charset="UTF-8"`)
	http.Error(w, "Log in: the password is a token of the registry.", http.StatusUnauthorized)
}

func (p *pages) list(w http.ResponseWriter, r *http.Request, who *access.Principal) {
	const most = 200
	shown := page{Title: p.Name, Registry: p.Name, Query: r.URL.Query().Get("q")}
	hidden := false
	for _, f := range p.Catalog.Search(shown.Query) {
		if !who.May(access.Pull, f.Name) {
			hidden = true
			continue
		}
		if len(shown.Found) < most {
			shown.Found = append(shown.Found, f)
		}
	}
	if len(shown.Found) == 0 && hidden && who.Anonymous() {
		p.login(w)
		return
	}
	p.write(w, shown)
}

func (p *pages) module(w http.ResponseWriter, r *http.Request, who *access.Principal) {
	name := strings.TrimPrefix(r.URL.Path, modulePath)
	if !who.May(access.Pull, name) {
		if who.Anonymous() {
			p.login(w)
			return
		}
		http.Error(w, "There is no such module, or you may not see it.", http.StatusNotFound)
		return
	}
	view, err := p.view(r.Context(), name, r.URL.Query().Get("version"))
	switch {
	case errors.Is(err, catalog.ErrNotFound):
		http.Error(w, "There is no such module, or you may not see it.", http.StatusNotFound)
	case err != nil:
		p.Log.Error("request failed", "path", r.URL.Path, "error", err.Error())
		http.Error(w, "The registry could not do it; its log says why.", http.StatusInternalServerError)
	default:
		p.write(w, page{Title: name, Registry: p.Name, Module: view})
	}
}

// view is a version of a module: the one that is asked for, or the newest that can be used.
func (p *pages) view(ctx context.Context, name, version string) (*moduleView, error) {
	builds, err := p.Catalog.Versions(name)
	if err != nil {
		return nil, err
	}
	if len(builds) == 0 {
		return nil, catalog.ErrNotFound
	}
	v := &moduleView{Name: name}
	if v.Channels, err = p.Catalog.Channels(name); err != nil {
		return nil, err
	}
	shown := -1
	for i, b := range builds {
		one := versionView{Build: b}
		if one.Downloads, err = p.Catalog.Downloads(name, b.Digest); err != nil {
			return nil, err
		}
		for _, channel := range v.Channels {
			if channel.Digest == b.Digest {
				one.Channels = append(one.Channels, channel.Name)
			}
		}
		v.Versions = append(v.Versions, one)
		if b.Version == version || version == "" && shown < 0 && b.State == catalog.Released {
			shown = i
		}
	}
	switch {
	case shown < 0 && version != "":
		return nil, catalog.ErrNotFound
	case shown < 0:
		shown = 0
	}
	v.Shown = v.Versions[shown]
	v.about = p.about(ctx, name, v.Shown.Build)
	return v, nil
}

// remembered is how long what was read of a module is shown again, maxRemembered how many are.
const (
	remembered    = 30 * time.Second
	maxRemembered = 100
)

// about reads a module, unless it has just been read.
func (p *pages) about(ctx context.Context, name string, b catalog.Build) about {
	now := time.Now()
	p.mu.Lock()
	known, found := p.read[b.Digest]
	p.mu.Unlock()
	if found && now.Before(known.until) && b.State != catalog.Yanked {
		return known
	}
	made := about{until: now.Add(remembered)}
	m, err := p.Catalog.Read(ctx, name, b.Digest)
	if err != nil {
		made.Fault = err.Error()
		return made
	}
	made.Manifest = m.Manifest
	for _, s := range m.Signatures {
		one := signature{By: s.By, Subject: s.Subject}
		if !s.Expires.IsZero() {
			one.Expires = day(s.Expires)
		}
		made.Signatures = append(made.Signatures, one)
	}
	files, err := manifest.Project(m.Bytes)
	if err == nil {
		var html bytes.Buffer
		// Without WithUnsafe it leaves HTML and dangerous links out, so what comes is HTML of its own making.
		if err = p.markdown.Convert(files[manifest.ReadmeFile], &html); err == nil {
			made.Readme = template.HTML(html.String()) //nolint:gosec // said above
		}
	}
	if err != nil {
		p.Log.Warn("a module's README cannot be shown", "module", name, "version", b.Version, "error", err.Error())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.read) >= maxRemembered {
		clear(p.read)
	}
	p.read[b.Digest] = made
	return made
}

func (p *pages) write(w http.ResponseWriter, shown page) {
	var html bytes.Buffer
	if err := p.template.Execute(&html, shown); err != nil {
		p.Log.Error("request failed", "error", err.Error())
		http.Error(w, "The registry could not do it; its log says why.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = html.WriteTo(w) // who does not listen is not told
}

// short is a digest's beginning.
func short(d digest.Digest) string {
	const digits = 12
	if d.Validate() != nil {
		return ""
	}
	return d.Encoded()[:digits]
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// size is bytes for people.
func size(n int64) string {
	const unit = 1024
	if n < unit*unit {
		return fmt.Sprintf("%.0f KiB", float64(n)/unit)
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(unit*unit))
}
