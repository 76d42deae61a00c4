package llm

// Usage counts the tokens of one exchange.
type Usage struct {
	Input           int64 // all of the input, with the five kinds below
	CachedInput     int64 // read from the provider's prompt cache
	CacheWrite      int64 // written to it
	CacheWrite1h    int64 // written to it for an hour; not in CacheWrite
	InputAudio      int64
	Output          int64 // all of the output, with the two kinds below
	OutputReasoning int64
	OutputAudio     int64
}

// Total is Input and Output together.
func (u Usage) Total() int64 { return u.Input + u.Output }
