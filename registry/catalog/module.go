package catalog

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"golang.org/x/mod/semver"
)

// module is what events have made of one module.
type module struct {
	name        string
	builds      map[digest.Digest]*Build
	attachments map[digest.Digest]*Attachment
	versions    map[string]digest.Digest
	tags        map[string]digest.Digest
	channels    map[string]*Channel
	parts       map[digest.Digest][]digest.Digest // by blob: the manifests that name it
	events      []uint64                          // the numbers of its events
}

func newModule(name string) *module {
	return &module{
		name: name, builds: map[digest.Digest]*Build{}, attachments: map[digest.Digest]*Attachment{},
		versions: map[string]digest.Digest{}, tags: map[string]digest.Digest{}, channels: map[string]*Channel{}, parts: map[digest.Digest][]digest.Digest{},
	}
}

// clone is a copy that can be changed; what the maps point at cannot.
func (m *module) clone() *module {
	return &module{
		name: m.name, builds: maps.Clone(m.builds), attachments: maps.Clone(m.attachments), versions: maps.Clone(m.versions),
		tags: maps.Clone(m.tags), channels: maps.Clone(m.channels), parts: maps.Clone(m.parts),
		events: m.events, // appending does not change what others see of it
	}
}

// apply makes an event true. It cannot fail: what cannot be is refused before it is an event.
func (m *module) apply(e *Event) {
	m.events = append(m.events, e.Seq)
	switch e.Kind {
	case Push:
		b := *e.Build
		b.State, b.Pushed, b.By = Pending, e.Time, e.Actor
		m.builds[e.Digest] = &b
		m.hold(b.Parts, e.Digest)
		if e.Version != "" {
			m.versions[e.Version] = e.Digest
		}
	case Release:
		m.build(e.Digest, func(b *Build) { b.State, b.Released = Released, e.Time })
	case Tag:
		if e.Version != "" {
			m.versions[e.Version] = e.Digest
		} else {
			m.tags[e.Tag] = e.Digest
		}
	case Untag:
		delete(m.tags, e.Tag)
	case Attach:
		a := *e.Attachment
		m.attachments[e.Digest] = &a
		m.hold(a.Parts, e.Digest)
	case Detach:
		m.release(m.attachments[e.Digest].Parts, e.Digest)
		delete(m.attachments, e.Digest)
		m.untag(e.Digest)
	case Withdraw:
		m.release(m.builds[e.Digest].Parts, e.Digest)
		delete(m.builds, e.Digest)
		m.untag(e.Digest)
	case Promote, Rollback, Clear:
		m.point(e)
	case StartCanary:
		m.channel(e, func(c *Channel) {
			canary := *e.Canary
			canary.Started, canary.By = e.Time, e.Actor
			c.Canary = &canary
		})
	case EndCanary:
		m.channel(e, func(c *Channel) { c.Canary = nil })
	case Deprecate:
		m.build(e.Digest, func(b *Build) { b.State, b.Reason = Deprecated, e.Reason })
	case Undeprecate:
		m.build(e.Digest, func(b *Build) { b.State, b.Reason = Released, "" })
	case Yank:
		m.build(e.Digest, func(b *Build) { b.State, b.Reason = Yanked, e.Reason })
	case Note: // changes nothing
	}
}

// hold says that a manifest names blobs, release that it is gone.
func (m *module) hold(parts []digest.Digest, by digest.Digest) {
	for _, d := range parts {
		if !slices.Contains(m.parts[d], by) {
			m.parts[d] = append(slices.Clip(m.parts[d]), by)
		}
	}
}

func (m *module) release(parts []digest.Digest, by digest.Digest) {
	for _, d := range parts {
		m.parts[d] = slices.DeleteFunc(slices.Clone(m.parts[d]), func(holder digest.Digest) bool { return holder == by })
	}
}

// build changes a build.
func (m *module) build(d digest.Digest, change func(*Build)) {
	b := *m.builds[d]
	change(&b)
	m.builds[d] = &b
}

// channel changes a channel, which is made if it is not there.
func (m *module) channel(e *Event, change func(*Channel)) {
	c := Channel{Module: m.name, Name: e.Channel}
	if old := m.channels[e.Channel]; old != nil {
		c = *old
	}
	c.Revision, c.Changed, c.By = c.Revision+1, e.Time, e.Actor
	change(&c)
	m.channels[e.Channel] = &c
}

// point makes a channel point at what an event says.
func (m *module) point(e *Event) {
	m.channel(e, func(c *Channel) {
		if e.Kind == Promote {
			if c.Digest != "" {
				c.before = append(slices.Clip(c.before), c.Digest)
			}
		} else if at := slices.Index(c.before, e.Digest); at >= 0 {
			c.before = c.before[:at]
		} else {
			c.before = nil
		}
		c.Digest, c.Version, c.Canary = e.Digest, e.Version, nil
	})
}

func (m *module) untag(d digest.Digest) {
	is := func(_ string, other digest.Digest) bool { return other == d }
	maps.DeleteFunc(m.tags, is)
	maps.DeleteFunc(m.versions, is)
}

// earlier is what a channel would be rolled back to: the last that it pointed at and that still can be had. nil: nothing.
func (m *module) earlier(c *Channel) *Build {
	for _, d := range slices.Backward(c.before) {
		if b := m.builds[d]; b != nil && b.usable() && d != c.Digest {
			return b
		}
	}
	return nil
}

func (b *Build) usable() bool { return b.State == Released || b.State == Deprecated }

func (m *module) sortedChannels() []Channel {
	list := make([]Channel, 0, len(m.channels))
	for _, name := range slices.Sorted(maps.Keys(m.channels)) {
		list = append(list, *m.channels[name])
	}
	return list
}

// compareVersions orders by SemVer; versions that differ in their build metadata only, by their text.
func compareVersions(a, b string) int {
	return cmp.Or(semver.Compare("v"+a, "v"+b), strings.Compare(a, b))
}

// isVersion says whether a tag is a version, and which: in a tag, _ stands for the + that cannot be in one.
func isVersion(tag string) (string, bool) {
	text := strings.ReplaceAll(strings.TrimPrefix(tag, "v"), "_", "+")
	if !semver.IsValid("v"+text) || strings.Count(strings.SplitN(text, "-", 2)[0], ".") < 2 {
		return "", false
	}
	return text, true
}
