package catalog

import (
	"cmp"
	"slices"
	"strings"
)

// Found is a module that was searched for.
type Found struct {
	Name string
	// Latest is the newest version that can be used, before those that are deprecated and those before a release (rc and the
	// like); the zero value: there is none.
	Latest   Build
	Channels []Channel
}

// Search finds modules in whose name, description, kind and license all words are, the best first: the name itself, then
// names that begin with a word, then others. Without words it is all modules by name.
func (c *Catalog) Search(query string) []Found {
	words := strings.Fields(strings.ToLower(query))
	c.mu.RLock()
	modules := c.modules
	c.mu.RUnlock()
	type ranked struct {
		Found
		rank int
	}
	var all []ranked
	for name, m := range modules {
		if len(m.builds) == 0 {
			continue
		}
		f := Found{Name: name, Latest: m.latest(), Channels: m.sortedChannels()}
		if rank, hit := f.rank(words); hit {
			all = append(all, ranked{f, rank})
		}
	}
	slices.SortFunc(all, func(a, b ranked) int { return cmp.Or(b.rank-a.rank, strings.Compare(a.Name, b.Name)) })
	list := make([]Found, len(all))
	for i, one := range all {
		list[i] = one.Found
	}
	return list
}

// rank says whether all words are there, and how good that is.
func (f *Found) rank(words []string) (rank int, hit bool) {
	base := ModuleName(f.Name)
	text := strings.ToLower(strings.Join([]string{f.Name, f.Latest.Description, f.Latest.Kind, f.Latest.License}, " "))
	for _, word := range words {
		switch {
		case base == word || f.Name == word:
			rank += 4
		case strings.HasPrefix(base, word):
			rank += 3
		case strings.Contains(f.Name, word):
			rank += 2
		case strings.Contains(text, word):
			rank++
		default:
			return 0, false
		}
	}
	return rank, true
}

// latest is the newest version that can be used.
func (m *module) latest() Build {
	var best *Build
	for _, d := range m.versions {
		if b := m.builds[d]; b.usable() && (best == nil || better(b, best)) {
			best = b
		}
	}
	if best == nil {
		return Build{}
	}
	return *best
}

// better compares by state, then releases before what comes before them, then by SemVer.
func better(a, b *Build) bool {
	if a.State != b.State {
		return a.State == Released
	}
	if early := strings.Contains(a.Version, "-"); early != strings.Contains(b.Version, "-") {
		return !early
	}
	return compareVersions(a.Version, b.Version) > 0
}
