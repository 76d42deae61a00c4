package cli

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/leash-gateway/leash/host/abi"
)

func moduleCompileCommand() *cli.Command {
	return withArguments(&cli.Command{
		Name:      "compile",
		Usage:     "compile modules ahead, so that their first start outside Envoy takes no seconds",
		ArgsUsage: "FILE.wasm...",
		Description: "leash up --engine embedded, leash host serve and leash module find the compiled code in the same cache. It is for\n" +
			"this version of leash and this kind of machine; what has been compiled before is not compiled again, as long as\n" +
			"it is among the last 1 GiB.",
		Flags: []cli.Flag{cacheFlag()},
		Action: func(c *cli.Context) error {
			if !c.Args().Present() {
				return badUsage("compile what? leash module compile FILE.wasm...")
			}
			h, err := newHarness(c)
			if err != nil {
				return err
			}
			defer h.Close(c.Context) //nolint:errcheck // the end of the program
			for _, file := range c.Args().Slice() {
				began := time.Now()
				if _, err := h.Compile(c.Context, file); err != nil {
					return err
				}
				_, _ = fmt.Fprintf(c.App.ErrWriter, "%s: compiled in %s\n", file, time.Since(began).Round(time.Millisecond))
			}
			return nil
		},
	})
}

// tellOfCache says that each start will take long, where nothing is kept.
func tellOfCache(log *slog.Logger, dir string) {
	if dir == "" {
		log.Warn("modules are compiled anew at each start, for there is no folder for caches: set LEASH_CACHE, or HOME")
	}
}

// cacheFlag is where compiled modules are kept from one start to the next.
func cacheFlag() *cli.PathFlag {
	return &cli.PathFlag{
		Name: "cache", Usage: "`FOLDER` where compiled modules are kept", EnvVars: []string{"LEASH_CACHE"},
		Value: abi.DefaultCacheDir(), DefaultText: "leash/compiled in the user's folder for caches",
	}
}
