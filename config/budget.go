package config

// What budgets always let be tried again, where they do not say.
const (
	leastRetries   = 3 // as Envoy has it
	leastFailovers = 10
)

func (b *Budget) setDefault(least int) {
	if b.Percent > 0 && b.Least == 0 {
		b.Least = least
	}
}

func (b Budget) check(path string, fail failer) {
	switch {
	case b.Percent < 0 || b.Percent > 100:
		fail(path+".percent", "", "must be 1 to 100")
	case b.Least < 0 || b.Least > maxNumber:
		fail(path+".least", "", "must be 1 to %d", maxNumber)
	case b.Percent == 0 && b.Least > 0:
		fail(path, "such as percent: 20", "percent is missing")
	}
}

// none says that nothing is said of failover.
func (f *Failover) none() bool {
	return len(f.On) == 0 && f.Attempts == 0 && !f.MidStream && f.Hedge == 0 && f.Budget == Budget{}
}
