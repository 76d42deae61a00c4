// Package leash holds the sources that make up the kit: what a module of one's own is written against. It is not served
// by any module proxy, so the command carries it and writes it beside the module's project (package author/kit).
package leash

import "embed"

// Sources are the packages llm and module with what is below them, and the versions that they are built with.
//
//go:embed go.mod LICENSE llm/*.go llm/*.json module/*.go module/*/*.go
var Sources embed.FS
