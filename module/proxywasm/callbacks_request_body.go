//go:build wasip1 && !leash_no_request_body

package proxywasm

func init() { compiled.requestBody = true }

//go:wasmexport proxy_on_request_body
func onRequestBody(id, size uint32, end bool) (action int32) {
	x := exchangeOf(id)
	defer x.decide(&action)
	begun()
	return actionOf(x.flow.OnRequestBody(int(size), end))
}

//go:wasmexport proxy_on_request_trailers
func onRequestTrailers(id, _ uint32) (action int32) {
	x := exchangeOf(id)
	defer x.decide(&action)
	begun()
	return actionOf(x.flow.OnRequestTrailers())
}
