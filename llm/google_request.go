package llm

import (
	"strconv"
	"strings"
)

// maxGoogleFields bounds the fields of an object of Google's APIs; the largest known has 20.
const maxGoogleFields = 64

// field is the name of the member of o that was gone to last, in lower case and without underscores, valid until the next
// call: Google's servers read "systemInstruction" and "system_instruction" alike (https://protobuf.dev/programming-guides/json),
// and so an object with both means different things to different readers, and is refused.
func (r *blockReader) field(o *object) []byte {
	if o.n > maxGoogleFields {
		r.fail(r.pos, "object with more than "+strconv.Itoa(maxGoogleFields)+" fields")
		return nil
	}
	last := r.open.n - 1
	name := r.name(*r.open.last())
	barred := r.barred
	if barred {
		o.barred = true
	}
	for i := o.keys; i < last && o.barred; i++ { // without underscores the scanner has compared them
		if other := r.name(r.open.at(i)); sameField(other, name) {
			r.fail(r.pos, "keys "+quoteKey(other)+" and "+quoteKey(name)+" are two spellings of the same")
			return nil
		}
	}
	if !r.lowered {
		name = r.folded(name)
	}
	if !barred {
		return name
	}
	r.lower = append(r.lower[:0], name...) // which may be itself
	kept := r.lower[:0]
	for _, c := range r.lower {
		if c != '_' {
			kept = append(kept, c)
		}
	}
	return kept
}

// sameField compares names without underscores and in any case.
func sameField(a, b []byte) bool {
	for {
		for len(a) > 0 && a[0] == '_' {
			a = a[1:]
		}
		for len(b) > 0 && b[0] == '_' {
			b = b[1:]
		}
		if len(a) == 0 || len(b) == 0 {
			return len(a) == len(b)
		}
		x, n := lowerNext(a)
		y, m := lowerNext(b)
		if x != y {
			return false
		}
		a, b = a[n:], b[m:]
	}
}

// google reads the object that is next, field by field.
func (r *blockReader) google(member func(name []byte)) {
	if r.peek() != '{' {
		if r.null() == wrong {
			r.refuse("", "has a field that must be an object")
		}
		return
	}
	o, ok := r.object(anyCase)
	for ok && r.member(&o) {
		if name := r.field(&o); r.err == nil {
			member(name)
		}
	}
}

// array reads the array that is next, element by element.
func (r *blockReader) array(path string, element func(i int)) {
	if r.peek() != '[' {
		if r.null() == wrong {
			r.refuse(path, "must be an array")
		}
		return
	}
	var a array
	ok := r.enter()
	for ok && r.element(&a) {
		element(a.n - 1)
	}
}

// googleMember reads a member of a request, of https://ai.google.dev/api/generate-content, .../api/tokens or .../api/embeddings.
func (p *formatReader) googleMember(name []byte) {
	switch string(name) {
	case "contents":
		p.list = "contents"
		p.readList(p.readContent)
	case "content": // of embedContent
		p.list = "content"
		p.message = p.messages
		p.messages++
		p.readContent()
	case "requests": // of batchEmbedContents
		p.list = "requests"
		p.array("requests", func(int) { p.google(p.googleMember) })
	case "generatecontentrequest": // of countTokens
		p.google(p.googleMember)
	case "systeminstruction":
		p.outside("systemInstruction", func() {
			if p.peek() == '{' {
				p.readContent()
			} else {
				p.strings(Content, 0)
			}
		})
	case "generationconfig":
		p.google(p.googleConfig)
	case "tools":
		p.tools(p.to)
	case "model":
		q, found := p.readString()
		switch found {
		case right:
			p.to.models = append(p.to.models, modelName{name: strings.TrimPrefix(p.text(q), "models/"), at: q.outer()})
		case wrong:
			p.refuse("model", "must be a string")
		}
	default:
		p.besides(p.to)
	}
}

func (p *formatReader) googleConfig(name []byte) {
	switch string(name) {
	case "maxoutputtokens":
		p.to.MaxTokens = p.limit("generationConfig.maxOutputTokens")
	case "candidatecount":
		p.to.N = max(1, p.limit("generationConfig.candidateCount"))
	default:
		p.besides(p.to)
	}
}

// readContent reads a Content: a role and parts.
func (r *blockReader) readContent() {
	first, role := len(r.texts), User
	if r.answer {
		role = Assistant
	}
	r.google(func(name []byte) {
		switch string(name) {
		case "role":
			role = r.role(role, Assistant)
		case "parts":
			if r.peek() == '{' && !r.answer { // which some readers take for an array of one
				r.value()
				r.refuse(r.in(".parts"), "must be an array")
				return
			}
			r.array(r.in(".parts"), r.readPart)
		default:
			r.value()
		}
	})
	r.spoken(first, r.message, role)
}

// readPart reads a Part, https://ai.google.dev/api/caching#Part. In a stream a text has no place of its own among the parts.
func (r *blockReader) readPart(part int) {
	first, thought, text := len(r.texts), false, false
	if r.peek() == '"' {
		r.strings(Content, part)
		return
	}
	r.google(func(name []byte) {
		switch string(name) {
		case "text":
			text = true
			if r.pieces { // a text that goes on has no place among the parts
				part = 0
			}
			r.leaf(Content, part)
		case "thought":
			thought, _ = r.readBool()
		case "functioncall", "toolcall":
			r.googleCall(ToolArguments, part)
		case "executablecode":
			r.googleCall(Content, part)
		case "functionresponse", "toolresponse", "codeexecutionresult":
			from := len(r.texts)
			r.googleCall(Content, part)
			r.settle(resultBlock, from)
		case "inlinedata", "filedata":
			r.media++
			r.googleFile(part)
		case "thoughtsignature":
			r.value()
		default:
			r.strings(Content, part)
		}
	})
	if thought {
		r.settle(thoughtBlock, first)
	}
	if r.pieces && !text {
		r.complete(first)
	}
}

// googleFile reads a Blob, or where one is.
func (r *blockReader) googleFile(part int) {
	var data quoted
	kind, has := "", false
	r.google(func(name []byte) {
		switch string(name) {
		case "mimetype":
			if q, found := r.readString(); found == right {
				kind = string(r.meant(q))
			}
		case "data":
			var found found
			data, found = r.readString()
			has = found == right
		case "fileuri":
			r.value()
		default:
			r.strings(Content, part)
		}
	})
	if has {
		r.encoded(data, kind, true, part)
	}
}

// googleCall reads what a tool is called with, or what it answered.
func (r *blockReader) googleCall(kind Kind, part int) {
	c := Call{Part: part, Answers: kind != ToolArguments}
	r.google(func(name []byte) {
		switch string(name) {
		case "args", "response", "partialargs":
			r.arguments(kind, part)
		case "name":
			c.Name = r.label()
		case "id":
			c.ID = r.label()
		case "outcome", "language":
			r.value()
		case "parts":
			r.array(r.in(".parts"), func(int) { r.readPart(part) })
		default:
			r.strings(kind, part)
		}
	})
	r.keepCall(c)
}
