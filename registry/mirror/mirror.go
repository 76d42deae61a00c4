// Package mirror copies modules of another registry into this one, with their signatures, and goes on to serve them while
// the other is away. What is copied is pushed: it is looked at, and waits for signatures, as if somebody had brought it.
package mirror

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/leash-gateway/leash/registry/catalog"
	"github.com/leash-gateway/leash/registry/remote"
)

// A Source is repositories of another registry.
type Source struct {
	// From is the other registry, with the path below which the repositories are: harbor.example.com/leash.
	From string `yaml:"from"`
	// Repositories are their names, there below From and here: team/hello.
	Repositories []string `yaml:"repositories"`
	// Every is how often it is looked for what is new. Default: 5 min.
	Every time.Duration `yaml:"every"`
}

// Check says what is wrong with a source.
func (s *Source) Check() error {
	if len(s.Repositories) == 0 {
		return errors.New("repositories is missing, such as team/hello")
	}
	for _, repository := range s.Repositories {
		if _, err := s.there(repository); err != nil {
			return err
		}
	}
	if s.Every < 0 {
		return errors.New("every is negative")
	}
	return nil
}

func (s *Source) there(repository string) (remote.Reference, error) {
	r, err := remote.Parse(s.From + "/" + repository)
	if err != nil {
		return r, fmt.Errorf("from: %w", err)
	}
	return r, nil
}

const defaultEvery = 5 * time.Minute

// A Mirror copies.
type Mirror struct {
	// Sources are what is copied.
	Sources []Source
	// Client reaches the other registries, and this one by its Name.
	Client *remote.Client
	Name   string
	// Catalog says what is here already.
	Catalog *catalog.Catalog
	// Log is told what was copied and what could not be.
	Log *slog.Logger
}

// Run copies what is new, now and then, until ctx ends.
func (m *Mirror) Run(ctx context.Context) {
	next := make([]time.Time, len(m.Sources))
	for {
		now, wait := time.Now(), time.Hour
		for i := range m.Sources {
			every := m.Sources[i].Every
			if every == 0 {
				every = defaultEvery
			}
			if !now.Before(next[i]) {
				if err := m.Copy(ctx, &m.Sources[i]); err != nil && ctx.Err() == nil {
					m.Log.Error("mirror: not everything could be copied", "from", m.Sources[i].From, "error", err.Error())
				}
				next[i] = time.Now().Add(every)
			}
			wait = min(wait, time.Until(next[i]))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// Copy copies what is new in a source. What cannot be copied does not stop the rest.
func (m *Mirror) Copy(ctx context.Context, s *Source) error {
	var failures []error
	for _, repository := range s.Repositories {
		if err := m.repository(ctx, s, repository); err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", repository, err))
		}
	}
	return errors.Join(failures...)
}

func (m *Mirror) repository(ctx context.Context, s *Source, repository string) error {
	there, err := s.there(repository)
	if err != nil {
		return err
	}
	tags, err := m.Client.List(ctx, there)
	if err != nil {
		return err
	}
	var failures []error
	for _, tag := range tags {
		here, err := m.Catalog.Resolve(repository, tag.Name)
		// A pending one may have got its signature there meanwhile.
		if err == nil && here.Digest == tag.Digest && here.Build != nil && here.Build.State != catalog.Pending {
			continue
		}
		from := there.At(tag.Digest)
		from.Tag = tag.Name
		copied, err := m.Client.Copy(ctx, from, remote.Reference{Registry: m.Name, Repository: repository, Tag: tag.Name})
		if err != nil {
			failures = append(failures, err)
			continue
		}
		m.Log.Info("mirrored", "from", from.String(), "to", copied.String())
	}
	return errors.Join(failures...)
}
