// Package distribution gives running Envoys their modules: it is the registry as an xDS server (ECDS).
//
// An Envoy, anybody's, has a filter slot: an HTTP filter that is filled by config_discovery and whose name says a channel,
// leash/MODULE@CHANNEL. The server answers with the Wasm filter of the version that the channel points at, the module's bytes
// inside, and with the next one when the channel moves. An Envoy that ran one version and refuses the next, or never answers,
// makes the channel go back; of a canary, also errors and latency do ([Server.Serve] and judge.go say when).
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
}

var slotPattern = regexp.MustCompile(`^leash/([a-z0-9]+(?:(?:[._]|__|-+|/)[a-z0-9]+)*)@([a-z][a-z0-9._-]{0,62})(?:/([a-z0-9][a-z0-9._-]{0,62}))?$`)

// ParseSlot reads leash/MODULE@CHANNEL, or leash/MODULE@CHANNEL/CONFIG.
func ParseSlot(name string) (Slot, error) {
	m := slotPattern.FindStringSubmatch(name)
	if m == nil {
		return Slot{}, fmt.Errorf("read slot %q: its name is leash/MODULE@CHANNEL or leash/MODULE@CHANNEL/CONFIG, such as leash/acme/greeter@stable", name)
	}
	return Slot{Module: m[1], Channel: m[2], Config: m[3]}, nil
}

// String is the slot's name in Envoy.
func (s Slot) String() string {
	name := "leash/" + s.Module + "@" + s.Channel
	if s.Config != "" {
		name += "/" + s.Config
	}
	return name
}
