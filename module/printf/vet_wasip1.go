package printf

// What go vet needs natively would bring fmt into modules.

func vetSprintf(string, ...any) {}

func vetErrorf(string, ...any) {}
