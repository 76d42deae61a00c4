package credential_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leash-gateway/leash/control/credential"
)

// source is one whose answers a test says.
type source func(ctx context.Context, number int) (credential.Token, error)

type counted struct {
	source source
	n      atomic.Int64
}

func (c *counted) Token(ctx context.Context) (credential.Token, error) {
	return c.source(ctx, int(c.n.Add(1)))
}

func hour(_ context.Context, n int) (credential.Token, error) {
	return credential.NewToken(fmt.Sprint("token-", n), time.Now().Add(time.Hour)), nil
}

// keep runs a keeper in a bubble of its own time.
func keep(t *testing.T, s source, o credential.Options, test func(k *credential.Keeper, c *counted)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := &counted{source: s}
		k := credential.NewKeeper(c, o)
		done := make(chan error)
		go func() { done <- k.Run(ctx) }()
		synctest.Wait()
		test(k, c)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run returned %v", err)
		}
	})
}

func value(t *testing.T, k *credential.Keeper) string {
	t.Helper()
	token, err := k.Token()
	if err != nil {
		return err.Error()
	}
	return token.Reveal()
}

// after lets time go by.
func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestATokenIsReplacedAheadOfItsEnd(t *testing.T) {
	var seen []string
	keep(t, hour, credential.Options{OnChange: func(t credential.Token) { seen = append(seen, t.Reveal()) }}, func(k *credential.Keeper, _ *counted) {
		if got := value(t, k); got != "token-1" {
			t.Errorf("at first got %s", got)
		}
		if after(49 * time.Minute); value(t, k) != "token-1" {
			t.Errorf("after 49 minutes got %s", value(t, k))
		}
		if after(2 * time.Minute); value(t, k) != "token-2" {
			t.Errorf("after 51 minutes got %s", value(t, k))
		}
		after(24 * time.Hour)
		if got := value(t, k); got != fmt.Sprint("token-", len(seen)) || len(seen) < 29 {
			t.Errorf("after a day got %s of %d", got, len(seen))
		}
	})
}

func TestATokenOfAShortLifeIsReplacedAtHalfOfIt(t *testing.T) {
	keep(t, func(_ context.Context, n int) (credential.Token, error) {
		return credential.NewToken(fmt.Sprint("token-", n), time.Now().Add(time.Minute)), nil
	}, credential.Options{}, func(k *credential.Keeper, c *counted) {
		if after(31 * time.Second); value(t, k) != "token-2" || c.n.Load() != 2 {
			t.Errorf("got %s after %d", value(t, k), c.n.Load())
		}
	})
}

func TestFailuresAreTriedAgainAndTheOldTokenServesUntilItsEnd(t *testing.T) {
	keep(t, func(ctx context.Context, n int) (credential.Token, error) {
		if n > 1 && n < 40 {
			return credential.Token{}, errors.New("refused")
		}
		return hour(ctx, n)
	}, credential.Options{MaxRetry: time.Minute}, func(k *credential.Keeper, c *counted) {
		after(59 * time.Minute)
		if got := value(t, k); got != "token-1" || c.n.Load() < 10 {
			t.Errorf("after 59 minutes and %d attempts got %s", c.n.Load(), got)
		}
		after(2 * time.Minute)
		if got := value(t, k); got != "there is no token: refused" {
			t.Errorf("after its end got %s", got)
		}
		after(time.Hour)
		if got := value(t, k); got != "token-40" {
			t.Errorf("after all got %s", got)
		}
	})
}

func TestPausesGrowAndAreNotAllTheSame(t *testing.T) {
	var at []time.Duration
	began := time.Time{}
	keep(t, func(context.Context, int) (credential.Token, error) {
		if began.IsZero() {
			began = time.Now()
		}
		at = append(at, time.Since(began))
		return credential.Token{}, errors.New("refused")
	}, credential.Options{}, func(_ *credential.Keeper, _ *counted) {
		after(10 * time.Minute)
	})
	for i := 1; i < len(at); i++ {
		pause, most := at[i]-at[i-1], min(time.Second<<(i-1), time.Minute)
		if pause < most/2 || pause > most {
			t.Errorf("pause %d is %v, want between %v and %v", i, pause, most/2, most)
		}
	}
	if len(at) < 12 || len(at) > 30 {
		t.Errorf("%d attempts in ten minutes", len(at))
	}
}

func TestAnEndpointThatHangsIsGivenUp(t *testing.T) {
	keep(t, func(ctx context.Context, n int) (credential.Token, error) {
		if n == 1 {
			<-ctx.Done()
			return credential.Token{}, ctx.Err()
		}
		return hour(ctx, n)
	}, credential.Options{Timeout: 5 * time.Second}, func(k *credential.Keeper, _ *counted) {
		if after(4 * time.Second); !strings.Contains(value(t, k), "none was got yet") {
			t.Errorf("got %s", value(t, k))
		}
		if after(3 * time.Second); value(t, k) != "token-2" {
			t.Errorf("got %s", value(t, k))
		}
	})
}

func TestATokenThatHasExpiredAlreadyIsNone(t *testing.T) {
	for name, token := range map[string]credential.Token{"expired": credential.NewToken("x", time.Unix(1, 0)), "empty": {}} {
		keep(t, func(context.Context, int) (credential.Token, error) { return token, nil }, credential.Options{OnChange: func(credential.Token) { t.Errorf("%s was handed on", name) }},
			func(k *credential.Keeper, _ *counted) {
				if _, err := k.Token(); !errors.Is(err, credential.ErrNoToken) {
					t.Errorf("%s: got %v", name, err)
				}
			})
	}
}

func TestATokenIsInNoText(t *testing.T) {
	token := credential.NewToken("planted", time.Now())
	asJSON, err := json.Marshal(map[string]any{"t": token, "p": &token})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("a", "token", token, "pointer", &token)
	text := string(asJSON) + log.String() + fmt.Sprintf("%v %+v %#v %s %q %x %v", token, token, token, token, token, token, &token)
	if strings.Contains(text, "planted") || strings.Contains(text, fmt.Sprintf("%x", "planted")) {
		t.Errorf("the token is in %s", text)
	}
}
