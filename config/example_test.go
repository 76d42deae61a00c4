package config_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/leash-gateway/leash/config"
)

func ExampleParse() {
	_, err := config.Parse("leash.yaml", []byte(`
providers:
  local: {base_url: "http://127.0.0.1:11434/v1"}
routes:
  - {modl: llama3, provider: local}
pipeline:
  - module: auth
`), os.LookupEnv)
	fmt.Println(err)
	// Output:
	// leash.yaml:5:6: routes[0].modl: unknown field (did you mean model?)
	//       - {modl: llama3, provider: local}
	//          ^
}

func ExampleLoad() {
	c, err := config.Load("testdata/valid/own-in-between.yaml", os.LookupEnv)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range c.Filters() {
		fmt.Println(f.Name, f.File, f.Modules)
	}
	// Output:
	// leash.costtracker~106f8420 all.wasm [pipeline[0] pipeline[1]]
	// leash.hello /opt/hello.wasm [pipeline[2]]
	// leash.contentfilter~dae0c13a all.wasm [pipeline[3] routes]
}

func ExampleConfig_Errorf() {
	c, err := config.Load("testdata/valid/own-in-between.yaml", os.LookupEnv)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.Errorf("pipeline[2].config.greeting", "is too short"))
	// Output:
	// testdata/valid/own-in-between.yaml:9:24: pipeline[2].config.greeting: is too short
	//         config: {greeting: hi}
	//                            ^
}

func ExampleSecret_Resolve() {
	key := config.Secret{Env: "OPENAI_API_KEY"}
	value, err := key.Resolve(func(string) (string, bool) { return "sk-0123456789", true })
	fmt.Println(value, len(value.Reveal()), err)
	// Output: [hidden] 13 <nil>
}

func ExampleWatch() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	changes := config.Watch(ctx, "leash.yaml") // before the file is read, so that no change is missed
	stop()                                     // what ends a real program
	for range changes {
		if _, err := config.Load("leash.yaml", os.LookupEnv); err != nil {
			slog.Error("the old configuration goes on", "error", err)
		}
	}
	// Output:
}
