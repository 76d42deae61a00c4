package llm

// A Price is what a provider charges for a model, per token.
//
// An optional price that is 0 is not known, and Cost takes the one that is named beside it, unless ParsePrices read
// "0", which is free of charge.
type Price struct {
	Provider string
	Model    string
	Mode     string // such as "chat" or "embedding"

	Input           Picodollars
	CachedInput     Picodollars // else Input
	CacheWrite      Picodollars // else Input
	CacheWrite1h    Picodollars // else CacheWrite
	InputAudio      Picodollars // else Input
	Output          Picodollars
	OutputReasoning Picodollars // else Output
	OutputAudio     Picodollars // else Output

	// Of a whole exchange whose Usage.Input is greater than 200,000; the other prices stay.
	InputAbove200k       Picodollars // else Input
	CachedInputAbove200k Picodollars // else CachedInput
	OutputAbove200k      Picodollars // else Output

	Context   int64 // tokens, 0 when unknown
	MaxOutput int64 // tokens, 0 when unknown

	free rates // the optional prices that are 0 because they were given as "0"
}

// longInput is the number of input tokens above which some models have other prices.
const longInput = 200_000

// rates is a set of optional prices.
type rates uint16

const (
	cachedInput rates = 1 << iota
	cacheWrite
	cacheWrite1h
	inputAudio
	outputReasoning
	outputAudio
	inputLong
	cachedInputLong
	outputLong
)

// or is an optional price, or the one to take when it is not known.
func (p *Price) or(price Picodollars, r rates, other Picodollars) Picodollars {
	if price == 0 && p.free&r == 0 {
		return other
	}
	return price
}

// Cost is what u costs at this price, exactly. Each token is charged once: the kinds that Usage names are taken out of
// Input and Output in the order of its fields, and never more of them than there are left; the rest costs Input or
// Output. Negative counts are 0. A cost that no int64 holds is the greatest that one does.
func (p Price) Cost(u Usage) Picodollars {
	input, cached, output := p.Input, p.or(p.CachedInput, cachedInput, p.Input), p.Output
	if u.Input > longInput {
		input = p.or(p.InputAbove200k, inputLong, input)
		cached = p.or(p.CachedInputAbove200k, cachedInputLong, p.or(p.CachedInput, cachedInput, input))
		output = p.or(p.OutputAbove200k, outputLong, output)
	}
	write := p.or(p.CacheWrite, cacheWrite, input)

	in := bill{left: u.Input}
	in.take(u.CachedInput, cached)
	in.take(u.CacheWrite, write)
	in.take(u.CacheWrite1h, p.or(p.CacheWrite1h, cacheWrite1h, write))
	in.take(u.InputAudio, p.or(p.InputAudio, inputAudio, input))
	in.take(in.left, input)

	out := bill{left: u.Output}
	out.take(u.OutputReasoning, p.or(p.OutputReasoning, outputReasoning, output))
	out.take(u.OutputAudio, p.or(p.OutputAudio, outputAudio, output))
	out.take(out.left, output)
	return in.sum.plus(out.sum)
}

// A bill adds up what tokens cost.
type bill struct {
	left int64 // tokens not charged yet
	sum  Picodollars
}

func (b *bill) take(tokens int64, price Picodollars) {
	tokens = max(0, min(tokens, b.left))
	b.left -= tokens
	b.sum = b.sum.plus(price.times(tokens))
}
