package llm

// ModelList writes the answer to a request for the list of models in the format's own form:
//   - OpenAI, https://platform.openai.com/docs/api-reference/models/list;
//   - Anthropic, https://docs.anthropic.com/en/api/models-list;
//   - Google, https://ai.google.dev/api/models#method:-models.list.
//
// When a model was created is not known here, so it is the beginning of 1970.
func ModelList(f Format, models []string, ownedBy string) []byte {
	var b []byte
	switch f.Family() {
	case Anthropic:
		b = append(b, `{"data":[`...)
	case Google:
		b = append(b, `{"models":[`...)
	default:
		b = append(b, `{"object":"list","data":[`...)
	}
	for i, m := range models {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendModel(b, f, m, ownedBy)
	}
	b = append(b, ']')
	if f.Family() == Anthropic {
		b = append(b, `,"has_more":false,"first_id":`...)
		if len(models) == 0 {
			return append(b, `null,"last_id":null}`...)
		}
		b = appendString(b, models[0])
		b = append(b, `,"last_id":`...)
		b = appendString(b, models[len(models)-1])
	}
	return append(b, '}')
}

// ModelEntry writes the answer to a request for what is known of one model: its entry in the list.
func ModelEntry(f Format, model, ownedBy string) []byte { return appendModel(nil, f, model, ownedBy) }

func appendModel(b []byte, f Format, model, ownedBy string) []byte {
	switch f.Family() {
	case Anthropic:
		b = append(b, `{"type":"model","id":`...)
		b = appendString(b, model)
		b = append(b, `,"display_name":`...)
		b = appendString(b, model)
		return append(b, `,"created_at":"1970-01-01T00:00:00Z"}`...)
	case Google:
		b = append(b, `{"name":`...)
		b = appendString(b, "models/"+model)
		b = append(b, `,"displayName":`...)
		b = appendString(b, model)
		return append(b, `,"supportedGenerationMethods":["generateContent","countTokens"]}`...)
	default:
		b = append(b, `{"id":`...)
		b = appendString(b, model)
		b = append(b, `,"object":"model","created":0,"owned_by":`...)
		b = appendString(b, ownedBy)
		return append(b, '}')
	}
}
