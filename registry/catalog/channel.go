package catalog

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
)

// channelName is what a channel may be called: no version, and what a tag may be.
var channelName = regexp.MustCompile(`^[a-z][a-z0-9._-]{0,62}$`)

func checkChannel(name string) error {
	if _, version := isVersion(name); version || !channelName.MatchString(name) || strings.HasPrefix(name, "sha256-") {
		return fmt.Errorf("channel %q: %w: a channel's name is of small letters, digits, dots and dashes, begins with a letter and is no version, such as stable", name, ErrInvalid)
	}
	return nil
}

// usable is a version that a channel may point at.
func (m *module) usable(version string) (*Build, error) {
	d, found := m.versions[strings.TrimPrefix(version, "v")]
	if !found {
		return nil, fmt.Errorf("version %s of %s: %w", version, m.name, ErrNotFound)
	}
	b := m.builds[d]
	return b, m.check(b)
}

// check says why a build may not be used.
func (m *module) check(b *Build) error {
	switch b.State {
	case Pending:
		return fmt.Errorf("%s %s (%s): %w: leash module sign signs it", m.name, b.Version, b.Digest, ErrPending)
	case Yanked:
		return fmt.Errorf("%s %s (%s): %w: %s", m.name, b.Version, b.Digest, ErrYanked, b.Reason)
	case Released, Deprecated:
	}
	return nil
}

// A Promotion makes a channel point at a version.
type Promotion struct {
	Module, Version, Channel string
	// Reason is why, for those who read the history; it may be empty.
	Reason string
	// Expect is what the channel must point at until now, else it is refused with ErrConflict. "": whatever it does.
	Expect digest.Digest
}

// Promote makes a channel point at a version that is released, not deprecated, and that the trust policy lets run now.
func (c *Catalog) Promote(ctx context.Context, a Actor, p Promotion) (Channel, error) {
	if err := checkChannel(p.Channel); err != nil {
		return Channel{}, err
	}
	d, err := c.promotable(ctx, p.Module, p.Version)
	if err != nil {
		return Channel{}, err
	}
	return c.moved(ctx, p.Module, p.Channel, func(t *transaction, m *module) error {
		b, err := m.usable(p.Version)
		switch {
		case err != nil:
			return err
		case b.Digest != d:
			return fmt.Errorf("version %s of %s: %w: it has just been pushed anew", p.Version, p.Module, ErrConflict)
		case m.tags[p.Channel] != "":
			return fmt.Errorf("channel %s of %s: %w: a tag has this name", p.Channel, p.Module, ErrExists)
		}
		now, err := m.expect(p.Channel, p.Expect)
		if err != nil || now.Digest == b.Digest && now.Canary == nil {
			return err // it points there already
		}
		t.emit(a, Event{Kind: Promote, Module: p.Module, Version: b.Version, Channel: p.Channel, Digest: b.Digest, Previous: now.Digest, Reason: p.Reason})
		return nil
	})
}

// Promotable says what speaks against a promotion as things are now; nil: nothing.
func (c *Catalog) Promotable(ctx context.Context, p Promotion) error {
	if err := checkChannel(p.Channel); err != nil {
		return err
	}
	m, err := c.module(p.Module)
	if err != nil {
		return err
	}
	if _, err := m.expect(p.Channel, p.Expect); err != nil {
		return err
	}
	_, err = c.promotable(ctx, p.Module, p.Version)
	return err
}

// promotable verifies what is going to be promoted: the store's bytes, the signatures, the module's own manifest.
func (c *Catalog) promotable(ctx context.Context, name, version string) (digest.Digest, error) {
	m, err := c.module(name)
	if err != nil {
		return "", err
	}
	b, err := m.usable(version)
	if err != nil {
		return "", err
	}
	if b.State == Deprecated {
		return "", fmt.Errorf("%s %s: %w: it is deprecated: %s", name, b.Version, ErrConflict, b.Reason)
	}
	_, err = c.Read(ctx, name, b.Digest)
	return b.Digest, err
}

// moved does something to a channel and returns what became of it.
func (c *Catalog) moved(ctx context.Context, name, channel string, do func(*transaction, *module) error) (now Channel, err error) {
	err = c.change(ctx, func(t *transaction) error {
		m, err := t.module(name)
		if err != nil {
			return err
		}
		if err := do(t, m); err != nil {
			return err
		}
		m, err = t.module(name)
		if err != nil {
			return err
		}
		if found := m.channels[channel]; found != nil {
			now = *found
		}
		return nil
	})
	return now, err
}

// expect is a channel, if it points at what is expected; the zero value if it is not there.
func (m *module) expect(channel string, expected digest.Digest) (Channel, error) {
	var now Channel
	if found := m.channels[channel]; found != nil {
		now = *found
	}
	if expected != "" && now.Digest != expected {
		return now, fmt.Errorf("channel %s of %s: %w: it points at %s, not at %s", channel, m.name, ErrConflict, now.Digest, expected)
	}
	return now, nil
}

// A Return makes a channel point at an earlier version again.
type Return struct {
	Module, Channel string
	// Version is to which one; "": the one before.
	Version string
	// Reason is why. It must be said.
	Reason string
	// Expect is what the channel must point at until now, else it is refused with ErrConflict: who rolls back by itself says
	// here what was bad, so that nobody's later promotion is undone. "": whatever it does.
	Expect digest.Digest
}

