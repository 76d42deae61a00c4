package llm

// anthropicMember reads a member of a request for a message or for a count of tokens,
// https://docs.anthropic.com/en/api/messages and .../messages-count-tokens.
func (p *formatReader) anthropicMember(name []byte) {
	switch string(name) {
	case "model":
		p.readModel(p.to)
	case "messages":
		if string(p.last()) != "messages" {
			p.value()
			return
		}
		p.readList(p.readTurn)
	case "system":
		p.outside("system", p.blocks)
	case "stream":
		p.to.Stream = p.flag("stream")
	case "max_tokens":
		p.silent = p.peek() == '0' // https://platform.claude.com/docs/en/build-with-claude/prompt-caching#pre-warming-the-cache
		p.to.MaxTokens = p.limit("max_tokens")
	case "context_management": // what is to become of a conversation, in words
		p.outside("context_management", func() { p.strings(Content, 0) })
	case "metadata":
		p.anthropicMetadata()
	case "tools":
		p.tools(p.to)
	default:
		p.besides(p.to)
	}
}

func (p *formatReader) anthropicMetadata() {
	if p.peek() != '{' {
		p.value()
		return
	}
	o, ok := p.object(anyCase)
	for ok && p.member(&o) {
		if string(p.known()) == "user_id" {
			p.to.User = p.word("metadata.user_id")
		} else {
			p.value()
		}
	}
}

// readTurn reads a message that has a role and content: one of Anthropic's, or of OpenAI's responses.
func (r *blockReader) readTurn() {
	first, role := len(r.texts), OtherRole
	r.result, r.call = quoted{}, Call{}
	var what blockKind
	o, ok := r.object(anyCase)
	for ok && r.member(&o) {
		switch name := r.known(); string(name) {
		case "role":
			role = r.role(role, Assistant)
		case "content":
			r.blocks()
		case "type":
			what = r.blockKind()
		case "status":
			r.value()
		default:
			r.blockMember(name, 0)
		}
	}
	r.keepResult(what, 0)
	r.settle(what, first)
	r.settleCall(what, 0)
	if role == OtherRole && what != resultBlock {
		role = Assistant // an item without a role is the model's: a call, a thought
	}
	r.spoken(first, r.message, role)
}
