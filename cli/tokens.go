package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/control/credential"
)

// tokens keeps those of service accounts fresh, off the way of requests. Each configuration has its accounts:
//
//  1. open begins to get tokens for those that are new.
//  2. commit ends those that the configuration in force does not have any more; or abandon the new ones, where it was refused.
type tokens struct {
	log *slog.Logger
	// start has a keeper run until stop is called, or leash ends.
	start func(*credential.Keeper) (stop func())
	// renewed is called when there is a new token.
	renewed func()

	mu   sync.Mutex
	kept accounts // of the configuration in force
	// first are the keys of the accounts that the engine has had no token of yet since leash was started.
	first []string
}

// accounts are those of a configuration, by the service account's key. Providers with the same one share a token.
type accounts map[string]*account

// An account is a service account, and what keeps its token.
type account struct {
	providers []string
	keeper    *credential.Keeper
	stop      func()
	given     bool // the engine has had a token
}

// An accountError says of a provider that its service account cannot be used.
type accountError struct {
	provider string
	err      error
}

// Error says why, and nothing secret.
func (e *accountError) Error() string { return fmt.Sprintf("provider %s: %v", e.provider, e.err) }

// Unwrap is why.
func (e *accountError) Unwrap() error { return e.err }

// open are the accounts of providers, whose keys these are. The error is an *accountError.
func (t *tokens) open(keys map[string]config.SecretValue) (accounts, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := accounts{}
	for _, provider := range slices.Sorted(maps.Keys(keys)) {
		key := keys[provider].Reveal()
		if next[key] == nil {
			if old := t.kept[key]; old != nil {
				next[key] = &account{keeper: old.keeper, stop: old.stop, given: old.given}
			} else if a, err := t.newAccount(key); err == nil {
				next[key] = a
			} else {
				t.end(next, t.kept)
				return nil, &accountError{provider, err}
			}
		}
		next[key].providers = append(next[key].providers, provider)
	}
	return next, nil
}

func (t *tokens) newAccount(key string) (*account, error) {
	source, err := credential.NewGoogle([]byte(key), credential.GoogleOptions{})
	if err != nil {
		return nil, err
	}
	keeper := credential.NewKeeper(source, credential.Options{
		OnChange: func(credential.Token) { t.renewed() }, Log: t.log.With("account", source.String()),
	})
	return &account{keeper: keeper, stop: t.start(keeper)}, nil
}

// end ends the accounts that others do not have.
func (*tokens) end(all, but accounts) {
	for key, a := range all {
		if but[key] == nil {
			a.stop()
		}
	}
}

func (t *tokens) commit(next accounts) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end(t.kept, next)
	if t.kept == nil {
		t.first = slices.Collect(maps.Keys(next))
	}
	t.kept = next
}

func (t *tokens) abandon(next accounts) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end(next, t.kept)
}

// inForce are the accounts of the configuration in force.
func (t *tokens) inForce() accounts {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.kept
}

// secrets are the tokens that there are, by provider.
func (all accounts) secrets() map[string]config.SecretValue {
	secrets := map[string]config.SecretValue{}
	for _, a := range all {
		token, err := a.keeper.Token()
		if err != nil {
			continue // the keeper has logged it
		}
		for _, provider := range a.providers {
			secrets[provider] = config.NewSecretValue(token.Reveal())
		}
	}
	return secrets
}

// gave notes that the engine has had tokens.
func (t *tokens) gave(secrets map[string]config.SecretValue) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range t.kept {
		if _, had := secrets[a.providers[0]]; had {
			a.given = true
		}
	}
}

var errNotGiven = errors.New("its token is on its way")

// ready is an error while there is an account for which the engine has had no token since leash was started. One that cannot be renewed
// later concerns its providers alone.
func (t *tokens) ready() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.first) > 0 {
		if a := t.kept[t.first[0]]; a != nil && !a.given { // else it is gone, or well
			_, err := a.keeper.Token()
			return fmt.Errorf("provider %s: %w", a.providers[0], cmp.Or(err, errNotGiven))
		}
		t.first = t.first[1:]
	}
	return nil
}

// renewTimeout is how long an engine may take to take tokens.
const renewTimeout = 30 * time.Second

// renew gives the engine the tokens that there are.
func (g *gateway) renew(ctx context.Context) {
	g.applying.Lock()
	defer g.applying.Unlock()
	limited, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	secrets := g.tokens.inForce().secrets()
	switch err := g.engine.renew(limited, secrets); {
	case err == nil:
		g.tokens.gave(secrets)
	case ctx.Err() == nil:
		g.log.Error("give the engine new tokens of providers", "error", err)
	}
}
