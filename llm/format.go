// Package llm is what an exchange with a large language model is made of: requests, answers, server-sent events,
// token usage and prices, read from the bytes of a provider's API and written back to them.
//
// A parsed body is a view on the bytes that it came from, the same for all APIs. What is changed is spliced into them,
// so every field that this package does not know survives byte for byte. The package does no I/O and compiles natively
// and to wasip1, where it runs on the way of each request: it uses no reflection, no fmt and no encoding/json.
//
// Files are named after the API that they read (openai_, anthropic_, google_); the others are shared by all.
package llm

import "strings"

// A Format says which API an exchange speaks, and which of its methods.
type Format uint8

// The formats that are known.
const (
	None                 Format = iota // not an LLM exchange, as far as we know
	OpenAIChat                         // POST /v1/chat/completions
	OpenAIModels                       // GET /v1/models, and /v1/models/MODEL
	OpenAIResponses                    // POST /v1/responses
	OpenAICompletions                  // POST /v1/completions, the older form
	OpenAIEmbeddings                   // POST /v1/embeddings
	AnthropicMessages                  // POST /v1/messages
	AnthropicCountTokens               // POST /v1/messages/count_tokens
	AnthropicModels                    // the same with the header anthropic-version: FormatOf cannot tell it from OpenAIModels
	GoogleGenerate                     // POST /v1beta/models/MODEL:generateContent
	GoogleStream                       // POST /v1beta/models/MODEL:streamGenerateContent
	GoogleCountTokens                  // POST /v1beta/models/MODEL:countTokens
	GoogleEmbed                        // POST /v1beta/models/MODEL:embedContent
	GoogleBatchEmbed                   // POST /v1beta/models/MODEL:batchEmbedContents, which Google's own clients call for a single text too
	GoogleModels                       // GET /v1beta/models, and /v1beta/models/MODEL; those under /v1 of Google's newer clients: FormatOf cannot tell it from OpenAIModels
	formats              int    = iota
)

var formatNames = [formats]string{
	"none", "openai-chat", "openai-models", "openai-responses", "openai-completions", "openai-embeddings",
	"anthropic-messages", "anthropic-count-tokens", "anthropic-models",
	"google-generate", "google-stream", "google-count-tokens", "google-embed", "google-batch-embed", "google-models",
}

// String names the format for logs and metrics.
func (f Format) String() string {
	if int(f) < formats {
		return formatNames[f]
	}
	return formatNames[None]
}

// FormatNamed is the format that String names so; None where there is none.
func FormatNamed(name string) Format {
	for f := range Format(formats) {
		if formatNames[f] == name {
			return f
		}
	}
	return None
}

// A Family is a provider's API, all of whose formats have errors and streams in common.
type Family uint8

// The families. None is of OpenAI's, whose errors most clients can read.
const (
	OpenAI Family = iota
	Anthropic
	Google
)

// String is the name of the family's maker in lower case.
func (f Family) String() string {
	switch f {
	case Anthropic:
		return "anthropic"
	case Google:
		return "google"
	default:
		return "openai"
	}
}

// Family is the API that the format is of.
func (f Format) Family() Family {
	switch f {
	case AnthropicMessages, AnthropicCountTokens, AnthropicModels:
		return Anthropic
	case GoogleGenerate, GoogleStream, GoogleCountTokens, GoogleEmbed, GoogleBatchEmbed, GoogleModels:
		return Google
	default:
		return OpenAI
	}
}

// ListsModels tells whether the format asks for a list of models, or for what is known of one (ModelAt), and so has no body.
func (f Format) ListsModels() bool {
	return f == OpenAIModels || f == AnthropicModels || f == GoogleModels
}

// FormatOf tells the format of a request from its method and path. A query is ignored; everything else must match
// exactly: "/v1//chat/completions", a trailing slash or a percent sign is None, so that no spelling of a path is
// inspected differently from how a provider reads it.
func FormatOf(method, path string) Format {
	path, _, _ = strings.Cut(path, "?")
	switch method {
	case "POST":
		switch path {
		case "/v1/chat/completions":
			return OpenAIChat
		case "/v1/responses":
			return OpenAIResponses
		case "/v1/completions":
			return OpenAICompletions
		case "/v1/embeddings":
			return OpenAIEmbeddings
		case "/v1/messages":
			return AnthropicMessages
		case "/v1/messages/count_tokens":
			return AnthropicCountTokens
		}
		_, _, f := cutGooglePath(path)
		return f
	case "GET":
		switch path {
		case "/v1/models":
			return OpenAIModels
		case "/v1beta/models":
			return GoogleModels
		}
		switch prefix, _ := cutModelPath(path); prefix {
		case "/v1/models/":
			return OpenAIModels
		case "/v1beta/models/":
			return GoogleModels
		}
	}
	return None
}

