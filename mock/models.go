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

// listed are the models that a provider of that API has: all that the options name, else those with its prefix.
func (x *exchange) listed(prefix string) []string {
	if !x.p.open {
		return x.p.models
	}
	var names []string
	for _, name := range x.p.models {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	return names
}

// listAnthropic answers GET /v1/models. https://docs.anthropic.com/en/api/models-list
func (x *exchange) listAnthropic() *apiError {
	if !x.begin() {
		return nil
	}
	names := x.listed("claude")
	dst := append(x.buf.out, `{"data":[`...)
	for i, name := range names {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendAnthropicModel(dst, name)
	}
	first, last := "", ""
	if len(names) > 0 {
		first, last = names[0], names[len(names)-1]
	}
	dst = appendOptional(append(dst, `],"has_more":false,"first_id":`...), first)
	dst = appendOptional(append(dst, `,"last_id":`...), last)
	x.buf.out = append(dst, "}\n"...)
	x.send(x.buf.out)
	return nil
}

// getAnthropic answers GET /v1/models/NAME.
func (x *exchange) getAnthropic() *apiError {
	name := strings.TrimPrefix(x.r.URL.Path, "/v1/models/")
	if fault := x.p.findModel(name); fault != nil {
		return fault
	}
	if !x.begin() {
		return nil
	}
	x.buf.out = append(appendAnthropicModel(x.buf.out, name), '\n')
	x.send(x.buf.out)
	return nil
}

func appendAnthropicModel(dst []byte, name string) []byte {
	dst = appendString(append(dst, `{"type":"model","id":`...), name, false)
	dst = appendString(append(dst, `,"display_name":`...), name, false)
	return append(dst, `,"created_at":"2024-05-10T00:00:00Z"}`...)
}

// listGoogle answers GET /v1beta/models. https://ai.google.dev/api/models
func (x *exchange) listGoogle() *apiError {
	if !x.begin() {
		return nil
	}
	dst := append(x.buf.out, `{"models":[`...)
	for i, name := range x.listed("gemini") {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendGoogleModel(dst, name)
	}
	x.buf.out = append(dst, "]}\n"...)
	x.send(x.buf.out)
	return nil
}

// getGoogle answers GET /v1beta/models/NAME.
func (x *exchange) getGoogle(name string) *apiError {
	if fault := x.p.findModel(name); fault != nil {
		return fault
	}
	if !x.begin() {
		return nil
	}
	x.buf.out = append(appendGoogleModel(x.buf.out, name), '\n')
	x.send(x.buf.out)
	return nil
}

func appendGoogleModel(dst []byte, name string) []byte {
	dst = appendString(append(dst, `{"name":`...), "models/"+name, false)
	dst = appendString(append(dst, `,"displayName":`...), name, false)
	return append(dst, `,"supportedGenerationMethods":["generateContent","countTokens"]}`...)
}
