package distribution

import (
	"context"
	"fmt"
	"os"
	"sync"

	"github.com/leash-gateway/leash/config"
)

// Slots are the configurations of modules in slots, as a file has them:
//
//	modules:
//	  acme/greeter:
//	    default: {greeting: hello}
//	    edge: {greeting: welcome}
//
// The slot leash/acme/greeter@stable gets the one called default, {} where there is none, and leash/acme/greeter@stable/edge
// the one called edge.
type Slots struct {
	// Modules are the configurations of each module, by their names.
	Modules map[string]map[string]config.Raw `yaml:"modules"`

	file string
}

// defaultConfig is the name of the configuration of slots that name none.
const defaultConfig = "default"

// LoadSlots reads the file.
func LoadSlots(file string) (*Slots, error) {
	text, err := os.ReadFile(file) //nolint:gosec // the operator names it
	if err != nil {
		return nil, fmt.Errorf("read slots: %w", err)
	}
	s := &Slots{file: file}
	if _, err := config.Decode(file, text, s); err != nil {
		return nil, fmt.Errorf("read slots: %w", err)
	}
	return s, nil
}

// config is the configuration of a slot.
func (s *Slots) config(slot Slot) ([]byte, error) {
	name := slot.Config
	if name == "" {
		name = defaultConfig
	}
	if s != nil {
		if found, ok := s.Modules[slot.Module][name]; ok {
			return found.MarshalJSON()
		}
	}
	if name == defaultConfig {
		return []byte("{}"), nil
	}
	file := "a file of slots, which the registry was started without"
	if s != nil {
		file = s.file
	}
	return nil, fmt.Errorf("there is no configuration %s of %s in %s", name, slot.Module, file)
}

// watchSlots reads the file of slots whenever it changes. One that is wrong changes nothing.
func (s *Server) watchSlots(ctx context.Context, waiting *sync.WaitGroup) error {
	if s.o.Slots == "" {
		return nil
	}
	changes := config.Watch(ctx, s.o.Slots)
	first, err := LoadSlots(s.o.Slots)
	if err != nil {
		return err
	}
	s.use(first)
	waiting.Go(func() {
		for range changes {
			next, err := LoadSlots(s.o.Slots)
			if err != nil {
				s.o.Log.Error("the file of slots is refused, the one before goes on", "error", err)
				continue
			}
			s.use(next)
		}
	})
	return nil
}

// use has all slots looked up with other configurations.
func (s *Server) use(slots *Slots) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slots = slots
	for name := range s.targets {
		s.dirty[name] = true
	}
	s.wake()
}
