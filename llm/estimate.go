package llm

// bytesPerToken is the rule of thumb for English text with the tokenizers of the large providers. It is an estimate for
// reserving and for what a provider never told; nobody is billed by it where the real count is known.
const bytesPerToken = 4

// EstimateTokens estimates how many tokens a text of so many bytes has.
func EstimateTokens(textBytes int64) int64 { return (textBytes + bytesPerToken - 1) / bytesPerToken }
