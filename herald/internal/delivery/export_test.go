package delivery

// NewBreaker exports newBreaker for tests.
var NewBreaker = newBreaker

// The methods of breaker, exported for tests.
var (
	Acquire   = (*breaker).acquire
	Succeeded = (*breaker).succeeded
	Failed    = (*breaker).failed
	Canceled  = (*breaker).canceled
)
