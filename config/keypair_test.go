package config_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/internal/nettest"
)

// writePair writes a certificate and its key, and gives the file another time than it had.
func writePair(t *testing.T, k *config.KeyPair, from, until time.Time) {
	t.Helper()
	cert, key := nettest.PEM(t, nettest.NewAuthority(t).Issue(t, nettest.Validity{From: from, Until: until}))
	replace(t, k.Key, key)
	replace(t, k.Cert, cert)
}

func replace(t *testing.T, file string, content string) {
	t.Helper()
	changed := time.Now()
	if info, err := os.Stat(file); err == nil {
		changed = info.ModTime().Add(time.Second)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, changed, changed); err != nil {
		t.Fatal(err)
	}
}

// pairAt is a pair in files that are not there yet, its clock, and what it logs.
func pairAt(t *testing.T, now *time.Time) (*config.KeyPair, *bytes.Buffer) {
	t.Helper()
	dir, logged := t.TempDir(), &bytes.Buffer{}
	return &config.KeyPair{
		Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key"),
		Log: slog.New(slog.NewTextHandler(logged, nil)), Now: func() time.Time { return *now },
	}, logged
}

const day = 24 * time.Hour

func TestACertificateThatClientsRefuseIsToldAtTheStart(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		from, until time.Duration // from now
		want        string        // a part of the line; "" for none
	}{
		"good":                          {-30 * day, 60 * day, ""},
		"expired":                       {-90 * day, -time.Hour, `level=WARN msg="the certificate has expired, so clients refuse it: replace it" file=FILE not_after=2026-11-30T11:00:00.000Z`},
		"of tomorrow":                   {day, 90 * day, `msg="the certificate is not valid yet, so clients refuse it: replace it, or set the clock of this machine" file=FILE not_before=2026-12-01T12:00:00.000Z`},
		"ends within days":              {-84 * day, 6 * day, `msg="the certificate ends soon: renew it" file=FILE not_after=2026-12-06T12:00:00.000Z`},
		"short-lived":                   {-12 * time.Hour, 12 * time.Hour, ""},
		"short-lived, in its last part": {-20 * time.Hour, 4 * time.Hour, "ends soon"},
	} {
		t.Run(name, func(t *testing.T) {
			k, logged := pairAt(t, &now)
			writePair(t, k, now.Add(tc.from), now.Add(tc.until))
			if err := k.Open(); err != nil {
				t.Fatal(err)
			}
			if got, want := logged.String(), strings.ReplaceAll(tc.want, "FILE", k.Cert); !strings.Contains(got, want) || (got == "") != (want == "") {
				t.Errorf("got %s\nwant %s", got, want)
			}
		})
	}
}

func TestACertificateThatGrowsOldIsToldOnceADay(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	k, logged := pairAt(t, &now)
	writePair(t, k, now.Add(-80*day), now.Add(10*day))
	if err := k.Open(); err != nil {
		t.Fatal(err)
	}
	first, _ := k.Certificate(nil)
	for range 12 * 24 {
		now = now.Add(time.Hour)
		_, _ = k.Certificate(nil)
	}
	if soon, expired := strings.Count(logged.String(), "ends soon"), strings.Count(logged.String(), "has expired"); soon != 7 || expired != 2 {
		t.Errorf("told %d and %d times:\n%s", soon, expired, logged)
	}
	logged.Reset()
	replace(t, k.Cert, "half a certificate")
	for range 3 {
		if got, err := k.Certificate(nil); err != nil || got != first {
			t.Errorf("got %v, %v while the files are replaced", got, err)
		}
	}
	if got := logged.String(); strings.Count(got, "the one before goes on") != 1 {
		t.Errorf("got %s", got)
	}
	logged.Reset()
	writePair(t, k, now.Add(-day), now.Add(90*day))
	if got, err := k.Certificate(nil); err != nil || got == first || logged.Len() > 0 {
		t.Errorf("got %v, %v, %s, want the new one and no word", got, err, logged)
	}
}

func TestFilesOfAPairThatAreWrongAreNamed(t *testing.T) {
	now := time.Now()
	k, _ := pairAt(t, &now)
	if err := k.Open(); err == nil || !strings.Contains(err.Error(), k.Cert) {
		t.Errorf("without a file: %v", err)
	}
	writePair(t, k, now, now.Add(day))
	replace(t, k.Key, "no key")
	if err := k.Open(); err == nil || !strings.Contains(err.Error(), k.Key) {
		t.Errorf("with a key that is none: %v", err)
	}
}

func TestCertificatesThatVouchForNobodyAreToldOf(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	old, good := &config.KeyPair{}, &config.KeyPair{}
	dir := t.TempDir()
	for name, k := range map[string]*config.KeyPair{"old": old, "good": good} {
		k.Cert, k.Key = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	}
	writePair(t, old, now.AddDate(-1, 0, 0), now.AddDate(0, 0, -1))
	writePair(t, good, now.AddDate(-1, 0, 0), now.AddDate(0, 0, 1))
	both := filepath.Join(dir, "both.crt")
	first, _ := os.ReadFile(old.Cert)
	second, _ := os.ReadFile(good.Cert)
	replace(t, both, string(first)+string(second))
	leash, err := config.Parse("leash.yaml", []byte(`
providers: {a: {base_url: "https://a.example.com/v1", ca_file: `+old.Cert+`}, b: {base_url: "https://b.example.com/v1", ca_file: `+old.Cert+`}, c: {base_url: "https://c.example.com/v1", ca_file: `+both+`}}
routes: [{model: m, provider: a}]
allow_anonymous: true
pipeline: [{module: logger}]
`), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	logged := &bytes.Buffer{}
	leash.TellExpiredCertificates(slog.New(slog.NewTextHandler(logged, nil)), now)
	if got := logged.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "file="+old.Cert+" not_after=2026-11-29T12:00:00.000Z") {
		t.Errorf("logged %s", got)
	}
}
