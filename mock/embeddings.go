package mock

import (
	"encoding/base64"
	"encoding/binary"
	"hash/fnv"
	"math"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// An embeddingRequest is what the mock reads of a request for embeddings.
type embeddingRequest struct {
	model      string
	inputs     []embeddingInput
	dimensions int
	base64     bool
}

// An embeddingInput is a text, or the raw JSON of a list of tokens.
type embeddingInput struct {
	text   string
	tokens int64
}

const (
	maxDimensions   = 3072
	maxInputs       = 2048
	smallDimensions = 1536
)

// embeddings answers POST /v1/embeddings: equal inputs have equal vectors, of length 1. https://platform.openai.com/docs/api-reference/embeddings
func (x *exchange) embeddings() *apiError {
	req, fault := parseEmbedding(x.body)
	if fault != nil {
		return fault
	}
	if fault := x.admit(&chatRequest{model: req.model}); fault != nil {
		return fault
	}
	req.model, _, _ = strings.Cut(req.model, "?")
	if fault := x.check("embeddings"); fault != nil {
		return fault
	}
	if !x.begin() {
		return nil
	}
	if req.dimensions == 0 {
		req.dimensions = smallDimensions
		if strings.Contains(req.model, "large") {
			req.dimensions = maxDimensions
		}
	}
	var tokens int64
	dst := append(x.buf.out, `{"object":"list","data":[`...)
	for i, input := range req.inputs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendInt(append(dst, `{"object":"embedding","index":`...), int64(i))
		dst = appendVector(append(dst, `,"embedding":`...), vectorOf(input.text, req.dimensions), req.base64)
		dst = append(dst, '}')
		tokens += input.tokens
	}
	dst = appendString(append(dst, `],"model":`...), req.model, false)
	if !x.behavior.OmitUsage {
		dst = appendInt(append(dst, `,"usage":{"prompt_tokens":`...), tokens)
		dst = append(appendInt(append(dst, `,"total_tokens":`...), tokens), '}')
	}
	x.buf.out = append(dst, "}\n"...)
	x.send(x.buf.out)
	return nil
}

func parseEmbedding(body []byte) (*embeddingRequest, *apiError) {
	root, fault := parseObject(body)
	if fault != nil {
		return nil, fault
	}
	var model, input gjson.Result
	req := &embeddingRequest{}
	root.ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "model":
			model = value
		case "input":
			input = value
		case "dimensions":
			var n int64
			n, fault = asInt(value, "dimensions", maxDimensions)
			req.dimensions = int(n)
		case "encoding_format":
			req.base64 = value.Str == "base64"
		}
		return fault == nil
	})
	if fault != nil {
		return nil, fault
	}
	if req.model, fault = asModel(model); fault != nil {
		return nil, fault
	}
	req.inputs, fault = asInputs(input)
	return req, fault
}

// asInputs reads a text, a list of tokens, or a list of either.
func asInputs(input gjson.Result) ([]embeddingInput, *apiError) {
	switch {
	case !input.Exists():
		return nil, missing("input")
	case input.Type == gjson.String:
		return []embeddingInput{{input.Str, Tokens(input.Str)}}, nil
	case !input.IsArray() || len(input.Array()) == 0:
		return nil, wrongType("input", "a string or an array that is not empty", input)
	}
	items := input.Array()
	if items[0].Type == gjson.Number {
		return []embeddingInput{{input.Raw, int64(len(items))}}, nil
	}
	if len(items) > maxInputs {
		return nil, &apiError{status: 400, kind: invalidRequest, parameter: "input", code: "array_above_max_length",
			message: "Invalid 'input': array too long. Expected an array with maximum length 2048, but got an array with length " + strconv.Itoa(len(items)) + " instead."}
	}
	inputs := make([]embeddingInput, len(items))
	for i, item := range items {
		switch {
		case item.Type == gjson.String:
			inputs[i] = embeddingInput{item.Str, Tokens(item.Str)}
		case item.IsArray():
			inputs[i] = embeddingInput{item.Raw, int64(len(item.Array()))}
		default:
			return nil, wrongType("input["+strconv.Itoa(i)+"]", "a string or an array of integers", item)
		}
	}
	return inputs, nil
}

// vectorOf is a direction that depends on the text alone: numbers from xorshift64 (https://doi.org/10.18637/jss.v008.i14) that starts
// at the text's hash.
func vectorOf(text string, dimensions int) []float32 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text)) // hashes do not fail
	state := h.Sum64() | 1
	vector := make([]float32, dimensions)
	var square float64
	for i := range vector {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		value := float64(int64(state)) / math.MaxInt64 //nolint:gosec // G115: the wrap-around is what makes it signed
		vector[i] = float32(value)
		square += value * value
	}
	length := float32(math.Sqrt(square))
	for i := range vector {
		vector[i] /= length
	}
	return vector
}

func appendVector(dst []byte, vector []float32, packed bool) []byte {
	if packed {
		raw := make([]byte, 0, 4*len(vector))
		for _, v := range vector {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
		}
		return append(base64.StdEncoding.AppendEncode(append(dst, '"'), raw), '"')
	}
	dst = append(dst, '[')
	for i, v := range vector {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendFloat(dst, float64(v), 'g', -1, 32)
	}
	return append(dst, ']')
}
