package mock

import "strings"

// created is when the listed models were made, for all of them: the mock knows no better.
const created = 1715367049

// listModels answers GET /v1/models.
func (x *exchange) listModels() *apiError {
	if !x.begin() {
		return nil
	}
	dst := append(x.buf.out, `{"object":"list","data":[`...)
	for i, name := range x.p.models {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendModel(dst, name)
	}
	x.buf.out = append(dst, "]}\n"...)
	x.send(x.buf.out)
	return nil
}

// getModel answers GET /v1/models/NAME.
func (x *exchange) getModel() *apiError {
	name := strings.TrimPrefix(x.r.URL.Path, "/v1/models/")
	if fault := x.p.findModel(name); fault != nil {
		return fault
	}
	if !x.begin() {
		return nil
	}
	x.buf.out = append(appendModel(x.buf.out, name), '\n')
	x.send(x.buf.out)
	return nil
}

func appendModel(dst []byte, name string) []byte {
	dst = appendString(append(dst, `{"id":`...), name, false)
	dst = appendInt(append(dst, `,"object":"model","created":`...), created)
	return append(dst, `,"owned_by":"mock"}`...)
}
