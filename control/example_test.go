package control_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/leash-gateway/leash/control"
)

// The service is an http.Handler: a server of one's own serves it, and a test needs none.
func ExampleNewHandler() {
	ready := errors.New("the first configuration has not been taken yet")
	metrics := control.NewRegistry("v1.2.3")
	handler := control.NewHandler(control.Options{Ready: func() error { return ready }, Metrics: metrics})
	ask := func(path string) {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
		fmt.Print(w.Code, " ", w.Body)
	}
	ask("/healthz")
	ask("/readyz")
	metrics.ConfigLoaded(nil)
	ready = nil
	ask("/readyz")
	// Output:
	// 200 ok
	// 503 {"ready":false,"reasons":["the first configuration has not been taken yet"]}
	// 200 {"ready":true}
}

func ExampleNewRegistry() {
	metrics := control.NewRegistry("v1.2.3")
	metrics.ConfigLoaded(nil)
	metrics.ConfigLoaded(errors.New("routes: name at least one"))
	families, err := metrics.Gather()
	if err != nil {
		fmt.Println(err)
	}
	for _, family := range families {
		if family.GetName() == "leash_config_loads_total" {
			for _, m := range family.GetMetric() {
				fmt.Println(m.GetLabel()[0].GetValue(), m.GetCounter().GetValue())
			}
		}
	}
	// Output:
	// applied 1
	// rejected 1
}
