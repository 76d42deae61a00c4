package llm

// ModelList writes the answer to a request for the list of models.
func ModelList(f Format, models []string, ownedBy string) []byte { return nil }
