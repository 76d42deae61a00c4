package llm

// ModelList writes the answer to GET /v1/models (https://platform.openai.com/docs/api-reference/models/list), in
// OpenAI's form for all formats so far. When a model was created is not known here, so it is 0.
func ModelList(_ Format, models []string, ownedBy string) []byte {
	b := []byte(`{"object":"list","data":[`)
	for i, m := range models {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"id":`...)
		b = appendString(b, m)
		b = append(b, `,"object":"model","created":0,"owned_by":`...)
		b = appendString(b, ownedBy)
		b = append(b, '}')
	}
	return append(b, "]}"...)
}
