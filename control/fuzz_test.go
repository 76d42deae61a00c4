package control

import (
	"os"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
)

// FuzzTranslate reads what may come from an Envoy, with names that modules have made up: whatever it is, what is shown can
// be read by Prometheus, and no name is shown twice.
func FuzzTranslate(f *testing.F) {
	page, err := os.ReadFile("testdata/envoy.prom")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(page))
	f.Add("# TYPE leash_x counter\nleash_x{tenant=\"a\"} 1\nleash_x{tenant=\"a\"} 2\n")
	f.Add("# TYPE envoy_cluster_upstream_rq_xx counter\nenvoy_cluster_upstream_rq_xx{envoy_cluster_name=\"a\",envoy_response_code_class=\"2\"} 1e400\n")
	f.Add("# TYPE envoy_cluster_a_b_membership_total histogram\nenvoy_cluster_a_b_membership_total_bucket{le=\"+Inf\"} NaN\n")
	f.Fuzz(func(t *testing.T, page string) {
		families, _, err := translate([]byte(page))
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, family := range merge(nil, families) {
			if seen[family.GetName()] {
				t.Errorf("%s is shown twice", family.GetName())
			}
			seen[family.GetName()] = true
			var b strings.Builder
			if _, err := expfmt.MetricFamilyToText(&b, family); err != nil {
				t.Errorf("%s cannot be shown: %v", family.GetName(), err)
			}
		}
	})
}
