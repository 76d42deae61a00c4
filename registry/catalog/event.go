package catalog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// Kind says what happened.
type Kind string

// The kinds of events. Those that change what a channel points at are Promote, Rollback and Clear.
const (
	// Push: a build was pushed. It is pending until it is released.
	Push Kind = "push"
	// Release: the trust policy accepts a build.
	Release Kind = "release"
	// Tag: a name that is neither version nor channel points at a build or an attachment. Untag: it does no longer.
	Tag   Kind = "tag"
	Untag Kind = "untag"
	// Attach: a signature or the like was pushed. Detach: it was removed.
	Attach Kind = "attach"
	Detach Kind = "detach"
	// Withdraw: a build that was pending was removed.
	Withdraw Kind = "withdraw"
	// Promote: a channel points at another version.
	Promote Kind = "promote"
	// Rollback: a channel points at an earlier version again.
	Rollback Kind = "rollback"
	// Clear: a channel points at nothing, as what it pointed at was yanked and there was nothing before.
	Clear Kind = "clear"
	// StartCanary and EndCanary: a version is tried, and no longer.
	StartCanary Kind = "start_canary"
	EndCanary   Kind = "end_canary"
	// Deprecate and Undeprecate: of a version.
	Deprecate   Kind = "deprecate"
	Undeprecate Kind = "undeprecate"
	// Yank: a version was taken back, for good.
	Yank Kind = "yank"
	// Note: somebody wanted something to be remembered; it changes nothing.
	Note Kind = "note"
)

// An Event is what somebody did, or what happened.
type Event struct {
	// Seq counts events from 1.
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"`
	// Actor is who did it, Via through what.
	Actor string `json:"actor"`
	Via   string `json:"via,omitempty"`
	Kind  Kind   `json:"kind"`
	// What it is about; what does not concern it is empty.
	Module  string        `json:"module"`
	Version string        `json:"version,omitempty"`
	Tag     string        `json:"tag,omitempty"`
	Channel string        `json:"channel,omitempty"`
	Digest  digest.Digest `json:"digest,omitempty"`
	// Previous is what the channel or tag pointed at before.
	Previous digest.Digest `json:"previous,omitempty"`
	// Reason is in the words of the actor.
	Reason  string            `json:"reason,omitempty"`
	Details map[string]string `json:"details,omitempty"`

	Build      *Build      `json:"build,omitempty"`
	Attachment *Attachment `json:"attachment,omitempty"`
	Canary     *Canary     `json:"canary,omitempty"`

	// Chain is the SHA-256 of the chain before and of this event, in hexadecimal digits.
	Chain string `json:"-"`
}

// encode is the event as it is kept: the chain, and behind it the event in JSON.
func (e *Event) encode(before string) ([]byte, error) {
	text, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	sum := chain(before, text)
	e.Chain = hex.EncodeToString(sum)
	return append(sum, text...), nil
}

func chain(before string, text []byte) []byte {
	sum := sha256.New()
	_, _ = io.WriteString(sum, before)
	_, _ = sum.Write(text)
	return sum.Sum(nil)
}

// decode reads what encode has made.
func (e *Event) decode(kept []byte) error {
	if len(kept) < sha256.Size {
		return io.ErrUnexpectedEOF
	}
	e.Chain = hex.EncodeToString(kept[:sha256.Size])
	return json.Unmarshal(kept[sha256.Size:], e)
}

var (
	logBucket       = []byte("log")
	downloadsBucket = []byte("downloads")
)

// openLog opens the file of the log.
func openLog(file string) (*bbolt.DB, error) {
	const lockTimeout = 2 * time.Second
	db, err := bbolt.Open(file, 0o600, &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType})
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return nil, errors.New("another process has it open")
	}
	if errors.Is(err, bbolterrors.ErrInvalid) || errors.Is(err, bbolterrors.ErrVersionMismatch) || errors.Is(err, bbolterrors.ErrChecksum) {
		return nil, fmt.Errorf("%w: the file is damaged: restore it from a backup", err)
	}
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{logBucket, downloadsBucket} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func logKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

