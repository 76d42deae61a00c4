package sigv4_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/host/gateway/sigv4"
)

// example is what Amazon's documentation and test suite sign with.
var example = sigv4.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}

var exampleTime = time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)

// TestAmazonsOwnCasesAreSignedAsAmazonSignsThem runs Amazon's published test suite; testdata/vectors.json says where it is from.
func TestAmazonsOwnCasesAreSignedAsAmazonSignsThem(t *testing.T) {
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var suite struct {
		Cases []struct {
			Name, Method, Path, Query, Body, Token, Canonical, Signature string
			Headers                                                      [][2]string
			HashHeader                                                   bool `json:"hash_header"`
		}
	}
	if err := json.Unmarshal(data, &suite); err != nil {
		t.Fatal(err)
	}
	if len(suite.Cases) < 30 {
		t.Fatalf("there are only %d cases", len(suite.Cases))
	}
	for _, c := range suite.Cases {
		t.Run(c.Name, func(t *testing.T) {
			credentials := example
			credentials.SessionToken = c.Token
			r := sigv4.Request{Method: c.Method, Path: c.Path, Query: c.Query, BodyHash: sha256.Sum256([]byte(c.Body))}
			for _, h := range c.Headers {
				if h[0] == "Host" {
					r.Host = h[1]
				} else {
					r.Headers = append(r.Headers, sigv4.Header{Name: h[0], Value: h[1]})
				}
			}
			if c.HashHeader {
				r.Headers = append(r.Headers, sigv4.Header{Name: "X-Amz-Content-SHA256", Value: hex.EncodeToString(r.BodyHash[:])})
			}
			headers := sigv4.New(credentials, "us-east-1", "service").Sign(r, exampleTime)
			got := headers[len(headers)-1].Value
			lines := strings.Split(c.Canonical, "\n")
			want := "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=" + lines[len(lines)-2] + ", Signature=" + c.Signature
			if got != want {
				t.Errorf("got  %s\nwant %s\nfor\n%s", got, want, c.Canonical)
			}
		})
	}
}

// The signature is what botocore 1.44.8 makes of the same request at the same time.
func TestAModelsARNInThePathIsSignedAsAmazonsClientDoes(t *testing.T) {
	credentials := example
	credentials.SessionToken = "tok/en=="
	signed := sigv4.New(credentials, "us-east-1", "bedrock").Sign(sigv4.Request{
		Method: "POST", Host: "bedrock-runtime.us-east-1.amazonaws.com", Path: "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.a.b-v1%3A0/converse",
		Headers: []sigv4.Header{{Name: "content-type", Value: "application/json"}}, BodyHash: sha256.Sum256([]byte(`{"messages":[]}`)),
	}, exampleTime)
	const want = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/bedrock/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, " +
		"Signature=b5e9161bb841cb84d8c730cc2f732aa0a0f4641604295341b702dee823c0bbb9"
	if got := signed[len(signed)-1].Value; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestASignerSignsOnTheNextDayWithThatDaysKey(t *testing.T) {
	r := sigv4.Request{Method: "POST", Host: "bedrock-runtime.us-east-1.amazonaws.com", Path: "/model/m/converse"}
	s := sigv4.New(example, "us-east-1", "bedrock")
	for _, now := range []time.Time{exampleTime, exampleTime.Add(24 * time.Hour), exampleTime} {
		got, want := s.Sign(r, now), sigv4.New(example, "us-east-1", "bedrock").Sign(r, now)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("at %s got %v, want %v", now, got, want)
		}
	}
}

func TestASignatureIsOfTheVeryRequest(t *testing.T) {
	base := sigv4.Request{Method: "POST", Host: "h", Path: "/model/a%3A0/converse", Query: "a=b", Headers: []sigv4.Header{{Name: "content-type", Value: "application/json"}}}
	s := sigv4.New(example, "us-east-1", "bedrock")
	seen := map[string]string{}
	for name, change := range map[string]func(r *sigv4.Request){
		"nothing": func(*sigv4.Request) {},
		"method":  func(r *sigv4.Request) { r.Method = "PUT" },
		"host":    func(r *sigv4.Request) { r.Host = "g" },
		"path":    func(r *sigv4.Request) { r.Path = "/model/a:0/converse" },
		"query":   func(r *sigv4.Request) { r.Query = "a=c" },
		"header":  func(r *sigv4.Request) { r.Headers = []sigv4.Header{{Name: "content-type", Value: "text/plain"}} },
		"body":    func(r *sigv4.Request) { r.BodyHash = sha256.Sum256([]byte("x")) },
	} {
		r := base
		change(&r)
		signed := s.Sign(r, exampleTime)
		value := signed[len(signed)-1].Value
		if other, twice := seen[value]; twice {
			t.Errorf("%s and %s are signed alike", name, other)
		}
		seen[value] = name
	}
}

func TestNoTextHasASecretInIt(t *testing.T) {
	credentials := sigv4.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "planted-secret", SessionToken: "planted-token"}
	s := sigv4.New(credentials, "us-east-1", "bedrock")
	s.Sign(sigv4.Request{}, exampleTime)
	asJSON, err := json.Marshal(map[string]any{"a": credentials, "b": &credentials, "c": s})
	if err != nil {
		t.Fatal(err)
	}
	text := string(asJSON)
	for _, v := range []any{credentials, &credentials, s} {
		text += fmt.Sprintf(" %v %+v %#v %s", v, v, v, v)
	}
	if strings.Contains(text, "planted") {
		t.Errorf("a secret is in %s", text)
	}
}

// FuzzSign looks for requests that cannot be signed, or whose canonical form is not one line per part.
func FuzzSign(f *testing.F) {
	f.Add("GET", "/a//../b", "x=%E1%88%B4&x", "my-header", " a  b ")
	f.Add("POST", "/model/a%3A0/converse", "%", "A", "\n")
	f.Fuzz(func(t *testing.T, method, path, query, name, value string) {
		r := sigv4.Request{Method: method, Host: "h", Path: path, Query: query, Headers: []sigv4.Header{{Name: name, Value: value}}}
		signed := sigv4.New(example, "us-east-1", "bedrock").Sign(r, exampleTime)
		if last := signed[len(signed)-1]; last.Name != "authorization" || !strings.Contains(last.Value, "Signature=") {
			t.Errorf("got %v", signed)
		}
	})
}

func BenchmarkSign(b *testing.B) {
	s := sigv4.New(example, "us-east-1", "bedrock")
	r := sigv4.Request{Method: "POST", Host: "bedrock-runtime.us-east-1.amazonaws.com", Path: "/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse", Headers: []sigv4.Header{{Name: "content-type", Value: "application/json"}}}
	b.ReportAllocs()
	for b.Loop() {
		s.Sign(r, exampleTime)
	}
}

// A request to Bedrock is signed. The path has the escapes that it goes over the wire with.
func ExampleSigner_Sign() {
	s := sigv4.New(sigv4.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}, "us-east-1", "bedrock")
	for _, h := range s.Sign(sigv4.Request{
		Method:   "POST",
		Host:     "bedrock-runtime.us-east-1.amazonaws.com",
		Path:     "/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse",
		Headers:  []sigv4.Header{{Name: "content-type", Value: "application/json"}},
		BodyHash: sha256.Sum256([]byte(`{"messages":[{"role":"user","content":[{"text":"hi"}]}]}`)),
	}, time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)) {
		fmt.Println(h.Name, h.Value[:16])
	}
	// Output:
	// x-amz-date 20150830T123600Z
	// authorization AWS4-HMAC-SHA256
}
