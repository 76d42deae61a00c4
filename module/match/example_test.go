package match_test

import (
	"fmt"

	"github.com/leash-gateway/leash/module/match"
)

func ExampleSet_Redact() {
	email, _ := match.Builtin("email")
	set, err := match.Compile([]match.Pattern{email, {Name: "project", Keyword: "bluebird"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	text, _ := set.Redact("Ask ada@example.com about BlueBird.", func(match.Match) string { return "***" })
	fmt.Println(text)
	// Output: Ask *** about ***.
}

func ExampleStream() {
	set, err := match.Compile([]match.Pattern{{Name: "project", Keyword: "bluebird"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	stream := set.NewStream(match.DefaultHold)
	for _, piece := range []string{"about blue", "bird and", " blue skies"} {
		for _, segment := range stream.Feed(piece) {
			fmt.Printf("%q match: %t\n", segment.Text, segment.Pattern >= 0)
		}
	}
	// Output:
	// "about " match: false
	// "bluebird" match: true
	// " and" match: false
	// " blue skies" match: false
}
