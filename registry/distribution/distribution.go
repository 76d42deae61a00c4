// Package distribution gives running Envoys their modules: it is the registry as an xDS server (ECDS).
//
// An Envoy, anybody's, has a filter slot: an HTTP filter that is filled by config_discovery and whose name says a channel,
// leash/MODULE@CHANNEL. The server answers with the Wasm filter of the version that the channel points at, the module's bytes
// inside, and with the next one when the channel moves. An Envoy that ran one version and refuses the next, or never answers,
// makes the channel go back; of a canary, also errors and latency do ([Server.Serve] and judge.go say when).
//
// Beside it an Envoy has a slot on standby, a filter that is disabled: it loads the version that is to come, which takes V8 seconds, so that a
// promotion ([Server.Promote]) takes none (standby.go).
//
// https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/overview/extension
package distribution

import (
	"fmt"
	"regexp"
)

// A Slot is a filter slot in an Envoy: a channel, and which of the configurations that there are for the module.
type Slot struct {
	// Module is its repository, such as acme/greeter; Channel is stable, or any other.
	Module, Channel string
	// Config names a configuration in the file of slots; "" is the module's default.
	Config string
	// Standby says that it is the slot beside the channel's, which loads what the channel will point at next and never runs it.
	Standby bool
}

var slotPattern = regexp.MustCompile(`^leash/([a-z0-9]+(?:(?:[._]|__|-+|/)[a-z0-9]+)*)@([a-z][a-z0-9._-]{0,62})(?:/([a-z0-9][a-z0-9._-]{0,62}))?(\+standby)?$`)

// ParseSlot reads leash/MODULE@CHANNEL, or leash/MODULE@CHANNEL/CONFIG, either with +standby behind it.
func ParseSlot(name string) (Slot, error) {
	m := slotPattern.FindStringSubmatch(name)
	if m == nil {
		return Slot{}, fmt.Errorf("read slot %q: its name is leash/MODULE@CHANNEL or leash/MODULE@CHANNEL/CONFIG, such as leash/acme/greeter@stable", name)
	}
	return Slot{Module: m[1], Channel: m[2], Config: m[3], Standby: m[4] != ""}, nil
}

// standby is how the name of a slot on standby ends.
const standby = "+standby"

// String is the slot's name in Envoy.
func (s Slot) String() string {
	name := "leash/" + s.Module + "@" + s.Channel
	if s.Config != "" {
		name += "/" + s.Config
	}
	if s.Standby {
		name += standby
	}
	return name
}
