package admission

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/leash-gateway/leash/registry/remote"
)

// last is what a reference gave when its registry was reached the last time. Its bytes are among the blobs, under their digest.
type last struct {
	Ref  string        `json:"ref"`
	Wasm digest.Digest `json:"wasm"`
	// Trust is the fingerprint of the policy that let it run; "": none was asked.
	Trust digest.Digest `json:"trust,omitempty"`
	// Until is when the first of its signatures runs out.
	Until time.Time `json:"until,omitzero"`
}

// remember keeps what a reference gives now, for a start at which its registry is not reached.
func (a *admission) remember(r remote.Reference, wasm []byte, until time.Time) error {
	if _, err := a.o.Blobs.Put(wasm); err != nil {
		return err
	}
	verdict, err := a.fingerprint()
	if err != nil {
		return err
	}
	note, err := json.Marshal(last{Ref: r.String(), Wasm: digest.FromBytes(wasm), Trust: verdict, Until: until})
	if err != nil {
		return fmt.Errorf("remember %s: %w", r, err)
	}
	return a.o.Blobs.Note(r.String(), note)
}

// lastGood is the module that a reference gave last, if all that let it run then still does: the same trust policy with the same keys, and
// signatures that have not run out.
func (a *admission) lastGood(r remote.Reference) ([]byte, error) {
	note, err := a.o.Blobs.Noted(r.String())
	if errors.Is(err, os.ErrNotExist) {
		return nil, errors.New("and it has never been brought to this machine")
	}
	var l last
	if err == nil {
		err = json.Unmarshal(note, &l)
	}
	if err != nil || l.Ref != r.String() {
		return nil, errors.New("and what is noted of it here cannot be read")
	}
	verdict, err := a.fingerprint()
	switch {
	case err != nil:
		return nil, err
	case l.Trust != verdict:
		return nil, errors.New("and the trust policy has changed since it was brought here, so its signatures must be looked at anew")
	case !l.Until.IsZero() && a.now.After(l.Until):
		return nil, fmt.Errorf("and the signature of the one that is here ran out at %s", l.Until.Format(time.RFC3339))
	}
	file, err := a.o.Blobs.Get(l.Wasm)
	if err != nil {
		return nil, fmt.Errorf("and the one that was here is no longer: %w", err)
	}
	wasm, err := os.ReadFile(file) //nolint:gosec // named by its digest
	if err == nil && digest.FromBytes(wasm) != l.Wasm {
		err = errors.New("and the one that is here has just been changed")
	}
	if err != nil {
		return nil, err
	}
	return wasm, Versioned(r, wasm)
}

func (a *admission) fingerprint() (digest.Digest, error) {
	if a.trust == nil {
		return "", nil
	}
	return a.trust.Fingerprint(a.now)
}
