package translate

import (
	"hash/fnv"
	"strconv"

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
	for i := range r.parts {
		if p := &r.parts[i]; p.kind == callPart || p.kind == resultPart {
			p.id = form.settled(p.id)
		}
	}
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
