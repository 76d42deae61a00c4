package conformance

import (
	_ "embed"
	"encoding/binary"

	"github.com/leash-gateway/leash/host/internal/asm"
)

// Keys of the cases, made for them: RSA of 2048 bits and P-256, PKCS #8 and PKIX, and what openssl dgst -sha256 -sign makes of "text".
var (
	//go:embed testdata/rsa.key
	rsaKey string
	//go:embed testdata/rsa.pub
	rsaPublic string
	//go:embed testdata/rsa.sig
	rsaSignature string
	//go:embed testdata/ec.key
	ecKey string
	//go:embed testdata/ec.pub
	ecPublic string
	//go:embed testdata/ec.sig
	ecSignature string
)

// field is a field of a protobuf message: bytes.
func field(number byte, value string) string {
	return string(append(binary.AppendUvarint([]byte{number<<3 | 2}, uint64(len(value))), value...))
}

func foreignCall(name, arguments string) asm.Step {
	return asm.Call("proxy_call_foreign_function", asm.Text(name), asm.Text(arguments), asm.OutUnseen())
}

// foreignHead logs the first four bytes of the result.
func foreignHead(name, arguments string) asm.Step {
	return asm.Call("proxy_call_foreign_function", asm.Text(name), asm.Text(arguments), asm.OutNumber())
}

// foreignText logs the result.
func foreignText(name, arguments string) asm.Step {
	return asm.Call("proxy_call_foreign_function", asm.Text(name), asm.Text(arguments), asm.OutBytes())
}

func verifying(hash, key, signature, text string) string {
	return field(1, hash) + field(5, key) + field(3, signature) + field(4, text)
}

var foreignCases = []Case{
	{Name: "foreign functions: a signature is verified", Module: on("proxy_on_request_headers",
		foreignHead("verify_signature", verifying("sha256", rsaPublic, rsaSignature, "text")), foreignHead("verify_signature", verifying("SHA256", ecPublic, ecSignature, "text")),
		foreignText("verify_signature", verifying("sha256", rsaPublic, rsaSignature, "other")), foreignText("verify_signature", verifying("sha512", rsaPublic, rsaSignature, "text")),
		foreignText("verify_signature", verifying("sha256", ecPublic, "none", "text")), foreignText("verify_signature", verifying("md5", rsaPublic, rsaSignature, "text")))},
	{Name: "foreign functions: a text is signed", Module: on("proxy_on_request_headers",
		foreignHead("sign", field(1, "sha256")+field(4, rsaKey)+field(3, "text")), foreignText("sign", field(1, "none")+field(4, rsaKey)+field(3, "text")), foreignCall("sign", field(1, "sha256")+field(4, ecKey)+field(3, "text")))},
	{Name: "foreign functions: keys that are missing, or two of them", Module: on("proxy_on_request_headers",
		foreignCall("sign", field(1, "sha256")), foreignCall("sign", field(2, "der")+field(4, rsaKey)), foreignCall("verify_signature", field(1, "sha256")), foreignCall("verify_signature", "\xff"))},
	{Name: "foreign functions: state of a kind that nobody knows", Module: on("proxy_on_request_headers", foreignCall("set_envoy_filter_state", field(1, "no.such.state")+field(2, "value")))},
	{Name: "foreign functions: bytes are compressed", Module: on("proxy_on_request_headers", foreignCall("compress", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), foreignCall("compress", ""))},
}
