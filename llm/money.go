package llm

// Picodollars is an amount of money: 1 US dollar is 1e12 of them.
type Picodollars int64

// String writes the exact amount, such as "0.000123 USD".
func (p Picodollars) String() string { return "" }

// ParseUSDPerMillion reads a price in US dollars per million tokens and returns it per token.
func ParseUSDPerMillion(decimal string) (Picodollars, error) { return 0, nil }
