package admission_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/registry/blobs"
	"github.com/leash-gateway/leash/registry/signing"
)

func TestLastGoodModuleIsTakenWhileItsRegistryIsDown(t *testing.T) {
	for name, tc := range map[string]struct {
		// meanwhile is what happens between the last start with a registry and the one without.
		meanwhile func(t *testing.T, s *stage, dir string)
		ref       string
		at        time.Time
		want      string // the error; "" for none
	}{
		"nothing happened":              {nil, "1.0.0", now, ""},
		"another version was asked for": {nil, "2.0.0", now, "it has never been brought to this machine"},
		"the signature ran out":         {nil, "1.0.0", now.Add(48 * time.Hour), "the signature of the one that is here ran out"},
		"the key ran out":               {nil, "1.0.0", now.AddDate(3, 0, 0), "the trust policy has changed"},
		"the policy revokes something": {func(_ *testing.T, s *stage, _ string) {
			text, _ := os.ReadFile(s.policy)
			s.write(string(text) + "revoked: [sha256:" + strings.Repeat("0", 64) + "]\n")
		}, "1.0.0", now, "the trust policy has changed"},
		"the file was changed": {func(t *testing.T, _ *stage, dir string) {
			t.Helper()
			files, _ := filepath.Glob(filepath.Join(dir, "sha256", "*"))
			for _, file := range files {
				if err := os.WriteFile(file, []byte("\x00asm\x01\x00\x00\x00"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}, "1.0.0", now, "the one that was here is no longer"},
		"the note was changed": {func(t *testing.T, _ *stage, dir string) {
			t.Helper()
			files, _ := filepath.Glob(filepath.Join(dir, "notes", "*"))
			for _, file := range files {
				if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}, "1.0.0", now, "what is noted of it here cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.sign(s.push("1.0.0", "1.0.0", "good"), s.release, signing.Options{Expires: now.Add(24 * time.Hour)})
			dir := t.TempDir()
			if _, err := s.runOn(blobs.In(dir), now, "ref: '"+s.address+"/team/greeter:1.0.0'"); err != nil {
				t.Fatal(err)
			}
			if tc.meanwhile != nil {
				tc.meanwhile(t, s, dir)
			}
			s.down.Store(true)
			c, err := s.runOn(blobs.In(dir), tc.at, "ref: '"+s.address+"/team/greeter:"+tc.ref+"'")
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("got %v", err)
			case tc.want == "":
				if wasm, err := os.ReadFile(c.Filters()[0].File); err != nil || manifestOf(t, wasm).Version != "1.0.0" {
					t.Errorf("got %v", err)
				}
			case err == nil || !strings.Contains(err.Error(), tc.want):
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}

// TestRegistryThatSaysNoIsNotTakenForOneThatIsDown: what it gave last is not taken then.
func TestRegistryThatSaysNoIsNotTakenForOneThatIsDown(t *testing.T) {
	s := newStage(t)
	s.signed("1.0.0", "1.0.0", "good")
	dir := blobs.In(t.TempDir())
	entry := "ref: '" + s.address + "/team/greeter:1.0.0'"
	if _, err := s.runOn(dir, now, entry); err != nil {
		t.Fatal(err)
	}
	s.push("1.0.0", "1.0.0", "another, unsigned")
	if _, err := s.runOn(dir, now, entry); err == nil || !strings.Contains(err.Error(), "no signature") {
		t.Errorf("got %v", err)
	}
}
