package catalog

import (
	"context"
	"fmt"
	"strings"
)

// Deprecate says that a version should not be used any more, and why. Who uses it goes on.
func (c *Catalog) Deprecate(ctx context.Context, a Actor, name, version, reason string) (Build, error) {
	return c.judge(ctx, name, version, reason, func(t *transaction, m *module, b *Build) error {
		if err := m.check(b); err != nil {
			return err
		}
		t.emit(a, Event{Kind: Deprecate, Module: name, Version: b.Version, Digest: b.Digest, Reason: reason})
		return nil
	})
}

// Undeprecate takes a deprecation back.
func (c *Catalog) Undeprecate(ctx context.Context, a Actor, name, version, reason string) (Build, error) {
	return c.judge(ctx, name, version, reason, func(t *transaction, _ *module, b *Build) error {
		if b.State != Deprecated {
			return fmt.Errorf("%s %s: %w: it is not deprecated", name, b.Version, ErrConflict)
		}
		t.emit(a, Event{Kind: Undeprecate, Module: name, Version: b.Version, Digest: b.Digest, Reason: reason})
		return nil
	})
}

// Yank takes a version back, for good: nobody gets it any more. Channels that point at it are rolled back to what they
// pointed at before, or cleared if there is nothing, in the same transaction; a canary of it ends.
func (c *Catalog) Yank(ctx context.Context, a Actor, name, version, reason string) (Build, error) {
	return c.judge(ctx, name, version, reason, func(t *transaction, m *module, b *Build) error {
		if b.State == Yanked {
			return fmt.Errorf("%s %s: %w already: %s", name, b.Version, ErrYanked, b.Reason)
		}
		t.emit(a, Event{Kind: Yank, Module: name, Version: b.Version, Digest: b.Digest, Reason: reason})
		because := "version " + b.Version + " was yanked: " + reason
		for _, channel := range m.sortedChannels() {
			e := Event{Module: name, Channel: channel.Name, Previous: channel.Digest, Reason: because}
			switch earlier := m.earlier(&channel); {
			case channel.Canary != nil && channel.Canary.Digest == b.Digest:
				e.Kind, e.Version, e.Digest, e.Previous = EndCanary, b.Version, channel.Digest, b.Digest
			case channel.Digest != b.Digest:
				continue
			case earlier != nil:
				e.Kind, e.Version, e.Digest = Rollback, earlier.Version, earlier.Digest
			default:
				e.Kind = Clear
			}
			t.emit(a, e)
		}
		return nil
	})
}

// judge does something to a version, for a reason that must be said, and returns what became of it.
func (c *Catalog) judge(ctx context.Context, name, version, reason string, do func(*transaction, *module, *Build) error) (now Build, err error) {
	if strings.TrimSpace(reason) == "" {
		return now, fmt.Errorf("%s %s: %w: say why", name, version, ErrInvalid)
	}
	err = c.change(ctx, func(t *transaction) error {
		m, err := t.module(name)
		if err != nil {
			return err
		}
		d, found := m.versions[strings.TrimPrefix(version, "v")]
		if !found {
			return fmt.Errorf("version %s of %s: %w", version, name, ErrNotFound)
		}
		if err := do(t, m, m.builds[d]); err != nil {
			return err
		}
		if m, err = t.module(name); err != nil {
			return err
		}
		now = *m.builds[d]
		return nil
	})
	return now, err
}
