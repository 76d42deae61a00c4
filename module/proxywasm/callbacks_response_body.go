//go:build wasip1 && !leash_no_response_body

package proxywasm

func init() { compiled.responseBody = true }

//go:wasmexport proxy_on_response_body
func onResponseBody(id, size uint32, end bool) (action int32) {
	x := exchangeOf(id)
	defer x.decide(&action)
	begun()
	return actionOf(x.flow.OnResponseBody(int(size), end))
}

//go:wasmexport proxy_on_response_trailers
func onResponseTrailers(id, _ uint32) (action int32) {
	x := exchangeOf(id)
	defer x.decide(&action)
	begun()
	return actionOf(x.flow.OnResponseTrailers())
}
