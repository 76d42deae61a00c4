package e2e

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/mock"
)

// A fleet is several providers by name, each with a key of its own.
type fleet map[string]*member

// A member is one provider of a fleet. It takes no other key than its own, and can be killed and revived.
type member struct {
	*mock.Provider

	name    string
	address string
	mu      sync.Mutex
	server  *httptest.Server // nil while it is dead
	account *serviceAccount  // of a provider that takes tokens
}

// startFleet starts providers.
func startFleet(t testing.TB, names ...string) fleet {
	t.Helper()
	f := fleet{}
	for _, name := range names {
		m := &member{name: name, Provider: mock.New(mock.Options{Control: true, Key: keyOf(name)})}
		m.revive(t)
		t.Cleanup(m.kill)
		if name == "vertex" || name == "claude" {
			m.account = newServiceAccount(t, m.Provider)
		}
		f[name] = m
	}
	return f
}

// keyOf is the key of a provider of a fleet, which is planted nowhere else. Amazon's has an id before it; of Google's clouds it is the token.
func keyOf(name string) string {
	key := "sk-planted-of-" + name + "-8c41"
	if name == "bedrock" {
		key = accessKeyID + ":" + key
	}
	return key
}

// Parts of the access key of Amazon's besides its secret.
const (
	accessKeyID  = "AKIAPLANTED8C41"
	sessionToken = "session-planted-8c41"
)

// planted are the texts of a provider's credentials that no other provider may ever see.
func (m *member) planted() []string {
	if m.name == "bedrock" {
		return append(strings.Split(keyOf(m.name), ":"), sessionToken)
	}
	return []string{keyOf(m.name)}
}

// Server is where it is, for templates of leash.yaml.
func (m *member) Server() string { return "http://" + m.address }

// kill closes it as a process is killed: connections break.
func (m *member) kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.server != nil {
		m.server.CloseClientConnections()
		m.server.Listener.Close() //nolint:errcheck // it is to be gone
		m.server.Config.Close()   //nolint:errcheck // likewise
		m.server = nil
	}
}

// revive starts it, at the address that it had before.
func (m *member) revive(t testing.TB) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	s := httptest.NewUnstartedServer(m.Provider)
	if m.address != "" {
		s.Listener.Close() //nolint:errcheck // another takes its place
		nettest.Eventually(t, "the address of "+m.name+" to be free", func() (free bool) {
			s.Listener, free = listenAt(m.address)
			return free
		})
	}
	s.Start()
	m.server, m.address = s, strings.TrimPrefix(s.URL, "http://")
}

// received is all that it has got, headers and bodies.
func (m *member) received(t testing.TB) string {
	t.Helper()
	return get(t, m.Server()+"/mock/requests").Body
}

// later are the providers that a gateway may be told of while it runs: it has their keys from its start.
var later = fleet{"openai": nil, "anthropic": nil, "google": nil, "spare": nil, "well": nil}

// environment is what leash reads the keys from.
func (f fleet) environment() []string {
	var env []string
	for name, m := range f {
		key := keyOf(name)
		if id, secret, ok := strings.Cut(key, ":"); ok {
			key = secret
			env = append(env, "AWS_ACCESS_KEY_ID="+id, "AWS_SECRET_ACCESS_KEY="+secret, "AWS_SESSION_TOKEN="+sessionToken)
		}
		env = append(env, "LEASH_TEST_KEY_"+strings.ToUpper(name)+"="+key)
		if m != nil && m.account != nil {
			env = append(env, "LEASH_TEST_ACCOUNT_"+strings.ToUpper(name)+"="+m.account.document, "SSL_CERT_FILE="+m.account.certificate)
		}
	}
	return env
}

// wantKeysKept fails where the key of a provider has reached another one, or a client's key any.
func (f fleet) wantKeysKept(t testing.TB) {
	t.Helper()
	for name, m := range f {
		got := m.received(t)
		for other, of := range f {
			for _, secret := range of.planted() {
				if other != name && strings.Contains(got, secret) {
					t.Errorf("the key of %s has reached %s", other, name)
				}
			}
		}
		if strings.Contains(got, "PRIVATE KEY") {
			t.Errorf("the key of a service account has reached %s", name)
		}
		if strings.Contains(got, demoKey) {
			t.Errorf("the client's key has reached %s", name)
		}
		if strings.Contains(strings.ToLower(got), "x-leash-") {
			t.Errorf("a header that is for Leash alone has reached %s", name)
		}
	}
}