// ModelAt is the model of which a request asks what is known, by its path; "" where it asks for the list of all.
func ModelAt(path string) string {
	_, model := cutModelPath(path)
	return model
}

// cutModelPath takes apart the path of a model that is asked for. Its name may hold slashes, as that of makers on other servers, and the colon and the at
// sign of clouds. prefix is empty where it is another path, one of Google's methods among them.
func cutModelPath(path string) (prefix, model string) {
	for _, prefix := range [...]string{"/v1beta/models/", "/v1/models/"} {
		model, ok := strings.CutPrefix(path, prefix)
		if !ok {
			continue
		}
		if _, _, method := cutGooglePath(path); method != None {
			return "", ""
		}
		if !mayBeModel(model, ":@") {
			return "", ""
		}
		return prefix, model
	}
	return "", ""
}

// mayBeModel tells whether a model can have this name in a path: of letters, digits, "-._", slashes, as makers stand ahead of it, and what is allowed besides.
// All servers read such a path alike.
func mayBeModel(name, besides string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	for i := range len(name) {
		if c := name[i]; !isUnreserved(c) && c != '/' && strings.IndexByte(besides, c) < 0 {
			return false
		}
	}
	return true
}

// cutGooglePath takes apart the path of one of Google's methods. Format is None where it is another path. Vercel's AI SDK and LangChain in JavaScript
// take a name with a slash for that of a resource, and put no "models/" ahead of it.
func cutGooglePath(path string) (prefix, model string, f Format) {
	for _, prefix := range [...]string{"/v1beta/models/", "/v1/models/", "/v1beta/"} {
		rest, ok := strings.CutPrefix(path, prefix)
		if !ok {
			continue
		}
		model, method, _ := strings.Cut(rest, ":")
		f := googleMethod(method)
		if !mayBeModel(model, "") {
			f = None
		}
		if prefix == "/v1beta/" {
			prefix = "/v1beta/models/"
			if strings.IndexByte(model, '/') < 0 {
				f = None
			}
		}
		return prefix, model, f
	}
	return "", "", None
}

func googleMethod(name string) Format {
	for f := GoogleGenerate; f <= GoogleBatchEmbed; f++ {
		if name == f.GoogleMethod() {
			return f
		}
	}
	return None
}

// GoogleMethod is what a path of Google's names behind the model; "" for all other formats.
func (f Format) GoogleMethod() string {
	switch f {
	case GoogleGenerate:
		return "generateContent"
	case GoogleStream:
		return "streamGenerateContent"
	case GoogleCountTokens:
		return "countTokens"
	case GoogleEmbed:
		return "embedContent"
	case GoogleBatchEmbed:
		return "batchEmbedContents"
	default:
		return ""
	}
}

// isUnreserved tells what may stand in a path as it is (RFC 3986 section 2.3), but for the tilde.
func isUnreserved(c byte) bool {
	return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '-' || c == '.' || c == '_'
}

// Path is where the request of a format goes, relative to the provider's base address: with the model and, for a stream
// of Google's, with the query that asks for server-sent events. It is empty for None.
func (f Format) Path(model string) string {
	switch f {
	case OpenAIChat:
		return "/v1/chat/completions"
	case OpenAIModels, AnthropicModels:
		return "/v1/models"
	case OpenAIResponses:
		return "/v1/responses"
	case OpenAICompletions:
		return "/v1/completions"
	case OpenAIEmbeddings:
		return "/v1/embeddings"
	case AnthropicMessages:
		return "/v1/messages"
	case AnthropicCountTokens:
		return "/v1/messages/count_tokens"
	case GoogleModels:
		return "/v1beta/models"
	case GoogleStream:
		return googlePath("/v1beta/models/", model, f) + "?" + serverSentEvents
	case GoogleGenerate, GoogleCountTokens, GoogleEmbed, GoogleBatchEmbed:
		return googlePath("/v1beta/models/", model, f)
	default:
		return ""
	}
}

// serverSentEvents is the query with which Google streams events instead of a JSON array.
const serverSentEvents = "alt=sse"

func googlePath(prefix, model string, f Format) string {
	const hex = "0123456789ABCDEF"
	path := make([]byte, 0, len(prefix)+len(model)+24)
	path = append(path, prefix...)
	readable := mayBeModel(model, "")
	for i := range len(model) {
		if c := model[i]; readable || isUnreserved(c) {
			path = append(path, c)
		} else {
			path = append(path, '%', hex[c>>4], hex[c&15])
		}
	}
	path = append(path, ':')
	return string(append(path, f.GoogleMethod()...))
}

// Query keeps of a query what means something to the format: Google's "alt=sse". Whatever else clients put there, keys
// among it, no API of these needs.
func (f Format) Query(query string) string {
	if f == GoogleStream {
		for part := range strings.SplitSeq(query, "&") {
			if part == serverSentEvents {
				return part
			}
		}
	}
	return ""
}
