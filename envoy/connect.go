package envoy

import (
	"time"

	"github.com/leash-gateway/leash/config"
)

// Envoy bounds connecting by the cluster. So where a route has a bound of its own, its provider has another cluster beside the usual one,
// alike but for that (docs/decisions/122-a-cluster-for-each-connect-timeout.md).

// clusterWithin is the cluster of a provider to which connections come about within a bound; 0 is the provider's own.
func clusterWithin(provider string, connect config.Duration) string {
	if connect == 0 {
		return clusterName(provider)
	}
	return clusterName(provider) + "~" + time.Duration(connect).String()
}
