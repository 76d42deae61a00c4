//go:build wasip1 && !leash_no_response

package proxywasm

func init() { compiled.response = true }

//go:wasmexport proxy_on_response_headers
func onResponseHeaders(id, _ uint32, end bool) (action int32) {
	x := exchangeOf(id)
	defer x.decide(&action)
	begun()
	return actionOf(x.flow.OnResponseHeaders(end))
}
