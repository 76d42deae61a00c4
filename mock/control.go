package mock

import (
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

func isControlPath(path string) bool { return strings.HasPrefix(path, "/mock/") }

// serveControl answers what is asked of the mock itself:
//
//	POST   /mock/faults     set the behavior of the requests to come, as a JSON object of settings
//	GET    /mock/faults     what is set
//	DELETE /mock/faults     back to the options
//	GET    /mock/requests   what was received, oldest first; ?after=NUMBER for what came later
//	DELETE /mock/requests   forget it
func (p *Provider) serveControl(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "POST /mock/faults":
		b := p.options.Behavior
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<16))
		if err == nil {
			err = b.UnmarshalJSON(body)
		}
		if err != nil {
			writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
			return
		}
		p.SetFaults(b)
		writeJSON(w, http.StatusOK, b)
	case "GET /mock/faults":
		b := p.options.Behavior
		if f := p.faults.Load(); f != nil && !f.over(p.options.Now()) {
			b = f.behavior
		}
		writeJSON(w, http.StatusOK, b)
	case "DELETE /mock/faults":
		p.ClearFaults()
		w.WriteHeader(http.StatusNoContent)
	case "GET /mock/requests":
		after, err := strconv.ParseInt(cmp.Or(r.URL.Query().Get("after"), "0"), 10, 64)
		if err != nil {
			writeJSON(w, http.StatusBadRequest, map[string]string{"error": "after: is not the number of a request"})
			return
		}
		all := p.Requests()
		later, _ := slices.BinarySearchFunc(all, after+1, func(r Request, number int64) int { return cmp.Compare(r.Number, number) })
		writeJSON(w, http.StatusOK, all[later:])
	case "DELETE /mock/requests":
		p.ForgetRequests()
		w.WriteHeader(http.StatusNoContent)
	default:
		writeJSON(w, http.StatusNotFound, map[string]string{"error": "there is " +
			"POST, GET and DELETE /mock/faults, GET and DELETE /mock/requests"})
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // an error is a client that has left
}