// replay makes the modules of the log, and verifies its chain.
func (c *Catalog) replay() error {
	return c.db.View(func(tx *bbolt.Tx) error {
		at := tx.Bucket(logBucket).Cursor()
		for key, value := at.First(); key != nil; key, value = at.Next() {
			e := Event{}
			seq := c.last.Seq + 1
			if err := e.decode(value); err != nil || e.Seq != seq || !bytes.Equal(key, logKey(seq)) ||
				!bytes.Equal(chain(c.last.Chain, value[sha256.Size:]), value[:sha256.Size]) {
				return fmt.Errorf("event %d of the log is not what was written: the file is damaged, or somebody has edited it: restore it from a backup", seq)
			}
			m := c.modules[e.Module]
			if m == nil {
				m = newModule(e.Module)
				c.modules[e.Module] = m
			}
			m.apply(&e) // nobody else sees it yet
			c.last = e
		}
		return nil
	})
}

// Seq is the number of the last event.
func (c *Catalog) Seq() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.last.Seq
}

// watchBatch is how many events are read at once.
const watchBatch = 256

// Watch gives every event after the one with the number after, in their order, and then waits for more. It ends with the
// context's error when ctx or the catalogue ends. None is left out, however slow the caller is.
func (c *Catalog) Watch(ctx context.Context, after uint64) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for {
			c.mu.RLock()
			last, news := c.last.Seq, c.news
			c.mu.RUnlock()
			for after < last {
				events, err := c.events(after, watchBatch)
				if err != nil {
					yield(Event{}, err)
					return
				}
				for _, e := range events {
					if !yield(e, nil) {
						return
					}
					after = e.Seq
				}
			}
			select {
			case <-news:
			case <-ctx.Done():
				yield(Event{}, ctx.Err())
				return
			case <-c.stopped:
				yield(Event{}, errClosed)
				return
			}
		}
	}
}

// events are at most so many events after a number.
func (c *Catalog) events(after uint64, most int) (list []Event, err error) {
	err = c.db.View(func(tx *bbolt.Tx) error {
		at := tx.Bucket(logBucket).Cursor()
		for key, value := at.Seek(logKey(after + 1)); key != nil && len(list) < most; key, value = at.Next() {
			var e Event
			if err := e.decode(value); err != nil {
				return fmt.Errorf("read event %x: %w", key, err)
			}
			list = append(list, e)
		}
		return nil
	})
	return list, err
}

// A Query picks events.
type Query struct {
	// Module is that of the events; "": all.
	Module string
	// Before picks events with smaller numbers, for the next page; 0: the latest.
	Before uint64
	// Limit bounds how many there are. Default 100.
	Limit int
}

// History are events, the latest first.
func (c *Catalog) History(q Query) (list []Event, err error) {
	const most = 100
	if q.Limit <= 0 {
		q.Limit = most
	}
	seqs, err := c.seqs(q)
	if err != nil {
		return nil, err
	}
	err = c.db.View(func(tx *bbolt.Tx) error {
		kept := tx.Bucket(logBucket)
		for seq := range seqs {
			if len(list) == q.Limit {
				return nil
			}
			var e Event
			if err := e.decode(kept.Get(logKey(seq))); err != nil {
				return fmt.Errorf("read event %d: %w", seq, err)
			}
			list = append(list, e)
		}
		return nil
	})
	return list, err
}

// seqs are the numbers of the events that a query picks, the latest first.
func (c *Catalog) seqs(q Query) (iter.Seq[uint64], error) {
	before := c.Seq() + 1
	if q.Before > 0 {
		before = min(before, q.Before)
	}
	if q.Module == "" {
		return func(yield func(uint64) bool) {
			for seq := before - 1; seq > 0 && yield(seq); seq-- { //nolint:revive // yield says when to stop
			}
		}, nil
	}
	m, err := c.module(q.Module)
	if err != nil {
		return nil, err
	}
	at, _ := slices.BinarySearch(m.events, before)
	return func(yield func(uint64) bool) {
		for _, seq := range slices.Backward(m.events[:at]) {
			if !yield(seq) {
				return
			}
		}
	}, nil
}