// Rollback makes a channel point at what it pointed at before, also if that is deprecated by now.
func (c *Catalog) Rollback(ctx context.Context, a Actor, r Return) (Channel, error) {
	if r.Reason == "" {
		return Channel{}, fmt.Errorf("roll back %s of %s: %w: say why", r.Channel, r.Module, ErrInvalid)
	}
	to, err := c.returnable(ctx, r)
	if err != nil {
		return Channel{}, err
	}
	return c.moved(ctx, r.Module, r.Channel, func(t *transaction, m *module) error {
		now, err := m.expect(r.Channel, r.Expect)
		if err != nil {
			return err
		}
		b := m.builds[to]
		if b == nil || !b.usable() {
			return fmt.Errorf("%s@%s: %w: it has just been taken back", r.Module, to, ErrConflict)
		}
		t.emit(a, Event{Kind: Rollback, Module: r.Module, Version: b.Version, Channel: r.Channel, Digest: to, Previous: now.Digest, Reason: r.Reason})
		return nil
	})
}

// returnable is what a channel may be rolled back to, verified.
func (c *Catalog) returnable(ctx context.Context, r Return) (digest.Digest, error) {
	m, err := c.module(r.Module)
	if err != nil {
		return "", err
	}
	now, found := m.channels[r.Channel]
	if !found {
		return "", fmt.Errorf("channel %s of %s: %w", r.Channel, r.Module, ErrNotFound)
	}
	if _, err := m.expect(r.Channel, r.Expect); err != nil {
		return "", err
	}
	if r.Version != "" {
		b, err := m.usable(r.Version)
		if err != nil {
			return "", err
		}
		if b.Digest == now.Digest {
			return "", fmt.Errorf("channel %s of %s: %w: it points at %s already", r.Channel, r.Module, ErrConflict, b.Version)
		}
		_, err = c.Read(ctx, r.Module, b.Digest)
		return b.Digest, err
	}
	// What can no longer be trusted is passed over.
	reasons := fmt.Errorf("channel %s of %s: %w: there is nothing before %s that it could point at", r.Channel, r.Module, ErrConflict, now.Version)
	for _, d := range slices.Backward(now.before) {
		b := m.builds[d]
		if b == nil || !b.usable() || d == now.Digest {
			continue
		}
		if _, err := c.Read(ctx, r.Module, d); err != nil {
			reasons = errors.Join(reasons, err)
			continue
		}
		return d, nil
	}
	return "", reasons
}

// A Trial is a canary that is wanted.
type Trial struct {
	Module, Channel string
	// Canary says which Version, for whom and how long; its Digest, Started and By are filled in.
	Canary Canary
	Reason string
}

// StartCanary has some of those who follow a channel try a version first. A canary that is there already is replaced.
func (c *Catalog) StartCanary(ctx context.Context, a Actor, r Trial) (Channel, error) {
	switch k := r.Canary; {
	case k.Percent < 0 || k.Percent > 100, k.MaxErrorRate < 0 || k.MaxErrorRate > 1, k.For < 0, k.MaxLatency < 0:
		return Channel{}, fmt.Errorf("canary of %s: %w: percent is 0 to 100, the error rate 0 to 1, times are not negative", r.Module, ErrInvalid)
	case k.Percent == 0 && len(k.Nodes) == 0:
		return Channel{}, fmt.Errorf("canary of %s: %w: say who tries it: a share or patterns of node ids", r.Module, ErrInvalid)
	}
	d, err := c.promotable(ctx, r.Module, r.Canary.Version)
	if err != nil {
		return Channel{}, err
	}
	return c.moved(ctx, r.Module, r.Channel, func(t *transaction, m *module) error {
		now := m.channels[r.Channel]
		b, err := m.usable(r.Canary.Version)
		switch {
		case err != nil:
			return err
		case now == nil || now.Digest == "":
			return fmt.Errorf("channel %s of %s: %w: it points at nothing yet: promote a version first", r.Channel, r.Module, ErrConflict)
		case b.Digest != d || b.Digest == now.Digest:
			return fmt.Errorf("canary of %s: %w: channel %s points at %s already", r.Module, ErrConflict, r.Channel, b.Version)
		}
		canary := r.Canary
		canary.Version, canary.Digest = b.Version, b.Digest
		t.emit(a, Event{Kind: StartCanary, Module: r.Module, Version: b.Version, Channel: r.Channel, Digest: d, Previous: now.Digest, Reason: r.Reason, Canary: &canary})
		return nil
	})
}

// AbortCanary ends a canary: those who tried it get what the channel points at. expect is the digest of the canary that
// is meant, "" any. A canary that went well is ended by [Catalog.Promote].
func (c *Catalog) AbortCanary(ctx context.Context, a Actor, name, channel string, expect digest.Digest, reason string) (Channel, error) {
	return c.moved(ctx, name, channel, func(t *transaction, m *module) error {
		now := m.channels[channel]
		if now == nil || now.Canary == nil || expect != "" && now.Canary.Digest != expect {
			return fmt.Errorf("channel %s of %s: %w: there is no such canary", channel, name, ErrConflict)
		}
		t.emit(a, Event{
			Kind: EndCanary, Module: name, Version: now.Canary.Version, Channel: channel, Digest: now.Digest, Previous: now.Canary.Digest, Reason: reason,
		})
		return nil
	})
}
