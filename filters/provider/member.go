package provider

import (
	"bytes"

	"github.com/leash-gateway/leash/llm"
)

// modelOf is the model that a request names in its body.
func modelOf(body []byte) string {
	c := llm.NewCursor(body, false)
	for o := c.Object(); c.Member(&o); c.Skip() {
		if string(o.Name) == "model" && c.Next() == '"' {
			return c.String()
		}
	}
	return ""
}

var errorName = []byte(`"error"`)

// failureIn tells whether an answer is an error in spite of its status, as {"error":{"message":"…"}} is, and what it says.
func failureIn(body []byte) (message string, failed bool) {
	if !bytes.Contains(body, errorName) { // most are none, and are not read twice
		return "", false
	}
	c := llm.NewCursor(body, true)
	for o := c.Object(); c.Member(&o); c.Skip() {
		if string(o.Name) != "error" || c.Next() != '{' {
			continue
		}
		for e := c.Object(); c.Member(&e); c.Skip() {
			if string(e.Name) == "message" && c.Next() == '"' {
				return c.String(), true
			}
		}
		return "", true
	}
	return "", false
}