// wantAsked fails where a provider was never asked for something.
func (f fleet) wantAsked(t testing.TB, text string) {
	t.Helper()
	for name, m := range f {
		if !strings.Contains(m.received(t), text) {
			t.Errorf("%s was never asked", name)
		}
	}
}

// A dialect is an API as a client speaks it.
type dialect struct {
	name        string
	path        string // {model} stands for the model
	stream      string // likewise, of a stream
	key, prefix string // the header of the key
	ask         func(model, text string, stream bool) string
	answers     []string // pieces of an answer to "say: well done"
	events      []string // of a stream
	failure     []string // of an error
}

// dialects are the three APIs, and OpenAI's newer and older ones.
var dialects = []dialect{
	{
		name: "chat", path: "/v1/chat/completions", key: "Authorization", prefix: "Bearer ",
		ask: func(model, text string, stream bool) string {
			return written(map[string]any{"model": model, "stream": stream, "messages": []any{map[string]any{"role": "user", "content": text}}})
		},
		answers: []string{`"object":"chat.completion"`, `"content":"well done"`, `"total_tokens":`},
		events:  []string{`"object":"chat.completion.chunk"`, `"finish_reason":"stop"`, "data: [DONE]"},
		failure: []string{`"error":{`, `"message":`, `"param":`},
	},
	{
		name: "responses", path: "/v1/responses", key: "Authorization", prefix: "Bearer ",
		ask: func(model, text string, stream bool) string {
			return written(map[string]any{"model": model, "stream": stream, "input": text})
		},
		answers: []string{`"object":"response"`, `"text":"well done"`, `"output_tokens":`},
		events:  []string{"event: response.created", "event: response.output_text.delta", "event: response.completed"},
		failure: []string{`"error":{`, `"message":`, `"param":`},
	},
	{
		name: "completions", path: "/v1/completions", key: "Authorization", prefix: "Bearer ",
		ask: func(model, text string, stream bool) string {
			return written(map[string]any{"model": model, "stream": stream, "max_tokens": 64, "prompt": text})
		},
		answers: []string{`"object":"text_completion"`, `"text":"well done"`, `"total_tokens":`},
		events:  []string{`"object":"text_completion"`, `"finish_reason":"stop"`, "data: [DONE]"},
		failure: []string{`"error":{`, `"message":`, `"param":`},
	},
	{
		name: "messages", path: "/v1/messages", key: "X-Api-Key",
		ask: func(model, text string, stream bool) string {
			return written(map[string]any{"model": model, "stream": stream, "max_tokens": 64, "messages": []any{map[string]any{"role": "user", "content": text}}})
		},
		answers: []string{`"type":"message"`, `"text":"well done"`, `"output_tokens":`},
		events:  []string{"event: message_start", "event: content_block_delta", "event: message_stop"},
		failure: []string{`"type":"error"`, `"error":{`, `"message":`},
	},
	{
		name: "gemini", path: "/v1beta/models/{model}:generateContent", stream: "/v1beta/models/{model}:streamGenerateContent?alt=sse", key: "X-Goog-Api-Key",
		ask: func(_, text string, _ bool) string {
			return written(map[string]any{"contents": []any{map[string]any{"role": "user", "parts": []any{map[string]any{"text": text}}}}})
		},
		answers: []string{`"candidates":`, `"text":"well done"`, `"totalTokenCount":`},
		events:  []string{`"candidates":`, `"finishReason":"STOP"`, `"totalTokenCount":`},
		failure: []string{`"error":{`, `"status":"`, `"code":`},
	},
}

func dialectNamed(name string) dialect {
	return dialects[slices.IndexFunc(dialects, func(d dialect) bool { return d.name == name })]
}

// request asks in the dialect with the demo key.
func (d dialect) request(g *gateway, model, text string, stream bool) *http.Request {
	path := d.path
	if stream && d.stream != "" {
		path = d.stream
	}
	r, err := http.NewRequest(http.MethodPost, g.URL+strings.ReplaceAll(path, "{model}", model), strings.NewReader(d.ask(model, text, stream)))
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set(d.key, d.prefix+demoKey)
	r.Header.Set("Content-Type", "application/json")
	if d.name == "messages" {
		r.Header.Set("Anthropic-Version", "2023-06-01")
	}
	return r
}
