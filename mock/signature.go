package mock

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"
	"time"
)

const signatureAlgorithm = "AWS4-HMAC-SHA256"

// maxClockSkew is how far a signature's time may be from the mock's, as at Amazon.
const maxClockSkew = 5 * time.Minute

// signature checks the signature (version 4) of a request to Bedrock, or its API key. A key is "ACCESS_KEY_ID:SECRET", with which
// the signature is computed again; without one it only has to be there.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
func (x *exchange) signature(key string) *apiError {
	h := x.r.Header
	id, secret, verified := strings.Cut(key, ":")
	authorization := h.Get("Authorization")
	if bearer, ok := strings.CutPrefix(authorization, "Bearer "); ok {
		if key != "" && bearer != key {
			return &apiError{status: 403, code: "AccessDeniedException", message: "Authentication failed: Please make sure your API Key is valid."}
		}
		return nil
	}
	fields, ok := strings.CutPrefix(authorization, signatureAlgorithm+" ")
	if !ok {
		return &apiError{status: 403, code: "MissingAuthenticationTokenException", message: "Missing Authentication Token"}
	}
	parameters := map[string]string{}
	for field := range strings.SplitSeq(fields, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		parameters[name] = value
	}
	scope := strings.SplitN(parameters["Credential"], "/", 2)
	signed := strings.Split(parameters["SignedHeaders"], ";")
	date := h.Get("X-Amz-Date")
	switch parts := strings.Split(scope[len(scope)-1], "/"); {
	case len(scope) != 2 || len(parts) != 4 || parts[2] != "bedrock" || parts[3] != "aws4_request" || len(parameters["Signature"]) != 2*sha256.Size || !strings.HasPrefix(date, parts[0]):
		return &apiError{status: 403, code: "IncompleteSignatureException", message: "Authorization header requires 'Credential', 'Signature', 'SignedHeaders' and an 'X-Amz-Date' of its scope, for the service 'bedrock'."}
	case !slices.Contains(signed, "host") || !slices.Contains(signed, "x-amz-date"):
		return &apiError{status: 403, code: "InvalidSignatureException", message: "'Host' and 'X-Amz-Date' must be 'SignedHeaders' in the AWS Authorization."}
	case key != "" && scope[0] != id:
		return &apiError{status: 403, code: "UnrecognizedClientException", message: "The security token included in the request is invalid."}
	case !verified:
		return nil
	}
	at, err := time.Parse("20060102T150405Z", date)
	if now := x.p.options.Now(); err != nil || now.Sub(at).Abs() > maxClockSkew {
		return &apiError{status: 403, code: "InvalidSignatureException", message: "Signature expired: " + date + " is not within 5 min. of the server's time."}
	}
	if wants := x.sign(secret, scope[1], date, signed); !hmac.Equal([]byte(wants), []byte(parameters["Signature"])) {
		return &apiError{status: 403, code: "InvalidSignatureException", message: "The request signature we calculated does not match the signature you provided. " +
			"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."}
	}
	return nil
}

// sign computes the signature of the request as it came.
func (x *exchange) sign(secret, scope, date string, signed []string) string {
	var canonical strings.Builder
	canonical.WriteString(x.r.Method + "\n" + encodeURI(x.r.URL.EscapedPath()) + "\n" + canonicalQuery(x.r.URL.Query()) + "\n")
	for _, name := range signed {
		value := strings.Join(x.r.Header.Values(name), ",")
		switch name {
		case "host":
			value = x.r.Host
		case "content-length":
			value = x.r.Header.Get("Content-Length")
		}
		canonical.WriteString(name + ":" + strings.Join(strings.Fields(value), " ") + "\n")
	}
	body := sha256.Sum256(x.body)
	canonical.WriteString("\n" + strings.Join(signed, ";") + "\n" + hex.EncodeToString(body[:]))

	hash := sha256.Sum256([]byte(canonical.String()))
	text := signatureAlgorithm + "\n" + date + "\n" + scope + "\n" + hex.EncodeToString(hash[:])
	key := []byte("AWS4" + secret)
	for part := range strings.SplitSeq(scope, "/") {
		key = keyed(key, part)
	}
	return hex.EncodeToString(keyed(key, text))
}

func keyed(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// encodeURI encodes a path once more, as Amazon does for all services but one.
func encodeURI(path string) string {
	var b strings.Builder
	for _, c := range []byte(path) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-_.~/", c) >= 0:
			b.WriteByte(c)
		default:
			b.WriteString("%" + strings.ToUpper(hex.EncodeToString([]byte{c})))
		}
	}
	return b.String()
}

func canonicalQuery(query url.Values) string { return strings.ReplaceAll(query.Encode(), "+", "%20") }
