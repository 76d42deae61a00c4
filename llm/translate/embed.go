package translate

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"

	"github.com/leash-gateway/leash/llm"
)

// An embedding is a request for embeddings.
type embedding struct {
	texts      [][]byte
	dimensions []byte
}

// embedRequest translates a request for embeddings between OpenAI's and Google's API.
func (x *Exchange) embedRequest(body []byte) ([]byte, error) {
	c := x.read(body, false)
	var e embedding
	if x.from == Chat {
		x.readOpenAIEmbedding(c, &e)
	} else {
		x.single = x.client == llm.GoogleEmbed
		x.readGoogleEmbedding(c, &e)
	}
	if err := c.Err(); err != nil {
		return nil, asError(err)
	}
	w := &writer{b: x.write(len(body) + len(body)/2 + 128)}
	w.open()
	if x.to == Gemini {
		w.array("requests")
		for _, text := range e.texts {
			w.open()
			w.text("model", "models/"+x.providerModel())
			w.object("content")
			w.array("parts")
			w.open()
			w.literal("text", text)
			w.close('}')
			w.close(']')
			w.close('}')
			w.literal("outputDimensionality", e.dimensions)
			w.close('}')
		}
		w.close(']')
	} else {
		w.text("model", x.providerModel())
		w.array("input")
		for _, text := range e.texts {
			w.value(text)
		}
		w.close(']')
		w.literal("dimensions", e.dimensions)
	}
	w.close('}')
	return x.wrote(w.b), nil
}

func (x *Exchange) readOpenAIEmbedding(c *llm.Cursor, e *embedding) {
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "model":
			x.model = c.String()
		case "input":
			if c.Next() == '"' {
				e.texts = append(e.texts, c.Literal())
				continue
			}
			for list := c.Array(); c.Element(&list); {
				if c.Next() != '"' {
					c.Skip()
					c.Fail("", "tokens have no counterpart in "+x.to.String())
					continue
				}
				e.texts = append(e.texts, c.Literal())
			}
		case "dimensions":
			e.dimensions = c.Number()
		case "encoding_format":
			x.base64 = c.String() == "base64"
		case "user":
			if c.Raw() != nil {
				x.drop(c, "user")
			}
		default:
			x.unknown(c, o.Name)
		}
	}
	if len(e.texts) == 0 {
		c.Fail("input", "is missing")
	}
}

func (x *Exchange) readGoogleEmbedding(c *llm.Cursor, e *embedding) {
	for o := c.Google(); c.Member(&o); {
		x.readGoogleEmbeddingMember(c, e, o.Name)
	}
	if len(e.texts) == 0 {
		c.Fail("requests", "is missing")
	}
}

// readGoogleEmbeddingMember reads a member of a request for one embedding, or of one that holds several such.
func (x *Exchange) readGoogleEmbeddingMember(c *llm.Cursor, e *embedding, name []byte) {
	switch string(name) {
	case "model":
		c.Skip()
	case "requests":
		for list := c.Array(); c.Element(&list); {
			for o := c.Google(); c.Member(&o); {
				x.readGoogleEmbeddingMember(c, e, o.Name)
			}
		}
	case "content":
		e.texts = append(e.texts, x.readEmbeddedContent(c))
	case "outputdimensionality":
		e.dimensions = c.Number()
	default:
		x.unknown(c, name)
	}
}

// readEmbeddedContent reads the one text that a content may have, other than a prompt's.
func (x *Exchange) readEmbeddedContent(c *llm.Cursor) (text []byte) {
	for o := c.Google(); named(c, &o, "parts"); {
		for list := c.Array(); c.Element(&list); {
			for o := c.Google(); c.Member(&o); {
				if string(o.Name) == "text" && list.Index == 0 {
					text = c.Literal()
				} else {
					c.Skip()
					c.Fail("", "more than one text has no counterpart in "+x.to.String())
				}
			}
		}
	}
	if text == nil {
		c.Fail("", "has no text")
	}
	return text
}

// embedAnswer translates embeddings on their way back.
func (x *Exchange) embedAnswer(c *llm.Cursor, dst []byte) ([]byte, error) {
	var vectors [][]byte
	var tokens int64
	for o := x.object(c); c.Member(&o); {
		switch string(o.Name) {
		case "embeddings":
			for list := c.Array(); c.Element(&list); {
				vectors = append(vectors, valuesOf(c))
			}
		case "embedding":
			vectors = append(vectors, valuesOf(c))
		case "usagemetadata":
			for o := c.Google(); named(c, &o, "prompttokencount"); {
				tokens = c.Count()
			}
		case "data":
			for list := c.Array(); c.Element(&list); {
				for o := c.Object(); named(c, &o, "embedding"); {
					vectors = append(vectors, c.Raw())
				}
			}
		case "usage":
			for o := c.Object(); named(c, &o, "prompt_tokens"); {
				tokens = c.Count()
			}
		default:
			c.Skip()
		}
	}
	if err := c.Err(); err != nil {
		return nil, asError(err)
	}
	w := &writer{b: dst}
	if x.from == Chat {
		return x.openAIEmbeddings(w, vectors, tokens)
	}
	w.open()
	if x.single && len(vectors) > 0 {
		w.object("embedding")
		w.literal("values", vectors[0])
		w.close('}')
	} else {
		w.array("embeddings")
		for _, v := range vectors {
			w.open()
			w.literal("values", v)
			w.close('}')
		}
		w.close(']')
	}
	w.object("usageMetadata")
	w.number("promptTokenCount", tokens)
	w.close('}')
	w.close('}')
	return w.b, nil
}

func valuesOf(c *llm.Cursor) (values []byte) {
	for o := c.Google(); named(c, &o, "values"); {
		values = c.Raw()
	}
	return values
}

func (x *Exchange) openAIEmbeddings(w *writer, vectors [][]byte, tokens int64) ([]byte, error) {
	w.open()
	w.str("object", "list")
	w.array("data")
	for i, v := range vectors {
		w.open()
		w.str("object", "embedding")
		w.number("index", int64(i))
		if x.base64 {
			packed, err := pack(v)
			if err != nil {
				return nil, err
			}
			w.quoted("embedding", packed)
		} else {
			w.literal("embedding", v)
		}
		w.close('}')
	}
	w.close(']')
	w.text("model", x.model)
	w.object("usage")
	w.number("prompt_tokens", tokens)
	w.number("total_tokens", tokens)
	w.close('}')
	w.close('}')
	return w.b, nil
}

// pack writes numbers as OpenAI's clients ask for them by default: 32-bit floats, little endian, in base64.
func pack(vector []byte) ([]byte, error) {
	c := llm.NewCursor(vector, true)
	var packed []byte
	for list := c.Array(); c.Element(&list); {
		f, err := strconv.ParseFloat(string(c.Number()), 32)
		if err != nil {
			c.Fail("", "is no list of numbers")
		}
		packed = binary.LittleEndian.AppendUint32(packed, math.Float32bits(float32(f)))
	}
	if err := c.Err(); err != nil {
		return nil, asError(err)
	}
	return base64.StdEncoding.AppendEncode(nil, packed), nil
}
