package translate

import (
	"bytes"
	"hash/fnv"
	"strconv"
	"strings"

	"github.com/leash-gateway/leash/llm"
)

// An idForm is what an API takes for an id. An API of which it is not known takes any.
type idForm struct {
	longest int
	word    bool // of letters, digits, _ and - alone
}

// idForms are those of the ids of calls.
// https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolUseBlock.html has Bedrock's; the others are told in errors only.
var idForms = [apis]idForm{Chat: {longest: 40}, Responses: {longest: 64}, Messages: {longest: 64, word: true}, Converse: {longest: 64, word: true}}

// settleIDs gives calls, and what answers them, ids that the provider takes. Another one may have made them: functions.look:0 is one of Kimi's.
func (x *Exchange) settleIDs(r *conversation) {
	form := idForms[x.to]
	if form.longest == 0 {
		return
	}
	var again repeated
	for i := range r.parts {
		p := &r.parts[i]
		if p.kind != callPart && p.kind != resultPart {
			continue
		}
		if p.id = form.settled(p.id); form.word {
			p.id = again.own(p, form)
		}
	}
}

// repeated are the calls of a conversation by their ids. Servers that count them in each answer give the first of each turn the same, which Anthropic and
// Bedrock refuse.
type repeated map[string]*calls

type calls struct {
	made int
	open [][]byte // ids of those that are not answered yet
	last []byte
}

// own is the id of a call, another for each, and that of the call which a result answers.
func (r *repeated) own(p *part, form idForm) []byte {
	if *r == nil {
		*r = repeated{}
	}
	of := (*r)[string(p.id)]
	if of == nil {
		of = &calls{}
		(*r)[string(p.id)] = of
	}
	if p.kind == callPart {
		if of.last = p.id; of.made > 0 {
			of.last = form.made(strconv.AppendInt(append(bytes.Clone(inner(p.id)), '#'), int64(of.made), 10))
		}
		of.made++
		of.open = append(of.open, of.last)
		return of.last
	}
	if len(of.open) > 0 {
		of.last, of.open = of.open[0], of.open[1:]
	} else if of.made == 0 {
		return p.id
	}
	return of.last
}

// callID is the id of a call to which the provider gives none, as Google: its own among all answers of a conversation, in which later requests tell of it,
// and short enough for OpenAI, whose ids have at most 40 characters.
func (x *Exchange) callID(number int) []byte {
	const most = 24
	id := strings.ReplaceAll(x.options.ID, "-", "")
	if id = id[:min(len(id), most)]; id != "" {
		id += "_"
	}
	return literalOf("call_" + id + strconv.Itoa(number))
}

// nameForms are those of the names of tools. Claude Code's have a server's name in front, and Google's dots.
var nameForms = [apis]idForm{Chat: {longest: 64, word: true}, Responses: {longest: 64, word: true}, Messages: {longest: 128, word: true}, Gemini: {longest: 64, word: true}, Converse: {longest: 64, word: true}}

// A renamed tool is one that the provider knows by another name than the client.
type renamed struct {
	made, name, space []byte
	custom            bool
}

// settleNames gives tools names that the provider takes. In the answer the client is told its own.
func (x *Exchange) settleNames(r *conversation) {
	form := nameForms[x.to]
	for i := range r.tools {
		t := &r.tools[i]
		if made := form.settled(qualified(t.space, t.name)); t.custom || !bytes.Equal(made, t.name) {
			x.renamed = append(x.renamed, renamed{bytes.Clone(made), bytes.Clone(t.name), bytes.Clone(t.space), t.custom})
			t.name = made
		}
	}
	if len(r.choice.name) > 0 {
		r.choice.name = form.settled(r.choice.name)
	}
	for i := range r.parts {
		if p := &r.parts[i]; p.kind == callPart {
			p.name = form.settled(p.name)
		}
	}
}

// own is a tool as the client knows it.
func (x *Exchange) own(made []byte) renamed {
	for i := range x.renamed {
		if bytes.Equal(x.renamed[i].made, made) {
			return x.renamed[i]
		}
	}
	return renamed{name: made}
}

// settled is the id, or what stands for it where it is not taken.
func (f idForm) settled(id []byte) []byte {
	if f.takes(inner(id)) {
		return id
	}
	return f.made(llm.AppendMeaning(nil, id))
}

func (f idForm) takes(id []byte) bool {
	if len(id) > f.longest {
		return false
	}
	for _, c := range id {
		if f.word && !isWord(c) {
			return false
		}
	}
	return true
}

func isWord(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || isDigit(c) || c == '_' || c == '-' }

// made is the same id for the same, and another for each other, but for chance.
func (f idForm) made(id []byte) []byte {
	const base, room = 36, 14 // a bar, and a number of 64 bits
	hash := fnv.New64a()
	_, _ = hash.Write(id)
	made := make([]byte, 1, f.longest+2)
	made[0] = '"'
	for _, c := range id {
		if len(made) > f.longest-room {
			break
		}
		if !isWord(c) {
			c = '_'
		}
		made = append(made, c)
	}
	return append(strconv.AppendUint(append(made, '_'), hash.Sum64(), base), '"')
}
