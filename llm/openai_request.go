package llm

// responsesMember reads a member of a request for a response, https://platform.openai.com/docs/api-reference/responses/create.
func (p *formatReader) responsesMember(name []byte) {
	switch string(name) {
	case "model":
		p.readModel(p.to)
	case "input":
		p.readInput()
	case "instructions":
		p.outside("instructions", func() { p.readItems(p.readTurn) })
	case "prompt": // a stored one, whose variables are texts
		p.outside("prompt", p.storedPrompt)
	case "stream":
		p.to.Stream = p.flag("stream")
	case "background":
		p.to.Background = p.flag("background")
	case "max_output_tokens":
		p.to.MaxTokens = p.limit("max_output_tokens")
	case "user":
		p.to.User = p.word("user")
	case "tools":
		p.tools(p.to)
	default:
		p.besides(p.to)
	}
}

// storedPrompt reads which prompt is meant, and what its variables are, whose names are the prompt's own.
func (p *formatReader) storedPrompt() {
	if p.peek() != '{' {
		p.strings(Content, 0)
		return
	}
	o, ok := p.object(anyCase)
	for ok && p.member(&o) {
		switch name := p.known(); {
		case string(name) == "variables" && p.peek() == '{':
			variables, ok := p.object(exact)
			for ok && p.member(&variables) {
				if p.peek() == '{' {
					p.block(0)
				} else {
					p.strings(Content, 0)
				}
			}
		case isData(name, p.peek()):
			p.data(name, 0)
		default:
			p.strings(Content, 0)
		}
	}
}

// readInput reads the input of a response: a string, or items.
func (p *formatReader) readInput() {
	switch p.peek() {
	case 'n':
		p.value()
	case '"':
		p.messages++
		first := len(p.texts)
		p.leaf(Content, 0)
		p.spoken(first, 0, User)
	default:
		p.readList(p.readTurn)
	}
}

// readItems reads a string, or items.
func (p *formatReader) readItems(item func()) {
	if p.peek() == '"' {
		p.leaf(Content, 0)
		return
	}
	if p.peek() != '[' {
		p.strings(Content, 0)
		return
	}
	var a array
	ok := p.enter()
	for ok && p.element(&a) {
		if p.peek() == '{' {
			item()
		} else {
			p.strings(Content, 0)
		}
	}
}

// completionsMember reads a member of a request for a completion, the older form,
// https://platform.openai.com/docs/api-reference/completions/create.
func (p *formatReader) completionsMember(name []byte) {
	switch string(name) {
	case "model":
		p.readModel(p.to)
	case "prompt":
		p.readPrompts("prompt")
	case "suffix":
		first := len(p.texts)
		p.leaf(Content, 0)
		p.spoken(first, Outside, User)
	case "stream":
		p.to.Stream = p.flag("stream")
	case "stream_options":
		p.streamOptions(p.to)
	case "max_tokens":
		p.to.MaxTokens = p.limit("max_tokens")
	case "n":
		p.to.N = max(p.to.N, p.limit("n"))
	case "best_of": // made and paid for, though not all of them are given
		p.to.N = max(p.to.N, p.limit("best_of"))
	case "user":
		p.to.User = p.word("user")
	default:
		p.besides(p.to)
	}
}

// embeddingsMember reads a member of a request for embeddings, https://platform.openai.com/docs/api-reference/embeddings/create.
func (p *formatReader) embeddingsMember(name []byte) {
	switch string(name) {
	case "model":
		p.readModel(p.to)
	case "input":
		p.readPrompts("input")
	case "user":
		p.to.User = p.word("user")
	default:
		p.besides(p.to)
	}
}

// readPrompts reads a text, a list of tokens, or a list of either. Tokens are no text that could be read here; they are
// counted.
func (p *formatReader) readPrompts(name string) {
	switch p.peek() {
	case 'n':
		p.value()
	case '"':
		p.messages = 1
		first := len(p.texts)
		p.leaf(Content, 0)
		p.spoken(first, 0, User)
	case '[':
		var a array
		ok := p.enter()
		for ok && p.element(&a) {
			p.message = a.n - 1
			first := len(p.texts)
			switch c := p.peek(); {
			case c == '"':
				p.leaf(Content, 0)
			case c == '[':
				p.to.tokens += int64(p.elements())
			case isDigit(c):
				p.flat = true
				p.to.tokens++
				p.value()
			default:
				p.value()
				p.refuse(p.in(""), "must be a string, a token or an array of tokens")
			}
			p.spoken(first, p.message, User)
		}
		p.messages = a.n
		if p.flat {
			p.messages = 1
		}
	default:
		p.value()
		p.refuse(name, "must be a string or an array")
	}
}
