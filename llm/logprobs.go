package llm

// Logprobs are the log probabilities of a choice in an event.
type Logprobs struct {
	Choice int
	Tokens string // what was said by them, which may be other than the event's text: some servers send one later than the other

	at span
}

// probabilities is where an event has those of a choice.
type probabilities struct {
	choice int
	at     span
}

// Logprobs are the log probabilities in an event of OpenAI's chats and completions.
func (e *Event) Logprobs() []Logprobs {
	var all []Logprobs
	for _, p := range e.probs {
		src := []byte(e.data[p.at.start:p.at.end])
		r := reader{answer: true}
		r.lone = true
		r.start(src)
		all = append(all, Logprobs{Choice: p.choice, Tokens: string(r.spelled(nil)), at: p.at})
	}
	return all
}

// DropLogprobs puts null in their place.
func (e *Event) DropLogprobs(p Logprobs) {
	e.edits = append(e.edits, edit{at: p.at, json: []byte("null")})
}

// spelled appends those of the value that is next, without those that might have been said in their place.
func (r *reader) spelled(dst []byte) []byte {
	switch r.peek() {
	case '{':
		o, ok := r.object(exact)
		for ok && r.member(&o) {
			switch string(r.last()) {
			case "token", "tokens", "content", "refusal":
				dst = r.spelled(dst)
			default:
				r.value()
			}
		}
	case '[':
		var a array
		ok := r.enter()
		for ok && r.element(&a) {
			dst = r.spelled(dst)
		}
	case '"':
		if q, ok := r.str(); ok {
			dst = append(dst, r.meant(q)...)
		}
	default:
		r.value()
	}
	return dst
}
