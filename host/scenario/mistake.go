package scenario

import (
	"regexp"
	"slices"
	"strconv"
)

// complaint is what a module of Leash's kit says of its configuration: which module did not start, which of a pipeline in it complains, of
// which tenant's configuration, and of which value in it.
var complaint = regexp.MustCompile(`(?s)^start module ([^:]+): .*leash: configuration: ` +
	`modules\[(\d+)\] \([^)]*\): config(?: for tenant ([^:]*))?: ((?:[A-Za-z0-9_]+(?:\[\d+\]|\.[A-Za-z0-9_-]+)*)?): `)

// mistake is the path of the value in the file for which a module does not start; the scenario's own where that cannot be told.
func (f *File) mistake(scenario string, s *Scenario, err error) string {
	m := complaint.FindStringSubmatch(err.Error())
	if m == nil {
		return scenario
	}
	path, around := "config", f.with(s.Surroundings)
	switch {
	case !around.Leash.IsZero() || around.LeashFile != "":
		return scenario // which has been checked, and what modules read is made of it
	case around.Modules != nil:
		path = "modules[" + strconv.Itoa(slices.IndexFunc(around.Modules, func(one Module) bool { return one.Name == m[1] })) + "].config"
	}
	if own := scenario + "." + path; f.positions[own].line > 0 {
		path = own
	}
	if several := path + ".modules[" + m[2] + "]"; f.positions[several].line > 0 {
		path = several + ".config"
		if m[3] != "" {
			path = several + ".tenants." + m[3]
		}
	}
	return path + "." + m[4]
}
