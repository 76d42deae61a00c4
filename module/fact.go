package module

// The facts that Leash's own modules hand each other with SetFact and Fact. They are text, and "" until some module has
// noted them. A module of one's own may read them, and note others under names of its own.
const (
	// FactRoute is the pattern of the route that was taken, such as "gpt-*". The module route notes it in the request
	// phase; without it the request has not left.
	FactRoute = "route"
	// FactProvider is the name of the provider that the route leads to. The module route notes it in the request phase.
	FactProvider = "provider"
	// FactUpstreamModel is the model that the provider is asked for, where the route has another name for it than the
	// client. The module route notes it in the request phase.
	FactUpstreamModel = "upstream_model"
	// FactCarried is "1" where the exchange goes by the module provider, once for each attempt, and "" where it goes to the only
	// provider as it is. The module route notes it in the request phase.
	FactCarried = "carried"
	// FactTrace is the id of the exchange's trace. The module tracer notes it in the request header phase, of exchanges that are traced.
	FactTrace = "trace_id"
	// FactCost is what the exchange cost, in picodollars (1e-12 USD), as a decimal integer. The module costtracker notes
	// it in Finish, so only modules behind it in the pipeline read it. It is absent where the model has no price or
	// nothing was used.
	FactCost = "cost_picodollars"
	// FactFlags are the names of the rules that matched what was said, separated by commas. The module contentfilter
	// notes them as it goes.
	FactFlags = "flags"
)
