package catalog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"go.etcd.io/bbolt"
)

// Registry is the name of the registry itself, where it does something.
const Registry = "registry"

// An Actor is who does something.
type Actor struct {
	// Name is the principal's, such as token:ci or ada@example.com; [Registry] is the registry itself.
	Name string
	// Via is through what: oci, api, distribution.
	Via string
}

var errClosed = errors.New("the catalogue is closed")

// change is something that somebody wants to be done.
type change struct {
	do   func(*transaction) error
	done chan error
}

// change does something in a transaction. When it returns nil, it is done and kept.
func (c *Catalog) change(ctx context.Context, do func(*transaction) error) error {
	wanted := &change{do: do, done: make(chan error, 1)}
	select {
	case c.changes <- wanted:
		return <-wanted.done // it is under way: whether it was kept must be told
	case <-ctx.Done():
		return ctx.Err()
	case <-c.stopped:
		return errClosed
	}
}

// maxBatch is how many changes are written at once: those that came while others were written.
const maxBatch = 64

// flushEvery is how often counts of downloads are written.
const flushEvery = 5 * time.Second

// commit does changes until the catalogue is closed.
func (c *Catalog) commit() {
	ticker := time.NewTicker(flushEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			_ = c.flush() // counts that cannot be written are counted on, and written the next time
		case first := <-c.changes:
			batch := []*change{first}
			for more := true; more && len(batch) < maxBatch; {
				select {
				case next := <-c.changes:
					batch = append(batch, next)
				default:
					more = false
				}
			}
			c.write(batch)
		case <-c.stopped:
			return
		}
	}
}

// write does several changes in one transaction of the file. Each is done whole or not at all.
func (c *Catalog) write(batch []*change) {
	t := &transaction{c: c, last: c.last, changed: map[string]*module{}}
	var kept []*change
	for _, one := range batch {
		before := t.save()
		if err := one.do(t); err != nil {
			t.restore(before)
			one.done <- err
			continue
		}
		kept = append(kept, one)
	}
	err := c.keep(t.events)
	if err == nil {
		c.publish(t)
	}
	for _, one := range kept {
		one.done <- err
	}
}

// keep writes events to the log.
func (c *Catalog) keep(events []*Event) error {
	if len(events) == 0 {
		return nil
	}
	before := c.last.Chain
	err := c.db.Update(func(tx *bbolt.Tx) error {
		kept := tx.Bucket(logBucket)
		kept.FillPercent = 1 // keys only grow
		for _, e := range events {
			text, err := e.encode(before)
			if err != nil {
				return err
			}
			if err := kept.Put(logKey(e.Seq), text); err != nil {
				return err
			}
			before = e.Chain
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write the catalogue's log: %w", err)
	}
	return nil
}

// publish shows to everybody what has been kept.
func (c *Catalog) publish(t *transaction) {
	if len(t.events) == 0 {
		return
	}
	modules := maps.Clone(c.modules)
	maps.Copy(modules, t.changed)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.modules, c.last = modules, *t.events[len(t.events)-1]
	close(c.news)
	c.news = make(chan struct{})
}

// transaction is what changes see and make before it is kept.
type transaction struct {
	c       *Catalog
	changed map[string]*module
	events  []*Event
	last    Event
}

type savepoint struct {
	changed map[string]*module
	events  int
	last    Event
}

func (t *transaction) save() savepoint {
	return savepoint{maps.Clone(t.changed), len(t.events), t.last}
}

func (t *transaction) restore(s savepoint) {
	t.changed, t.events, t.last = s.changed, t.events[:s.events], s.last
}

// module is a module as the changes before have left it.
func (t *transaction) module(name string) (*module, error) {
	m := t.changed[name]
	if m == nil {
		m = t.c.modules[name]
	}
	if m == nil {
		return nil, fmt.Errorf("module %s: %w", name, ErrNotFound)
	}
	return m, nil
}

// emit adds an event and makes it true.
func (t *transaction) emit(a Actor, e Event) {
	e.Seq, e.Time, e.Actor, e.Via = t.last.Seq+1, t.c.options.Now().UTC(), a.Name, a.Via
	t.last = e
	m, err := t.module(e.Module)
	if err != nil {
		m = newModule(e.Module)
	} else {
		m = m.clone()
	}
	m.apply(&e)
	t.changed[e.Module] = m
	t.events = append(t.events, &e)
}

// Record adds a note to the log: something that somebody will want to know, such as that an Envoy refused a module. Kind,
// number and time are filled in; the module must be known.
func (c *Catalog) Record(ctx context.Context, a Actor, e Event) error {
	return c.change(ctx, func(t *transaction) error {
		if _, err := t.module(e.Module); err != nil {
			return err
		}
		e.Kind = Note
		e.Build, e.Attachment, e.Canary = nil, nil, nil
		t.emit(a, e)
		return nil
	})
}
