package control

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestAProviderThatIsGoneHasNoState(t *testing.T) {
	address := envoy(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("# TYPE leash_breaker_open_until_milliseconds gauge\n" +
			"leash_breaker_open_until_milliseconds{provider=\"gone\"} 1\n" +
			"leash_breaker_open_until_milliseconds{provider=\"here\"} 1\n" +
			"# TYPE leash_attempts_total counter\nleash_attempts_total{provider=\"gone\"} 3\n" +
			"# TYPE envoy_cluster_membership_healthy gauge\n" +
			"envoy_cluster_membership_healthy{envoy_cluster_name=\"gone\"} 1\n" +
			"# TYPE envoy_server_memory_allocated gauge\nenvoy_server_memory_allocated 1\n"))
	})
	_, page := get(t, NewHandler(Options{EnvoyAdmin: address, IsGone: func(provider string) bool { return provider == "gone" }}), "/metrics")
	for line, want := range map[string]bool{
		`leash_breaker_state{provider="here"} 1`: true, `leash_attempts_total{provider="gone"} 3`: true, `leash_envoy_memory_bytes 1`: true,
		`leash_breaker_state{provider="gone"}`: false, `leash_breaker_open_until_milliseconds{provider="gone"}`: false,
		`leash_provider_healthy`: false, `leash_envoy_endpoints_healthy`: false,
	} {
		if strings.Contains(page, line) != want {
			t.Errorf("%s is there: %t, want %t\n%s", line, !want, want, linesOf(page, "leash_"))
		}
	}
}

func TestStatesOfBreakersFollowFromTheTime(t *testing.T) {
	soon, past := strconv.FormatInt(time.Now().Add(time.Hour).UnixMilli(), 10), strconv.FormatInt(time.Now().Add(-time.Hour).UnixMilli(), 10)
	tests := map[string]struct {
		open, cool, endpoints string
		state, healthy        string
	}{
		"closed":                         {"0", "0", "1", "0", "1"},
		"open":                           {soon, "0", "1", "2", "0"},
		"half open, once its time is up": {past, "0", "1", "1", "1"},
		"asked to be left alone":         {"0", soon, "1", "2", "0"},
		"no more":                        {"0", past, "1", "0", "1"},
		"half open, and to be left":      {past, soon, "1", "2", "0"},
		"not there":                      {"0", "0", "0", "0", "0"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			address := envoy(t, func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write([]byte("# TYPE leash_breaker_open_until_milliseconds gauge\n" +
					"leash_breaker_open_until_milliseconds{provider=\"open.ai#2\"} " + tc.open + "\n" +
					"# TYPE leash_cool_down_until_milliseconds gauge\n" +
					"leash_cool_down_until_milliseconds{provider=\"open.ai#2\"} " + tc.cool + "\n" +
					"# TYPE envoy_cluster_membership_healthy gauge\n" +
					"envoy_cluster_membership_healthy{envoy_cluster_name=\"open_ai_2\"} " + tc.endpoints + "\n" +
					"envoy_cluster_membership_healthy{envoy_cluster_name=\"other\"} 1\n"))
			})
			_, page := get(t, NewHandler(Options{EnvoyAdmin: address, Provider: func(statName string) string { return strings.Replace(statName, "open_ai_2", "open.ai#2", 1) }}), "/metrics")
			for line, want := range map[string]string{
				`leash_breaker_state{provider="open.ai#2"}`: tc.state, `leash_provider_healthy{provider="open.ai#2"}`: tc.healthy,
				`leash_provider_healthy{provider="other"}`: "1", `leash_envoy_endpoints_healthy{provider="open.ai#2"}`: tc.endpoints,
			} {
				if !strings.Contains(page, line+" "+want+"\n") {
					t.Errorf("want %s %s in\n%s", line, want, linesOf(page, "leash_"))
				}
			}
		})
	}
}
