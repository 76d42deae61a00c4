package mock_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/leash-gateway/leash/mock"
)

// A test of one's own application starts the mock and points the application's base URL to it.
func ExampleNew() {
	server := httptest.NewServer(mock.New(mock.Options{}))
	defer server.Close()

	baseURL := server.URL + "/v1"
	answer, err := http.Post(baseURL+"/chat/completions", "application/json", strings.NewReader(`{
		"model": "gpt-4o-mini?status=503&retry_after=1s",
		"messages": [{"role": "user", "content": "say: hello"}]
	}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = answer.Body.Close() }()
	body, _ := io.ReadAll(answer.Body)
	fmt.Println(answer.StatusCode, answer.Header.Get("Retry-After"))
	fmt.Print(string(body))
	// Output:
	// 503 1
	// {"error":{"message":"The server had an error while processing your request. Sorry about that!","type":"server_error","param":null,"code":null}}
}

func ExampleParseBehavior() {
	behavior, err := mock.ParseBehavior("pace=20ms&chunk=4&cut_after=10")
	fmt.Println(behavior.Pace, behavior.Chunk, behavior.CutAfter, err)
	_, err = mock.ParseBehavior("pace=20")
	fmt.Println(err)
	// Output:
	// 20ms 4 10 <nil>
	// behavior pace: "20" is not a duration such as 200ms or 2s
}
