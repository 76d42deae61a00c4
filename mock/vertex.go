package mock

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	"github.com/tidwall/gjson"
)

// vertex answers what Vertex AI has below /v1/projects/PROJECT/locations/LOCATION (or without both, in its express mode): models of
// Google's, of Anthropic's, and the chats of OpenAI's API. https://cloud.google.com/vertex-ai/docs/reference/rest
func (x *exchange) vertex() *apiError {
	path := x.r.URL.Path
	if strings.HasSuffix(path, "/endpoints/openapi/chat/completions") {
		x.api = openAI
		return x.chat()
	}
	_, rest, found := strings.Cut(path, "/publishers/")
	publisher, target, models := strings.Cut(rest, "/models/")
	at := strings.LastIndexByte(target, ':')
	if !found || !models || at < 0 {
		return &apiError{status: 404, message: "The requested URL was not found on this server."}
	}
	model, method := target[:at], target[at+1:]
	switch {
	case publisher == "anthropic" && (method == "rawPredict" || method == "streamRawPredict"):
		return x.rawPredict(model)
	case publisher == "google" && method == "predict":
		return x.predict(model)
	case publisher == "google":
		return x.generate(model, method)
	}
	return &apiError{status: 404, message: "Publisher Model `publishers/" + publisher + "/models/" + model + "` was not found."}
}

// rawPredict answers with a model of Anthropic's: as its own API does, but for the model, which is in the path, and the version,
// which is in the body.
func (x *exchange) rawPredict(model string) *apiError {
	x.api = anthropic
	version := gjson.GetBytes(x.body, "anthropic_version")
	if version.Str != "vertex-2023-10-16" {
		return badMessage("anthropic_version", "Field required")
	}
	// The member is taken out, up to the comma that follows it, or from the one before.
	before, after := x.body[:version.Index], x.body[version.Index+len(version.Raw):]
	name := strings.LastIndex(string(before), `"anthropic_version"`)
	if name < 0 {
		return badMessage("anthropic_version", "Field required")
	}
	before = before[:name]
	if rest := strings.TrimLeft(string(after), " \t\r\n"); strings.HasPrefix(rest, ",") {
		after = []byte(rest[1:])
	} else {
		before = []byte(strings.TrimRight(string(before), " \t\r\n,"))
	}
	x.body = append(append([]byte(nil), before...), after...)
	if model == "count-tokens" {
		return x.countTokens()
	}
	x.body = withMember(x.body, "model", model)
	return x.messages()
}

// predict answers with embeddings, as the models for text had it before embedContent.
func (x *exchange) predict(model string) *apiError {
	root := gjson.ParseBytes(x.body)
	if !gjson.ValidBytes(x.body) || !root.IsObject() {
		return badField("Invalid JSON payload received. Expected an object.")
	}
	if fault := x.check("predict"); fault != nil {
		return fault
	}
	if fault := x.admit(&chatRequest{model: model}); fault != nil {
		return fault
	}
	dimensions := int(min(root.Get("parameters.outputDimensionality").Int(), maxDimensions))
	if dimensions <= 0 {
		dimensions = 768
	}
	dst := append(x.buf.out, `{"predictions":[`...)
	for i, instance := range root.Get("instances").Array() {
		text := instance.Get("content").Str
		if text == "" {
			return badField("The text content is empty.")
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendVector(append(dst, `{"embeddings":{"values":`...), vectorOf(text, dimensions), false)
		dst = append(appendInt(append(dst, `,"statistics":{"truncated":false,"token_count":`...), Tokens(text)), `}}}`...)
	}
	if !x.begin() {
		return nil
	}
	x.buf.out = append(dst, "]}\n"...)
	x.send(x.buf.out)
	return nil
}

// tokenPath is where service accounts get access tokens.
const tokenPath = "/token"

// token answers POST /token as Google's server of access tokens does to service accounts: what is signed for it is an assertion of
// who one is, and the token that it gives is the key. Its signature is not verified. https://developers.google.com/identity/protocols/oauth2/service-account
func (x *exchange) token() *apiError {
	refused := func(code, why string) *apiError {
		x.w.Header().Set("Content-Type", "application/json")
		x.w.WriteHeader(http.StatusBadRequest)
		body := appendString(append(appendString([]byte(`{"error":`), code, false), `,"error_description":`...), why, false)
		_, _ = x.w.Write(append(body, "}\n"...)) // an error is a client that has left
		return nil
	}
	form, err := url.ParseQuery(string(x.body))
	if err != nil || form.Get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		return refused("unsupported_grant_type", "Invalid grant_type: "+form.Get("grant_type"))
	}
	parts := strings.Split(form.Get("assertion"), ".")
	if len(parts) != 3 || parts[2] == "" {
		return refused("invalid_grant", "Invalid JWT: it has no three parts.")
	}
	header, _ := base64.RawURLEncoding.DecodeString(parts[0])
	claims, _ := base64.RawURLEncoding.DecodeString(parts[1])
	now := x.p.options.Now().Unix()
	issued, expires := gjson.GetBytes(claims, "iat").Int(), gjson.GetBytes(claims, "exp").Int()
	switch {
	case gjson.GetBytes(header, "alg").Str != "RS256":
		return refused("invalid_grant", "Invalid JWT: its algorithm must be RS256.")
	case gjson.GetBytes(claims, "iss").Str == "" || gjson.GetBytes(claims, "aud").Str == "":
		return refused("invalid_grant", "Invalid JWT: iss and aud are required.")
	case gjson.GetBytes(claims, "scope").Str == "":
		return refused("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
	case issued > now+60 || expires <= now || expires > issued+3600:
		return refused("invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.")
	}
	if !x.begin() {
		return nil
	}
	token := x.p.options.Key
	if token == "" {
		token = "ya29.mock"
	}
	dst := appendString(append(x.buf.out, `{"access_token":`...), token, false)
	x.buf.out = append(dst, `,"expires_in":3599,"token_type":"Bearer"}`+"\n"...)
	x.send(x.buf.out)
	return nil
}
