package config

// What budgets always let be tried again, where they do not say.
const (
	leastRetries   = 3 // as Envoy has it
	leastFailovers = 10
)

func (c *Config) setLeast(b *Budget, path string, least int) {
	if b.Percent > 0 && b.Least == 0 && !c.Given(path+".least") {
		b.Least = least
	}
}

func (c *Config) checkBudget(b Budget, path string, fail failer) {
	percent, least := c.Given(path+".percent"), c.Given(path+".least")
	switch {
	case percent && (b.Percent < 1 || b.Percent > 100):
		fail(path+".percent", "", "must be 1 to 100")
	case least && (b.Least < 1 || b.Least > maxNumber):
		fail(path+".least", "", "must be 1 to %d", maxNumber)
	case least && !percent:
		fail(path, "such as percent: 20", "percent is missing")
	}
}

// none says that nothing is said of failover.
func (f *Failover) none() bool {
	return len(f.On) == 0 && f.Attempts == 0 && !f.MidStream && f.Hedge == 0 && f.Budget == Budget{}
}
