package scenario

import _ "embed"

//go:embed schema.json
var schema []byte

// Schema is the JSON Schema of scenario files, made from the types of this package (go test -update refreshes it).
func Schema() []byte { return schema }
