// Command answer-words is a module of Leash: it counts the words of answers, streamed or not, by tenant and model. It
// was made from the template inspector.
package main

import (
	"strconv"
	"strings"

	"github.com/leash-gateway/leash/module"
	_ "github.com/leash-gateway/leash/module/proxywasm"
)

// Config is the module's configuration in leash.yaml.
type Config struct {
	// Log writes a line an exchange too.
	Log bool `json:"log"`
}

var words = module.Counter("leash_answer_words_total", "tenant", "model")

type inspector struct{ Config }

// count is what the module keeps of one exchange.
type count struct{ words int64 }

// Response is called with a whole answer.
func (inspector) Response(x *module.Exchange) error {
	for _, text := range x.Response.Texts {
		module.Local[count](x).words += int64(len(strings.Fields(text.Value)))
	}
	return nil
}

// Event is called with each event of a streamed answer. Pieces are not whole words, so blanks are counted.
func (inspector) Event(x *module.Exchange, e *module.Event) error {
	for _, text := range e.Texts {
		if !text.Whole { // else it has come in pieces: OpenAI's responses say all again at the end
			module.Local[count](x).words += int64(strings.Count(text.Value, " "))
		}
	}
	return nil
}

// Finish is called once at the end, however the exchange ended.
func (i inspector) Finish(x *module.Exchange) {
	if x.Request == nil {
		return // no LLM traffic
	}
	n := module.Local[count](x).words
	x.Count(words, n, x.Caller().Tenant, x.Request.Model)
	if i.Log {
		x.Log(module.Info, "the answer of "+x.Request.Model+" has "+strconv.FormatInt(n, 10)+" words")
	}
}

func init() {
	module.Register("answer-words", module.Inspector, func(c Config) (inspector, error) { return inspector{c}, nil })
}

func main() {}
